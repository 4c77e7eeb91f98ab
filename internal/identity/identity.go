// Package identity knows people: who they are, how they prove it, and what
// they may do. It keeps their passwords, sessions and API tokens, bounds how
// often anybody may guess, and holds the one access decision.
//
// Start with [Service.SignIn], [Service.BySession] and [Decide]. Cookies,
// headers and pages belong to the packages above; nothing here speaks HTTP.
package identity

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sync/singleflight"

	"berth/internal/event"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// The kinds of events that this package writes.
const (
	PersonCreated   event.Kind = "person.created"
	PersonUpdated   event.Kind = "person.updated"
	PersonDisabled  event.Kind = "person.disabled"
	PersonEnabled   event.Kind = "person.enabled"
	PersonRemoved   event.Kind = "person.removed"
	PasswordChanged event.Kind = "person.password_changed"
	PasswordAdded   event.Kind = "person.password_added"   // by themselves, who had none
	PasswordRemoved event.Kind = "person.password_removed" // by themselves
	SignInSucceeded event.Kind = "signin.succeeded"
	SignInFailed    event.Kind = "signin.failed"
	SessionEnded    event.Kind = "session.ended"
	// SessionStrengthened is that somebody proved again who they are.
	SessionStrengthened event.Kind = "session.strengthened"
	TokenCreated        event.Kind = "token.created"
	TokenRemoved        event.Kind = "token.removed"
	// TokenApproved is that somebody lets a command line have a token, and
	// TokenDenied that they do not.
	TokenApproved event.Kind = "token.approved"
	TokenDenied   event.Kind = "token.denied"
)

// Config is what a Service needs. Only DB and Events are required.
type Config struct {
	DB     *sqlite.DB
	Events *event.Log
	// PasswordCost is bcrypt's; 0 means 12, a quarter of a second or so.
	PasswordCost int
	// SessionIdle is how long a session lives unused; 0 means 7 days.
	SessionIdle time.Duration
	// SessionLifetime is how long a session lives at most; 0 means 30 days.
	SessionLifetime time.Duration
	// SecondFactor says who must have a second factor; nobody when empty.
	SecondFactor Requirement
	Clock        func() time.Time // time.Now when nil
	Log          *slog.Logger
}

// Service keeps people. Its methods may be called from many goroutines.
type Service struct {
	db       *sqlite.DB
	events   *event.Log
	log      *slog.Logger
	clock    func() time.Time
	idle     time.Duration
	lifetime time.Duration

	least  Requirement                 // of the settings
	chosen atomic.Pointer[Requirement] // see required

	passwords passwords
	limits    *limits
	sessions  *cache // by SHA-256 of the token
	tokens    *cache // by SHA-256 of the token
	proofs    *cache // by a MAC of username and password, for Basic
	proofKey  []byte
	proving   singleflight.Group
	seen      *seen
	holds     *holds
	watches   *watches
	only      atomic.Pointer[string] // see OnlyProvider
	tickets   *tickets
	devices   *devices

	onRemove []func(ctx context.Context, tx *sqlite.Tx, actor, username string) error
	waysIn   []WaysIn
	onEnded  func(context.Context, *sqlite.Tx, Ended) error
}

