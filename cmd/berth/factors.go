package main

import (
	"context"
	"strconv"
	"time"

	"berth/internal/factor"
)

// showFactors lists what somebody has beside their password.
func showFactors(ctx context.Context, c *client, o *output, path string) error {
	var has factor.Factors
	if err := c.get(ctx, path, &has); err != nil {
		return err
	}
	used := func(at *time.Time) string {
		if at == nil {
			return "never"
		}
		return ago(*at, time.Now())
	}
	return o.result(has, func() {
		rows := [][]string{}
		for _, k := range has.Passkeys {
			rows = append(rows, []string{"passkey", k.Name, ago(k.CreatedAt, time.Now()), used(k.LastUsedAt)})
		}
		if has.TOTP != nil {
			rows = append(rows, []string{"app", "codes from an app", ago(has.TOTP.CreatedAt, time.Now()), used(has.TOTP.LastUsedAt)})
		}
		if has.Recovery.Left > 0 {
			rows = append(rows, []string{"recovery", strconv.Itoa(has.Recovery.Left) + " codes left", "", ""})
		}
		o.table([]string{"factor", "name", "added", "used"}, rows)
	})
}
