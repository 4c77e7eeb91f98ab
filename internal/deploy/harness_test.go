package deploy_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net/http" //nolint:depguard // what stands for the gateway in these tests speaks HTTP
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"berth/internal/container"
	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/registry"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// world is what outlives a Berth: the engine, the database and the images.
type world struct {
	t       testing.TB
	engine  *fakeEngine
	images  *fakeImages
	secrets fakeSecrets
	setAt   map[string]time.Time // of secrets, by their slots
	meter   *fakeMeter
	db      *sqlite.DB
	events  *event.Log
	logDir  string // where logs of containers that are gone are kept; nowhere when empty
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "berth.db")
	fresh, err := emptyDatabase()
	require.NoError(tb, err)
	require.NoError(tb, os.WriteFile(path, fresh, 0o600))
	db, err := sqlite.Open(tb.Context(), sqlite.Config{Path: path, Readers: 4})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	engine := newFakeEngine(tb)
	return &world{
		t: tb, engine: engine, db: db, events: event.New(event.Config{DB: db}),
		images:  &fakeImages{engine: engine, tags: map[string]registry.Resolution{}},
		secrets: fakeSecrets{"shop/password": secret.New("hunter2")},
		meter:   &fakeMeter{answers: map[string]deploy.Answers{}},
	}
}

// emptyDatabase gives a database's file, with its schema, made once for all
// tests.
var emptyDatabase = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "berth-deploy")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "berth.db")
	db, err := sqlite.Open(context.Background(), sqlite.Config{Path: path})
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// berth is one process of Berth in a world.
type berth struct {
	*world
	*deploy.Service
	router *fakeRouter
	alive  *life
	stop   func() // as SIGTERM; waits for its end
}

// life says whether a Berth was killed: then nothing of it acts any more.
type life struct {
	dead   atomic.Bool
	cancel context.CancelFunc
}

var errKilled = errors.New("this Berth was killed")

type options struct {
	hook     func(b *berth, deployment string, step deploy.StepName, when string)
	shutdown time.Duration
	idle     bool // Run is not called
	beat     time.Duration
	measure  time.Duration
	people   deploy.People
	known    deploy.Providers
	own      func(netip.AddrPort) bool
	clock    func() time.Time
	keep     deploy.KeepRule
	diskFull func(context.Context) error
	log      *slog.Logger // the test's when nil
}

// start starts a Berth. kill, called from its hook, ends it there and then.
func (w *world) start(o options) *berth {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b := &berth{world: w, alive: &life{cancel: cancel}}
	b.router = &fakeRouter{alive: b.alive, routes: map[string]deploy.Route{}}
	config := deploy.Config{
		DB: w.db, Events: w.events, Runtime: mortal{w.engine, b.alive}, Router: b.router, Meter: w.meter, Images: w.images, Secrets: worldsSecrets{w.secrets, w},
		LogDir: w.logDir, ReservedHosts: []string{"berth.test"}, ShutdownTimeout: orElse(o.shutdown, 10*time.Second),
		Beat: o.beat, Measure: o.measure, People: o.people, Providers: o.known, Own: o.own, Clock: o.clock, Keep: o.keep, DiskFull: o.diskFull, Log: orElse(o.log, testLog(w.t)),
	}
	if o.hook != nil {
		config.Hook = func(_ context.Context, deployment string, step deploy.StepName, when string) {
			o.hook(b, deployment, step, when)
		}
	}
	service, err := deploy.New(config)
	require.NoError(w.t, err)
	b.Service = service
	ended := make(chan error, 1)
	if o.idle {
		close(ended)
	} else {
		go func() { ended <- service.Run(ctx) }()
	}
	var once sync.Once
	b.stop = func() {
		once.Do(func() {
			cancel()
			require.NoError(w.t, <-ended)
		})
	}
	w.t.Cleanup(b.stop)
	return b
}

func orElse[T comparable](v, standard T) T {
	var zero T
	if v == zero {
		return standard
	}
	return v
}

// testLog gives Berth's own log as part of the test's.
func testLog(tb testing.TB) *slog.Logger {
	tb.Helper()
	return slog.New(slog.NewTextHandler(tb.Output(), nil))
}

// kill ends a Berth in the middle of the goroutine that calls it.
func (b *berth) kill() {
	b.alive.dead.Store(true)
	b.alive.cancel()
	runtime.Goexit()
}

// mortal is the engine as a Berth that may be killed sees it.
type mortal struct {
	*fakeEngine
	alive *life
}

func (m mortal) check() error {
	if m.alive.dead.Load() {
		return errKilled
	}
	return nil
}

func (m mortal) Create(ctx context.Context, s container.Spec) (string, error) {
	if err := m.check(); err != nil {
		return "", err
	}
	return m.fakeEngine.Create(ctx, s)
}

func (m mortal) Start(ctx context.Context, id string) error {
	return errors.Join(m.check(), unlessDead(m, func() error { return m.fakeEngine.Start(ctx, id) }))
}

