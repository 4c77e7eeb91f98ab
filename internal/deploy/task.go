package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"berth/internal/container"
	"berth/internal/fault"
)

// Task is a command that is run once, in a container of its own: one of the
// release's image, with its variables, secrets, volumes and limits.
type Task struct {
	Command    []string `json:"command,omitempty"`    // instead of the image's CMD
	Entrypoint []string `json:"entrypoint,omitempty"` // instead of the image's ENTRYPOINT
	Timeout    Duration `json:"timeout,omitempty"`    // "10m" by default; then it is ended
}

// AfterTask is a Task that is run when the release serves.
type AfterTask struct {
	Command    []string `json:"command,omitempty"`    // instead of the image's CMD
	Entrypoint []string `json:"entrypoint,omitempty"` // instead of the image's ENTRYPOINT
	Timeout    Duration `json:"timeout,omitempty"`    // "10m" by default; then it is ended
	// GoBack gives the stage back to the release before when the command
	// fails, as a guard does. Without it the release stays live.
	GoBack bool `json:"go_back,omitempty"`
}

// The bounds of commands.
const (
	defaultTaskTime = Duration(10 * time.Minute)
	maxTaskTime     = 24 * time.Hour
	maxTaskLines    = 1000                   // of one command's log
	taskLogPace     = 300 * time.Millisecond // at which its lines are stored
)

func (t AfterTask) task() Task { return Task{t.Command, t.Entrypoint, t.Timeout} }

// none says that nothing is to be run.
func (t Task) none() bool { return len(t.Command) == 0 && len(t.Entrypoint) == 0 }

func (t Task) normalise(limit Duration) Task {
	if t.none() {
		return Task{}
	}
	t.Timeout = orElse(t.Timeout, limit)
	return t
}

func (t AfterTask) normalise() AfterTask {
	n := t.task().normalise(defaultTaskTime)
	if n.none() {
		return AfterTask{}
	}
	return AfterTask{n.Command, n.Entrypoint, n.Timeout, t.GoBack}
}

func (c *checks) task(field string, t Task) {
	c.arguments(field+".command", t.Command)
	c.arguments(field+".entrypoint", t.Entrypoint)
	if !t.none() {
		c.between(field+".timeout", t.Timeout, time.Second, maxTaskTime)
	}
}

// errTimeOver says that a command had its time.
var errTimeOver = errors.New("its time is over")

// createTask makes the container of a command. Its labels are those of the
// deployment's containers and what is given; of is the id of what it is for.
func (s *Service) createTask(ctx context.Context, r recipe, t Task, name, of string, labels map[string]string) (id string, err error) {
	c := s.like(r)
	c.Name, c.Command, c.Entrypoint = name, t.Command, t.Entrypoint
	maps.Copy(c.Labels, labels)
	if labels[labelRun] != "" {
		// It ends when it ends, and not with the deployment.
		delete(c.Labels, labelDeployment)
		delete(c.Labels, labelGeneration)
	}
	return s.makeContainer(ctx, c, of)
}

// hearing takes what a command writes: line each line, store now and then.
type hearing struct {
	line  func(container.LogLine)
	store func()
}

// attend waits until a command's container ends and gives how that was; an
// error when it was ended, or left, before that. It is ended when its time,
// counted from its start, is over, and when ctx ends because a person wants
// it; when Berth stops it is left to run on.
func (s *Service) attend(ctx context.Context, c container.Container, limit, grace time.Duration, h hearing) (container.Container, error) {
	since := c.Started
	if c.State != container.StateRunning || since.IsZero() {
		since = time.Now() // it has ended already
	}
	ctx, stop := context.WithDeadlineCause(ctx, since.Add(limit), errTimeOver)
	defer stop()
	var group sync.WaitGroup
	defer group.Wait()
	reading, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	lines := make(chan container.LogLine)
	group.Go(func() {
		defer close(lines)
		for line, err := range s.runtime.Logs(reading, c.ID, container.LogOptions{Follow: true}) {
			if err != nil {
				return // how it ends is known without
			}
			select {
			case lines <- line:
			case <-reading.Done():
				return
			}
		}
	})
	ended := make(chan error, 1)
	group.Go(func() { ended <- s.awaitEnd(ctx, c.ID) })
	tick := time.NewTicker(taskLogPace)
	defer tick.Stop()
	read := lines
	for {
		select {
		case line, more := <-read:
			if !more {
				read = nil
				continue
			}
			h.line(line)
		case <-tick.C:
			h.store()
		case why := <-ended:
			if why != nil {
				if !errors.Is(why, errTimeOver) && !errors.Is(why, errCanceled) && !errors.Is(why, errRemoved) {
					return c, why
				}
				if err := s.runtime.Stop(context.WithoutCancel(ctx), c.ID, grace); err != nil && !errors.Is(err, container.ErrNotFound) {
					s.log.WarnContext(ctx, "container of a command not stopped", "container", c.Name, "error", err)
				}
			}
			for late := time.After(logTime); read != nil; {
				select {
				case line, more := <-read:
					if !more {
						read = nil
						continue
					}
					h.line(line)
				case <-late:
					read = nil
				}
			}
			if why != nil {
				return c, why
			}
			return s.inspectEnded(ctx, c.ID)
		}
	}
}

// awaitEnd waits until a container does not run any more, also through an
// absence of the engine. Its error says why ctx ended.
func (s *Service) awaitEnd(ctx context.Context, id string) error {
	retry := firstRetry
	for {
		_, err := s.runtime.Wait(ctx, id)
		if err == nil || errors.Is(err, container.ErrNotFound) {
			return nil
		}
		if !pause(ctx, retry, nil) {
			return context.Cause(ctx)
		}
		retry = min(2*retry, longestRetry)
	}
}

// inspectEnded asks how a container ended, until the engine says it.
func (s *Service) inspectEnded(ctx context.Context, id string) (container.Container, error) {
	retry := firstRetry
	for {
		c, err := s.runtime.Inspect(ctx, id)
		switch {
		case err == nil && c.State != container.StateRunning:
			return c, nil
		case errors.Is(err, container.ErrNotFound):
			return c, err
		}
		if !pause(ctx, retry, nil) {
			return c, context.Cause(ctx)
		}
		retry = min(2*retry, longestRetry)
	}
}

// lastSaid remembers the last line of each stream, to say why a command failed.
type lastSaid map[string]string

func (l lastSaid) hear(line container.LogLine) {
	if text := strings.TrimSpace(line.Text); text != "" {
		l[line.Stream] = text
	}
}

func (l lastSaid) String() string {
	if l["stderr"] != "" {
		return l["stderr"]
	}
	return l["stdout"]
}

// taskFailure says, for a person, what is wrong with how a command ended; nil
// when nothing is.
func taskFailure(what string, c container.Container, err error, spec StageSpec, limit time.Duration, last lastSaid) error {
	var why string
	switch {
	case errors.Is(err, errTimeOver):
		why = fmt.Sprintf("took longer than %s and was ended", limit)
	case errors.Is(err, container.ErrNotFound):
		why = "can't be judged: its container was removed"
	case err != nil:
		return err
	case c.ExitCode == 0 && c.Error == "" && !c.OOMKilled:
		return nil
	default:
		why = ended(c, spec)
	}
	if said := last.String(); said != "" {
		why += "; it last said: " + said
	}
	return fault.Unavailable("%s %s", what, why)
}
