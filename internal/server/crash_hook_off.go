//go:build !crashhook

package server

import (
	"context"

	"berth/internal/deploy"
)

// crashHook is nothing in a build that is not for tests.
func crashHook() func(ctx context.Context, deployment string, step deploy.StepName, when string) {
	return nil
}
