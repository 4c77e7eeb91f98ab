package deploy

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"berth/internal/container"
	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// runLater has a stage's runs worked on.
func (s *Service) runLater(stageID string) { s.jobs.start(jobKey{jobRuns, stageID}) }

// runJobs carries out a stage's runs until none waits or runs. When Berth
// stops, what runs is left to run on and found at the next start.
func (s *Service) runJobs(ctx context.Context, stageID string, wake <-chan struct{}) {
	var group sync.WaitGroup
	defer group.Wait()
	active := map[string]string{} // the jobs of the runs under way, by these
	over := make(chan string)
	retry := firstRetry
	for ctx.Err() == nil {
		var list []run
		err := s.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
			list, err = unfinishedRuns(ctx, tx, stageID)
			return err
		})
		if err != nil {
			s.log.WarnContext(ctx, "runs of jobs not read; trying again", "stage_id", stageID, "error", err)
			if !pause(ctx, retry, nil) {
				return
			}
			retry = min(2*retry, longestRetry)
			continue
		}
		for _, r := range list {
			if _, ok := active[r.ID]; ok || r.State == RunWaiting && r.overlap != OverlapAllow && among(active, r.Job) {
				continue
			}
			active[r.ID] = r.Job
			group.Go(func() {
				if err := s.carryOut(ctx, r); err != nil && ctx.Err() == nil {
					s.log.WarnContext(ctx, "run of a job not worked on; trying again", "project", r.Project, "stage", r.Stage, "job", r.Job, "run", r.ID, "error", err)
					pause(ctx, longestRetry, nil)
				}
				select {
				case over <- r.ID:
				case <-ctx.Done():
				}
			})
		}
		if len(active) == 0 {
			return
		}
		select {
		case id := <-over:
			delete(active, id)
		case <-wake:
		case <-ctx.Done():
		}
	}
}

func among(active map[string]string, job string) bool {
	for _, of := range active {
		if of == job {
			return true
		}
	}
	return false
}

// carryOut runs a run to its end, or takes up what an earlier process began.
// Its error is one that is worth another try.
func (s *Service) carryOut(ctx context.Context, r run) error {
	ctx, untrack := s.jobs.track(ctx, r.ID)
	defer untrack()
	var spec StageSpec
	var c container.Container
	var err error
	resumed := r.State == RunRunning
	if resumed {
		c, spec, err = s.findRunning(ctx, r)
	} else {
		c, spec, err = s.beginRun(ctx, &r)
	}
	if resumed && err != nil && !errors.As(err, new(lostError)) {
		return err // it may be running
	}
	if err != nil {
		return s.endRun(ctx, r, c, spec, err, nil)
	}
	log, last := &runLog{s: s, run: r.ID}, lastSaid{}
	if resumed {
		log.anew = true
	}
	c, err = s.attend(ctx, c, time.Duration(r.task.Timeout), time.Duration(spec.StopTimeout), hearing{
		func(l container.LogLine) { last.hear(l); log.hear(l) },
		func() { log.store(ctx) },
	})
	log.store(context.WithoutCancel(ctx))
	return s.endRun(ctx, r, c, spec, err, last)
}

// lostError says that nobody knows how a run ended.
type lostError string

func (e lostError) Error() string { return string(e) }

// findRunning finds the container of a run that an earlier process began.
func (s *Service) findRunning(ctx context.Context, r run) (c container.Container, spec StageSpec, err error) {
	if r.container == "" {
		return c, spec, lostError("Berth was stopped before the command was started")
	}
	var d deployment
	var of release
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		if d, err = deploymentByID(ctx, tx, r.Deployment); err != nil {
			return err
		}
		of, err = releaseByID(ctx, tx, d.Release)
		return err
	})
	if err != nil {
		return c, spec, err
	}
	c, err = s.runtime.Inspect(ctx, r.container)
	switch {
	case errors.Is(err, container.ErrNotFound) || err == nil && c.Labels[labelRun] != r.ID:
		return c, spec, lostError("its container was gone when Berth was started anew: whether it ran to its end is not known")
	case err != nil:
		return c, spec, engineAway(err)
	case c.State == container.StateCreated:
		return c, spec, lostError("Berth was stopped before the command was started")
	}
	return c, of.Spec, nil
}

