package deploy

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"berth/internal/container"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

const (
	lastLines = 20              // of each container, into the log of a failed deployment
	logTime   = 5 * time.Second // for reading them
	undoTime  = time.Minute
	maxError  = 500 // bytes
)

// fail stores why the attempt came to nothing, with the last that its
// containers said. What it made is then undone.
func (a *attempt) fail(ctx context.Context, step StepName, why error) error {
	a.log().WarnContext(ctx, "deployment failed", "step", step, "error", why)
	message := fault.Message(why)
	if last := a.lastWords(ctx); last != "" && (step == StartStep || step == ProbeStep) {
		message += "; it last said: " + last
	}
	return a.giveUp(ctx, Failed, step, shorten(message))
}

// shorten gives a text as long as an error may be.
func shorten(text string) string {
	if len(text) > maxError {
		return strings.ToValidUTF8(text[:maxError], "") + "…"
	}
	return text
}

// giveUp stores an end that is not live.
func (a *attempt) giveUp(ctx context.Context, end State, step StepName, message string) error {
	from := a.d.State
	a.d.State, a.d.Error = end, message
	if end == Failed {
		a.d.FailedStep = step
	}
	switch {
	case a.step.State == StepRunning:
		a.step.Detail = message
		a.leave(StepFailed)
	case end == Failed: // it was refused before it was in the journal
		a.end(Step{Name: step, State: StepFailed, Detail: message, StartedAt: a.s.now()})
	}
	store := func(tx *sqlite.Tx) error {
		ok, err := moveDeployment(ctx, tx, a.d, from)
		if err != nil || !ok {
			return errors.Join(err, unless(ok, errTaken))
		}
		told := a.d
		if end == Canceled {
			by, err := canceledBy(ctx, tx, a.d.ID)
			if err != nil {
				return err
			}
			told.Actor, told.canceledBy = cmp.Or(by, a.d.Actor), by
		}
		return a.s.emitDeployment(ctx, tx, told)
	}
	err := a.commit(ctx, store)
	if err != nil {
		// What waited to be stored may be what can't be.
		a.flushed()
		err = a.commit(ctx, store)
	}
	return err
}

// lastWords takes the last lines of the containers into the log and gives the
// very last, of standard error where there is one: the two streams come by
// different ways, so which line was last is not known.
func (a *attempt) lastWords(ctx context.Context) string {
	ctx, stop := context.WithTimeout(ctx, logTime)
	defer stop()
	last := map[string]string{}
	for _, b := range a.berths {
		if !b.seen.Exists {
			continue
		}
		for line, err := range a.s.runtime.Logs(ctx, b.Container, container.LogOptions{Tail: lastLines}) {
			if err != nil {
				break
			}
			a.line(line.Stream, line.Text)
			if !b.seen.Ready && strings.TrimSpace(line.Text) != "" {
				last[line.Stream] = strings.TrimSpace(line.Text)
			}
		}
	}
	return cmp.Or(last["stderr"], last["stdout"])
}

// undo takes away what a failed or canceled attempt made, and ends it.
func (a *attempt) undo(ctx context.Context) error {
	if a.d.State == Running {
		a.say("canceled")
		if err := a.giveUp(ctx, Canceled, "", "canceled before it was live"); err != nil {
			return err
		}
	}
	var grace time.Duration
	if a.tried || a.d.State == Reverted {
		if err := a.withdraw(ctx); err != nil {
			return err
		}
		a.s.crash(ctx, a.d.ID, GuardStep, momentWithdrawn)
		grace = time.Duration(a.release.Spec.StopTimeout)
	}
	clearing, stop := context.WithTimeout(ctx, undoTime+grace)
	defer stop()
	if err := a.s.clear(clearing, a.d.ID, grace); err != nil {
		if ctx.Err() != nil {
			return err // the journal says that this is left to do
		}
		// The sweep takes them: they belong to nothing that is in use.
		a.log().WarnContext(ctx, "containers of a failed deployment not removed yet", "error", err)
	}
	a.later(func(ctx context.Context, tx *sqlite.Tx) error {
		return a.s.markInstances(ctx, tx, []deployment{a.d}, InstanceStopped)
	})
	return a.finish(ctx)
}
