package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net"
	"net/http" //nolint:depguard // what stands for the apps of these tests speaks HTTP
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"berth/internal/container"
)

// fakeEngine is a container engine whose containers are HTTP servers in this
// process, so that probes and routes are real. It outlives the Berths of a
// test, as an engine does. As on Docker, a container gets another port at each
// start.
type fakeEngine struct {
	container.Runtime // what no test needs is nil

	mu         sync.Mutex
	away       bool
	remote     map[string]container.Image // by "repository@digest"
	images     map[string]container.Image // by id
	containers map[string]*fakeContainer
	volumes    map[string]map[string]string
	followers  map[chan container.Event]map[string]string
	made       int
	calls      map[string]int
	refuse     map[string]error // by method, or by method and container
	portsTaken int              // starts to come that find their container's port taken
}

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

var errEngineAway = errors.New("cannot connect to the engine")

func newFakeEngine(tb testing.TB) *fakeEngine {
	tb.Helper()
	e := &fakeEngine{
		remote: map[string]container.Image{}, images: map[string]container.Image{}, containers: map[string]*fakeContainer{},
		volumes: map[string]map[string]string{}, followers: map[chan container.Event]map[string]string{},
		calls: map[string]int{}, refuse: map[string]error{},
	}
	tb.Cleanup(func() { e.stopAll() })
	return e
}

// enter counts a call and says what it is refused with.
func (e *fakeEngine) enter(ctx context.Context, method string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls[method]++
	if e.away {
		return errEngineAway
	}
	if err := e.refuse[method]; err != nil {
		return err
	}
	return ctx.Err()
}

func (e *fakeEngine) Info(ctx context.Context) (container.Info, error) {
	return container.Info{Name: "fake", OS: "linux", Arch: "amd64"}, e.enter(ctx, "Info")
}

