package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"berth/internal/event"
	"berth/internal/sqlite"
)

// enter stores the end of the step before and the beginning of this one, in
// one transaction.
func (a *attempt) enter(ctx context.Context, name StepName) error {
	began := a.d.State == Waiting
	now := a.s.now()
	if began {
		a.d.State, a.d.StartedAt = Running, now
	}
	if name == CreateStep {
		a.reserve()
	}
	step := Step{Name: name, State: StepRunning, StartedAt: now, container: a.d.step(name).container}
	err := a.s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if began {
			ok, err := moveDeployment(ctx, tx, a.d, Waiting)
			if err != nil {
				return err
			}
			if !ok {
				return errTaken
			}
			if err := a.s.emitDeployment(ctx, tx, a.d); err != nil {
				return err
			}
		}
		if err := a.flush(ctx, tx); err != nil {
			return err
		}
		switch {
		case name == SwitchRoute:
			if err := a.point(ctx, tx); err != nil {
				return err
			}
		case a.pointed:
			// A person may have gone back meanwhile, and what was old is not.
			if reverted, err := isReverted(ctx, tx, a.d.ID); err != nil || reverted {
				return errors.Join(err, errTaken)
			}
		}
		return a.record(ctx, tx, step)
	})
	if err != nil {
		if began {
			a.d.State = Waiting
		}
		return err
	}
	a.flushed()
	a.hasPicked() // the release is stored
	a.step = step
	a.d.setStep(step)
	if name == SwitchRoute {
		a.pointed = true
	}
	return nil
}

// errTaken says that a deployment is no longer what it was when it was read.
var errTaken = errors.New("the deployment was ended meanwhile")

// leave ends the step under way; that is stored with what comes next.
func (a *attempt) leave(state StepState) {
	if a.step.State != StepRunning {
		return // it said so itself
	}
	a.step.State = state
	a.end(a.step)
}

// end has a step's end stored with what comes next.
func (a *attempt) end(step Step) {
	step.FinishedAt = a.s.now()
	a.d.setStep(step)
	a.later(func(ctx context.Context, tx *sqlite.Tx) error { return a.record(ctx, tx, step) })
	if step.Name == a.step.Name {
		a.step = step
	}
}

// skip has a step stored as not needed.
func (a *attempt) skip(name StepName, detail string) {
	a.end(Step{Name: name, State: StepSkipped, Detail: detail, StartedAt: a.s.now()})
}

// step gives what the journal says of a step; the zero step when nothing.
func (d *deployment) step(name StepName) (step Step) {
	for _, s := range d.Steps {
		if s.Name == name {
			step = s
		}
	}
	return step
}

// setStep puts a step where it belongs in the journal.
func (d *deployment) setStep(step Step) {
	order := slices.Index(AllSteps, step.Name)
	for n, s := range d.Steps {
		if s.Name == step.Name {
			d.Steps[n] = step
			return
		}
		if slices.Index(AllSteps, s.Name) > order {
			d.Steps = slices.Insert(d.Steps, n, step)
			return
		}
	}
	d.Steps = append(d.Steps, step)
}

// later has w stored with the end of the step.
func (a *attempt) later(w func(context.Context, *sqlite.Tx) error) { a.writes = append(a.writes, w) }

// say adds a line to the deployment's log, which is stored with the end of
// the step.
func (a *attempt) say(format string, args ...any) {
	a.line(streamBerth, fmt.Sprintf(format, args...))
}

// maxLine bounds one line of a deployment's log, in bytes.
const maxLine = 4 << 10

func (a *attempt) line(stream, text string) {
	if len(text) > maxLine {
		text = text[:maxLine]
	}
	a.lines = append(a.lines, logData{a.step.Name, stream, text})
}

// flush stores what waits to be stored.
func (a *attempt) flush(ctx context.Context, tx *sqlite.Tx) error {
	for _, l := range a.lines {
		if err := a.s.events.Append(ctx, tx, a.event(event.DeploymentLog), l); err != nil {
			return err
		}
	}
	for _, w := range a.writes {
		if err := w(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

func (a *attempt) flushed() { a.writes, a.lines = nil, nil }

// record stores where a step stands, with its event.
func (a *attempt) record(ctx context.Context, tx *sqlite.Tx, step Step) error {
	if err := saveStep(ctx, tx, a.d.ID, step); err != nil {
		return err
	}
	if step.Name == GuardStep {
		tx.OnCommit(a.s.promoteSoon)
	}
	return a.s.events.Append(ctx, tx, a.event(eventStep), step)
}

func (a *attempt) event(kind event.Kind) event.Event {
	return event.Event{Kind: kind, Actor: "berth", Project: a.d.Project, Stage: a.d.Stage, Deployment: a.d.ID}
}

// finish stores that nothing is left to do.
func (a *attempt) finish(ctx context.Context) error {
	a.d.FinishedAt = a.s.now()
	return a.commit(ctx, func(tx *sqlite.Tx) error {
		_, err := moveDeployment(ctx, tx, a.d, a.d.State)
		return err
	})
}

// commit stores what waits, and w's writes with it.
func (a *attempt) commit(ctx context.Context, w func(*sqlite.Tx) error) error {
	err := a.s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if err := a.flush(ctx, tx); err != nil {
			return err
		}
		return w(tx)
	})
	if err == nil {
		a.flushed()
	}
	return err
}
