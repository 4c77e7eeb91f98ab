package vault

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// The kinds of events about grants; data: about a grant, never a token.
const (
	GrantEnded     event.Kind = "grant.ended"
	GrantForgotten event.Kind = "grant.forgotten"
	GrantGiven     event.Kind = "grant.given" // an app got an access token
)

// Tokens are what a provider gave, to act there on somebody's behalf.
type Tokens struct {
	Provider   string // its slug
	Issuer     string
	ClientID   string
	ExternalID string
	Access     secret.Text
	Refresh    secret.Text // empty when there is none
	ExpiresAt  time.Time   // of Access; the zero time when the provider does not say
}

// Grant is what may be known of somebody's tokens without opening them.
type Grant struct {
	Provider   string    `json:"provider"`
	IdentityID string    `json:"-"`
	ExternalID string    `json:"-"`
	Version    int64     `json:"-"`
	Renewable  bool      `json:"renewable"`           // there is a refresh token
	ExpiresAt  time.Time `json:"expires_at,omitzero"` // of the access token
	Ended      string    `json:"ended,omitempty"`     // why; only a new sign-in at the provider helps
	UpdatedAt  time.Time `json:"updated_at"`

	sealed    []byte
	claimedAt time.Time // by this process, zero where it was only read
}

// Bearer is an access token that is good now (RFC 6750).
type Bearer struct {
	Token     secret.Text
	Provider  string
	ExpiresAt time.Time // the zero time when the provider does not say
}

// Party is whom tokens are of and for: a provider's issuer, and Berth as its
// client.
type Party struct{ Issuer, ClientID string }

// Providers ask the providers that tokens are of. Refresh has the new ones kept
// as soon as it has them, and then hears what the provider says of the person;
// it gives an error with [ErrGrantEnded] in its chain when it will never go
// better, an [EndedError] where there is a reason. Ended is told, in tx, that a
// grant is over. Hear is the same as Refresh with an access token that is good,
// where none can be had anew.
type Providers interface {
	Party(ctx context.Context, slug string) (Party, error)
	Refresh(ctx context.Context, t Tokens, keep func(Tokens) error) error
	Hear(ctx context.Context, t Tokens) error
	Ended(ctx context.Context, tx *sqlite.Tx, identityID, why string) error
}

// ErrGrantEnded is in the chain of every error after which only a new sign-in
// at the provider helps.
var ErrGrantEnded = errors.New("the provider ended the grant")

// EndedError says in words why a grant is over.
type EndedError struct {
	Why   string // for people, and for the log of events
	Cause error  // for the log
}

func (e *EndedError) Error() string {
	if e.Cause == nil {
		return e.Why
	}
	return e.Why + ": " + e.Cause.Error()
}

// Unwrap gives [ErrGrantEnded]. The cause may be of another kind, and is for
// reading alone.
func (e *EndedError) Unwrap() error { return ErrGrantEnded }

const (
	// renewBefore is how long before its end an access token is renewed.
	renewBefore = time.Minute
	// renewTimeout bounds one renewal, with what is asked of the provider.
	renewTimeout = 50 * time.Second
	// claimLasts is how long a claim keeps others from renewing: longer than a
	// renewal takes, so that only one who died has it for so long.
	claimLasts = 2 * renewTimeout
	// claimLook is how often somebody who waits for another's renewal looks.
	claimLook = 100 * time.Millisecond
	// renewRests is how long nothing is asked after a renewal that failed, and
	// renewRestsMost how long where the provider asked for a longer time.
	renewRests     = 5 * time.Second
	renewRestsMost = 5 * time.Minute
	// restsMost bounds what is known of renewals that failed.
	restsMost = 10_000
)

// GrantsConfig is what Grants need; all but Clock and Log are required.
type GrantsConfig struct {
	DB        *sqlite.DB
	Events    *event.Log
	Key       secret.Text // the vault's
	Providers func() Providers
	Clock     func() time.Time
	Log       *slog.Logger
}

// Grants keep what providers gave on people's behalf. Their methods may be
// called from many goroutines.
type Grants struct {
	db        *sqlite.DB
	events    *event.Log
	sealer    sealer
	providers func() Providers
	clock     func() time.Time
	log       *slog.Logger

	renewing singleflight.Group
	rests    rests
	given    once
	counts   *prometheus.CounterVec
}

// NewGrants checks c once. What a process that died had claimed is free again:
// one process has the database (decision 0006).
func NewGrants(ctx context.Context, c GrantsConfig) (*Grants, error) {
	if c.DB == nil || c.Events == nil || c.Providers == nil {
		return nil, errors.New("vault: grants need a database, an event log and providers")
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	sealer, err := newSealer(c.Key, forGrants)
	if err != nil {
		return nil, err
	}
	g := &Grants{
		db: c.DB, events: c.Events, sealer: sealer, providers: c.Providers, clock: c.Clock, log: c.Log, rests: newRests(), given: once{&sync.Mutex{}, map[string]struct{}{}},
		counts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_token_refreshes_total",
			Help: "Refreshes of the tokens that providers gave, by provider and outcome: refreshed, ended, failed.",
		}, []string{"provider", "outcome"}),
	}
	return g, g.db.Write(ctx, func(tx *sqlite.Tx) error { return releaseClaims(ctx, tx) })
}