func (m mortal) Stop(ctx context.Context, id string, d time.Duration) error {
	return errors.Join(m.check(), unlessDead(m, func() error { return m.fakeEngine.Stop(ctx, id, d) }))
}

func (m mortal) Remove(ctx context.Context, id string) error {
	return errors.Join(m.check(), unlessDead(m, func() error { return m.fakeEngine.Remove(ctx, id) }))
}

func (m mortal) List(ctx context.Context, labels map[string]string) ([]container.Container, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	return m.fakeEngine.List(ctx, labels)
}

func (m mortal) Events(ctx context.Context, labels map[string]string) iter.Seq2[container.Event, error] {
	return m.fakeEngine.Events(ctx, labels)
}

func unlessDead(m mortal, do func() error) error {
	if m.alive.dead.Load() {
		return nil
	}
	return do()
}

// fakeImages has the images of a registry.
type fakeImages struct {
	engine *fakeEngine
	mu     sync.Mutex
	tags   map[string]registry.Resolution
	away   bool
}

// push makes an image that can be found and pulled. Its id tells its name.
func (f *fakeImages) push(repository, tag string, kind app, ports ...int) (imageID string) { //nolint:unparam // it reads better with the name
	digest := "sha256:" + strings.Repeat("d", 50) + (repository + tag + "00000000000000")[:14]
	id := "image-" + repository + "-" + tag
	f.mu.Lock()
	f.tags[repository+":"+tag] = registry.Resolution{
		Reference: repository + ":" + tag, Digest: digest, ConfigDigest: id, Size: 1000, ExposedPorts: ports,
	}
	f.tags[repository+":"+digest] = f.tags[repository+":"+tag]
	f.mu.Unlock()
	f.engine.mu.Lock()
	defer f.engine.mu.Unlock()
	f.engine.remote[repository+"@"+digest] = container.Image{ID: id, OS: "linux", Arch: "amd64", Ports: ports, Labels: map[string]string{"app": string(kind)}}
	return id
}

// created says when an image was made.
func (f *fakeImages) created(repository, tag string, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := f.tags[repository+":"+tag]
	found.Created = at
	f.tags[repository+":"+tag] = found
}

func (f *fakeImages) Resolve(_ context.Context, repository, reference string, _ registry.Platform) (registry.Resolution, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return registry.Resolution{}, fault.Unavailable("the registry does not answer")
	}
	r, ok := f.tags[repository+":"+reference]
	if !ok {
		return r, fault.NotFound("no image %s:%s", repository, reference)
	}
	return r, nil
}

func (f *fakeImages) Pull(_ context.Context, repository, digest string) (container.Pull, error) {
	return container.Pull{Reference: repository + "@" + digest}, nil
}

type fakeSecrets map[string]secret.Text

func (fakeSecrets) ChangedAt(context.Context, *sqlite.Tx) (map[string]time.Time, error) {
	return nil, nil
}

// worldsSecrets are a world's, with when they were set.
type worldsSecrets struct {
	fakeSecrets

	w *world
}

func (f worldsSecrets) ChangedAt(context.Context, *sqlite.Tx) (map[string]time.Time, error) {
	return f.w.setAt, nil
}

func (f fakeSecrets) Get(_ context.Context, slotContext, name string) (secret.Text, error) {
	v, ok := f[slotContext+"/"+name]
	if !ok {
		return v, fault.NotFound("no secret %q in %q", name, slotContext)
	}
	return v, nil
}

// fakeMeter has counted what it is told to.
type fakeMeter struct {
	mu      sync.Mutex
	answers map[string]deploy.Answers
}

// count adds answers of 10 ms to what a deployment answered.
func (m *fakeMeter) count(deployment string, good, bad int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.answers[deployment]
	var before int64
	if a.Took != nil {
		before = a.Took[0]
	}
	m.answers[deployment] = deploy.Answers{
		Errors: a.Errors + bad, Took: []int64{before + good + bad, 0}, Bounds: []time.Duration{10 * time.Millisecond},
	}
}

func (m *fakeMeter) Answers(deployment string) deploy.Answers {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.answers[deployment]
}

func (m *fakeMeter) Lately(deployment string) deploy.Answers { return m.Answers(deployment) }

// fakeRouter keeps routes. A dead Berth's changes nothing.
type fakeRouter struct {
	alive   *life
	mu      sync.Mutex
	routes  map[string]deploy.Route
	history []string // deployments, as they were switched to with instances
	drained []string
	cut     int
	fails   error
	drain   chan struct{} // when set, Drain waits for it
	ending  func()        // called where a route is about to lose its canary
}

func (r *fakeRouter) Switch(_ context.Context, to deploy.Route) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.alive.dead.Load() {
		return errKilled
	}
	if r.fails != nil {
		return r.fails
	}
	if r.ending != nil && r.routes[to.StageID].Canary != nil && to.Canary == nil {
		r.ending()
	}
	r.routes[to.StageID] = to
	if len(to.Instances) > 0 {
		r.history = append(r.history, to.Deployment)
	}
	return nil
}

