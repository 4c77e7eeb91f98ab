package deploy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"berth/internal/container"
	"berth/internal/event"
	"berth/internal/probe"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// Secrets gives the value of a slot; fault.NotFound from Get when there is none.
// *vault.Vault is one.
type Secrets interface {
	Get(ctx context.Context, slotContext, name string) (secret.Text, error)
	// ChangedAt says, in tx, when each was last set, by "context/name".
	ChangedAt(ctx context.Context, tx *sqlite.Tx) (map[string]time.Time, error)
}

// Tokens are the API tokens that are bound to projects and stages.
// *identity.Service is one.
type Tokens interface {
	// EndBoundTokens ends, in tx, those that are bound to a project or stage,
	// by its id, which is about to be removed.
	EndBoundTokens(ctx context.Context, tx *sqlite.Tx, actor, id string) error
}

// People are those that policies may name. *identity.Service is one.
type People interface {
	// Unknown gives those of the usernames that nobody has.
	Unknown(ctx context.Context, tx *sqlite.Tx, usernames []string) ([]string, error)
}

// Providers are those whose claims policies may name. *signin.Service is one.
type Providers interface {
	// Slugs gives the names of all there are.
	Slugs(ctx context.Context, tx *sqlite.Tx) ([]string, error)
}

// Config is what a Service needs.
type Config struct {
	DB      *sqlite.DB
	Events  *event.Log
	Runtime container.Runtime
	Router  Router
	Meter   Meter // how deployments answer; guards look at restarts and probes alone when nil
	Images  Images
	Secrets Secrets
	Tokens  Tokens // may be nil, where there are none
	People  People // may be nil: policies may then name anybody
	// Providers may be nil: policies may then have claims of any, and of none.
	Providers Providers
	Shelf     Shelf // where keeping house looks for images without a tag; none when nil
	// Keep is what stages keep that say nothing; see [KeepRule].
	Keep KeepRule
	// Journal is how long deployments are kept with their steps; 365 days when
	// 0.
	Journal time.Duration
	// DiskFull says why nothing is to be deployed, as a fault, when a disk has
	// hardly any room left; nothing is asked when nil. Roll backs need none.
	DiskFull func(context.Context) error
	// BaseURL gives the scheme and the port that people reach stages at; plain
	// HTTP without a port when nil.
	BaseURL *url.URL
	// ReservedHosts are Berth's own: no stage may have them.
	ReservedHosts []string
	// Own says that Berth itself listens at an address: no fixed route may lead
	// there. Nothing is its own when nil.
	Own func(netip.AddrPort) bool
	// HostPaths are those that stages may mount; none when empty.
	HostPaths HostPaths
	// ShutdownTimeout is what running deployments get when Run's context
	// ends; 30 seconds when 0.
	ShutdownTimeout time.Duration
	// Beat is the time between two probes of an instance that requests go to;
	// 10 seconds when 0. With more than 20 instances for each of its seconds
	// it is longer: see beats.
	Beat time.Duration
	// Measure is the time between two readings of what an instance uses; 15
	// seconds when 0. With more than 5 instances for each of its seconds it is
	// longer: see [Service.Usage].
	Measure time.Duration
	// LogDir is the folder where what containers wrote is kept once they are
	// gone; nowhere when empty. LogRetention is for how long; 14 days when 0.
	LogDir       string
	LogRetention time.Duration
	Clock        func() time.Time // time.Now when nil
	Log          *slog.Logger
	// Hook, when set, is called around each step of a deployment: with
	// "before" when the step is in the journal and nothing was done yet, with
	// "after" when it was done and the journal does not say so yet. It is how
	// tests crash there.
	Hook func(ctx context.Context, deployment string, step StepName, when string)
}

// Service keeps projects and runs deployments. Its methods may be called from
// many goroutines, and all but Run also while Run does not run: what they ask
// for is then done when it does.
type Service struct {
	db       *sqlite.DB
	events   *event.Log
	runtime  container.Runtime
	router   Router
	meter    Meter
	images   Images
	secrets  Secrets
	tokens   Tokens
	people   People
	known    Providers
	shelf    Shelf
	diskFull func(context.Context) error
	keepRule KeepRule
	// journalFor is how long deployments are kept.
	journalFor time.Duration
	base       url.URL
	reserved   map[string]bool
	own        func(netip.AddrPort) bool
	hostPaths  HostPaths
	shutdown   time.Duration
	clock      func() time.Time
	log        *slog.Logger
	hook       func(ctx context.Context, deployment string, step StepName, when string)
	prober     *probe.Client
	server     string // which Berth this is to the engine

	logs         logBook
	logRetention time.Duration

	engine    engineState
	locks     locks
	jobs      jobs
	beats     beats
	usage     usage
	outcomes  outcomes
	losses    losses
	verdicts  verdicts
	execs     execs
	restarts  restarts
	canaries  canaries
	watches   watches
	announced announced

	announcing  sync.Once // see Announce
	unannounced error
	picking     sync.RWMutex // held for reading while a deployment chooses its image, for writing while one is removed
	archives    archives
	retiring    chan struct{} // holds one: the times to stop changed
	scheduling  chan struct{} // holds one: when jobs are due changed
	counts      runCounts
	promoting   chan struct{} // holds one: what may be promoted changed
	ready       chan struct{}
	reconciled  atomic.Bool
	admit       func() // set by Run
}

