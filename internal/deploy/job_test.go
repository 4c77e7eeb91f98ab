package deploy_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/fault"
)

// at gives a clock that begins at a time.
func at(tb testing.TB, text string) func() time.Time {
	tb.Helper()
	from, err := time.Parse(time.RFC3339Nano, text)
	require.NoError(tb, err)
	began := time.Now()
	return func() time.Time { return from.Add(time.Since(began)) }
}

// shifted gives a clock, and what has an hour of it pass at once: until then
// nothing is due, however slow the machine is.
func shifted(clock func() time.Time) (later func() time.Time, hourLater func()) {
	var by atomic.Int64
	return func() time.Time { return clock().Add(time.Duration(by.Load())) }, func() { by.Add(int64(time.Hour)) }
}

// lookAgain has what waits for a time look at the clock: an edit does.
func (b *berth) lookAgain() {
	b.t.Helper()
	b.edit(func(s *deploy.StageSpec) { s.Env = map[string]string{"LOOKED": s.Env["LOOKED"] + "again"} })
}

func job(overlap deploy.Overlap, command ...string) func(*deploy.StageSpec) {
	return func(s *deploy.StageSpec) {
		s.Jobs = []deploy.Job{{Name: "tidy", Command: command, Overlap: overlap}}
	}
}

// runs gives the runs of a job, newest first.
func (b *berth) runs(project, name string) []deploy.JobRun {
	b.t.Helper()
	list, _, err := b.JobRuns(b.t.Context(), project, "prod", name, deploy.Page{})
	require.NoError(b.t, err)
	return list
}

func (b *berth) runLines(id string) (texts []string) {
	b.t.Helper()
	lines, err := b.JobRunLog(b.t.Context(), id, 0, 10_000)
	require.NoError(b.t, err)
	for _, l := range lines {
		texts = append(texts, l.Text)
	}
	return texts
}

// runEnd waits for a run's end, and for that of its container.
func (b *berth) runEnd(id string) (r deploy.JobRun) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		var err error
		r, err = b.JobRun(b.t.Context(), id)
		require.NoError(b.t, err)
		return !r.FinishedAt.IsZero()
	}, time.Minute, 2*time.Millisecond, "the run comes to its end")
	return r
}

func (b *berth) run() deploy.JobRun {
	b.t.Helper()
	r, err := b.RunJob(b.t.Context(), "ana", "shop", "prod", "tidy", deploy.RunByPerson)
	require.NoError(b.t, err)
	return r
}

// withJob gives a live stage with a job.
func withJob(t *testing.T, o options, edit func(*deploy.StageSpec)) *berth {
	t.Helper()
	w := newWorld(t)
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appGood)
	b := w.start(o)
	b.shop(edit)
	b.goLive("1")
	return b
}

func TestNextRuns_FollowTheClocksOfTheTimeZone(t *testing.T) {
	for name, c := range map[string]struct {
		schedule, zone, from string
		want                 []string
	}{
		"every day":                    {"30 3 * * *", "Europe/Berlin", "2026-01-10T12:00:00Z", []string{"2026-01-11T03:30:00+01:00", "2026-01-12T03:30:00+01:00"}},
		"a word":                       {"@daily", "", "2026-01-10T12:00:00Z", []string{"2026-01-11T00:00:00Z"}},
		"an interval":                  {"@every 6h", "", "2026-01-10T12:00:00Z", []string{"2026-01-10T18:00:00Z", "2026-01-11T00:00:00Z"}},
		"a time that the clocks skip":  {"30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-29T03:30:00+02:00", "2026-03-30T02:30:00+02:00"}},
		"a time that comes twice":      {"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", []string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		"across the skip, by the hour": {"0 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", []string{"2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"}},
		"every hour, also the one that comes twice": {"0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", []string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"}},
		"half an hour that comes twice":             {"45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", []string{"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"}},
		"only when somebody asks":                   {"", "", "2026-01-10T12:00:00Z", nil},
		"the last Friday, as others say it":         {"0 9 * * FRI", "America/New_York", "2026-03-06T15:00:00Z", []string{"2026-03-13T09:00:00-04:00"}},
	} {
		t.Run(name, func(t *testing.T) {
			from, err := time.Parse(time.RFC3339, c.from)
			require.NoError(t, err)
			times, err := deploy.NextRuns(c.schedule, c.zone, from, max(len(c.want), 1))
			require.NoError(t, err)
			var said []string
			for _, at := range times {
				said = append(said, at.Format(time.RFC3339))
			}
			require.Equal(t, c.want, said)
		})
	}
}

func TestCreateStage_NamesWhatIsWrongWithAJob(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{idle: true})
	b.shop(nil)
	good := deploy.Job{Name: "tidy", Command: []string{"tidy"}, Schedule: "@daily"}
	for field, change := range map[string]func(*deploy.Job){
		"name":      func(j *deploy.Job) { j.Name = "Tidy up" },
		"command":   func(j *deploy.Job) { j.Command = nil },
		"schedule":  func(j *deploy.Job) { j.Schedule = "61 * * * *" },
		"time_zone": func(j *deploy.Job) { j.TimeZone = "Mars/Olympus" },
		"timeout":   func(j *deploy.Job) { j.Timeout = deploy.Duration(time.Millisecond) },
		"overlap":   func(j *deploy.Job) { j.Overlap = "sometimes" },
	} {
		j := good
		change(&j)
		_, err := b.CreateStage(t.Context(), "ana", "shop", "other", deploy.StageSpec{Hostname: "other.test", Jobs: []deploy.Job{j}})
		require.Equal(t, fault.BadInput, fault.KindOf(err), field)
		require.Equal(t, "spec.jobs[0]."+field, fault.FieldsOf(err)[0].Name)
	}
	for _, schedule := range []string{"@every 10s", "0 0 30 2 *", "CRON_TZ=Europe/Berlin 0 0 * * *", "* * * * * *", "@reboot"} {
		j := good
		j.Schedule = schedule
		_, err := b.CreateStage(t.Context(), "ana", "shop", "other", deploy.StageSpec{Hostname: "other.test", Jobs: []deploy.Job{j}})
		require.Equal(t, fault.BadInput, fault.KindOf(err), schedule)
	}
}

