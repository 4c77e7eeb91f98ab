package factor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// Passkey is a credential of WebAuthn as its person sees it.
type Passkey struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	CreatedAt  time.Time  `json:"created_at"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
	// Synced says that it is kept by a password manager, and may be on more
	// than one device.
	Synced bool `json:"synced" doc:"Kept by a password manager, so that it may be on several devices"`

	record webauthn.Credential
}

const (
	maxPasskeys    = 20
	maxPasskeyName = 64
)

// Question is what a browser asks a passkey, and the sealed challenge that it
// brings back with the answer.
type Question struct {
	Options   json.RawMessage
	Challenge secret.Text
}

// newWebAuthn takes passkeys of one host, at one origin. Each verifies its
// user, by a PIN or a finger: it is two factors by itself. Nobody is asked who
// made it.
func newWebAuthn(base *url.URL) (*webauthn.WebAuthn, error) {
	return webauthn.New(&webauthn.Config{
		RPID: base.Hostname(), RPDisplayName: "Berth", RPOrigins: []string{base.Scheme + "://" + base.Host},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: protocol.ResidentKeyRequired(),
			UserVerification: protocol.VerificationRequired,
		},
	})
}

// owner is a person as the library asks for them. The handle that a passkey
// keeps is the person's id, which is nobody else's ever.
type owner struct {
	person identity.Person
	keys   []Passkey
}

func (o *owner) WebAuthnID() []byte          { return []byte(o.person.ID) }
func (o *owner) WebAuthnName() string        { return o.person.Username }
func (o *owner) WebAuthnDisplayName() string { return shownName(o.person) }

func (o *owner) WebAuthnCredentials() []webauthn.Credential {
	list := make([]webauthn.Credential, len(o.keys))
	for i, k := range o.keys {
		list[i] = k.record
	}
	return list
}

func shownName(p identity.Person) string {
	if p.DisplayName != "" {
		return p.DisplayName
	}
	return p.Username
}

func errNoPasskeys() error {
	return fault.Invalid("passkeys need a host name, and this Berth is at an address")
}

func errPasskey(cause error) error {
	return fault.SignIn("that passkey is not known here, or did not answer as it should").Because(cause)
}

// AskPasskey asks for any passkey, of whomever: for the sign-in page.
func (s *Service) AskPasskey(context.Context) (Question, error) {
	if !s.TakesPasskeys() {
		return Question{}, errNoPasskeys()
	}
	options, asked, err := s.passkeys.BeginDiscoverableLogin()
	if err != nil {
		return Question{}, err
	}
	return s.question(forSignIn, "", options, asked)
}

// SignInByPasskey starts a session for whoever the passkey says it is.
func (s *Service) SignInByPasskey(ctx context.Context, sealed secret.Text, answer []byte, from identity.Origin) (out Outcome, err error) {
	guess, err := s.people.GuessPasskey(from)
	if err != nil {
		return Outcome{}, err
	}
	asked, err := s.answered(sealed, forSignIn, "")
	if err != nil {
		return Outcome{}, err
	}
	read, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return Outcome{}, errPasskey(err)
	}
	var whose *owner
	_, used, err := s.passkeys.ValidatePasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
		var err error
		whose, err = s.owner(ctx, string(handle))
		return whose, err
	}, asked, read)
	if err != nil {
		return Outcome{}, s.refused(ctx, whose, from, err)
	}
	if err := s.challenges.spend(asked.Challenge, s.now()); err != nil {
		return Outcome{}, err
	}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if err := s.usedPasskey(ctx, tx, whose.person, used); err != nil {
			return err
		}
		proof := identity.Proof{Methods: []identity.Method{identity.MethodPasskey}}
		out.Session, out.Subject, err = s.people.BeginSession(ctx, tx, whose.person.ID, proof, from)
		return err
	})
	if err != nil {
		return Outcome{}, err
	}
	guess.Right()
	return out, nil
}

// refused writes down that somebody's passkey was not taken.
func (s *Service) refused(ctx context.Context, whose *owner, from identity.Origin, cause error) error {
	err := errPasskey(cause)
	if whose == nil || whose.person.ID == "" {
		return err
	}
	return errors.Join(err, s.people.RecordFailure(ctx, whose.person, identity.MethodPasskey, from))
}

// AskSecondPasskey asks for a passkey of whoever an attempt is of.
func (s *Service) AskSecondPasskey(ctx context.Context, token secret.Text) (Question, error) {
	one, p, err := s.try(ctx, token, false)
	if err != nil {
		return Question{}, err
	}
	return s.askOf(ctx, p.ID, forSecondFactor, holderOf(one.hash))
}

// SecondPasskey finishes an attempt with a passkey.
func (s *Service) SecondPasskey(ctx context.Context, token, sealed secret.Text, answer []byte, from identity.Origin) (Outcome, error) {
	one, p, err := s.try(ctx, token, false)
	if err != nil {
		return Outcome{}, err
	}
	guess, err := s.people.GuessPasskey(from)
	if err != nil {
		return Outcome{}, err
	}
	used, err := s.check(ctx, p.ID, sealed, answer, forSecondFactor, holderOf(one.hash))
	if fault.KindOf(err) == fault.Unauthenticated {
		return Outcome{}, errors.Join(err, s.people.RecordFailure(ctx, p, identity.MethodPasskey, from))
	}
	if err != nil {
		return Outcome{}, err
	}
	return s.finish(ctx, one, identity.MethodPasskey, from, guess, func(tx *sqlite.Tx) error {
		return s.usedPasskey(ctx, tx, p, used)
	})
}

// askOf asks for a passkey of one person.
func (s *Service) askOf(ctx context.Context, personID string, is purpose, holder string) (Question, error) {
	if !s.TakesPasskeys() {
		return Question{}, errNoPasskeys()
	}
	whose, err := s.owner(ctx, personID)
	if err != nil {
		return Question{}, err
	}
	if len(whose.keys) == 0 {
		return Question{}, fault.NotFound("there is no passkey yet")
	}
	options, asked, err := s.passkeys.BeginLogin(whose)
	if err != nil {
		return Question{}, err
	}
	// Whose it must be is checked against what they have then, and a cookie
	// has no room for them all.
	asked.AllowedCredentialIDs = nil
	return s.question(is, holder, options, asked)
}

// check says whether an answer is right, of one person's passkey.
func (s *Service) check(ctx context.Context, personID string, sealed secret.Text, answer []byte, is purpose, holder string) (*webauthn.Credential, error) {
	asked, err := s.answered(sealed, is, holder)
	if err != nil {
		return nil, err
	}
	read, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return nil, errPasskey(err)
	}
	whose, err := s.owner(ctx, personID)
	if err != nil {
		return nil, err
	}
	used, err := s.passkeys.ValidateLogin(whose, asked, read)
	if err != nil {
		return nil, errPasskey(err)
	}
	return used, s.challenges.spend(asked.Challenge, s.now())
}

// owner reads a person with their passkeys. Nobody who is disabled has any.
func (s *Service) owner(ctx context.Context, personID string) (*owner, error) {
	o := &owner{}
	err := s.db.Read(ctx, func(tx *sqlite.Tx) error {
		var err error
		if o.person, err = s.people.PersonByID(ctx, tx, personID); err != nil {
			return err
		}
		if o.person.Disabled {
			return fault.NotFound("there is no such person")
		}
		o.keys, err = passkeysOf(ctx, tx, personID)
		return err
	})
	return o, err
}

// usedPasskey keeps what a passkey's use changes, in tx. A counter that went
// back may be a copy of it: that is told, and locks nobody out, since passkeys
// that are synced do not count.
func (s *Service) usedPasskey(ctx context.Context, tx *sqlite.Tx, p identity.Person, used *webauthn.Credential) error {
	key, err := passkeyByCredential(ctx, tx, p.ID, used.ID)
	if err != nil {
		return err
	}
	if used.Authenticator.CloneWarning {
		if err := s.record(ctx, tx, Suspected, p.Username, p, about{Factor: identity.MethodPasskey, Name: key.Name}); err != nil {
			return err
		}
		used.Authenticator.CloneWarning = false
	}
	key.record = *used
	now := s.now()
	key.LastUsedAt = &now
	return updatePasskey(ctx, tx, key)
}

// question seals what was asked.
func (s *Service) question(is purpose, holder string, options any, asked *webauthn.SessionData) (Question, error) {
	sealed, err := s.challenges.seal(challenge{Purpose: is, Holder: holder, Asked: *asked, Expires: s.now().Add(challengeLives)})
	if err != nil {
		return Question{}, err
	}
	raw, err := json.Marshal(options)
	return Question{Options: raw, Challenge: sealed}, err
}

func (s *Service) answered(sealed secret.Text, is purpose, holder string) (webauthn.SessionData, error) {
	if !s.TakesPasskeys() {
		return webauthn.SessionData{}, errNoPasskeys()
	}
	return s.challenges.open(sealed, is, holder, s.now())
}

// askNew asks for a new passkey of a person.
func (s *Service) askNew(ctx context.Context, personID, holder string) (Question, error) {
	if !s.TakesPasskeys() {
		return Question{}, errNoPasskeys()
	}
	whose, err := s.owner(ctx, personID)
	if err != nil {
		return Question{}, err
	}
	if len(whose.keys) >= maxPasskeys {
		return Question{}, fault.Conflict("you have %d passkeys, and more are not kept: remove one first", len(whose.keys))
	}
	not := make([]protocol.CredentialDescriptor, len(whose.keys))
	for i, k := range whose.keys {
		not[i] = k.record.Descriptor()
	}
	options, asked, err := s.passkeys.BeginRegistration(whose, webauthn.WithExclusions(not))
	if err != nil {
		return Question{}, err
	}
	return s.question(forAdding, holder, options, asked)
}

// newPasskey checks the answer to askNew.
func (s *Service) newPasskey(ctx context.Context, personID, holder, name string, sealed secret.Text, answer []byte) (Passkey, error) {
	name = strings.TrimSpace(name)
	if err := checkPasskeyName(name); err != nil {
		return Passkey{}, err
	}
	asked, err := s.answered(sealed, forAdding, holder)
	if err != nil {
		return Passkey{}, proveWrong(err)
	}
	wrong := func(err error) error {
		return fault.Invalid("the passkey did not answer as it should: try again").Because(err)
	}
	read, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return Passkey{}, wrong(err)
	}
	whose, err := s.owner(ctx, personID)
	if err != nil {
		return Passkey{}, err
	}
	made, err := s.passkeys.CreateCredential(whose, asked, read)
	if err != nil {
		return Passkey{}, wrong(err)
	}
	if err := s.challenges.spend(asked.Challenge, s.now()); err != nil {
		return Passkey{}, proveWrong(err)
	}
	made.Attestation = webauthn.CredentialAttestation{} // nobody was asked who made it
	now := s.now()
	return Passkey{ID: sqlite.NewID(now), Name: name, CreatedAt: now, LastUsedAt: &now, record: *made}, nil
}

// addPasskey keeps a new passkey, in tx.
func (s *Service) addPasskey(ctx context.Context, tx *sqlite.Tx, p identity.Person, key Passkey) error {
	keys, err := passkeysOf(ctx, tx, p.ID)
	if err != nil {
		return err
	}
	if len(keys) >= maxPasskeys {
		return fault.Conflict("you have %d passkeys, and more are not kept: remove one first", len(keys))
	}
	if slices.ContainsFunc(keys, func(k Passkey) bool { return bytes.Equal(k.record.ID, key.record.ID) }) {
		return fault.Conflict("you have this passkey already")
	}
	err = insertPasskey(ctx, tx, p.ID, key)
	if sqlite.IsUnique(err) {
		return fault.Conflict("this passkey is somebody's already")
	}
	if err != nil {
		return err
	}
	return s.record(ctx, tx, Added, p.Username, p, about{Factor: identity.MethodPasskey, Name: key.Name})
}

func checkPasskeyName(name string) error {
	switch {
	case name == "" || utf8.RuneCountInString(name) > maxPasskeyName:
		return fault.InvalidFields([]fault.Field{{Name: "name", Message: "takes 1 to 64 characters"}})
	case !printable(name):
		return fault.InvalidFields([]fault.Field{{Name: "name", Message: "has characters that can't be shown"}})
	}
	return nil
}

// proveWrong makes the fault that somebody must sign in, which whoever is
// adding a passkey has, one of their input.
func proveWrong(err error) error {
	if fault.KindOf(err) == fault.Unauthenticated {
		return fault.Invalid("%s", fault.Message(err))
	}
	return err
}
