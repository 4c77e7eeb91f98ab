package deploy_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http" //nolint:depguard // what stands for the apps of these tests speaks HTTP
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"berth/internal/container"
	"berth/internal/probe"
)

// fakeContainer is one container of a fakeEngine: an HTTP server of this process.
type fakeContainer struct {
	container.Container
	app  app
	spec container.Spec
	// portTaken says, as on Podman, that no start of this container can work.
	portTaken bool
	server    *http.Server
	exited    chan struct{} // made at each start
	lines     []container.LogLine
	waited    sync.WaitGroup
	hangs     bool // takes requests and does not answer, until it is started again
	asked     int  // requests that came
}

// app is what an image does when it is run.
type app string

const (
	appGood    app = "good"
	appExits   app = "exits"   // at once, with code 3
	appDeaf    app = "deaf"    // runs and listens to nothing
	appBroken  app = "broken"  // answers 500
	appStrays  app = "strays"  // answers with a redirect
	appSlow    app = "slow"    // listens only after a while
	appOneOnly app = "oneonly" // the second instance and those after it exit
)

const slowness = 400 * time.Millisecond

func (e *fakeEngine) Create(ctx context.Context, s container.Spec) (string, error) {
	e.mu.Lock()
	held := e.held
	e.mu.Unlock()
	if err := e.enter(ctx, "Create"); err != nil {
		return "", err
	}
	if held == nil {
		return e.create(s)
	}
	type made struct {
		id  string
		err error
	}
	done := make(chan made, 1)
	e.creating.Go(func() {
		<-held
		id, err := e.create(s)
		done <- made{id, err}
	})
	select {
	case <-ctx.Done():
		e.mu.Lock()
		defer e.mu.Unlock()
		e.abandoned++
		return "", ctx.Err()
	case m := <-done:
		return m.id, m.err
	}
}

// holdCreates has what is created from now on made when the channel is closed,
// also when nobody waits for it any more, as real engines do.
func (e *fakeEngine) holdCreates() chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.held = make(chan struct{})
	return e.held
}

// holdStarts has what is started from now on wait until the channel is closed.
func (e *fakeEngine) holdStarts() chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.starting = make(chan struct{})
	return e.starting
}

func (e *fakeEngine) create(s container.Spec) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	image, ok := e.images[s.Image]
	if !ok {
		return "", fmt.Errorf("no image %s: %w", s.Image, container.ErrNotFound)
	}
	for _, c := range e.containers {
		if c.Name == s.Name {
			return "", container.ErrConflict
		}
	}
	e.made++
	id := "container-" + strconv.Itoa(e.made)
	e.containers[id] = &fakeContainer{
		Container: container.Container{
			ID: id, Name: s.Name, Image: s.Image, Labels: maps.Clone(s.Labels), State: container.StateCreated, Created: time.Now(),
		},
		app: app(image.Labels["app"]), spec: s,
	}
	return id, nil
}

func (e *fakeEngine) Start(ctx context.Context, id string) error {
	if err := e.enter(ctx, "Start"); err != nil {
		return err
	}
	e.mu.Lock()
	held := e.starting
	e.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	c, ok := e.containers[id]
	if !ok {
		return container.ErrNotFound
	}
	if c.State == container.StateRunning {
		return nil
	}
	if e.portsTaken > 0 {
		e.portsTaken--
		c.portTaken = true
	}
	if c.portTaken {
		return fmt.Errorf("start: %w: address already in use", container.ErrConflict)
	}
	l, err := probe.Listen(ctx)
	if err != nil {
		return err
	}
	c.State, c.Started, c.exited, c.hangs = container.StateRunning, time.Now(), make(chan struct{}), false
	c.Address = l.Addr().String()
	c.lines = append(c.lines, container.LogLine{At: time.Now(), Stream: "stdout", Text: "app says hello"})
	c.server = &http.Server{Handler: e.handler(c)}
	e.tell(c, container.EventStarted)
	if c.spec.Publish == 0 {
		_ = l.Close()
		c.Address = ""
		e.ran = append(e.ran, c.ID+" "+strings.Join(c.spec.Command, " "))
		e.obey(c)
		return nil
	}
	kind := c.app
	if kind == appOneOnly && c.Name[len(c.Name)-1] == '0' {
		kind = appGood
	} else if kind == appOneOnly {
		kind = appExits
	}
	server, exited := c.server, c.exited
	c.waited.Go(func() {
		switch kind {
		case appExits:
			_ = l.Close()
			e.mu.Lock()
			defer e.mu.Unlock()
			if c.exited == exited && c.State == container.StateRunning {
				c.lines = append(c.lines, container.LogLine{At: time.Now(), Stream: "stderr", Text: "no database"})
				e.end(c, 3)
			}
			return
		case appDeaf:
			_ = l.Close()
			return
		case appSlow:
			select {
			case <-time.After(slowness):
			case <-exited:
				_ = l.Close()
				return
			}
		case appGood, appBroken, appStrays, appOneOnly:
		}
		_ = server.Serve(l)
	})
	return nil
}