func TestJobs_RunWhenTheyAreDueWithWhatIsLive(t *testing.T) {
	t.Parallel()
	clock, hourLater := shifted(at(t, "2026-05-01T11:00:01Z"))
	b := withJob(t, options{clock: clock}, func(s *deploy.StageSpec) {
		s.Jobs = []deploy.Job{{Name: "tidy", Command: []string{"migrate"}, Schedule: "0 12 * * *"}}
	})
	jobs, err := b.Jobs(t.Context(), "shop", "prod")
	require.NoError(t, err)
	require.Equal(t, "2026-05-01T12:00:00Z", jobs[0].Next.Format(time.RFC3339))
	hourLater()
	b.lookAgain()
	b.eventually(func() bool { return len(b.runs("shop", "tidy")) == 1 }, "it is due")
	r := b.runEnd(b.runs("shop", "tidy")[0].ID)
	require.Equal(t, deploy.RunSucceeded, r.State, r.Detail)
	require.Equal(t, deploy.RunBySchedule, r.Trigger)
	require.Zero(t, *r.ExitCode)
	require.Equal(t, "shop:1", r.Reference)
	require.Equal(t, []string{"migrated image-shop-1"}, b.runLines(r.ID))
	b.servesOnly("image-shop-1", 1)
	jobs, err = b.Jobs(t.Context(), "shop", "prod")
	require.NoError(t, err)
	require.Equal(t, "2026-05-02T12:00:00Z", jobs[0].Next.Format(time.RFC3339))
	require.Equal(t, r.ID, jobs[0].Last.ID)
	told, err := b.events.Since(t.Context(), 0, event.Filter{Kinds: []event.Kind{"job.started", "job.succeeded"}}, 10)
	require.NoError(t, err)
	require.Len(t, told, 2)
}

func TestJobs_AreMissedAndNotRunInABurst(t *testing.T) {
	t.Parallel()
	b := withJob(t, options{clock: at(t, "2026-05-01T11:30:01Z")}, func(s *deploy.StageSpec) {
		s.Jobs = []deploy.Job{{Name: "tidy", Command: []string{"migrate"}, Schedule: "* * * * *"}}
	})
	b.stop()
	b = b.start(options{clock: at(t, "2026-05-01T12:30:01Z")})
	b.eventually(func() bool { return len(b.runs("shop", "tidy")) == 1 }, "it is stated")
	r := b.runs("shop", "tidy")[0]
	require.Equal(t, deploy.RunMissed, r.State)
	require.Equal(t, 60, r.Times)
	require.Equal(t, "Berth did not run when it was due 60 times", r.Detail)
	require.Empty(t, b.engine.commands())
	jobs, err := b.Jobs(t.Context(), "shop", "prod")
	require.NoError(t, err)
	require.Equal(t, "2026-05-01T12:31:00Z", jobs[0].Next.Format(time.RFC3339))
}

