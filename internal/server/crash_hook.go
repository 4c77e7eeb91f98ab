//go:build crashhook

package server

import (
	"context"
	"os"

	"golang.org/x/sys/unix"

	"berth/internal/deploy"
)

// crashHook kills this process, as a power cut would, at the step and moment
// that BERTH_TEST_CRASH_AT names: "probe:before", "switch:after".
func crashHook() func(ctx context.Context, deployment string, step deploy.StepName, when string) {
	at := os.Getenv("BERTH_TEST_CRASH_AT")
	if at == "" {
		return nil
	}
	return func(_ context.Context, _ string, step deploy.StepName, when string) {
		if at == string(step)+":"+when {
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
			select {} // until the signal arrives
		}
	}
}
