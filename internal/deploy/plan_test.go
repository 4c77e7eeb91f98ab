package deploy

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
)

func TestPlan_LooksAtFactsBeforeTheJournal(t *testing.T) {
	everything := Observation{Exists: true, Running: true, Ready: true}
	done := func(steps ...StepName) map[StepName]bool {
		all := map[StepName]bool{}
		for _, s := range steps {
			all[s] = true
		}
		return all
	}
	for _, c := range []struct {
		name string
		s    Situation
		want Action
	}{
		{"nothing was done", Situation{State: Waiting}, Action(Preflight)},
		{"the preflight was begun", Situation{State: Running}, Action(Preflight)},
		{"the image is missing", Situation{State: Running, Done: done(Preflight)}, Action(PullImage)},
		{"the image went away again", Situation{State: Running, Done: done(Preflight, PullImage)}, Action(PullImage)},
		{"no instance has a place", Situation{State: Running, Done: done(Preflight), Image: true}, Action(CreateStep)},
		{"one of two is missing", Situation{State: Running, Done: done(Preflight, PullImage, CreateStep), Image: true, Instances: []Observation{everything, {}}}, Action(CreateStep)},
		{"one of two does not run", Situation{State: Running, Done: done(Preflight, PullImage, CreateStep, StartStep), Image: true, Instances: []Observation{everything, {Exists: true}}}, Action(StartStep)},
		{"the journal says ready, this process has not seen it", Situation{State: Running, Done: done(Preflight, PullImage, CreateStep, StartStep, ProbeStep), Image: true, Instances: []Observation{{Exists: true, Running: true}}}, Action(ProbeStep)},
		{"all are ready", Situation{State: Running, Done: done(Preflight), Image: true, Instances: []Observation{everything}}, Action(SwitchRoute)},
		{"canceled before the switch", Situation{State: Running, Canceled: true, Done: done(Preflight), Image: true, Instances: []Observation{everything}}, Undo},
		{"canceled too late", Situation{State: Running, Canceled: true, Pointed: true}, Action(SwitchRoute)},
		{"pointed, and its containers are gone", Situation{State: Running, Pointed: true, Done: done(Preflight)}, Action(SwitchRoute)},
		{"live, not drained", Situation{State: Live, Pointed: true, Done: done(SwitchRoute)}, Action(DrainOld)},
		{"live, not stopped", Situation{State: Live, Pointed: true, Done: done(SwitchRoute, DrainOld)}, Action(StopOld)},
		{"live", Situation{State: Live, Pointed: true, Done: done(SwitchRoute, DrainOld, StopOld)}, Finish},
		{"failed, not cleaned up", Situation{State: Failed, Done: done(Preflight)}, Undo},
		{"canceled, not cleaned up", Situation{State: Canceled}, Undo},
		{"superseded during its canary, not cleaned up", Situation{State: Superseded}, Undo},
		{"taken back, not cleaned up", Situation{State: Reverted, Done: done(SwitchRoute)}, Undo},
		{"ready, and some are to try it", Situation{State: Running, Canary: true, Done: done(Preflight), Image: true, Instances: []Observation{everything}}, Action(CanaryStep)},
		{"tried", Situation{State: Running, Canary: true, Done: done(Preflight, CanaryStep), Image: true, Instances: []Observation{everything}}, Action(SwitchRoute)},
		{"live, to be watched", Situation{State: Live, Pointed: true, Guard: true, Done: done(SwitchRoute)}, Action(GuardStep)},
		{"live and watched", Situation{State: Live, Pointed: true, Guard: true, Done: done(SwitchRoute, GuardStep)}, Action(DrainOld)},
		{"another took its place before its own end", Situation{State: Live}, Finish},
	} {
		require.Equal(t, c.want, Plan(c.s), c.name)
	}
}

