// Package webhook takes what other registries and forges send when an image
// is pushed to them, and turns it into hints: which repository, which tag.
//
// Start with [Service.Receive], and with [Parse] for what each product sends.
// A webhook is never believed: that something was pushed is a reason to look,
// and looking, with Berth's own account, is left to a [Hinter], package
// registry's Watcher.
package webhook

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/time/rate"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/registry"
	"berth/internal/secret"
	"berth/internal/sqlite"
	"berth/internal/vault"
)

// The kinds of the events that this package writes; the data is Change.
const (
	Created event.Kind = "webhook.created"
	Removed event.Kind = "webhook.removed"
)

// Change is the data of the events.
type Change struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Source Source `json:"source"`
}

// SlotContext is the context of the slots that hold the secrets of webhooks;
// the name is the webhook's id.
const SlotContext = "berth/webhook"

// Webhook is a place where a registry tells of pushes. The token in its
// address is shown once.
type Webhook struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Source Source `json:"source"`
	// Project is the one whose image it may tell of; "" is all.
	Project string `json:"project,omitempty"`
	// Registry is the host that its images have in projects, where the sender
	// does not say one or says another; "" is as the sender says.
	Registry  string    `json:"registry,omitempty"`
	Secret    bool      `json:"secret"` // deliveries must be signed, or carry it
	CreatedBy string    `json:"created_by"`
	CreatedAt time.Time `json:"created_at"`
	// Last is the newest delivery, nil when there was none yet.
	Last *Delivery `json:"last,omitempty"`
}

// Hinter takes hints in a transaction and says which concern anybody;
// *registry.Watcher is one.
type Hinter interface {
	Hint(ctx context.Context, tx *sqlite.Tx, project string, hints []registry.Hint) (concern []registry.Hint, err error)
}

// Secrets keeps the secrets of webhooks; *vault.Vault does.
type Secrets interface {
	Get(ctx context.Context, slotContext, name string) (secret.Text, error)
	List(ctx context.Context, slotContext string) ([]vault.Slot, error)
	SetIn(ctx context.Context, tx *sqlite.Tx, actor, slotContext, name string, value secret.Text) error
	RemoveIn(ctx context.Context, tx *sqlite.Tx, actor, slotContext, name string) error
}

// Config is what a Service needs.
type Config struct {
	DB      *sqlite.DB
	Events  *event.Log
	Secrets Secrets
	Hinter  Hinter
	BaseURL *url.URL // where senders reach Berth
	// Rate is how many deliveries a second one webhook takes in the long run,
	// and ten times as many at once; 0 means 20.
	Rate  rate.Limit
	Keep  time.Duration    // of deliveries; 90 days when 0
	Clock func() time.Time // time.Now when nil
	Log   *slog.Logger
}

// Service keeps webhooks and their deliveries. Its methods may be called from
// many goroutines.
type Service struct {
	db      *sqlite.DB
	events  *event.Log
	secrets Secrets
	hinter  Hinter
	base    url.URL
	keep    time.Duration
	clock   func() time.Time
	log     *slog.Logger
	limits  *limits
	meter   meter

	flushing sync.Mutex // held by the one who writes what is pending
	mu       sync.Mutex
	pending  []*waiting
}

const (
	defaultRate = 20
	maxWebhooks = 500
	tokenBytes  = 32
	leastSecret = 16 // characters
	mostSecret  = 255
)

