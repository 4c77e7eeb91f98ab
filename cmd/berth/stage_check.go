package main

import (
	"context"
	"net/http"
	"strings"

	"berth/internal/api"
	"berth/internal/deploy"
	"berth/internal/fault"
)

// check is what the commands that save a stage share.
type check struct {
	Check bool `help:"Save nothing: say what is wrong with it, or which tags would deploy; with --json, the whole configuration."`
}

// report asks the server what saving spec would say. Flaws come as the fault
// that saving would give.
func (check) report(ctx context.Context, c *client, o *output, name stageName, spec deploy.StageSpec) error {
	v, err := validate(ctx, c, name, spec)
	if err != nil {
		return err
	}
	return o.result(v, func() {
		o.printf("Stage %s can be saved like this; nothing was.\n", name)
		if len(v.Tags) > 0 {
			o.printf("\n")
			o.stageTags(v.Tags)
		}
	})
}

// validate gives what saving spec would say. Flaws are the fault that saving
// would give.
func validate(ctx context.Context, c *client, name stageName, spec deploy.StageSpec) (v api.Validation, err error) {
	body := map[string]any{"project": name.Project, "stage": name.Stage, "spec": spec}
	if err := c.call(ctx, http.MethodPost, "/api/validate/stage", body, &v); err != nil {
		return v, err
	}
	fields := make([]fault.Field, len(v.Errors))
	for i, e := range v.Errors {
		fields[i] = fault.Field{Name: strings.TrimPrefix(e.Location, "body."), Message: e.Message}
	}
	return v, fault.InvalidFields(fields)
}
