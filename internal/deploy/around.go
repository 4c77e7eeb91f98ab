package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"berth/internal/container"
	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// What the commands around the switch are called to people.
const (
	saidBefore = "the command before the switch"
	saidAfter  = "the command after the switch"
)

// noCommandsBack is why a roll back runs none.
const noCommandsBack = "a roll back runs no commands: the release that it brings back has run its own"

// beforeSwitch runs the command that comes before the release's instances are
// made. When it fails, the attempt does, and nothing else was touched.
func (a *attempt) beforeSwitch(ctx context.Context) error {
	if a.d.Kind == KindRollback {
		a.step.Detail = noCommandsBack
		a.leave(StepSkipped)
		return nil
	}
	return a.runTask(ctx, saidBefore, a.release.Spec.BeforeSwitch)
}

// afterSwitch runs the command that comes when the release serves. When it
// fails, the stage goes back to the release before where it says so; else the
// release stays live, and the journal says what is wrong.
func (a *attempt) afterSwitch(ctx context.Context) error {
	task := a.release.Spec.AfterSwitch
	switch live, err := a.isLive(ctx); {
	case err != nil:
		return err
	case a.d.Kind == KindRollback:
		a.step.Detail = noCommandsBack
	case !live && a.step.container == "":
		a.step.Detail = "a newer release serves already"
	}
	if a.step.Detail != "" {
		a.leave(StepSkipped)
		return nil
	}
	err := a.runTask(ctx, saidAfter, task.task())
	if err == nil || ctx.Err() != nil || fault.KindOf(err) == fault.Internal {
		return err
	}
	why := fault.Message(err)
	if task.GoBack {
		before, err := a.goesBackTo(ctx)
		if err != nil {
			return err
		}
		live, err := a.isLive(ctx)
		if err != nil {
			return err
		}
		if before != nil && live {
			return a.goBack(ctx, before, why)
		}
		why += "; there is no release before it to go back to"
	}
	a.log().WarnContext(ctx, "command after the switch failed", "error", why)
	a.step.Detail = shorten(why)
	a.say("%s", a.step.Detail)
	a.leave(StepFailed)
	a.later(func(ctx context.Context, tx *sqlite.Tx) error {
		return a.s.events.Append(ctx, tx, a.event(eventWarning), warningData{AfterStep, a.d.Reference, a.d.Generation, shorten(why)})
	})
	if err := a.commit(ctx, func(*sqlite.Tx) error { return nil }); err != nil {
		return err
	}
	a.removeTask(ctx)
	return nil
}

// removeTask removes the container of the step's command. One that stays is
// removed by the sweep, when nothing is left to do for the deployment.
func (a *attempt) removeTask(ctx context.Context) {
	if a.step.container == "" {
		return
	}
	if err := a.s.runtime.Remove(ctx, a.step.container); err != nil {
		a.log().WarnContext(ctx, "container of a command not removed yet", "container", a.step.container, "error", err)
	}
}

// warningData is the data of a deployment.warning event.
type warningData struct {
	Step       StepName `json:"step"`
	Reference  string   `json:"reference"`
	Generation int64    `json:"generation"`
	Error      string   `json:"error"`
}

func (a *attempt) isLive(ctx context.Context) (live bool, err error) {
	err = a.s.db.Read(ctx, func(tx *sqlite.Tx) error {
		st, err := stageByID(ctx, tx, a.stage.ID)
		live = st.LiveDeployment == a.d.ID
		return err
	})
	return live, err
}

// runTask runs the command of the step under way, or takes up the one that an
// earlier process began. It runs at most once: the container's id is stored
// before it is started, so one that is gone since may have run.
func (a *attempt) runTask(ctx context.Context, what string, t Task) error {
	c, err := a.taskContainer(ctx, t)
	if err != nil {
		return err
	}
	if c.State == container.StateCreated {
		if c, err = a.startTask(ctx, c); err != nil {
			return err
		}
	} else {
		a.say("the command's container is there already; it is not run again")
	}
	last := lastSaid{}
	take, err := a.takeLines(ctx, last)
	if err != nil {
		return err
	}
	limit := time.Duration(t.Timeout)
	c, err = a.s.attend(ctx, c, limit, time.Duration(a.release.Spec.StopTimeout), hearing{take, func() {
		if len(a.lines) > 0 {
			// What fails here is stored, or fails, at the end of the step.
			_ = a.commit(ctx, func(*sqlite.Tx) error { return nil })
		}
	}})
	if failure := taskFailure(what, c, err, a.release.Spec, limit, last); failure != nil {
		return failure
	}
	took := c.Finished.Sub(c.Started).Round(time.Millisecond)
	a.step.Detail = fmt.Sprintf("it took %s", took)
	a.say("%s ended well after %s", what, took)
	// Stored before the container goes: without either nobody would know.
	a.leave(StepDone)
	if err := a.commit(ctx, func(*sqlite.Tx) error { return nil }); err != nil {
		return err
	}
	a.removeTask(ctx)
	return nil
}

