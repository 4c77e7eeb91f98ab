package server

import (
	"context"
	"io"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"time"

	"berth/internal/container"
	"berth/internal/container/docker"
	"berth/internal/deploy"
	"berth/internal/fault"
)

const (
	openTimeout  = 30 * time.Second // for one try to reach the engine: Podman's first answer can take long
	retryEngine  = 3 * time.Second  // between tries
	remindEngine = time.Minute      // between log lines that say it is still away
)

// engine is a container.Runtime that may come later than Berth: until it is
// there, every call says that it is not, and [engine.Run] goes on looking.
type engine struct {
	address string
	log     *slog.Logger

	mu     sync.Mutex
	open   container.Runtime // nil until it was reached
	reason error             // why it was not
	images string            // the folder where it keeps images, once it has said so
	tried  chan struct{}     // closed when the first try is over
}

var _ container.Runtime = (*engine)(nil)

func newEngine(address string, log *slog.Logger) *engine {
	return &engine{address: address, log: log, tried: make(chan struct{})}
}

// Run looks for the engine until it is found or ctx ends.
func (e *engine) Run(ctx context.Context) error {
	var said time.Time
	for first := true; ; first = false {
		err := e.reach(ctx)
		if first {
			close(e.tried)
		}
		if err == nil {
			return nil
		}
		if time.Since(said) >= remindEngine {
			said = time.Now()
			e.log.WarnContext(ctx, "no container engine: nothing can be deployed until there is one; looking again",
				"engine", e.address, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryEngine):
		}
	}
}

func (e *engine) reach(ctx context.Context) error {
	trying, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	opened, err := docker.Open(trying, docker.Config{Socket: e.address, Log: e.log})
	if err != nil {
		e.mu.Lock()
		e.reason = err
		e.mu.Unlock()
		return err
	}
	e.mu.Lock()
	e.open = opened
	e.mu.Unlock()
	e.introduce(ctx, opened)
	return nil
}

func (e *engine) introduce(ctx context.Context, opened container.Runtime) {
	info, err := opened.Info(ctx)
	if err != nil {
		e.log.WarnContext(ctx, "container engine found, but it does not say what it is", "error", err)
		return
	}
	e.log.InfoContext(ctx, "container engine found", "engine", info.Name, "version", info.Version, "socket", info.Socket, "rootless", info.Rootless)
	for _, warning := range info.Warnings {
		e.log.WarnContext(ctx, "container engine", "warning", warning)
	}
}

// await waits until the engine was looked for once, and says whether it is
// there.
func (e *engine) await(ctx context.Context) bool {
	select {
	case <-e.tried:
	case <-ctx.Done():
	}
	_, err := e.now()
	return err == nil
}

// now gives the engine, or the fault that says it is not there.
func (e *engine) now() (container.Runtime, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.open != nil {
		return e.open, nil
	}
	where := e.address
	if where == "auto" {
		where = "the usual sockets of Docker and Podman"
	}
	return nil, fault.Unavailable("no container engine answers at %s: start Docker or Podman, or set BERTH_ENGINE", where).Because(e.reason)
}

// Close lets go of the engine.
func (e *engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.open == nil {
		return nil
	}
	return e.open.Close()
}

// imagesAt gives the folder where the engine keeps its images; "" when it has
// not said so yet. It is asked until it does.
func (e *engine) imagesAt(ctx context.Context) string {
	e.mu.Lock()
	dir := e.images
	e.mu.Unlock()
	if dir != "" {
		return dir
	}
	ctx, cancel := context.WithTimeout(ctx, infoTime)
	defer cancel()
	info, err := e.Info(ctx)
	if err != nil {
		return ""
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.images = info.DataDir
	return info.DataDir
}

// infoTime bounds how long the engine is waited for to say what it is.
const infoTime = 3 * time.Second

// ask calls f on the engine.
func ask[T any](e *engine, f func(container.Runtime) (T, error)) (T, error) {
	r, err := e.now()
	if err != nil {
		var none T
		return none, err
	}
	return f(r)
}

// tell is ask for calls that give nothing back.
func tell(e *engine, f func(container.Runtime) error) error {
	r, err := e.now()
	if err != nil {
		return err
	}
	return f(r)
}

// each is ask for sequences.
func each[T any](e *engine, f func(container.Runtime) iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		r, err := e.now()
		if err != nil {
			var none T
			yield(none, err)
			return
		}
		f(r)(yield)
	}
}

// What follows is container.Runtime, passed on.

func (e *engine) Info(ctx context.Context) (container.Info, error) {
	return ask(e, func(r container.Runtime) (container.Info, error) { return r.Info(ctx) })
}

func (e *engine) Pull(ctx context.Context, p container.Pull, progress func(string)) (container.Image, error) {
	return ask(e, func(r container.Runtime) (container.Image, error) { return r.Pull(ctx, p, progress) })
}

func (e *engine) Load(ctx context.Context, tar io.Reader) ([]string, error) {
	return ask(e, func(r container.Runtime) ([]string, error) { return r.Load(ctx, tar) })
}

func (e *engine) Image(ctx context.Context, reference string) (container.Image, error) {
	return ask(e, func(r container.Runtime) (container.Image, error) { return r.Image(ctx, reference) })
}