func TestJobs_DoNotRunWhileTheStageIsPausedOrEmpty(t *testing.T) {
	t.Parallel()
	clock, hourLater := shifted(at(t, "2026-05-01T11:00:01Z"))
	b := withJob(t, options{clock: clock}, func(s *deploy.StageSpec) {
		s.Jobs = []deploy.Job{{Name: "tidy", Command: []string{"migrate"}, Schedule: "0 12 * * *"}}
	})
	_, err := b.Pause(t.Context(), "bea", "shop", "prod", "the database moves")
	require.NoError(t, err)
	_, err = b.RunJob(t.Context(), "ana", "shop", "prod", "tidy", deploy.RunByPerson)
	require.ErrorContains(t, err, "paused by bea")
	hourLater()
	b.lookAgain()
	b.eventually(func() bool {
		jobs, err := b.Jobs(t.Context(), "shop", "prod")
		require.NoError(t, err)
		return jobs[0].Next.Day() == 2
	}, "it was due")
	require.Empty(t, b.runs("shop", "tidy"))

	_, err = b.CreateStage(t.Context(), "ana", "shop", "empty", deploy.StageSpec{Hostname: "empty.test", Jobs: []deploy.Job{{Name: "tidy", Command: []string{"migrate"}}}})
	require.NoError(t, err)
	_, err = b.RunJob(t.Context(), "ana", "shop", "empty", "tidy", deploy.RunByPerson)
	require.ErrorContains(t, err, "nothing is live")
	require.Empty(t, b.engine.commands())
}

func TestRunJob_OverlapsAsTheJobSays(t *testing.T) {
	for overlap, allowed := range map[deploy.Overlap]int{deploy.OverlapSkip: 1, deploy.OverlapQueue: 2, deploy.OverlapAllow: 5} {
		t.Run(string(overlap), func(t *testing.T) {
			t.Parallel()
			b := withJob(t, options{}, job(overlap, "slow"))
			for range allowed {
				b.run()
			}
			_, err := b.RunJob(t.Context(), "ana", "shop", "prod", "tidy", deploy.RunByPerson)
			require.Equal(t, fault.Clash, fault.KindOf(err), "there is no room for another")
			running := allowed
			if overlap == deploy.OverlapQueue {
				running = 1
			}
			b.eventually(func() bool { return len(b.engine.commands()) == running }, "those run that may")
			close(b.engine.release)
			for _, r := range b.runs("shop", "tidy") {
				require.Equal(t, deploy.RunSucceeded, b.runEnd(r.ID).State)
			}
			b.servesOnly("image-shop-1", 1)
		})
	}
}

func TestJobs_SayHowTheyFailed(t *testing.T) {
	t.Parallel()
	b := withJob(t, options{}, job("", "fail"))
	r := b.runEnd(b.run().ID)
	require.Equal(t, deploy.RunFailed, r.State)
	require.Equal(t, 3, *r.ExitCode)
	require.Equal(t, "the command exited with code 3; it last said: no such table", r.Detail)
	told, err := b.events.Since(t.Context(), 0, event.Filter{Kinds: []event.Kind{"job.failed"}}, 10)
	require.NoError(t, err)
	require.Contains(t, string(told[0].Data), `"error":"the command exited with code 3`)

	b.edit(func(s *deploy.StageSpec) {
		s.Jobs[0].Command, s.Jobs[0].Timeout = []string{"slow"}, deploy.Duration(time.Second)
	})
	r = b.runEnd(b.run().ID)
	require.Equal(t, "the command took longer than 1s and was ended; it last said: working", r.Detail)
	b.servesOnly("image-shop-1", 1)
}

func TestJobs_AreCanceledByAPerson(t *testing.T) {
	t.Parallel()
	b := withJob(t, options{}, job(deploy.OverlapQueue, "slow"))
	first, second := b.run(), b.run()
	b.eventually(func() bool { return len(b.engine.commands()) == 1 }, "the first runs")
	require.NoError(t, b.CancelJobRun(t.Context(), "bea", second.ID))
	require.Equal(t, deploy.RunCanceled, b.runEnd(second.ID).State)
	require.NoError(t, b.CancelJobRun(t.Context(), "bea", first.ID))
	r := b.runEnd(first.ID)
	require.Equal(t, deploy.RunCanceled, r.State)
	require.Equal(t, "canceled by bea", r.Detail)
	require.Error(t, b.CancelJobRun(t.Context(), "bea", first.ID))
	b.servesOnly("image-shop-1", 1)
}

func TestJobs_OutliveTheNextDeploymentAndEndWithTheirStage(t *testing.T) {
	t.Parallel()
	b := withJob(t, options{}, job("", "slow"))
	r := b.run()
	b.eventually(func() bool { return len(b.engine.commands()) == 1 }, "it runs")
	b.goLive("2")
	r, err := b.JobRun(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, deploy.RunRunning, r.State)
	require.Len(t, b.engine.all(), 2)
	_, err = b.RemoveProject(t.Context(), "ana", "shop")
	require.NoError(t, err)
	require.Empty(t, b.engine.all())
}