// What deploy remembers in the database.
const (
	markServer = "server"
	markPushes = "pushes" // the last event that was looked at for a push
)

// New checks c, and finds or makes the id that marks this Berth's containers.
func New(c Config) (*Service, error) {
	for name, missing := range map[string]bool{
		"DB": c.DB == nil, "Events": c.Events == nil, "Runtime": c.Runtime == nil,
		"Router": c.Router == nil, "Images": c.Images == nil, "Secrets": c.Secrets == nil,
	} {
		if missing {
			return nil, fmt.Errorf("deploy: no %s was given", name)
		}
	}
	s := &Service{
		db: c.DB, events: c.Events, runtime: c.Runtime, router: c.Router, images: c.Images, secrets: c.Secrets, tokens: c.Tokens, people: c.People, known: c.Providers,
		shelf: c.Shelf, diskFull: c.DiskFull,
		keepRule:   KeepRule{orElse(c.Keep.Releases, keepReleases), orElse(c.Keep.For, keepFor)},
		journalFor: orElse(c.Journal, 365*24*time.Hour),
		base:       url.URL{Scheme: "http"}, reserved: map[string]bool{}, own: c.Own, hostPaths: c.HostPaths, shutdown: orElse(c.ShutdownTimeout, 30*time.Second),
		clock: c.Clock, log: c.Log, hook: c.Hook, prober: probe.New(),
		engine:   engineState{turns: make(chan struct{}, engineAtATime)},
		outcomes: newOutcomes(),
		retiring: make(chan struct{}, 1), promoting: make(chan struct{}, 1), scheduling: make(chan struct{}, 1), ready: make(chan struct{}),
	}
	s.beats = beats{every: orElse(c.Beat, beatEvery), ask: s.probeTarget, lost: s.lost}
	s.usage.every = orElse(c.Measure, measureEvery)
	if s.meter = c.Meter; s.meter == nil {
		s.meter = noMeter{}
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.logs, s.logRetention = logBook{dir: c.LogDir, clock: s.clock}, orElse(c.LogRetention, logRetention)
	if c.BaseURL != nil {
		s.base = *c.BaseURL
	}
	for _, host := range c.ReservedHosts {
		s.reserved[strings.ToLower(host)] = true
	}
	return s, s.identify(context.Background())
}

// identify gives this Berth the id that it marks its containers with.
func (s *Service) identify(ctx context.Context) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) (err error) {
		if s.server, err = mark(ctx, tx, markServer); err != nil || s.server != "" {
			return err
		}
		s.server = sqlite.NewID(s.clock())
		return setMark(ctx, tx, markServer, s.server)
	})
}

// Ready gives a channel that closes when, for the first time since the start,
// what the database says and what the engine holds were brought together.
// While the engine is away that does not happen.
func (s *Service) Ready() <-chan struct{} { return s.ready }

// Announce has the router know every route: those of stages without instances
// yet, and those to fixed addresses, which need no engine, as they are. It does
// so once; Run does, too.
func (s *Service) Announce(ctx context.Context) error {
	s.announcing.Do(func() { s.unannounced = errors.Join(s.announceRoutes(ctx), s.announceFixed(ctx)) })
	return s.unannounced
}

// Run routes what is live, resumes what an earlier process left, and works
// until ctx ends. Then it takes no new work; deployments that run get the
// ShutdownTimeout to end, past which they are left to be resumed. It may be
// called once.
func (s *Service) Run(ctx context.Context) error {
	if err := s.Announce(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop before it began
		}
		return err
	}
	work, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	s.admit = func() {
		s.jobs.admit(map[string]beginning{
			jobDeploy: under(work, s.deploy), jobGiveWay: under(work, s.giveWay), jobKeep: under(ctx, s.keep),
			jobReroute: under(ctx, s.rerouteOne),
			jobRuns:    under(ctx, s.runJobs),
		})
	}
	group, background := errgroup.WithContext(ctx)
	group.Go(func() error { s.watch(background); return nil })
	group.Go(func() error { s.retireDue(background); return nil })
	group.Go(func() error { s.followPushes(background); return nil })
	group.Go(func() error { s.beats.run(background); return nil })
	group.Go(func() error { s.measure(background); return nil })
	group.Go(func() error { s.promoteDue(background); return nil })
	group.Go(func() error { s.keepHouseLater(background); return nil })
	group.Go(func() error { s.runDue(background); return nil })
	group.Go(func() error { s.tidyVolumes(background); return nil })
	if s.logs.dir != "" {
		group.Go(func() error { s.sweepLogs(background); return nil })
	}
	err := group.Wait() // when ctx ends

	s.jobs.refuse()
	timer := time.AfterFunc(s.shutdown, func() { stop(errShutdown) })
	defer timer.Stop()
	s.jobs.group.Wait()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