func TestTend_RoutesOnlyToWhatIsKnownToAnswer(t *testing.T) {
	now := time.Now()
	ready := Instance{State: InstanceReady, Address: "127.0.0.1:1", UpdatedAt: now}
	up := container.Container{State: container.StateRunning, Address: "127.0.0.1:1", Started: now.Add(-time.Minute)}
	for _, c := range []struct {
		name  string
		i     Instance
		c     func() *container.Container
		due   time.Time
		state InstanceState
		care  Care
	}{
		{"as it was", ready, func() *container.Container { return &up }, time.Time{}, InstanceReady, CareNothing},
		{"removed", ready, func() *container.Container { return nil }, time.Time{}, InstanceDown, CareRecreate},
		{"at another port", ready, func() *container.Container { c := up; c.Address = "127.0.0.1:2"; return &c }, time.Time{}, InstanceStarting, CareProbe},
		{"restarted at the same port", ready, func() *container.Container { c := up; c.Started = now.Add(time.Second); return &c }, time.Time{}, InstanceStarting, CareProbe},
		{"exited", ready, func() *container.Container { c := up; c.State = container.StateExited; return &c }, time.Time{}, InstanceDown, CareStart},
		{"exited too often", ready, func() *container.Container { c := up; c.State = container.StateExited; return &c }, now.Add(time.Second), InstanceDown, CareWait},
		{"never started", ready, func() *container.Container { c := up; c.State = container.StateCreated; return &c }, time.Time{}, InstanceDown, CareStart},
		{"paused", ready, func() *container.Container { c := up; c.State = container.StatePaused; return &c }, time.Time{}, InstanceDown, CareNothing},
		{"without a port", ready, func() *container.Container { c := up; c.Address = ""; return &c }, time.Time{}, InstanceDown, CareWait},
		{"restarted by the engine", ready, func() *container.Container { c := up; c.State = container.StateRestarting; return &c }, time.Time{}, InstanceDown, CareWait},
		{"running, and did not answer before", Instance{State: InstanceDown, Address: "127.0.0.1:1", UpdatedAt: now}, func() *container.Container { return &up }, time.Time{}, InstanceDown, CareProbe},
	} {
		i, care := Tend(c.i, c.c(), StageSpec{}, now, c.due)
		require.Equal(t, c.state, i.State, c.name)
		require.Equal(t, c.care, care, c.name)
	}
}

func TestRestarts_WaitLongerForWhatEndsAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r restarts
		require.True(t, r.due("i").IsZero())
		for _, wait := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			r.started("i", time.Now(), 0)
			require.Equal(t, wait*time.Second, time.Until(r.due("i")))
		}
		time.Sleep(time.Minute)
		r.started("i", time.Now(), steady)
		require.Equal(t, firstDelay, time.Until(r.due("i")), "it ran long, and counts as well")
		time.Sleep(11 * longestWait)
		r.started("other", time.Now(), 0)
		require.Len(t, r.seen, 1, "what is long over is forgotten")
	})
}

func TestProbePause_GrowsToTheInterval(t *testing.T) {
	require.Equal(t, 5*time.Millisecond, probePause(0, time.Second))
	require.Equal(t, 5*time.Millisecond, probePause(40*time.Millisecond, time.Second))
	require.Equal(t, 50*time.Millisecond, probePause(400*time.Millisecond, time.Second))
	require.Equal(t, time.Second, probePause(time.Minute, time.Second))
	require.Equal(t, time.Millisecond, probePause(0, time.Millisecond))
}

func TestContainerPort_AsksWhenTheImageLeavesAChoice(t *testing.T) {
	for _, c := range []struct {
		set     int
		exposed []int
		want    int
	}{{0, nil, 8080}, {0, []int{80}, 80}, {81, []int{80, 443}, 81}} {
		port, err := containerPort(StageSpec{Port: c.set}, c.exposed)
		require.NoError(t, err)
		require.Equal(t, c.want, port)
	}
	_, err := containerPort(StageSpec{}, []int{80, 443})
	require.ErrorContains(t, err, "80, 443")
}

func TestHeadroom_LooksAtTheDiskOfALocalEngine(t *testing.T) {
	require.NoError(t, headroom(container.Info{}, 1<<60))
	require.NoError(t, headroom(container.Info{DataDir: "/no/such/folder"}, 1<<60))
	require.NoError(t, headroom(container.Info{DataDir: t.TempDir()}, 1))
	require.ErrorContains(t, headroom(container.Info{DataDir: t.TempDir()}, 1<<58), "too full")
}

func TestPlan_RunsTheCommandsAroundTheSwitch(t *testing.T) {
	ready := []Observation{{Exists: true, Running: true, Ready: true}}
	s := Situation{State: Running, Before: true, After: true, Image: true, Done: map[StepName]bool{Preflight: true}}
	require.Equal(t, Action(BeforeStep), Plan(s), "before there is an instance")
	s.Done[BeforeStep] = true
	require.Equal(t, Action(CreateStep), Plan(s))
	s.Instances = ready
	require.Equal(t, Action(SwitchRoute), Plan(s))
	s.Pointed, s.Guard, s.State = true, true, Live
	s.Done[SwitchRoute] = true
	require.Equal(t, Action(GuardStep), Plan(s), "a release is watched from the switch on")
	s.Done[GuardStep] = true
	require.Equal(t, Action(AfterStep), Plan(s), "before the old instances go")
	s.Done[AfterStep] = true
	require.Equal(t, Action(DrainOld), Plan(s))
}
