package main

import (
	"context"
	"net/http"

	"berth/internal/identity"
)

type secondFactorRule struct {
	Of string `arg:"" optional:"" enum:",nobody,administrators,members,everybody" default:"" help:"nobody, administrators, members (and administrators) or everybody; shows who must have one when absent."`
}

// Help says what happens.
func (*secondFactorRule) Help() string {
	return `Sessions that a password alone began end at once where more is required, and the next sign-in leads on to setting a second factor up.
BERTH_SECOND_FACTOR is the least that is required: the stricter of the two counts.

Examples:
  berth access second-factor
  berth access second-factor administrators`
}

// Run shows, or says, who must have a second factor.
func (cmd *secondFactorRule) Run(ctx context.Context, c *client, o *output) error {
	const path = "/api/second-factor"
	var rule identity.SecondFactorRule
	if err := c.get(ctx, path, &rule); err != nil {
		return err
	}
	if cmd.Of != "" {
		body := map[string]any{"required_of": cmd.Of, "version": rule.Version}
		if err := c.call(ctx, http.MethodPut, path, body, &rule); err != nil {
			return err
		}
	}
	return o.result(rule, func() {
		o.printf("A second factor is required of %s.\n", rule.InForce)
		if rule.InForce != rule.RequiredOf {
			o.printf("BERTH_SECOND_FACTOR says so; %s was chosen here.\n", rule.RequiredOf)
		}
	})
}
