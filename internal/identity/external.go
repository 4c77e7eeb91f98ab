package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// The kinds of events about identities.
const (
	IdentityLinked   event.Kind = "identity.linked"
	IdentityUnlinked event.Kind = "identity.unlinked"
)

// Identity is a person as a provider knows them.
type Identity struct {
	ID         string `json:"id"`
	PersonID   string `json:"-"`
	Provider   string `json:"provider"`
	Issuer     string `json:"issuer"`
	ExternalID string `json:"external_id"`
	Username   string `json:"username"` // there
	Email      string `json:"email"`    // there
	// EmailVerified says whether the provider vouches for the address.
	EmailVerified bool      `json:"email_verified"`
	Groups        []string  `json:"groups"` // as policies name them
	CreatedAt     time.Time `json:"created_at"`
	LastSignInAt  time.Time `json:"last_sign_in_at,omitzero"`
	SyncedAt      time.Time `json:"synced_at"` // when the provider last told of groups and claims

	claims map[string]any
	held   string // the address that apps are told in its sessions, as [addressKey] spells it; "" for none
}

// External is somebody as a provider has just proved them. Who they are is
// told by the first three alone.
type External struct {
	Provider   string
	Issuer     string
	ExternalID string

	Username    string
	DisplayName string
	Email       string
	// EmailVerified says whether the provider vouches for the address.
	EmailVerified bool
	Groups        []string // as policies name them
	Claims        map[string]any
	// Administrator says whether the provider makes them one; nil when it does
	// not speak of that.
	Administrator *bool
	Create        bool // whether a person is made when there is none
	NewRole       Role // what they become then; a user when empty
	UpstreamSID   string
	Methods       []Method // what the provider says it took, on top
}

// Why an identity gives no session, or can't be linked.
var (
	ErrUnknownIdentity = errors.New("nobody here has this identity")
	ErrDisabled        = errors.New("the person is disabled")
	ErrNotSetUp        = errors.New("there is nobody yet: the first administrator is made here")
	ErrLinkedElsewhere = errors.New("the identity is somebody else's")
)

// maxIdentities bounds the identities of one person.
const maxIdentities = 20

// SignInExternal starts a session for whoever a provider has proved: the
// person who has the identity, or a new one where ext allows that. A name or
// an e-mail address finds nobody. What the provider tells of them is taken
// over; keep is for what else belongs into the transaction. Where a second factor
// is required that the provider does not tell of, the error is a [FactorError].
func (s *Service) SignInExternal(ctx context.Context, ext External, from Origin, keep func(*sqlite.Tx, string) error) (token secret.Text, subject Subject, err error) {
	var half error
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		one, p, err := s.recognize(ctx, tx, ext)
		if errors.Is(err, ErrUnknownIdentity) && ext.Create {
			one, p, err = s.welcome(ctx, tx, ext)
		}
		if err != nil {
			return err
		}
		if err := s.sync(ctx, tx, one, p, ext, true); err != nil {
			return err
		}
		proof := Proof{
			Methods: append([]Method{MethodProvider}, ext.Methods...), Provider: ext.Provider, IdentityID: one.ID, UpstreamSID: shortened(ext.UpstreamSID, 255),
		}
		if err := keep(tx, one.ID); err != nil {
			return err
		}
		p, hash, err := personByID(ctx, tx, p.ID) // with the role that it has by now
		if err != nil {
			return err
		}
		// What was told is kept also where it is too little for a session.
		if half = s.short(p, hash, proof); half != nil {
			return nil //nolint:nilerr // it is told below, once what was told is stored
		}
		token, subject, err = s.BeginSession(ctx, tx, p.ID, proof, from)
		return err
	})
	if err = errors.Join(err, half); err != nil {
		return secret.Text{}, Subject{}, err
	}
	return token, subject, nil
}

// recognize finds who has an identity. While there is nobody no provider makes
// somebody: the first one made would take the set-up link with them, and might
// have no password.
func (s *Service) recognize(ctx context.Context, tx *sqlite.Tx, ext External) (Identity, Person, error) {
	one, err := findIdentity(ctx, tx, ext)
	if errors.Is(err, ErrUnknownIdentity) {
		needed, failed := s.NeedsSetupIn(ctx, tx)
		switch {
		case failed != nil:
			err = failed
		case needed:
			err = ErrNotSetUp
		}
	}
	if err != nil {
		return Identity{}, Person{}, err
	}
	p, _, err := personByID(ctx, tx, one.PersonID)
	if err == nil && p.Disabled {
		err = ErrDisabled
	}
	return one, p, err
}

