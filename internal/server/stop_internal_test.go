package server

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWindow_IsSharedByDeploymentsAndRequests(t *testing.T) {
	for name, c := range map[string]struct{ total, deployments, waits, left time.Duration }{
		"deployments end early, requests get the rest": {30 * time.Second, 10 * time.Second, 10 * time.Second, 20 * time.Second},
		"deployments linger, requests get the last":    {30 * time.Second, time.Hour, 25 * time.Second, 5 * time.Second},
		"a short one is cut in halves":                 {4 * time.Second, time.Hour, 2 * time.Second, 2 * time.Second},
		"none at all":                                  {0, time.Hour, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				deployers := &crew{}
				deployers.run("deployments", func() error { time.Sleep(c.deployments); return nil })
				w := &window{total: c.total}
				began := time.Now()
				w.open()

				w.await(deployers)

				require.Equal(t, c.waits, time.Since(began))
				require.Equal(t, c.left, w.left())
				deployers.wait()
			})
		})
	}
}