func (e *fakeEngine) Pull(ctx context.Context, p container.Pull, progress func(string)) (container.Image, error) {
	if err := e.enter(ctx, "Pull"); err != nil {
		return container.Image{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	image, ok := e.remote[p.Reference]
	if !ok {
		return image, fmt.Errorf("pull: %w", errors.New("manifest unknown"))
	}
	progress("pulling " + p.Reference)
	e.images[image.ID] = image
	return image, nil
}

func (e *fakeEngine) Image(ctx context.Context, reference string) (container.Image, error) {
	if err := e.enter(ctx, "Image"); err != nil {
		return container.Image{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if image, ok := e.images[reference]; ok {
		return image, nil
	}
	return container.Image{}, container.ErrNotFound
}

func (e *fakeEngine) Images(ctx context.Context) ([]container.Image, error) {
	if err := e.enter(ctx, "Images"); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Values(e.images)), nil
}

func (e *fakeEngine) Load(context.Context, io.Reader) ([]string, error) { return nil, nil }

func (e *fakeEngine) Create(ctx context.Context, s container.Spec) (string, error) {
	if err := e.enter(ctx, "Create"); err != nil {
		return "", err
	}
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

// listen takes a port that connections from this machine really come to: a
// real engine on it may have left a forwarding rule behind for one that is
// free, and then they end elsewhere.
func listen() (net.Listener, error) {
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		if reaches(l.(*net.TCPListener)) {
			return l, nil
		}
		_ = l.Close()
	}
}

func reaches(l *net.TCPListener) bool {
	out, err := net.DialTimeout("tcp", l.Addr().String(), time.Second)
	if err != nil {
		return false
	}
	defer out.Close()
	_ = l.SetDeadline(time.Now().Add(time.Second))
	in, err := l.Accept()
	if err != nil {
		return false
	}
	defer in.Close()
	return l.SetDeadline(time.Time{}) == nil && in.RemoteAddr().String() == out.LocalAddr().String()
}

func (e *fakeEngine) Start(ctx context.Context, id string) error {
	if err := e.enter(ctx, "Start"); err != nil {
		return err
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
	c.State, c.Started, c.exited, c.hangs = container.StateRunning, time.Now(), make(chan struct{}), false
	l, err := listen()
	if err != nil {
		return err
	}
	c.Address = l.Addr().String()
	c.lines = append(c.lines, container.LogLine{At: time.Now(), Stream: "stdout", Text: "app says hello"})
	c.server = &http.Server{Handler: e.handler(c)}
	e.tell(c, container.EventStarted)
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

// tell gives an event to those who follow; the lock is held.
func (e *fakeEngine) tell(c *fakeContainer, action container.EventAction) {
	for follower, labels := range e.followers {
		if carries(c.Labels, labels) {
			select {
			case follower <- container.Event{At: time.Now(), Action: action, Container: c.ID, Labels: c.Labels, ExitCode: c.ExitCode}:
			default:
			}
		}
	}
}

func carries(labels, wanted map[string]string) bool {
	for name, value := range wanted {
		if got, ok := labels[name]; !ok || (value != "" && got != value) {
			return false
		}
	}
	return true
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

func (e *fakeEngine) Logs(ctx context.Context, id string, _ container.LogOptions) iter.Seq2[container.LogLine, error] {
	return func(yield func(container.LogLine, error) bool) {
		if err := e.enter(ctx, "Logs"); err != nil {
			yield(container.LogLine{}, err)
			return
		}
		e.mu.Lock()
		var lines []container.LogLine
		if c, ok := e.containers[id]; ok {
			lines = slices.Clone(c.lines)
		}
		e.mu.Unlock()
		for _, line := range lines {
			if !yield(line, nil) {
				return
			}
		}
	}
}

func (e *fakeEngine) Events(ctx context.Context, labels map[string]string) iter.Seq2[container.Event, error] {
	return func(yield func(container.Event, error) bool) {
		if err := e.enter(ctx, "Events"); err != nil {
			yield(container.Event{}, err)
			return
		}
		follower := make(chan container.Event, 256)
		e.mu.Lock()
		e.followers[follower] = labels
		e.mu.Unlock()
		defer func() {
			e.mu.Lock()
			delete(e.followers, follower)
			e.mu.Unlock()
		}()
		for {
			select {
			case <-ctx.Done():
				return
			case event, open := <-follower:
				if !open {
					yield(container.Event{}, io.ErrUnexpectedEOF)
					return
				}
				if !yield(event, nil) {
					return
				}
			}
		}
	}
}

func (e *fakeEngine) EnsureVolume(ctx context.Context, name string, labels map[string]string) error {
	if err := e.enter(ctx, "EnsureVolume"); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.volumes[name]; !ok {
		e.volumes[name] = labels
	}
	return nil
}

func (e *fakeEngine) Volume(ctx context.Context, name string) (container.Volume, error) {
	if err := e.enter(ctx, "Volume"); err != nil {
		return container.Volume{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	labels, ok := e.volumes[name]
	if !ok {
		return container.Volume{}, container.ErrNotFound
	}
	return container.Volume{Name: name, Labels: labels}, nil
}

func (e *fakeEngine) Volumes(ctx context.Context, labels map[string]string) ([]container.Volume, error) {
	if err := e.enter(ctx, "Volumes"); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []container.Volume
	for name, has := range e.volumes {
		if carries(has, labels) {
			list = append(list, container.Volume{Name: name, Labels: has})
		}
	}
	return list, nil
}

// stopAll ends every container, as a reboot does.
func (e *fakeEngine) stopAll() {
	e.mu.Lock()
	var all []*fakeContainer
	for _, c := range e.containers {
		e.end(c, 137)
		all = append(all, c)
	}
	e.mu.Unlock()
	for _, c := range all {
		c.waited.Wait()
	}
}

// leave has the engine go away, and cuts those who follow its events.
func (e *fakeEngine) leave() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.away = true
	for follower := range e.followers {
		delete(e.followers, follower)
		close(follower)
	}
}

func (e *fakeEngine) comeBack() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.away = false
}

// refuseWith has a method fail; nil ends that.
func (e *fakeEngine) refuseWith(method string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refuse[method] = err
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

// nudge has an event of a container told, as some engines tell of execs.
func (e *fakeEngine) nudge(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tell(e.containers[id], container.EventResumed)
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

func (e *fakeEngine) called(method string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.calls[method]
}
