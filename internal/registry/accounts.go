package registry

import (
	"context"
	"fmt"
	"strings"
	"time"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// RegistryAccount is who Berth is to another registry. Its password is a
// sealed slot.
type RegistryAccount struct { //nolint:revive // Account is somebody at this registry
	Host     string `json:"host"` // "ghcr.io", "registry.example.org:5000"
	Username string `json:"username"`
	Insecure bool   `json:"insecure"` // plain HTTP is allowed
	Version  int64  `json:"version"`  // counts from 1 with each SetAccount
	// PollInterval is how often its repositories are looked at.
	PollInterval Interval  `json:"poll_interval"`
	CreatedAt    time.Time `json:"created_at"`
	UpdatedAt    time.Time `json:"updated_at"`
}

// AccountChange is the data of the events AccountSet and AccountGone.
type AccountChange struct {
	Host string `json:"host"`
}

// SecretContext is the context of the slots that hold these passwords; the name
// is the host.
const SecretContext = "registry"

// Accounts lists the accounts for other registries, by host.
func (r *Resolver) Accounts(ctx context.Context) (list []RegistryAccount, err error) {
	err = r.db.Read(ctx, func(tx *sqlite.Tx) error {
		list, err = selectAccounts(ctx, tx)
		return err
	})
	return list, err
}

// SetAccount adds the account for a host, or changes it, when it still has the
// version that its author saw, 0 for no account at all; otherwise fault.Conflict
// says so. A nil version is any. An empty password keeps the one there is. An
// empty username is for a registry that is only to be reached over plain HTTP,
// or polled at an interval of its own, and has no password.
func (r *Resolver) SetAccount(ctx context.Context, actor string, seen *int64, a RegistryAccount, password secret.Text) error {
	return r.db.Write(ctx, func(tx *sqlite.Tx) error { return r.SetAccountIn(ctx, tx, actor, seen, a, password) })
}

// SetAccountIn is SetAccount as a part of a transaction.
func (r *Resolver) SetAccountIn(ctx context.Context, tx *sqlite.Tx, actor string, seen *int64, a RegistryAccount, password secret.Text) error {
	host, err := NormalHost(a.Host)
	if err != nil {
		return err
	}
	a.Host = host
	old, found, err := selectAccount(ctx, tx, host)
	if err != nil {
		return err
	}
	if seen != nil && *seen != old.Version {
		return fault.Conflict("the account for %s was set or removed meanwhile; look at it again", host)
	}
	if err := checkAccount(a, old, found, password); err != nil {
		return err
	}
	if !password.Empty() {
		if err := r.secrets.SetIn(ctx, tx, actor, SecretContext, host, password); err != nil {
			return fmt.Errorf("keep the password for %s: %w", host, err)
		}
	}
	if err := putAccount(ctx, tx, a, r.clock()); err != nil {
		return err
	}
	return r.events.Append(ctx, tx, event.Event{Kind: AccountSet, Actor: actor}, AccountChange{Host: host})
}

func checkAccount(a, old RegistryAccount, found bool, password secret.Text) error {
	var wrong []fault.Field
	if len(a.Username) > 255 || strings.ContainsAny(a.Username, ":\r\n\x00") {
		wrong = append(wrong, fault.Field{Name: "username", Message: "has at most 255 characters, and no colon or line end"})
	}
	switch {
	case a.Username == "" && !a.Insecure && a.PollInterval == 0:
		wrong = append(wrong, fault.Field{Name: "username", Message: "is needed, unless the account only allows plain HTTP or sets how often to poll"})
	case a.Username == "" && !password.Empty():
		wrong = append(wrong, fault.Field{Name: "username", Message: "is needed with a password"})
	case a.Username != "" && password.Empty() && (!found || old.Username != a.Username):
		wrong = append(wrong, fault.Field{Name: "password", Message: "is needed for a new username"})
	}
	return fault.InvalidFields(wrong)
}

// RemoveAccount removes the account for a host and its password.
func (r *Resolver) RemoveAccount(ctx context.Context, actor, host string) error {
	return r.db.Write(ctx, func(tx *sqlite.Tx) error { return r.RemoveAccountIn(ctx, tx, actor, host) })
}

// RemoveAccountIn is RemoveAccount as a part of a transaction.
func (r *Resolver) RemoveAccountIn(ctx context.Context, tx *sqlite.Tx, actor, host string) error {
	host, err := NormalHost(host)
	if err != nil {
		return err
	}
	_, found, err := selectAccount(ctx, tx, host)
	if err != nil {
		return err
	}
	if !found {
		return fault.NotFound("no account for the registry %q", host)
	}
	if err := deleteAccount(ctx, tx, host); err != nil {
		return err
	}
	// An account without a username has none, or one from before.
	if err := r.secrets.RemoveIn(ctx, tx, actor, SecretContext, host); err != nil && fault.KindOf(err) != fault.Missing {
		return fmt.Errorf("remove the password for %s: %w", host, err)
	}
	return r.events.Append(ctx, tx, event.Event{Kind: AccountGone, Actor: actor}, AccountChange{Host: host})
}

// Password gives the password of the account for a host; the empty one when
// the account has none, or is not there.
func (r *Resolver) Password(ctx context.Context, host string) (secret.Text, error) {
	host, err := NormalHost(host)
	if err != nil {
		return secret.Text{}, err
	}
	_, password, err := r.account(ctx, host)
	return password, err
}

// account gives the account for a host with its password; both are empty when
// there is none.
func (r *Resolver) account(ctx context.Context, host string) (RegistryAccount, secret.Text, error) {
	a, found, err := r.findAccount(ctx, host)
	if err != nil || !found || a.Username == "" {
		return a, secret.Text{}, err
	}
	password, err := r.secrets.Get(ctx, SecretContext, host)
	if err != nil {
		return a, secret.Text{}, fault.Unavailable("the password for %s can't be read; set the account for this registry again", host).Because(err)
	}
	return a, password, nil
}

func (r *Resolver) findAccount(ctx context.Context, host string) (a RegistryAccount, found bool, err error) {
	err = r.db.Read(ctx, func(tx *sqlite.Tx) error {
		a, found, err = selectAccount(ctx, tx, host)
		return err
	})
	return a, found, err
}

// NormalHost gives a registry's host as references and accounts have it; the
// fault of kind BadInput says what would be one.
func NormalHost(host string) (string, error) {
	repository, err := normalRepository(strings.TrimSpace(host) + "/any/name")
	if err != nil || strings.Contains(host, "/") {
		return "", fault.InvalidFields([]fault.Field{{Name: "host", Message: "is a host, with a port where it has one, such as ghcr.io or registry.example.org:5000"}})
	}
	host, _ = splitHost(repository)
	if host == "" {
		return "", fault.InvalidFields([]fault.Field{{Name: "host", Message: "needs a dot or a port, as in image references"}})
	}
	return host, nil
}