// New checks c once.
func New(c Config) (*Service, error) {
	if c.DB == nil || c.Events == nil {
		return nil, errors.New("identity: needs a database and an event log")
	}
	if c.PasswordCost == 0 {
		c.PasswordCost = 12
	}
	if c.PasswordCost < bcrypt.MinCost || c.PasswordCost > bcrypt.MaxCost {
		return nil, fmt.Errorf("identity: password cost %d is not within %d and %d", c.PasswordCost, bcrypt.MinCost, bcrypt.MaxCost)
	}
	if c.SessionIdle == 0 {
		c.SessionIdle = 7 * 24 * time.Hour
	}
	if c.SessionLifetime == 0 {
		c.SessionLifetime = 30 * 24 * time.Hour
	}
	if c.SessionIdle < 0 || c.SessionLifetime < 0 {
		return nil, errors.New("identity: a session's limits must be above zero")
	}
	if _, known := strictness[c.SecondFactor]; !known && c.SecondFactor != "" {
		return nil, fmt.Errorf("identity: a second factor can't be required of %q", c.SecondFactor)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails: the documentation of crypto/rand
	s := &Service{
		db: c.DB, events: c.Events, log: c.Log, clock: c.Clock,
		idle: c.SessionIdle, lifetime: c.SessionLifetime, least: c.SecondFactor,
		passwords: newPasswords(c.PasswordCost, runtime.GOMAXPROCS(0)),
		limits:    newLimits(),
		sessions:  newCache(maxSessionsCached), tokens: newCache(maxCached), proofs: newCache(maxCached), proofKey: key,
		seen: newSeen(), holds: newHolds(), watches: newWatches(), tickets: newTickets(), devices: newDevices(),
	}
	return s, s.readRequirement(context.Background())
}

// KnowProviders takes over by which providers people sign in, beside Berth
// itself, and has decided anew who was let in by what one of them told.
func (s *Service) KnowProviders(slugs []string) {
	only := ""
	if len(slugs) == 1 {
		only = slugs[0]
	}
	if before := s.only.Swap(&only); before == nil || *before != only {
		s.watches.askAgain(func(*Watch) bool { return true })
	}
}

// OnlyProvider gives the one provider by which people sign in beside Berth
// itself; "" where there is none, or more than one.
func (s *Service) OnlyProvider() string {
	if only := s.only.Load(); only != nil {
		return *only
	}
	return ""
}

// How often Run writes down who was seen, sweeps, and looks whose time is over.
const (
	flushEvery  = 30 * time.Second
	sweepEvery  = time.Hour
	expireEvery = time.Second / 2
)

// Run writes down when sessions and tokens were last seen and removes what has
// expired, until ctx ends. What was seen last is written before it returns.
func (s *Service) Run(ctx context.Context) error {
	flush, sweep, expire := time.NewTicker(flushEvery), time.NewTicker(sweepEvery), time.NewTicker(expireEvery)
	defer flush.Stop()
	defer sweep.Stop()
	defer expire.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return s.flushSeen(last)
		case <-flush.C:
			s.report(ctx, "write down who was seen", s.flushSeen(ctx))
		case <-expire.C:
			s.watches.expire(s.now(), s.idle)
		case <-sweep.C:
			s.report(ctx, "remove what has expired", s.sweep(ctx))
		}
	}
}

// report is for what Run tries again at the next tick.
func (s *Service) report(ctx context.Context, doing string, err error) {
	if err != nil && ctx.Err() == nil {
		s.log.ErrorContext(ctx, "identity upkeep failed", "doing", doing, "error", err)
	}
}

// sweep removes sessions past their limits, API tokens a while after theirs,
// and set-up links.
func (s *Service) sweep(ctx context.Context) error {
	// First, so that nothing goes for being idle that was just used.
	if err := s.flushSeen(ctx); err != nil {
		return err
	}
	now := s.now()
	s.limits.sweep(now)
	s.tickets.sweep(now)
	s.devices.sweep(now)
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		sessions, err := expiredSessions(ctx, tx, now, s.idle)
		if err != nil {
			return err
		}
		for _, one := range sessions {
			if err := s.endSession(ctx, tx, berth, one, "expired"); err != nil {
				return err
			}
		}
		tokens, err := expiredTokens(ctx, tx, now.Add(-keepExpiredTokens))
		if err != nil {
			return err
		}
		for _, one := range tokens {
			if err := s.removeToken(ctx, tx, berth, one, "expired"); err != nil {
				return err
			}
		}
		return deleteExpiredSetupLinks(ctx, tx, now)
	})
}

// berth is the actor of what nobody asked for.
const berth = "berth"

// now is the time as the store keeps it: UTC, in milliseconds.
func (s *Service) now() time.Time { return s.clock().UTC().Truncate(time.Millisecond) }

// record appends an event about one person.
func (s *Service) record(ctx context.Context, tx *sqlite.Tx, kind event.Kind, actor string, data any) error {
	return s.events.Append(ctx, tx, event.Event{Kind: kind, Actor: actor, At: s.now()}, data)
}

// newSecret makes a random 256-bit token in 43 letters that need no escaping
// in a cookie, a header or a URL.
func newSecret(prefix string) secret.Text {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return secret.New(prefix + base64URL.EncodeToString(b))
}
