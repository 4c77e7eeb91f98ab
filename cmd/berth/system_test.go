package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/container"
	"berth/internal/deploy"
	"berth/internal/gateway"
)

func TestSystem_ShowsTheServer(t *testing.T) {
	h := newHouse(t)
	shown := h.must("system")
	require.Regexp(t, `Engine: +away: .*/nowhere/engine.sock`, shown)
	require.Regexp(t, `Version: +test`, shown)
	require.Regexp(t, `Disk: +\d.* free at `+h.data, shown)
	require.Contains(t, h.must("--json", "system"), `"engine_error"`)

	set := h.must("system", "settings")
	require.Regexp(t, `BERTH_ENGINE +unix:///nowhere/engine.sock +environment`, set)
	require.NotContains(t, set, adminPassword)
}

func TestInstance_IsNamedByItsID(t *testing.T) {
	h := newHouse(t)
	require.Equal(t, exitMissing, h.local("", "instance", "show", "nothing").code)
	require.Equal(t, exitMissing, h.local("", "instance", "stats", "nothing").code)
}

func TestOutput_SpellsFigures(t *testing.T) {
	var out bytes.Buffer
	o := newOutput(&out, &out, false)

	o.stats(container.Stats{CPU: 0.5, Memory: 3 << 20, MemoryLimit: 64 << 20, Processes: 4})
	require.Regexp(t, `CPU: +0.50 cores\nMemory: +3.0 MiB of 64.0 MiB`, out.String())

	out.Reset()
	o.minutes([]gateway.Minute{{At: time.Now(), Requests: 12, Errors: 1, P50: 1.25, P95: 20, P99: 1234.5}})
	require.Regexp(t, `12 +1 +1.25 ms +20 ms +1234 ms`, out.String())

	out.Reset()
	o.instanceMetrics([]api.InstanceMetrics{{Instance: "i1", Ordinal: 1, State: deploy.InstanceReady, Items: []gateway.Minute{{At: time.Now(), Requests: 12, P50: 1.25}}}})
	require.Regexp(t, `i1 +1 +ready .* 12 +0 +1.25 ms`, out.String())

	out.Reset()
	used := []deploy.UsageMinute{{At: time.Now(), CPU: .25, CPUMax: 1.5, Memory: 3 << 20, MemoryLimit: 64 << 20}}
	u := deploy.Usage{Reason: "the engine is deaf", Minutes: used, Instances: []deploy.InstanceUsage{{Instance: "i1", Ordinal: 1, State: deploy.InstanceReady, Minutes: used}}}
	o.usage(u, false)
	require.Regexp(t, `(?s)Nothing is measured: the engine is deaf\..* 0.25 cores +1.50 cores +3.0 MiB of 64.0 MiB`, out.String())
	out.Reset()
	o.usage(u, true)
	require.Regexp(t, `i1 +1 +ready .* 0.25 cores`, out.String())

	out.Reset()
	o.instance(deploy.Instance{ID: "i1", Project: "shop", Stage: "prod", State: deploy.InstanceDown, Detail: "exit code 1\x1b[2J"})
	require.Regexp(t, `(?s)Stage: +shop/prod.*State: +down\nDetail: +exit code 1 \[2J`, out.String())

	out.Reset()
	o.system(api.System{Engine: &container.Info{Name: "podman", Version: "5.4", Rootless: true, Lacks: []container.Lack{container.LacksStats}, Warnings: []string{"old"}}})
	require.Regexp(t, `(?s)podman 5.4, rootless.*warning: the engine lacks stats\nwarning: old`, out.String())

	now := time.Now()
	out.Reset()
	o.deployment(deploy.Deployment{
		ID: "d1", State: deploy.Failed, FailedStep: deploy.ProbeStep, Error: "never ready",
		Steps: []deploy.Step{{Name: deploy.ProbeStep, State: deploy.StepFailed, StartedAt: now, FinishedAt: now.Add(1500 * time.Millisecond), Detail: "no answer"}},
	})
	require.Regexp(t, `(?s)Failed step: +probe\nError: +never ready.*probe +failed +1.5s +no answer`, out.String())
}