// beginRun starts the container of a run with what is live now.
func (s *Service) beginRun(ctx context.Context, r *run) (c container.Container, spec StageSpec, err error) {
	v, err := s.readServed(ctx, r.stageID)
	if err != nil {
		return c, spec, err
	}
	if v == nil {
		return c, spec, fault.Conflict("nothing is live in the stage")
	}
	spec = v.release.Spec
	r.State, r.StartedAt, r.Deployment, r.Reference = RunRunning, s.now(), v.deployment.ID, v.release.Reference
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		ok, err := beginRun(ctx, tx, *r)
		if err != nil || !ok {
			return errors.Join(err, unless(ok, errTaken))
		}
		return s.emitRun(ctx, tx, eventJobStarted, orElse(r.Actor, "berth"), *r)
	})
	if err != nil {
		return c, spec, err
	}
	if err := s.engine.turn(ctx); err != nil {
		return c, spec, err
	}
	defer s.engine.done()
	image, err := s.runtime.Image(ctx, v.release.imageID)
	if err != nil {
		return c, spec, engineRefused("find the release's image", err)
	}
	made, err := s.recipe(ctx, v.deployment, v.release, image)
	if err != nil {
		return c, spec, err
	}
	if err := s.volumesOwn(ctx, v.stage.Project, v.stage.Name, spec); err != nil {
		return c, spec, err
	}
	name := fmt.Sprintf("berth-%s-%s-job-%s-%s", r.Project, r.Stage, r.Job, r.ID[len(r.ID)-8:])
	id, err := s.createTask(ctx, made, r.task, name, r.ID, map[string]string{labelCommand: r.Job, labelRun: r.ID})
	if err != nil {
		return c, spec, engineRefused("create the container", err)
	}
	c.ID, r.container = id, id
	if err := s.db.Write(ctx, func(tx *sqlite.Tx) error { return setRunContainer(ctx, tx, r.ID, id) }); err != nil {
		return c, spec, err
	}
	if s.hook != nil {
		s.hook(ctx, r.ID, StepName(r.Job), momentCommand)
	}
	if err := s.runtime.Start(ctx, id); err != nil {
		return c, spec, engineRefused("start the container", err)
	}
	if s.hook != nil {
		s.hook(ctx, r.ID, StepName(r.Job), momentRuns)
	}
	if c, err = s.runtime.Inspect(ctx, id); err != nil {
		return c, spec, engineAway(err)
	}
	return c, spec, nil
}

// endRun stores how a run ended and removes its container. When Berth stops,
// or the stage goes, there is nothing to store.
func (s *Service) endRun(ctx context.Context, r run, c container.Container, spec StageSpec, why error, last lastSaid) error {
	cause := context.Cause(ctx)
	var canceled canceledError
	var lost lostError
	switch {
	case errors.Is(why, errTaken):
		return nil // canceled while it waited
	case errors.As(cause, &canceled):
		r.State, r.Detail = RunCanceled, canceled.Error()
	case cause != nil:
		return cause
	case errors.As(why, &lost):
		r.State, r.Detail = RunLost, lost.Error()
	default:
		r.State = RunSucceeded
		if why == nil && (c.State == container.StateExited || c.State == container.StateDead) {
			r.ExitCode = new(c.ExitCode)
		}
		if err := taskFailure("the command", c, why, spec, time.Duration(r.task.Timeout), last); err != nil {
			r.State, r.Detail = RunFailed, shorten(fault.Message(err))
			if fault.KindOf(err) == fault.Internal {
				s.log.WarnContext(ctx, "run of a job failed", "project", r.Project, "stage", r.Stage, "job", r.Job, "run", r.ID, "error", err)
			}
		}
	}
	r.FinishedAt = s.now()
	ctx = context.WithoutCancel(ctx)
	if err := s.db.Write(ctx, func(tx *sqlite.Tx) error { return s.saveRunEnd(ctx, tx, r, "berth") }); err != nil {
		return err
	}
	if c.ID == "" {
		return nil
	}
	if err := s.runtime.Remove(ctx, c.ID); err != nil {
		s.log.WarnContext(ctx, "container of a job not removed yet", "container", c.Name, "error", err)
	}
	return nil
}

// saveRunEnd stores the end of a run with its event.
func (s *Service) saveRunEnd(ctx context.Context, tx *sqlite.Tx, r run, actor string) error {
	if err := finishRun(ctx, tx, r); err != nil {
		return err
	}
	if err := pruneRuns(ctx, tx, r.stageID, r.Job); err != nil {
		return err
	}
	tx.OnCommit(func() { s.counts.add(r) })
	kind := map[RunState]event.Kind{
		RunSucceeded: eventJobSucceeded, RunFailed: eventJobFailed, RunLost: eventJobFailed, RunCanceled: eventJobCanceled,
	}[r.State]
	return s.emitRun(ctx, tx, kind, actor, r)
}

// The bounds of a run's log: the last that it wrote is kept.
const (
	maxRunLines = 2000
	maxRunBytes = 256 << 10
)

// runLog takes what a run writes into the database, now and then.
type runLog struct {
	s     *Service
	run   string
	anew  bool // what is stored is of an earlier process, which read the same
	n     int  // of the newest line
	sizes []int
	bytes int
	lines []RunLine // not stored yet
}

func (l *runLog) hear(line container.LogLine) {
	text := line.Text
	if len(text) > maxLine {
		text = text[:maxLine]
	}
	l.n++
	l.lines = append(l.lines, RunLine{l.n, line.At, line.Stream, text})
	l.sizes, l.bytes = append(l.sizes, len(text)), l.bytes+len(text)
	for len(l.sizes) > maxRunLines || l.bytes > maxRunBytes {
		l.bytes -= l.sizes[0]
		l.sizes = l.sizes[1:]
	}
	if excess := len(l.lines) - len(l.sizes); excess > 0 {
		l.lines = l.lines[excess:]
	}
}

// store stores what waits. What can't be stored now waits on.
func (l *runLog) store(ctx context.Context) {
	if len(l.lines) == 0 && !l.anew {
		return
	}
	err := l.s.db.Write(ctx, func(tx *sqlite.Tx) error {
		first := l.n - len(l.sizes) + 1
		if l.anew {
			first = math.MaxInt
		}
		if err := deleteLines(ctx, tx, l.run, first); err != nil {
			return err
		}
		return insertLines(ctx, tx, l.run, l.lines)
	})
	if err == nil {
		l.lines, l.anew = nil, false
	}
}
