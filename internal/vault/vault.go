// Package vault keeps secrets sealed at rest: one slot for each (context,
// name), opened only with the key that Berth was started with.
//
// Start with [New], [Vault.Set] and [Vault.Get]. What a secret is for, and who
// may set it, belongs to the packages above; nothing here ever lists a value.
// [Grants] keeps the tokens that providers gave, to act there on a person's
// behalf, and refreshes them; asking a provider belongs to package signin.
package vault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// The kinds of events that this package writes.
const (
	SecretSet     event.Kind = "secret.set"
	SecretRemoved event.Kind = "secret.removed"
	SecretShown   event.Kind = "secret.shown"
)

// MaxSize is how many bytes one secret may have.
const MaxSize = 64 << 10

// Slot is what may be known of a secret without opening it.
type Slot struct {
	Context   string    `json:"context"`
	Name      string    `json:"name"`
	Version   int64     `json:"version"` // counts from 1 with each Set
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Config is what a Vault needs; DB, Events and Key are required.
type Config struct {
	DB     *sqlite.DB
	Events *event.Log
	Key    secret.Text      // the more random the better; 32 characters or more
	Clock  func() time.Time // time.Now when nil
	Log    *slog.Logger
}

// Vault keeps slots. Its methods may be called from many goroutines.
type Vault struct {
	db     *sqlite.DB
	events *event.Log
	log    *slog.Logger
	sealer sealer
	clock  func() time.Time
	guards map[[2]string]Guard
}

// ErrWrongKey is in the chain of the error that refuses a key which is not the
// one that the data was sealed with.
var ErrWrongKey = errors.New("the secret key is not the one this data was sealed with")

// New checks c once, and that its key is the one that earlier secrets were
// sealed with: see [ErrWrongKey].
func New(c Config) (*Vault, error) {
	if c.DB == nil || c.Events == nil {
		return nil, errors.New("vault: needs a database and an event log")
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	sealer, err := newSealer(c.Key, forSlots)
	if err != nil {
		return nil, err
	}
	v := &Vault{db: c.DB, events: c.Events, log: c.Log, sealer: sealer, clock: c.Clock, guards: map[[2]string]Guard{}}
	if err := v.checkKey(context.Background()); err != nil {
		return nil, err
	}
	return v, nil
}

// Set seals a value in a slot, over whatever is there. The fault that refuses
// a name or a value is of kind BadInput, or TooLarge.
func (v *Vault) Set(ctx context.Context, actor, slotContext, name string, value secret.Text) (Slot, error) {
	return v.Replace(ctx, actor, slotContext, name, nil, value)
}

// Replace is Set over the version that its author saw, 0 for a slot that is
// not there; fault.Conflict when it has another one. A nil version is any.
func (v *Vault) Replace(ctx context.Context, actor, slotContext, name string, seen *int64, value secret.Text) (slot Slot, err error) {
	err = v.db.Write(ctx, func(tx *sqlite.Tx) error {
		slot, err = v.put(ctx, tx, actor, slotContext, name, seen, value)
		return err
	})
	if err != nil {
		return Slot{}, err
	}
	return slot, nil
}

// SetIn is Set as a part of a transaction.
func (v *Vault) SetIn(ctx context.Context, tx *sqlite.Tx, actor, slotContext, name string, value secret.Text) error {
	_, err := v.put(ctx, tx, actor, slotContext, name, nil, value)
	return err
}

func (v *Vault) put(ctx context.Context, tx *sqlite.Tx, actor, slotContext, name string, seen *int64, value secret.Text) (Slot, error) {
	if err := checkName(slotContext, name); err != nil {
		return Slot{}, err
	}
	if err := checkValue(value); err != nil {
		return Slot{}, err
	}
	before, _, err := selectSlot(ctx, tx, slotContext, name)
	if err != nil && fault.KindOf(err) != fault.Missing {
		return Slot{}, err
	}
	if seen != nil && *seen != before.Version {
		return Slot{}, fault.Conflict("the secret %q in %q was set or removed meanwhile; look at it again", name, slotContext)
	}
	if err := v.guard(ctx, tx, actor, slotContext, name, value); err != nil {
		return Slot{}, err
	}
	now := v.now()
	slot := Slot{Context: slotContext, Name: name, Version: before.Version + 1, CreatedAt: before.CreatedAt, UpdatedAt: now}
	if before.Version == 0 {
		slot.CreatedAt = now
	}
	if err := upsertSlot(ctx, tx, slot, v.sealer.sealSlot(slot, value)); err != nil {
		return Slot{}, err
	}
	return slot, v.record(ctx, tx, SecretSet, actor, slot)
}

// Get opens a slot. A slot that is not there gives a fault of kind Missing
// that names it.
func (v *Vault) Get(ctx context.Context, slotContext, name string) (value secret.Text, err error) {
	var slot Slot
	var sealed []byte
	err = v.db.Read(ctx, func(tx *sqlite.Tx) error {
		slot, sealed, err = selectSlot(ctx, tx, slotContext, name)
		return err
	})
	if err != nil {
		return secret.Text{}, err
	}
	return v.sealer.openSlot(slot, sealed)
}

// Show is Get for somebody to read, which is written down.
func (v *Vault) Show(ctx context.Context, actor, slotContext, name string) (slot Slot, value secret.Text, err error) {
	err = v.db.Write(ctx, func(tx *sqlite.Tx) error {
		var sealed []byte
		if slot, sealed, err = selectSlot(ctx, tx, slotContext, name); err != nil {
			return err
		}
		if value, err = v.sealer.openSlot(slot, sealed); err != nil {
			return err
		}
		return v.record(ctx, tx, SecretShown, actor, slot)
	})
	if err != nil {
		return Slot{}, secret.Text{}, err
	}
	return slot, value, nil
}

// List gives the slots of one context, or of all when it is "", by their names.
func (v *Vault) List(ctx context.Context, slotContext string) (slots []Slot, err error) {
	err = v.db.Read(ctx, func(tx *sqlite.Tx) error {
		slots, err = selectSlots(ctx, tx, slotContext)
		return err
	})
	return slots, err
}

// Remove forgets a slot for good.
func (v *Vault) Remove(ctx context.Context, actor, slotContext, name string) error {
	return v.db.Write(ctx, func(tx *sqlite.Tx) error { return v.RemoveIn(ctx, tx, actor, slotContext, name) })
}

// RemoveIn is Remove as a part of a transaction.
func (v *Vault) RemoveIn(ctx context.Context, tx *sqlite.Tx, actor, slotContext, name string) error {
	slot, _, err := selectSlot(ctx, tx, slotContext, name)
	if err != nil {
		return err
	}
	if err := v.guard(ctx, tx, actor, slotContext, name, secret.Text{}); err != nil {
		return err
	}
	if err := deleteSlot(ctx, tx, slotContext, name); err != nil {
		return err
	}
	return v.record(ctx, tx, SecretRemoved, actor, slot)
}

// checkKey opens the one thing that is sealed in every vault; in a new one it
// seals it.
func (v *Vault) checkKey(ctx context.Context) error {
	const known = "berth"
	// No slot has this name: checkName refuses it.
	slot := Slot{Context: "", Name: "check", Version: 1}
	return v.db.Write(ctx, func(tx *sqlite.Tx) error {
		sealed, err := selectCheck(ctx, tx)
		if err != nil {
			return err
		}
		if sealed == nil {
			v.log.InfoContext(ctx, "secrets are sealed with this secret key from now on")
			return insertCheck(ctx, tx, v.sealer.sealSlot(slot, secret.New(known)), v.now())
		}
		if said, err := v.sealer.openSlot(slot, sealed); err != nil || said.Reveal() != known {
			return fmt.Errorf("%w: start Berth with the key it had, or with a copy of the data made under this one", ErrWrongKey)
		}
		return nil
	})
}

func (v *Vault) now() time.Time { return v.clock().UTC().Truncate(time.Millisecond) }

// about is the data of events: never the value.
type about struct {
	Context string `json:"context"`
	Name    string `json:"name"`
	Version int64  `json:"version"`
}

// Inner says whether a context is Berth's own. Its slots are set with what
// they belong to (a registry account, a channel, a webhook), by those who may
// set that: no stage may use them, nobody sets or lists them by themselves,
// and their events are those of what they belong to.
func Inner(slotContext string) bool {
	return slotContext == "registry" || strings.HasPrefix(slotContext, "berth/")
}

// Own says whether a slot is for Berth alone: those of [Inner] contexts, and
// the list of those who administer, which administrators set as they set any.
// No stage may use it, and no document of the configuration holds it.
func Own(slotContext, name string) bool {
	return Inner(slotContext) || IsAdmins(slotContext, name)
}

// AdminsContext and AdminsName are the slot of the list of those who administer.
const (
	AdminsContext = "berth"
	AdminsName    = "ADMINS"
)

// IsAdmins says whether a slot is the list of those who administer.
func IsAdmins(slotContext, name string) bool {
	return slotContext == AdminsContext && name == AdminsName
}

// Guard is asked, in the transaction, before a slot is set or, with an empty
// value, removed. An error refuses it: the slot stays as it is.
type Guard func(ctx context.Context, tx *sqlite.Tx, actor string, value secret.Text) error

// Guard has g asked for one slot. It is for before anything is served.
func (v *Vault) Guard(slotContext, name string, g Guard) { v.guards[[2]string{slotContext, name}] = g }

func (v *Vault) guard(ctx context.Context, tx *sqlite.Tx, actor, slotContext, name string, value secret.Text) error {
	if g := v.guards[[2]string{slotContext, name}]; g != nil {
		return g(ctx, tx, actor, value)
	}
	return nil
}

func (v *Vault) record(ctx context.Context, tx *sqlite.Tx, kind event.Kind, actor string, slot Slot) error {
	if Inner(slot.Context) {
		return nil
	}
	return v.events.Append(ctx, tx, event.Event{Kind: kind, Actor: actor, At: v.now()},
		about{Context: slot.Context, Name: slot.Name, Version: slot.Version})
}

// Names are what environment variables, hosts with ports, and paths of these
// are made of.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9._/:@\[\]-]{1,200}$`)

func checkName(slotContext, name string) error {
	var wrong []fault.Field
	for _, part := range []fault.Field{{Name: "context", Message: slotContext}, {Name: "name", Message: name}} {
		if !namePattern.MatchString(part.Message) || !walkable(part.Message) {
			part.Message = "takes 1 to 200 of A to Z, a to z, 0 to 9 and . _ - / : @ [ ], with no part empty, \".\" or \"..\""
			wrong = append(wrong, part)
		}
	}
	return fault.InvalidFields(wrong)
}

func checkValue(value secret.Text) error {
	switch size := len(value.Reveal()); {
	case size == 0:
		return fault.InvalidFields([]fault.Field{{Name: "value", Message: "is empty: remove the secret instead"}})
	case size > MaxSize:
		return fault.Large("the secret has %d bytes; at most %d are kept", size, MaxSize)
	}
	return nil
}

// walkable says whether a name stays what it is as a path in a URL.
func walkable(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}
