// Package factor keeps what proves a person beside their password: passkeys
// (WebAuthn), codes from an app (RFC 6238) and recovery codes. It takes a
// sign-in from a right password to a session, and a session to a stronger one.
//
// Start with [Service.SignIn] and [Service.Open]. A sign-in that is not
// finished is an [Attempt], which is nobody anywhere: only this package takes
// its token. Passwords, sessions and the limits of guessing are identity's;
// cookies and pages belong to the packages above.
package factor

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"net/url"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// The kinds of events that this package writes. How somebody signed in is in
// identity's own.
const (
	Added     event.Kind = "factor.added"
	Removed   event.Kind = "factor.removed"
	Used      event.Kind = "factor.used"      // a recovery code
	Suspected event.Kind = "factor.suspected" // a passkey's counter went back: it may have been copied
	Reset     event.Kind = "factor.reset"     // an administrator removed all that somebody had
)

// Slots keeps secrets sealed; a *vault.Vault does.
type Slots interface {
	Get(ctx context.Context, slotContext, name string) (secret.Text, error)
	SetIn(ctx context.Context, tx *sqlite.Tx, actor, slotContext, name string, value secret.Text) error
	RemoveIn(ctx context.Context, tx *sqlite.Tx, actor, slotContext, name string) error
}

// Config is what a Service needs. Everything is required but Clock and Log.
type Config struct {
	DB     *sqlite.DB
	Events *event.Log
	People *identity.Service
	Slots  Slots
	// BaseURL is where the dashboard is: passkeys are bound to its host.
	BaseURL *url.URL
	Clock   func() time.Time // time.Now when nil
	Log     *slog.Logger
}

// Service keeps factors. Its methods may be called from many goroutines.
type Service struct {
	db     *sqlite.DB
	events *event.Log
	people *identity.Service
	slots  Slots
	host   string
	clock  func() time.Time
	log    *slog.Logger

	passkeys   *webauthn.WebAuthn // nil where the base host is an address, to which none can be bound
	challenges *challenges
}

// New checks c once.
func New(c Config) (*Service, error) {
	if c.DB == nil || c.Events == nil || c.People == nil || c.Slots == nil || c.BaseURL == nil {
		return nil, errors.New("factor: needs a database, an event log, people, slots and a base URL")
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{
		db: c.DB, events: c.Events, people: c.People, slots: c.Slots, host: c.BaseURL.Hostname(), clock: c.Clock, log: c.Log,
		challenges: newChallenges(),
	}
	c.People.OnEnded(deleteAttemptsOf)
	if _, err := netip.ParseAddr(s.host); err == nil {
		return s, nil
	}
	var err error
	if s.passkeys, err = newWebAuthn(c.BaseURL); err != nil {
		return nil, err
	}
	c.People.OnWayIn(byPasskey)
	return s, nil
}

// TakesPasskeys says whether there can be passkeys: not where the base host is
// an address.
func (s *Service) TakesPasskeys() bool { return s.passkeys != nil }

const sweepEvery = 10 * time.Minute

// Run removes what has expired until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "expired sign-ins not removed", "error", err)
			}
		}
	}
}

// sweep removes attempts past their time, and the secrets of people who are
// gone: a slot hangs on nobody.
func (s *Service) sweep(ctx context.Context) error {
	s.challenges.sweep(s.now())
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if err := deleteExpiredAttempts(ctx, tx, s.now()); err != nil {
			return err
		}
		left, err := orphanedSecrets(ctx, tx)
		if err != nil {
			return err
		}
		for _, person := range left {
			if err := s.slots.RemoveIn(ctx, tx, "berth", totpContext, person); err != nil {
				return err
			}
		}
		return nil
	})
}

// now is the time as the store keeps it.
func (s *Service) now() time.Time { return s.clock().UTC().Truncate(time.Millisecond) }

// about is the data of events about factors.
type about struct {
	Person   string          `json:"person"`
	Username string          `json:"username"`
	Factor   identity.Method `json:"factor,omitempty"`
	Name     string          `json:"name,omitempty"` // a passkey's
	Left     *int            `json:"left,omitempty"` // recovery codes that still count
}

func (s *Service) record(ctx context.Context, tx *sqlite.Tx, kind event.Kind, actor string, p identity.Person, data about) error {
	data.Person, data.Username = p.ID, p.Username
	return s.events.Append(ctx, tx, event.Event{Kind: kind, Actor: actor, At: s.now()}, data)
}

// freshFor is how long after somebody proved who they are they may change what
// proves it.
const freshFor = 10 * time.Minute

// Fresh refuses a subject that may not change what proves them, or see what is
// sealed, now: they need a session, and a proof that is not long ago.
func (s *Service) Fresh(subject identity.Subject) error {
	if err := identity.Decide(&subject, identity.ActionOwnFactors, identity.On{}); err != nil {
		return err
	}
	if !subject.ProvedSince(s.now().Add(-freshFor)) {
		return fault.ProveAgain("prove again who you are: you last did so more than %d minutes ago, or by less than you have", int(freshFor.Minutes()))
	}
	return nil
}