func (e *engine) Images(ctx context.Context) ([]container.Image, error) {
	return ask(e, func(r container.Runtime) ([]container.Image, error) { return r.Images(ctx) })
}

func (e *engine) RemoveImage(ctx context.Context, reference string) error {
	return tell(e, func(r container.Runtime) error { return r.RemoveImage(ctx, reference) })
}

func (e *engine) Create(ctx context.Context, s container.Spec) (string, error) {
	return ask(e, func(r container.Runtime) (string, error) { return r.Create(ctx, s) })
}

func (e *engine) Start(ctx context.Context, id string) error {
	return tell(e, func(r container.Runtime) error { return r.Start(ctx, id) })
}

func (e *engine) Stop(ctx context.Context, id string, deadline time.Duration) error {
	return tell(e, func(r container.Runtime) error { return r.Stop(ctx, id, deadline) })
}

func (e *engine) Remove(ctx context.Context, id string) error {
	return tell(e, func(r container.Runtime) error { return r.Remove(ctx, id) })
}

func (e *engine) Inspect(ctx context.Context, id string) (container.Container, error) {
	return ask(e, func(r container.Runtime) (container.Container, error) { return r.Inspect(ctx, id) })
}

func (e *engine) List(ctx context.Context, labels map[string]string) ([]container.Container, error) {
	return ask(e, func(r container.Runtime) ([]container.Container, error) { return r.List(ctx, labels) })
}

func (e *engine) Wait(ctx context.Context, id string) (int, error) {
	return ask(e, func(r container.Runtime) (int, error) { return r.Wait(ctx, id) })
}

func (e *engine) Logs(ctx context.Context, id string, o container.LogOptions) iter.Seq2[container.LogLine, error] {
	return each(e, func(r container.Runtime) iter.Seq2[container.LogLine, error] { return r.Logs(ctx, id, o) })
}

func (e *engine) Events(ctx context.Context, labels map[string]string) iter.Seq2[container.Event, error] {
	return each(e, func(r container.Runtime) iter.Seq2[container.Event, error] { return r.Events(ctx, labels) })
}

func (e *engine) Stats(ctx context.Context, id string) (container.Stats, error) {
	return ask(e, func(r container.Runtime) (container.Stats, error) { return r.Stats(ctx, id) })
}

func (e *engine) Exec(ctx context.Context, id string, x container.Exec) (int, error) {
	return ask(e, func(r container.Runtime) (int, error) { return r.Exec(ctx, id, x) })
}

func (e *engine) EnsureNetwork(ctx context.Context, name string, labels map[string]string) (string, error) {
	return ask(e, func(r container.Runtime) (string, error) { return r.EnsureNetwork(ctx, name, labels) })
}

func (e *engine) RemoveNetwork(ctx context.Context, id string) error {
	return tell(e, func(r container.Runtime) error { return r.RemoveNetwork(ctx, id) })
}

func (e *engine) Volumes(ctx context.Context, labels map[string]string) ([]container.Volume, error) {
	return ask(e, func(r container.Runtime) ([]container.Volume, error) { return r.Volumes(ctx, labels) })
}

func (e *engine) Volume(ctx context.Context, name string) (container.Volume, error) {
	return ask(e, func(r container.Runtime) (container.Volume, error) { return r.Volume(ctx, name) })
}

func (e *engine) EnsureVolume(ctx context.Context, name string, labels map[string]string) error {
	return tell(e, func(r container.Runtime) error { return r.EnsureVolume(ctx, name, labels) })
}

func (e *engine) RemoveVolume(ctx context.Context, name string) error {
	return tell(e, func(r container.Runtime) error { return r.RemoveVolume(ctx, name) })
}

func (e *engine) VolumeSizes(ctx context.Context) (map[string]int64, error) {
	return ask(e, func(r container.Runtime) (map[string]int64, error) { return r.VolumeSizes(ctx) })
}

func (e *engine) VolumeUsers(ctx context.Context, name string) ([]container.Container, error) {
	return ask(e, func(r container.Runtime) ([]container.Container, error) { return r.VolumeUsers(ctx, name) })
}

func (e *engine) ExportVolume(ctx context.Context, name string, labels map[string]string, to io.Writer) error {
	return tell(e, func(r container.Runtime) error { return r.ExportVolume(ctx, name, labels, to) })
}

func (e *engine) ImportVolume(ctx context.Context, name string, labels map[string]string, from io.Reader) error {
	return tell(e, func(r container.Runtime) error { return r.ImportVolume(ctx, name, labels, from) })
}

// hostPaths are the paths of this machine that stages may mount: what the
// settings allow, but for Berth's own files, and the sockets through which a
// container would have the whole machine.
func (s *Server) hostPaths() deploy.HostPaths {
	h := deploy.HostPaths{Allowed: s.settings.BindPaths, Never: []string{s.settings.DataDir, s.settings.DatabasePath}}
	for _, address := range append(docker.Find(), s.settings.Engine) {
		if socket, ok := strings.CutPrefix(address, "unix://"); ok {
			h.Never = append(h.Never, socket)
		}
	}
	return h
}
