// Package signin takes people from a provider elsewhere to a session here: it
// keeps the providers, sends a browser to one of them and reads what it brings
// back, and ends sessions when a provider says that they are over.
//
// Start with [Service.Begin] and [Service.Finish], the two ends of a sign-in.
// Who somebody is to Berth, and what they may do, belongs to package identity;
// signing in with a password does, too. Cookies and pages belong to the API.
package signin

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"berth/internal/cookie"
	"berth/internal/event"
	"berth/internal/identity"
	"berth/internal/outgoing"
	"berth/internal/secret"
	"berth/internal/sqlite"
	"berth/internal/vault"
)

// The kinds of events that this package writes. That somebody signed in is
// written by package identity.
const (
	ProviderCreated event.Kind = "provider.created"  // data: ProviderChange
	ProviderUpdated event.Kind = "provider.updated"  // data: ProviderChange
	ProviderRemoved event.Kind = "provider.removed"  // data: ProviderChange
	ProviderPinned  event.Kind = "provider.pinned"   // data: ProviderChange; its issuer is known to the letter from now on
	Refused         event.Kind = "signin.refused"    // data: Refusal
	LoggedOut       event.Kind = "signin.logged_out" // data: LoggedOutThere; a provider ended sessions
)

// Secrets keeps the client secrets sealed. Get and RemoveIn give a fault of
// kind Missing when there is none.
type Secrets interface {
	SetIn(ctx context.Context, tx *sqlite.Tx, actor, slotContext, name string, value secret.Text) error
	Get(ctx context.Context, slotContext, name string) (secret.Text, error)
	RemoveIn(ctx context.Context, tx *sqlite.Tx, actor, slotContext, name string) error
}

// TokenKeeper keeps, in the transaction that a sign-in is written in, the
// tokens that a provider gave for somebody. Good gives the identities of which
// it has some that are good, each with whether they can be refreshed; Renew has
// [Service.Refresh] called with them, never twice at the same time, or
// [Service.Hear], and gives an error with [vault.ErrGrantEnded] in its chain
// when the grant is over.
type TokenKeeper interface {
	KeepTokens(ctx context.Context, tx *sqlite.Tx, identityID string, t vault.Tokens) error
	Good(ctx context.Context) (renewable map[string]bool, err error)
	Renew(ctx context.Context, identityID string) error
}

// Config is what a Service needs. DB, Events, Secrets, Identity and BaseURL
// are required.
type Config struct {
	DB       *sqlite.DB
	Events   *event.Log
	Secrets  Secrets
	Identity *identity.Service
	Keeper   TokenKeeper    // nobody keeps tokens when nil
	BaseURL  *url.URL       // providers send browsers back here
	Roots    *x509.CertPool // whose certificates are trusted; the system's when nil
	// RefreshEvery is how often providers are asked about those who are signed
	// in; 0 is never, and then no session ends with what they say in between.
	RefreshEvery time.Duration
	// MostUnderWay bounds the sign-ins that browsers are on their way with;
	// 0 is 20,000. Beyond it the oldest of the site that has most gives way,
	// so that nobody can fill it for others.
	MostUnderWay int
	Clock        func() time.Time
	Log          *slog.Logger
}

// Service keeps providers and takes people through them. Its methods may be
// called from many goroutines.
type Service struct {
	db       *sqlite.DB
	events   *event.Log
	secrets  Secrets
	identity *identity.Service
	keeper   TokenKeeper
	base     *url.URL
	cookies  cookie.Rule
	clock    func() time.Time
	log      *slog.Logger

	client *http.Client
	known  connections
	trials trials
	gates  gates
	most   int // sign-ins under way
	counts counts
	rounds rounds
}

// The bounds of what is asked of providers.
const (
	fetchTimeout = 15 * time.Second
	maxAnswer    = 1 << 20
)

// New checks c once.
func New(c Config) (*Service, error) {
	if c.DB == nil || c.Events == nil || c.Secrets == nil || c.Identity == nil || c.BaseURL == nil {
		return nil, errors.New("signin: needs a database, an event log, secrets, people and a base URL")
	}
	if c.RefreshEvery != 0 && c.RefreshEvery < leastRefresh {
		return nil, fmt.Errorf("signin: asking providers each %s is too often; %s is the least", c.RefreshEvery, leastRefresh)
	}
	if c.MostUnderWay == 0 {
		c.MostUnderWay = 20_000
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Identity.OnWayIn(leadsIn)
	s := &Service{
		db: c.DB, events: c.Events, secrets: c.Secrets, identity: c.Identity, keeper: c.Keeper,
		base: c.BaseURL, cookies: cookie.For(c.BaseURL), clock: c.Clock, log: c.Log,
		// Only administrators give a provider's address, and many run theirs at
		// home: private networks are allowed, what hands out credentials is not.
		client: outgoing.Client{Inside: true, Timeout: fetchTimeout, MaxAnswer: maxAnswer, Roots: c.Roots}.New(),
		known:  newConnections(), trials: newTrials(), gates: newGates(), counts: newCounts(),
		rounds: newRounds(c.RefreshEvery), most: c.MostUnderWay,
	}
	return s, s.db.Read(context.Background(), func(tx *sqlite.Tx) error {
		slugs, err := selectSlugs(context.Background(), tx)
		s.identity.KnowProviders(slugs)
		return err
	})
}

// sweepEvery is how often what has run out is removed.
const sweepEvery = 5 * time.Minute

// leastRefresh is the least time between two looks at one identity: who is
// signed in is read no more often.
const leastRefresh = rereadEvery

// Run removes the sign-ins that nobody finished, and makes the rounds, until
// ctx ends. It returns when the looks that are under way have ended.
func (s *Service) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	if s.rounds.every > 0 {
		all.Go(func() { s.runRounds(ctx) })
	}
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "unfinished sign-ins not removed", "error", err)
			}
		}
	}
}

// Sweep removes what has run out.
func (s *Service) Sweep(ctx context.Context) error {
	now := s.now()
	s.trials.sweep(now)
	s.gates.sweep(now)
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if err := deleteExpiredFlows(ctx, tx, now); err != nil {
			return err
		}
		return deleteExpiredLogouts(ctx, tx, now)
	})
}

func (s *Service) now() time.Time { return s.clock().UTC().Truncate(time.Millisecond) }