// startTask starts the command's container, and has its id stored before.
func (a *attempt) startTask(ctx context.Context, c container.Container) (container.Container, error) {
	if a.step.container == "" {
		a.step.container = c.ID
		if err := a.commit(ctx, func(tx *sqlite.Tx) error { return saveStep(ctx, tx, a.d.ID, a.step) }); err != nil {
			return c, err
		}
		a.d.setStep(a.step)
	}
	a.s.crash(ctx, a.d.ID, a.step.Name, momentCommand)
	if err := a.s.runtime.Start(ctx, c.ID); err != nil {
		return c, engineRefused("start the container of the command", fmt.Errorf("start container %s: %w", c.Name, err))
	}
	started, err := a.s.runtime.Inspect(ctx, c.ID)
	if err != nil {
		return c, engineAway(err)
	}
	a.s.crash(ctx, a.d.ID, a.step.Name, momentRuns)
	return started, nil
}

// The moments of a command that tests crash at.
const (
	momentCommand = "command" // its container is made and known
	momentRuns    = "runs"
)

// taskContainer finds the container of the step's command, or makes it when
// there never was one.
func (a *attempt) taskContainer(ctx context.Context, t Task) (c container.Container, err error) {
	name := string(a.step.Name)
	list, err := a.s.containersOf(ctx, a.d.ID)
	if err != nil {
		return c, engineAway(err)
	}
	for _, found := range list {
		if found.Labels[labelCommand] == name && (a.step.container == "" || a.step.container == found.ID) {
			if c, err = a.s.runtime.Inspect(ctx, found.ID); err != nil && !errors.Is(err, container.ErrNotFound) {
				return c, engineAway(err)
			}
			if err == nil {
				return c, nil
			}
		}
	}
	if a.step.container != "" {
		return c, fault.Unavailable("the container of the command is gone since Berth was started anew: whether it ran to its end is not known, and it is not run twice")
	}
	if a.image.ID == "" { // an earlier process had it live
		if a.image, err = a.s.runtime.Image(ctx, a.release.imageID); err != nil {
			return c, engineAway(err)
		}
	}
	r, err := a.s.recipe(ctx, a.d, a.release, a.image)
	if err != nil {
		return c, err
	}
	// Another Berth may have made them since the preflight.
	if err := a.s.volumesOwn(ctx, a.d.Project, a.d.Stage, a.release.Spec); err != nil {
		return c, err
	}
	of := fmt.Sprintf("berth-%s-%s-%d-%s", a.d.Project, a.d.Stage, a.d.Generation, name)
	id, err := a.s.createTask(ctx, r, t, of, a.d.ID, map[string]string{labelCommand: name})
	if err != nil {
		return c, engineRefused("create the container of the command", err)
	}
	return container.Container{ID: id, Name: of, State: container.StateCreated}, nil
}

// takeLines gives what takes a command's lines into the log, but for those
// that an earlier process has taken.
func (a *attempt) takeLines(ctx context.Context, last lastSaid) (func(container.LogLine), error) {
	known := map[string]int{}
	taken, err := a.s.events.Since(ctx, 0, event.Filter{Deployment: a.d.ID, Kinds: []event.Kind{event.DeploymentLog}}, progressLines+4*maxTaskLines)
	if err != nil {
		return nil, err
	}
	lines := 0
	for _, e := range taken {
		if l, ok := logLineOf(e); ok && l.Step == a.step.Name && l.Stream != streamBerth {
			known[l.Stream]++
			lines++
		}
	}
	return func(line container.LogLine) {
		last.hear(line)
		if known[line.Stream] > 0 {
			known[line.Stream]--
			return
		}
		if lines++; lines == maxTaskLines+1 {
			a.say("it writes more than %d lines; the rest is left out", maxTaskLines)
		}
		if lines <= maxTaskLines {
			a.line(line.Stream, line.Text)
		}
	}, nil
}