// welcome makes a person of an identity that nobody has.
func (s *Service) welcome(ctx context.Context, tx *sqlite.Tx, ext External) (Identity, Person, error) {
	username, err := freeUsername(ctx, tx, ext.Username)
	if err != nil {
		return Identity{}, Person{}, err
	}
	p := Person{Username: username, Role: roleOf(ext, ext.newRole())}
	if err := checkPerson(&p); err != nil {
		return Identity{}, Person{}, fmt.Errorf("make a person of %s at %s: %w", ext.ExternalID, ext.Provider, err)
	}
	if err := s.addPerson(ctx, tx, berth, &p, nil); err != nil {
		return Identity{}, Person{}, err
	}
	one, err := s.addIdentity(ctx, tx, p, ext)
	if err != nil {
		return Identity{}, Person{}, err
	}
	if err := updateTold(ctx, tx, p.adopted(one, ext), p.CreatedAt); err != nil {
		return Identity{}, Person{}, err
	}
	p, _, err = personByID(ctx, tx, p.ID)
	return one, p, err
}

func (s *Service) addIdentity(ctx context.Context, tx *sqlite.Tx, p Person, ext External) (Identity, error) {
	now := s.now()
	one := Identity{
		ID: sqlite.NewID(now), PersonID: p.ID, Provider: ext.Provider, Issuer: ext.Issuer, ExternalID: ext.ExternalID,
		Groups: []string{}, CreatedAt: now, SyncedAt: now, claims: map[string]any{},
	}
	one.told(ext)
	if err := one.hold(ctx, tx); err != nil {
		return Identity{}, err
	}
	if err := insertIdentity(ctx, tx, one); err != nil {
		return Identity{}, err
	}
	if err := s.record(ctx, tx, IdentityLinked, p.Username, one.about(p)); err != nil {
		return Identity{}, err
	}
	return one, s.reckon(ctx, tx)
}

// Foresee says, in tx, whose username an identity would sign in, and whether
// that person would be made for it.
func (s *Service) Foresee(ctx context.Context, tx *sqlite.Tx, ext External) (username string, fresh bool, err error) {
	_, p, err := s.recognize(ctx, tx, ext)
	if errors.Is(err, ErrUnknownIdentity) && ext.Create {
		username, err = freeUsername(ctx, tx, ext.Username)
		return username, true, err
	}
	return p.Username, false, err
}

// LinkExternal gives the subject another identity. Both were just proved: that
// is for the caller to know.
func (s *Service) LinkExternal(ctx context.Context, subject Subject, ext External, keep func(*sqlite.Tx, string) error) (one Identity, err error) {
	if err := Decide(&subject, ActionOwnAccount, On{}); err != nil {
		return Identity{}, err
	}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		p, _, err := personByID(ctx, tx, subject.Person.ID)
		if err != nil {
			return err
		}
		if p.Disabled {
			return ErrDisabled
		}
		one, err = findIdentity(ctx, tx, ext)
		switch {
		case errors.Is(err, ErrUnknownIdentity):
			list, err := selectIdentities(ctx, tx, p.ID)
			if err != nil {
				return err
			}
			if len(list) >= maxIdentities {
				return fault.Conflict("you have %d identities already, and no more are kept", len(list))
			}
			if one, err = s.addIdentity(ctx, tx, p, ext); err != nil {
				return err
			}
			if _, err = s.adopt(ctx, tx, one, p, ext); err != nil {
				return err
			}
		case err != nil:
			return err
		case one.PersonID != p.ID:
			return ErrLinkedElsewhere
		default:
			if err := s.sync(ctx, tx, one, p, ext, false); err != nil {
				return err
			}
		}
		return keep(tx, one.ID)
	})
	if err != nil {
		return Identity{}, err
	}
	return one, nil
}

// Identities lists how providers know a person.
func (s *Service) Identities(ctx context.Context, personID string) (list []Identity, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		list, err = selectIdentities(ctx, tx, personID)
		return err
	})
	return list, err
}

// aboutIdentity is the data of events about identities.
type aboutIdentity struct {
	Person     string `json:"person"`
	Username   string `json:"username"`
	Provider   string `json:"provider"`
	ExternalID string `json:"external_id"`
}

func (i Identity) about(p Person) aboutIdentity {
	return aboutIdentity{Person: p.ID, Username: p.Username, Provider: i.Provider, ExternalID: i.ExternalID}
}