func TestJobs_KeepTheLastOfALongLog(t *testing.T) {
	t.Parallel()
	b := withJob(t, options{}, job("", "chatter"))
	r := b.runEnd(b.run().ID)
	lines := b.runLines(r.ID)
	require.Len(t, lines, 2000)
	require.Equal(t, "line 3000", lines[1999])
}

func TestJobs_KeepABoundedRecord(t *testing.T) {
	t.Parallel()
	b := withJob(t, options{}, job("", "migrate"))
	var last string
	for range 55 {
		last = b.runEnd(b.run().ID).ID
	}
	list, _, err := b.JobRuns(t.Context(), "shop", "prod", "tidy", deploy.Page{Limit: 200})
	require.NoError(t, err)
	require.Len(t, list, 50)
	require.Equal(t, last, list[0].ID)
	b.edit(func(s *deploy.StageSpec) { s.Jobs = nil })
	require.Empty(t, b.runs("shop", ""), "with a job goes its record")
}

func TestJobs_AreFoundAfterACrash(t *testing.T) {
	for name, c := range map[string]struct {
		moment  string
		command string
		between func(t *testing.T, w *world)
		want    deploy.RunState
		detail  string
	}{
		"before the start":   {"command", "slow", nil, deploy.RunLost, "Berth was stopped before the command was started"},
		"while it runs":      {"runs", "slow", nil, deploy.RunSucceeded, ""},
		"it ended meanwhile": {"runs", "migrate", nil, deploy.RunSucceeded, ""},
		"it is gone": {"runs", "slow", func(t *testing.T, w *world) {
			t.Helper()
			for _, c := range w.engine.all() {
				if c.Labels["berth.run"] != "" {
					require.NoError(t, w.engine.Remove(t.Context(), c.ID))
				}
			}
		}, deploy.RunLost, "its container was gone when Berth was started anew: whether it ran to its end is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killed := make(chan struct{})
			var once atomic.Bool
			b := withJob(t, options{hook: func(b *berth, _ string, _ deploy.StepName, when string) {
				if when == c.moment && once.CompareAndSwap(false, true) {
					close(killed)
					b.kill()
				}
			}}, job("", c.command))
			r := b.run()
			<-killed
			b.stop()
			if c.between != nil {
				c.between(t, b.world)
			}
			ran := len(b.engine.commands())
			b = b.start(options{})
			close(b.engine.release)
			r = b.runEnd(r.ID)
			require.Equal(t, c.want, r.State, r.Detail)
			require.Equal(t, c.detail, r.Detail)
			require.Len(t, b.engine.commands(), ran, "it is not run again")
			if c.want == deploy.RunSucceeded {
				require.Len(t, b.runLines(r.ID), map[string]int{"slow": 2, "migrate": 1}[c.command], "no line is lost or told twice")
			}
			b.servesOnly("image-shop-1", 1)
		})
	}
}

func TestJobs_RunOnThroughAnOrderlyStop(t *testing.T) {
	t.Parallel()
	b := withJob(t, options{}, job("", "slow"))
	r := b.run()
	b.eventually(func() bool { return len(b.runLines(r.ID)) == 1 }, "it runs")
	b.stop()
	running := 0
	for _, c := range b.engine.all() {
		if c.State == container.StateRunning {
			running++
		}
	}
	require.Equal(t, 2, running)
	b = b.start(options{})
	close(b.engine.release)
	require.Equal(t, deploy.RunSucceeded, b.runEnd(r.ID).State)
	require.Equal(t, []string{"working", "done"}, b.runLines(r.ID))
}

func TestJobs_SkippedInARowAreOneEntry(t *testing.T) {
	t.Parallel()
	clock, hourLater := shifted(at(t, "2026-05-01T11:00:01Z"))
	b := withJob(t, options{clock: clock}, func(s *deploy.StageSpec) {
		s.Jobs = []deploy.Job{{Name: "tidy", Command: []string{"slow"}, Schedule: "0 * * * *"}}
	})
	b.run()
	for n := 1; n <= 3; n++ {
		want := n
		hourLater()
		b.lookAgain()
		b.eventually(func() bool {
			list := b.runs("shop", "tidy")
			return len(list) == 2 && list[0].State == deploy.RunSkipped && list[0].Times == want
		}, fmt.Sprintf("skipped %d times", n))
	}
	close(b.engine.release)
}