// New checks c once.
func New(c Config) (*Service, error) {
	if c.DB == nil || c.Events == nil || c.Secrets == nil || c.Hinter == nil || c.BaseURL == nil {
		return nil, errors.New("webhook: needs a database, an event log, secrets, who takes hints and a base URL")
	}
	if c.Rate == 0 {
		c.Rate = defaultRate
	}
	if c.Keep == 0 {
		c.Keep = keepFor
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{
		db: c.DB, events: c.Events, secrets: c.Secrets, hinter: c.Hinter, base: *c.BaseURL, keep: c.Keep,
		clock: c.Clock, log: c.Log, limits: newLimits(c.Rate), meter: newMeter(),
	}, nil
}

// Request asks for a webhook.
type Request struct {
	Name     string
	Source   Source
	Project  string // one that is there; "" is all
	Registry string
	Secret   secret.Text // empty for none
	// Generate has a secret made, and given back once.
	Generate bool
}

// Made is a new webhook with what is shown this once.
type Made struct {
	Webhook Webhook
	URL     secret.Text // with the token in it
	Secret  secret.Text // empty unless it was made here
}

// Add makes a webhook. Its faults name the fields that are wrong, or are
// Conflict where there is one of that name.
func (s *Service) Add(ctx context.Context, actor string, r Request) (Made, error) {
	r, err := r.checked()
	if err != nil {
		return Made{}, err
	}
	made := Made{}
	if r.Generate {
		made.Secret = newToken()
		r.Secret = made.Secret
	}
	token, now := newToken(), s.now()
	made.Webhook = Webhook{
		ID: sqlite.NewID(now), Name: r.Name, Source: r.Source, Project: r.Project, Registry: r.Registry,
		Secret: !r.Secret.Empty(), CreatedBy: actor, CreatedAt: now,
	}
	made.URL = secret.New(s.base.JoinPath("api", "webhooks", string(r.Source), token.Reveal()).String())
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if n, err := countWebhooks(ctx, tx); err != nil || n >= maxWebhooks {
			return errors.Join(err, unless(n < maxWebhooks, fault.Conflict("there are %d webhooks, and more are not kept: remove one first", n)))
		}
		err := insertWebhook(ctx, tx, made.Webhook, hashOf(token))
		if sqlite.IsUnique(err) {
			return fault.Conflict("there is a webhook named %q already", r.Name)
		}
		if err != nil {
			return err
		}
		if !r.Secret.Empty() {
			if err := s.secrets.SetIn(ctx, tx, actor, SlotContext, made.Webhook.ID, r.Secret); err != nil {
				return err
			}
		}
		return s.record(ctx, tx, Created, actor, made.Webhook)
	})
	if err != nil {
		return Made{}, err
	}
	return made, nil
}

func unless(ok bool, err error) error {
	if ok {
		return nil
	}
	return err
}

func (r Request) checked() (Request, error) {
	var wrong []fault.Field
	bad := func(name, message string) { wrong = append(wrong, fault.Field{Name: name, Message: message}) }
	if r.Name = strings.TrimSpace(r.Name); r.Name == "" || utf8.RuneCountInString(r.Name) > 100 || strings.ContainsFunc(r.Name, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		bad("name", "takes 1 to 100 printable characters")
	}
	product, known := products[r.Source]
	if !known {
		bad("source", "is one of "+strings.Join(sourceNames(), ", "))
	}
	if r.Registry != "" {
		host, err := registry.NormalHost(r.Registry)
		if err != nil {
			bad("registry", "is a host, with a port where it has one, such as registry.example.org:5000")
		}
		r.Registry = host
	}
	if known && product.silent && r.Registry == "" {
		bad("registry", "is needed: "+product.name+" does not say its own host")
	}
	switch size := len(r.Secret.Reveal()); {
	case known && (r.Generate || size > 0) && product.auth == authNone:
		bad("secret", product.name+" has no way to send one: its address is the secret")
	case r.Generate && size > 0:
		bad("secret", "is either given or made")
	case size > 0 && (size < leastSecret || size > mostSecret):
		bad("secret", "has 16 to 255 characters")
	}
	return r, fault.InvalidFields(wrong)
}

// List gives the webhooks of a project, or of all when it is "", by name, with
// the last delivery of each.
func (s *Service) List(ctx context.Context, project string) (list []Webhook, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		list, err = selectWebhooks(ctx, tx, project)
		return err
	})
	return list, err
}

// Get gives one webhook.
func (s *Service) Get(ctx context.Context, id string) (h Webhook, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		h, err = findWebhook(ctx, tx, id)
		return err
	})
	return h, err
}

// Remove removes a webhook with its secret and its deliveries. What is sent to
// its address finds nothing from then on.
func (s *Service) Remove(ctx context.Context, actor, id string) error {
	err := s.db.Write(ctx, func(tx *sqlite.Tx) error {
		h, err := findWebhook(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := deleteWebhook(ctx, tx, id); err != nil {
			return err
		}
		if h.Secret {
			if err := s.secrets.RemoveIn(ctx, tx, actor, SlotContext, id); err != nil && fault.KindOf(err) != fault.Missing {
				return err
			}
		}
		return s.record(ctx, tx, Removed, actor, h)
	})
	if err == nil {
		s.limits.forget(id)
	}
	return err
}

func (s *Service) record(ctx context.Context, tx *sqlite.Tx, kind event.Kind, actor string, h Webhook) error {
	return s.events.Append(ctx, tx, event.Event{Kind: kind, Actor: actor, Project: h.Project}, Change{ID: h.ID, Name: h.Name, Source: h.Source})
}

func (s *Service) now() time.Time { return s.clock().UTC().Truncate(time.Millisecond) }

// newToken makes a secret of 256 bits.
func newToken() secret.Text {
	raw := make([]byte, tokenBytes)
	_, _ = rand.Read(raw) // it never fails
	return secret.New(base64.RawURLEncoding.EncodeToString(raw))
}

func hashOf(token secret.Text) [sha256.Size]byte { return sha256.Sum256([]byte(token.Reveal())) }
