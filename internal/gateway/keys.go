package gateway

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/vault"
)

// How the keys of assertions change: a new one is shown for keyShown before it
// signs, so that whoever keeps the list for a while knows it by then, and an
// old one is shown for keyKept after it was the last time.
const (
	keyServes = 30 * 24 * time.Hour
	keyShown  = time.Hour
	keyKept   = 24 * time.Hour
	keyLook   = 10 * time.Minute
)

// Vault is where the keys are kept, sealed.
type Vault interface {
	Get(ctx context.Context, slotContext, name string) (secret.Text, error)
	Set(ctx context.Context, actor, slotContext, name string, value secret.Text) (vault.Slot, error)
}

// The slot of the keys, which is Berth's own.
const (
	SlotContext = "berth/gateway"
	slotName    = "assertion-keys"
)

// Keys are what assertions are signed with.
type Keys struct {
	vault Vault
	clock func() time.Time
	log   *slog.Logger
	now   atomic.Pointer[keyring]
}

// keyring is one state of the keys, the oldest first. It is never changed.
type keyring struct {
	keys    []*key
	signing *key
	public  []byte // the set of RFC 7517 section 5
}

type key struct {
	id      string
	madeAt  time.Time
	private *ecdsa.PrivateKey
	head    string // of each JWT, with its dot
}

// OpenKeys takes the keys from where they are kept, and makes the first.
func OpenKeys(ctx context.Context, kept Vault, clock func() time.Time, log *slog.Logger) (*Keys, error) {
	k := &Keys{vault: kept, clock: clock, log: log}
	if k.clock == nil {
		k.clock = time.Now
	}
	if k.log == nil {
		k.log = slog.New(slog.DiscardHandler)
	}
	return k, k.turn(ctx)
}

// Run changes the keys when it is time, until ctx ends.
func (k *Keys) Run(ctx context.Context) error {
	tick := time.NewTicker(keyLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := k.turn(ctx); err != nil && ctx.Err() == nil {
			k.log.ErrorContext(ctx, "keys of assertions not changed", "error", err)
		}
	}
}

// Public gives the public keys as a JSON Web Key Set.
func (k *Keys) Public() []byte { return k.now.Load().public }

// PublicKeys gives the keys that apps check assertions with, nil where none are
// given.
func (g *Gateway) PublicKeys() []byte {
	if g.keys == nil {
		return nil
	}
	return g.keys.Public()
}

func (k *Keys) signing() *key { return k.now.Load().signing }

// turn makes a key when the newest is old, forgets those that nobody needs,
// and puts in place what there is then.
func (k *Keys) turn(ctx context.Context) error {
	keys, err := k.read(ctx)
	if err != nil {
		return err
	}
	now, changed := k.clock(), false
	if n := len(keys); n == 0 || now.Sub(keys[n-1].madeAt) >= keyServes {
		made, err := newKey(now)
		if err != nil {
			return err
		}
		keys, changed = append(keys, made), true
	}
	for len(keys) > 1 && now.Sub(keys[1].madeAt) >= keyShown+keyKept {
		keys, changed = keys[1:], true
	}
	if changed {
		if err := k.write(ctx, keys); err != nil {
			return err
		}
	}
	ring := &keyring{keys: keys, signing: keys[0]}
	for _, one := range keys {
		if now.Sub(one.madeAt) >= keyShown {
			ring.signing = one
		}
	}
	if ring.public, err = publicKeys(keys); err != nil {
		return err
	}
	k.now.Store(ring)
	return nil
}

// storedKey is a key at rest.
type storedKey struct {
	ID      string    `json:"id"`
	MadeAt  time.Time `json:"made_at"`
	Private []byte    `json:"private"` // PKCS #8
}

func (k *Keys) read(ctx context.Context) ([]*key, error) {
	text, err := k.vault.Get(ctx, SlotContext, slotName)
	if fault.KindOf(err) == fault.Missing {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the keys of assertions: %w", err)
	}
	var stored []storedKey
	if err := json.Unmarshal([]byte(text.Reveal()), &stored); err != nil {
		return nil, errors.New("the keys of assertions can not be read") // the cause may show some of them
	}
	keys := make([]*key, 0, len(stored))
	for _, one := range stored {
		private, err := x509.ParsePKCS8PrivateKey(one.Private)
		if err != nil {
			return nil, fmt.Errorf("the key %s of assertions can not be read", one.ID)
		}
		of, ok := private.(*ecdsa.PrivateKey)
		if !ok || of.Curve != elliptic.P256() {
			return nil, fmt.Errorf("the key %s of assertions is none of P-256", one.ID)
		}
		keys = append(keys, readyKey(one.ID, one.MadeAt, of))
	}
	slices.SortFunc(keys, func(a, b *key) int { return cmp.Or(a.madeAt.Compare(b.madeAt), cmp.Compare(a.id, b.id)) })
	return keys, nil
}

func (k *Keys) write(ctx context.Context, keys []*key) error {
	stored := make([]storedKey, len(keys))
	for i, one := range keys {
		private, err := x509.MarshalPKCS8PrivateKey(one.private)
		if err != nil {
			return fmt.Errorf("keep the keys of assertions: %w", err)
		}
		stored[i] = storedKey{ID: one.id, MadeAt: one.madeAt, Private: private}
	}
	raw, err := json.Marshal(stored)
	if err != nil {
		return fmt.Errorf("keep the keys of assertions: %w", err)
	}
	_, err = k.vault.Set(ctx, "berth", SlotContext, slotName, secret.New(string(raw)))
	return err
}

func newKey(now time.Time) (*key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key of assertions: %w", err)
	}
	return readyKey(rand.Text(), now.UTC(), private), nil
}

func readyKey(id string, madeAt time.Time, private *ecdsa.PrivateKey) *key {
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","typ":"JWT","kid":"` + id + `"}`))
	return &key{id: id, madeAt: madeAt, private: private, head: head + "."}
}

// webKey is a public key as RFC 7517 has it.
type webKey struct {
	Type      string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	Y         string `json:"y"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
	ID        string `json:"kid"`
}

func publicKeys(keys []*key) ([]byte, error) {
	list := make([]webKey, len(keys))
	for i, one := range keys {
		public, err := one.private.PublicKey.Bytes() // 4, X, Y
		if err != nil {
			return nil, fmt.Errorf("show the keys of assertions: %w", err)
		}
		half := (len(public) - 1) / 2
		list[i] = webKey{
			Type: "EC", Curve: "P-256", Use: "sig", Algorithm: "ES256", ID: one.id,
			X: base64.RawURLEncoding.EncodeToString(public[1 : 1+half]), Y: base64.RawURLEncoding.EncodeToString(public[1+half:]),
		}
	}
	return json.Marshal(map[string][]webKey{"keys": list})
}