// stateAtEnd gives the state that a deployment is in when its route's canary is
// taken away for the first time.
func (b *berth) stateAtEnd(id string) <-chan deploy.State {
	state := make(chan deploy.State, 1)
	b.router.mu.Lock()
	defer b.router.mu.Unlock()
	b.router.ending = sync.OnceFunc(func() {
		d, err := b.Deployment(b.t.Context(), id)
		assert.NoError(b.t, err)
		state <- d.State
	})
	return state
}

func (r *fakeRouter) Drain(ctx context.Context, deployment string, _, _ time.Duration) (int, error) {
	r.mu.Lock()
	r.drained = append(r.drained, deployment)
	wait, cut := r.drain, r.cut
	r.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return cut, nil
}

// holdDrains has drains wait until the channel is closed.
func (r *fakeRouter) holdDrains() chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drain = make(chan struct{})
	return r.drain
}

// drains gives the deployments that were asked to drain.
func (r *fakeRouter) drains() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.drained)
}

func (r *fakeRouter) Remove(_ context.Context, stageID string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.routes, stageID)
	return nil
}

func (r *fakeRouter) of(hostname string) (deploy.Route, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, route := range r.routes {
		if route.Hostname == hostname {
			return route, true
		}
	}
	return deploy.Route{}, false
}

// ask asks each instance of a hostname's route who it is. It fails the test
// when an answer is from a container that is not the one routed to.
func (b *berth) ask(hostname string) (images []string) {
	b.t.Helper()
	route, ok := b.router.of(hostname)
	if !ok {
		return nil
	}
	for _, e := range route.Instances {
		resp, err := http.Get("http://" + e.Address)
		if err != nil {
			images = append(images, "gone")
			continue
		}
		body, err := io.ReadAll(resp.Body)
		require.NoError(b.t, err)
		require.NoError(b.t, resp.Body.Close())
		require.Equal(b.t, e.Container, resp.Header.Get("Container"), "the route points to a container that is not its own")
		images = append(images, string(body))
	}
	return images
}

const patience = 30 * time.Second

func (b *berth) eventually(is func() bool, what string) {
	b.t.Helper()
	require.Eventually(b.t, is, patience, 2*time.Millisecond, what)
}

// shop makes project shop with stage prod.
func (b *berth) shop(edit func(*deploy.StageSpec)) {
	b.t.Helper()
	_, err := b.CreateProject(b.t.Context(), "ana", deploy.Project{Name: "shop", Image: "shop"})
	require.NoError(b.t, err)
	spec := deploy.StageSpec{Hostname: "shop.test", Probe: deploy.Probe{Interval: deploy.Duration(20 * time.Millisecond)}}
	if edit != nil {
		edit(&spec)
	}
	_, err = b.CreateStage(b.t.Context(), "ana", "shop", "prod", spec)
	require.NoError(b.t, err)
}

// deploy asks for a tag of shop in prod.
func (b *berth) deploy(tag string) deploy.Deployment {
	b.t.Helper()
	d, err := b.Start(b.t.Context(), deploy.StartRequest{
		Project: "shop", Stage: "prod", Reference: tag, Trigger: deploy.TriggerAPI, Actor: "ana",
	})
	require.NoError(b.t, err)
	return d
}

// end waits until nothing is left to do for a deployment.
func (b *berth) end(id string) (d deploy.Deployment) {
	b.t.Helper()
	defer func() {
		if d.FinishedAt.IsZero() {
			b.t.Logf("it stands at %+v", d)
		}
	}()
	b.eventually(func() bool {
		var err error
		d, err = b.Deployment(b.t.Context(), id)
		require.NoError(b.t, err)
		return !d.FinishedAt.IsZero()
	}, "the deployment comes to its end")
	return d
}

// goLive deploys a tag and waits until it is live and the old one is gone.
func (b *berth) goLive(tag string) deploy.Deployment {
	b.t.Helper()
	d := b.end(b.deploy(tag).ID)
	require.Equal(b.t, deploy.Live, d.State, d.Error)
	return d
}

func (b *berth) status() deploy.StageStatus {
	b.t.Helper()
	status, err := b.Stage(b.t.Context(), "shop", "prod")
	require.NoError(b.t, err)
	return status
}

// servesOnly waits until shop.test is answered by an image, from that many
// instances, and no other container is left.
func (b *berth) servesOnly(imageID string, instances int) {
	b.t.Helper()
	b.eventually(func() bool {
		answers := b.ask("shop.test")
		if len(answers) != instances || len(b.engine.all()) != instances {
			return false
		}
		for _, a := range answers {
			if a != imageID {
				return false
			}
		}
		return b.status().State == deploy.StageHealthy
	}, "only "+imageID+" serves, and no container is left over")
}

// log gives the lines of a deployment's log.
func (b *berth) log(id string) string {
	b.t.Helper()
	list, err := b.events.Since(b.t.Context(), 0, event.Filter{Deployment: id, Kinds: []event.Kind{event.DeploymentLog}}, 1000)
	require.NoError(b.t, err)
	var lines []string
	for _, e := range list {
		lines = append(lines, string(e.Data))
	}
	return strings.Join(lines, "\n")
}
