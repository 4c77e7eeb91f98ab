package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
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
	ran        []string         // commands, by the containers that ran them
	release    chan struct{}    // closed to let slow commands end
	stats      container.Stats  // of every container that runs
	lacks      []container.Lack
	dataDir    string // where it says that it keeps its images
	portsTaken int    // starts to come that find their container's port taken

	held      chan struct{} // see holdCreates
	starting  chan struct{} // see holdStarts
	creating  sync.WaitGroup
	abandoned int // creates that were not waited for
}

var errEngineAway = errors.New("cannot connect to the engine")

func newFakeEngine(tb testing.TB) *fakeEngine {
	tb.Helper()
	e := &fakeEngine{
		remote: map[string]container.Image{}, images: map[string]container.Image{}, containers: map[string]*fakeContainer{},
		volumes: map[string]map[string]string{}, followers: map[chan container.Event]map[string]string{},
		calls: map[string]int{}, refuse: map[string]error{}, release: make(chan struct{}),
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
	return container.Info{Name: "fake", OS: "linux", Arch: "amd64", DataDir: e.dataDir, Lacks: e.lacks}, e.enter(ctx, "Info")
}

func (e *fakeEngine) Stats(ctx context.Context, id string) (container.Stats, error) {
	if err := e.enter(ctx, "Stats"); err != nil {
		return container.Stats{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	c, ok := e.containers[id]
	if !ok {
		return container.Stats{}, container.ErrNotFound
	}
	if c.State != container.StateRunning {
		return container.Stats{}, container.ErrConflict
	}
	return e.stats, nil
}

// uses says what every container uses from now on.
func (e *fakeEngine) uses(s container.Stats) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stats = s
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

func (e *fakeEngine) RemoveImage(ctx context.Context, id string) error {
	if err := e.enter(ctx, "RemoveImage"); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.images, id)
	return nil
}

func (e *fakeEngine) Load(context.Context, io.Reader) ([]string, error) { return nil, nil }

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
	e.cut()
}

// lose cuts those who follow the engine's events, who then look at everything.
func (e *fakeEngine) lose() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cut()
}

// cut ends what is followed; the lock is held.
func (e *fakeEngine) cut() {
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

// nudge has an event of a container told, as some engines tell of execs.
func (e *fakeEngine) nudge(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tell(e.containers[id], container.EventResumed)
}

func (e *fakeEngine) called(method string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.calls[method]
}
