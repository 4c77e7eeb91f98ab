// Package notify tells people what happened: it follows the event log, makes
// short messages of what channels ask for, and delivers each to e-mail, Slack,
// Discord, Matrix, ntfy, Teams or a signed webhook, with retries and a record.
//
// Start with [New] and [Notifier.Run]; [noticeOf] decides what an event says
// to people. Each message is a row before it is sent, so that a restart loses
// none. What goes out carries the row's id: a crash between sending and
// storing sends once more, and who knows the id drops it.
//
// Who may change a channel is decided by those who call.
package notify

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"

	"berth/internal/event"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// Secrets keeps the addresses of channels sealed: SetIn over the one that may
// be there. Get and RemoveIn give a fault of kind Missing when there is none.
type Secrets interface {
	SetIn(ctx context.Context, tx *sqlite.Tx, actor, slotContext, name string, value secret.Text) error
	Get(ctx context.Context, slotContext, name string) (secret.Text, error)
	RemoveIn(ctx context.Context, tx *sqlite.Tx, actor, slotContext, name string) error
}

// Projects says which projects there are.
type Projects interface {
	HasProject(ctx context.Context, name string) (bool, error)
}

// Config is what a Notifier needs. DB, Events, Secrets, Projects and BaseURL
// are required.
type Config struct {
	DB       *sqlite.DB
	Events   *event.Log
	Secrets  Secrets
	Projects Projects
	BaseURL  *url.URL       // of the dashboard, which messages lead to
	Keep     time.Duration  // of what was sent; 90 days when 0
	Roots    *x509.CertPool // whose certificates are trusted; the system's when nil
	Clock    func() time.Time
	Jitter   func() float64 // between 0 and 1; random when nil
	Log      *slog.Logger
}

// Notifier keeps channels and delivers messages to them. Its methods may be
// called from many goroutines.
type Notifier struct {
	db       *sqlite.DB
	events   *event.Log
	secrets  Secrets
	projects Projects
	base     *url.URL
	keep     time.Duration
	clock    func() time.Time
	jitter   func() float64
	log      *slog.Logger

	courier *courier
	counts  counts
	wake    chan struct{} // holds one when there may be something to deliver
}

// New checks c once.
func New(c Config) (*Notifier, error) {
	if c.DB == nil || c.Events == nil || c.Secrets == nil || c.Projects == nil || c.BaseURL == nil {
		return nil, errors.New("notify: needs a database, an event log, secrets, projects and a base URL")
	}
	if c.Keep == 0 {
		c.Keep = keepFor
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Jitter == nil {
		c.Jitter = rand.Float64
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Notifier{
		db: c.DB, events: c.Events, secrets: c.Secrets, projects: c.Projects, base: c.BaseURL,
		keep: c.Keep, clock: c.Clock, jitter: c.Jitter, log: c.Log,
		courier: newCourier(c.BaseURL, c.Roots), wake: make(chan struct{}, 1),
	}, nil
}

// Run follows the event log, delivers and forgets what is old, until ctx ends.
// What is being sent then gets a moment to end.
func (n *Notifier) Run(ctx context.Context) error {
	var work sync.WaitGroup
	work.Go(func() { n.follow(ctx) })
	work.Go(func() { n.deliver(ctx) })
	work.Go(func() { n.prune(ctx) })
	work.Wait()
	return nil
}

func (n *Notifier) now() time.Time { return n.clock().UTC().Truncate(time.Millisecond) }

// stir has deliver look again. It never blocks.
func (n *Notifier) stir() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// pause waits for d, or until ctx ends: false.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