// obey does what a container is told that publishes nothing; the lock is held.
func (e *fakeEngine) obey(c *fakeContainer) {
	say := func(stream, text string) {
		c.lines = append(c.lines, container.LogLine{At: time.Now(), Stream: stream, Text: text})
	}
	c.lines = nil
	exited, ends := c.exited, func(code int) {
		if c.State == container.StateRunning {
			e.end(c, code)
		}
	}
	switch c.spec.Command[0] {
	case "migrate":
		say("stdout", "migrated "+c.Image)
		ends(0)
	case "chatter":
		for n := range 3000 {
			say("stdout", "line "+strconv.Itoa(n+1))
		}
		ends(0)
	case "fail":
		say("stdout", "beginning")
		say("stderr", "no such table")
		ends(3)
	case "slow":
		say("stdout", "working")
		c.waited.Go(func() {
			select {
			case <-e.release:
			case <-exited:
				return
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			if c.exited == exited {
				say("stdout", "done")
				ends(0)
			}
		})
	}
}

// commands gives what was run in containers that publish nothing.
func (e *fakeEngine) commands() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.ran)
}

// handler answers with the image and the container that answer.
func (e *fakeEngine) handler(c *fakeContainer) http.Handler {
	id, image, kind := c.ID, c.Image, c.app
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		hangs := c.hangs
		c.asked++
		e.mu.Unlock()
		if hangs {
			<-r.Context().Done()
			return
		}
		switch kind {
		case appBroken:
			w.WriteHeader(http.StatusInternalServerError)
		case appStrays:
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case appGood, appExits, appDeaf, appSlow, appOneOnly:
			w.Header().Set("Container", id)
			_, _ = io.WriteString(w, image)
		}
	})
}

// end ends a container; the lock is held.
func (e *fakeEngine) end(c *fakeContainer, code int) {
	if c.State != container.StateRunning {
		return
	}
	c.State, c.ExitCode, c.Address, c.Finished = container.StateExited, code, "", time.Now()
	_ = c.server.Close()
	close(c.exited)
	e.tell(c, container.EventDied)
}

func (e *fakeEngine) Stop(ctx context.Context, id string, _ time.Duration) error {
	if err := e.enter(ctx, "Stop"); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if c, ok := e.containers[id]; ok {
		e.end(c, 0)
		return nil
	}
	return container.ErrNotFound
}

func (e *fakeEngine) Remove(ctx context.Context, id string) error {
	if err := e.enter(ctx, "Remove"); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if c, ok := e.containers[id]; ok {
		e.end(c, 137)
		delete(e.containers, id)
		e.tell(c, container.EventRemoved)
	}
	return nil
}

func (e *fakeEngine) Inspect(ctx context.Context, id string) (container.Container, error) {
	if err := e.enter(ctx, "Inspect"); err != nil {
		return container.Container{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.refuse["Inspect "+id]; err != nil {
		return container.Container{}, err
	}
	if c, ok := e.containers[id]; ok {
		return c.Container, nil
	}
	return container.Container{}, container.ErrNotFound
}

func (e *fakeEngine) List(ctx context.Context, labels map[string]string) ([]container.Container, error) {
	if err := e.enter(ctx, "List"); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []container.Container
	for _, c := range e.containers {
		if carries(c.Labels, labels) {
			one := c.Container
			one.Address = "" // as some engines
			list = append(list, one)
		}
	}
	return list, nil
}

func (e *fakeEngine) Wait(ctx context.Context, id string) (int, error) {
	if err := e.enter(ctx, "Wait"); err != nil {
		return 0, err
	}
	e.mu.Lock()
	c, ok := e.containers[id]
	if !ok {
		e.mu.Unlock()
		return 0, container.ErrNotFound
	}
	exited := c.exited
	e.mu.Unlock()
	select {
	case <-exited:
		e.mu.Lock()
		defer e.mu.Unlock()
		return c.ExitCode, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (e *fakeEngine) Logs(ctx context.Context, id string, o container.LogOptions) iter.Seq2[container.LogLine, error] {
	return func(yield func(container.LogLine, error) bool) {
		if err := e.enter(ctx, "Logs"); err != nil {
			yield(container.LogLine{}, err)
			return
		}
		for given := 0; ; {
			e.mu.Lock()
			var lines []container.LogLine
			c, ok := e.containers[id]
			if ok {
				lines = slices.Clone(c.lines)
			}
			more := ok && o.Follow && c.State == container.StateRunning
			e.mu.Unlock()
			for _, line := range lines[given:] {
				if !yield(line, nil) {
					return
				}
			}
			if given = len(lines); !more {
				return
			}
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
				return
			}
		}
	}
}

// takePorts has so many starts find that something else took the port.
func (e *fakeEngine) takePorts(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.portsTaken = n
}

// crash ends one container as its program would.
func (e *fakeEngine) crash(id string, code int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.end(e.containers[id], code)
}

// hang has a container take requests without answering, or answer again.
func (e *fakeEngine) hang(id string, hangs bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.containers[id].hangs = hangs
}

// asked says how many requests came to a container.
func (e *fakeEngine) asked(id string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.containers[id].asked
}

// all gives the containers that are there.
func (e *fakeEngine) all() []container.Container {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []container.Container
	for _, c := range e.containers {
		list = append(list, c.Container)
	}
	return list
}

func (e *fakeEngine) specOf(id string) container.Spec {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.containers[id].spec
}