// Collector gives how many refreshes ended how.
func (g *Grants) Collector() prometheus.Collector { return g.counts }

// slotOf is the name of the slot of somebody's tokens.
func slotOf(externalID string) string {
	sum := sha256.Sum256([]byte(externalID))
	return hex.EncodeToString(sum[:8])
}

// KeepTokens keeps, in tx, what a provider has just given for an identity,
// over what it gave before. A provider that gives a refresh token only the
// first time (as Google does) has not taken that one back.
func (g *Grants) KeepTokens(ctx context.Context, tx *sqlite.Tx, identityID string, t Tokens) error {
	before, found, err := selectGrant(ctx, tx, identityID)
	if err != nil {
		return err
	}
	if found && t.Refresh.Empty() && before.sealed != nil {
		if had, err := g.open(before, Party{t.Issuer, t.ClientID}); err == nil {
			t.Refresh = had.Refresh
		}
	}
	if size := len(t.Access.Reveal()) + len(t.Refresh.Reveal()); t.Access.Empty() || size > MaxSize {
		g.log.WarnContext(ctx, "tokens not kept", "provider", t.Provider, "identity", identityID, "bytes", size)
		return nil
	}
	g.rests.end(identityID)
	return upsertGrant(ctx, tx, g.grant(identityID, before.Version+1, t))
}

func (g *Grants) grant(identityID string, version int64, t Tokens) Grant {
	one := Grant{
		Provider: t.Provider, IdentityID: identityID, ExternalID: t.ExternalID, Version: version,
		Renewable: !t.Refresh.Empty(), ExpiresAt: t.ExpiresAt, UpdatedAt: g.now(),
	}
	raw, _ := json.Marshal(sealedTokens{t.Access.Reveal(), t.Refresh.Reveal()}) // two strings
	one.sealed = g.sealer.seal(one.bound(Party{t.Issuer, t.ClientID}), string(raw))
	return one
}

// sealedTokens is what is sealed of a grant.
type sealedTokens struct {
	Access  string `json:"access"`
	Refresh string `json:"refresh"`
}

// bound is what tokens are sealed to: they open for nobody else, under no
// earlier version, and not for a provider that was pointed elsewhere.
func (one Grant) bound(to Party) []byte {
	raw, _ := json.Marshal([]any{one.Provider, to.Issuer, to.ClientID, one.ExternalID, one.IdentityID, one.Version}) // strings and a number
	return raw
}

func (g *Grants) open(one Grant, to Party) (Tokens, error) {
	raw, err := g.sealer.open(one.bound(to), one.sealed)
	if err != nil {
		return Tokens{}, err
	}
	var had sealedTokens
	if err := json.Unmarshal([]byte(raw), &had); err != nil {
		return Tokens{}, fmt.Errorf("read the tokens: %w", err)
	}
	return Tokens{
		Provider: one.Provider, Issuer: to.Issuer, ClientID: to.ClientID, ExternalID: one.ExternalID,
		Access: secret.New(had.Access), Refresh: secret.New(had.Refresh), ExpiresAt: one.ExpiresAt,
	}, nil
}

// Of gives what is known of the grants of these identities, by identity.
func (g *Grants) Of(ctx context.Context, identityIDs ...string) (map[string]Grant, error) {
	known := map[string]Grant{}
	err := g.db.Read(ctx, func(tx *sqlite.Tx) error {
		for _, id := range identityIDs {
			one, found, err := selectGrant(ctx, tx, id)
			if err != nil {
				return err
			}
			if found && one.Ended == "" && !one.Renewable && (held{grant: one}).expired(g.now()) {
				one.Ended = ranOut
			}
			if found {
				known[id] = one
			}
		}
		return nil
	})
	return known, err
}

// Forget removes the tokens that a provider gave for an identity; a fault of
// kind Missing when there are none.
func (g *Grants) Forget(ctx context.Context, actor, identityID string) error {
	return g.db.Write(ctx, func(tx *sqlite.Tx) error {
		one, found, err := selectGrant(ctx, tx, identityID)
		if err != nil {
			return err
		}
		if !found {
			return fault.NotFound("no tokens are kept for this identity")
		}
		if err := deleteGrant(ctx, tx, identityID); err != nil {
			return err
		}
		return g.record(ctx, tx, GrantForgotten, actor, one.about())
	})
}

// aboutGrant is the data of events about grants.
type aboutGrant struct {
	Provider   string `json:"provider"`
	Identity   string `json:"identity"`
	ExternalID string `json:"external_id"`
	Why        string `json:"why,omitempty"`
	App        string `json:"app,omitempty"` // its host
}

func (one Grant) about() aboutGrant {
	return aboutGrant{Provider: one.Provider, Identity: one.IdentityID, ExternalID: one.ExternalID}
}

func (g *Grants) record(ctx context.Context, tx *sqlite.Tx, kind event.Kind, actor string, data aboutGrant) error {
	return g.events.Append(ctx, tx, event.Event{Kind: kind, Actor: actor, At: g.now()}, data)
}

func (g *Grants) now() time.Time { return g.clock().UTC().Truncate(time.Millisecond) }
