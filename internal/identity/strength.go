package identity

import (
	"context"
	"crypto/sha256"
	"slices"

	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// Requirement says who must have a second factor. The zero Requirement is
// nobody.
type Requirement string

// The requirements.
const (
	RequireOfNobody         Requirement = "nobody"
	RequireOfAdministrators Requirement = "administrators"
	RequireOfMembers        Requirement = "members" // and of administrators
	RequireOfEverybody      Requirement = "everybody"
)

func (r Requirement) String() string { return string(r) }

func (r Requirement) of(role Role) bool {
	switch r {
	case RequireOfEverybody:
		return true
	case RequireOfMembers:
		return role == RoleMember || role == RoleAdministrator
	case RequireOfAdministrators:
		return role == RoleAdministrator
	case RequireOfNobody:
	}
	return false
}

// FactorError says that a proof is right and not enough for a session: the
// person has a second factor, or must have one. What it holds goes on from
// there; to anybody else it is a fault of kind Unauthenticated.
type FactorError struct {
	Person Person
	Proof  Proof
	Stamp  Stamp
}

// Error says what is missing.
func (e *FactorError) Error() string { return e.Unwrap().Error() }

// Unwrap gives the fault that it is to whoever can't go on from here.
func (*FactorError) Unwrap() error {
	return fault.SignIn("a second factor is needed")
}

// Stamp tells whether a password is still the one that it was.
type Stamp [sha256.Size]byte

func stampOf(passwordHash []byte) Stamp { return sha256.Sum256(passwordHash) }

// RequiresSecondFactor says whether somebody in that role must have a second
// factor.
func (s *Service) RequiresSecondFactor(role Role) bool { return s.required().of(role) }

// enough says whether what was proved makes a session: a passkey is two
// factors by itself, a password of somebody with a second factor is not, and
// of whom one is required nothing without one is.
func (s *Service) enough(p Person, methods []Method) bool {
	return s.required().satisfied(p, methods)
}

func (r Requirement) satisfied(p Person, methods []Method) bool {
	return strong(methods) || !r.of(p.Role) && (!p.SecondFactor || !slices.Contains(methods, MethodPassword))
}

// short gives a FactorError when a proof is not enough.
func (s *Service) short(p Person, hash []byte, proof Proof) error {
	if s.enough(p, proof.Methods) {
		return nil
	}
	return &FactorError{Person: p, Proof: proof, Stamp: stampOf(hash)}
}

// BeginSession is StartSession with the event that somebody signed in.
func (s *Service) BeginSession(ctx context.Context, tx *sqlite.Tx, personID string, proof Proof, from Origin) (secret.Text, Subject, error) {
	token, subject, err := s.StartSession(ctx, tx, personID, proof, from)
	if err != nil {
		return secret.Text{}, Subject{}, err
	}
	return token, subject, s.recordSignIn(ctx, tx, SignInSucceeded, subject.Person, from, ViaSession, proof.Methods...)
}

// RecordFailure writes down that something was not proved of somebody.
func (s *Service) RecordFailure(ctx context.Context, p Person, method Method, from Origin) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		return s.recordSignIn(ctx, tx, SignInFailed, p, from, "", method)
	})
}

// PersonByID finds somebody, in tx.
func (s *Service) PersonByID(ctx context.Context, tx *sqlite.Tx, id string) (Person, error) {
	p, _, err := personByID(ctx, tx, id)
	return p, err
}

// Unchanged reads, in tx, the person that something was proved of: nobody any
// more when they are gone, disabled, or have another password since.
func (s *Service) Unchanged(ctx context.Context, tx *sqlite.Tx, personID string, stamp Stamp) (Person, error) {
	p, hash, err := personByID(ctx, tx, personID)
	if fault.KindOf(err) == fault.Missing || (err == nil && (p.Disabled || stampOf(hash) != stamp)) {
		return Person{}, fault.SignIn("sign in again: the account was changed meanwhile")
	}
	return p, err
}

// SetSecondFactor says, in tx, whether somebody has a second factor. Every
// session that is not proved by one ends with the first; keep is the session
// that it was set up with, which is about to be strengthened.
func (s *Service) SetSecondFactor(ctx context.Context, tx *sqlite.Tx, actor, personID string, has bool, keep string) error {
	p, _, err := personByID(ctx, tx, personID)
	if err != nil || p.SecondFactor == has {
		return err
	}
	if err := updateSecondFactor(ctx, tx, personID, has, s.now()); err != nil {
		return err
	}
	s.reread(tx, personID)
	if !has {
		return nil
	}
	list, err := selectSessions(ctx, tx, personID)
	if err != nil {
		return err
	}
	p.SecondFactor = true
	for _, one := range list {
		if one.ID == keep || s.enough(p, one.Methods) {
			continue
		}
		if err := s.endSessionOf(ctx, tx, actor, p, one, "second factor added"); err != nil {
			return err
		}
	}
	return nil
}

// reread has a person's proofs checked against the store once more after tx,
// and cuts nothing.
func (s *Service) reread(tx *sqlite.Tx, personID string) {
	gone := func(subject *Subject) bool { return subject.Person.ID == personID }
	tx.OnCommit(func() {
		s.sessions.drop(personID, gone)
		s.tokens.drop(personID, gone)
		s.proofs.drop(personID, gone)
	})
}

// EndSessions ends, in tx, all of a person's sessions but the one to keep.
func (s *Service) EndSessions(ctx context.Context, tx *sqlite.Tx, actor, personID, keep, why string) error {
	_, err := s.endSessions(ctx, tx, actor, personID, keep, why)
	return err
}

// Strengthen adds, in tx, a fresh proof to the session that the subject came
// with, and gives it a new token: the old one is dead at once. The session
// ends no later for it.
func (s *Service) Strengthen(ctx context.Context, tx *sqlite.Tx, subject Subject, methods ...Method) (secret.Text, Subject, error) {
	if subject.Via != ViaSession {
		return secret.Text{}, Subject{}, fault.Invalid("only a session can be strengthened: sign in with a browser")
	}
	one, err := sessionByID(ctx, tx, subject.Person.ID, subject.SessionID)
	if fault.KindOf(err) == fault.Missing {
		return secret.Text{}, Subject{}, errNoSession()
	}
	if err != nil {
		return secret.Text{}, Subject{}, err
	}
	if subject.Person, _, err = personByID(ctx, tx, subject.Person.ID); err != nil {
		return secret.Text{}, Subject{}, err
	}
	for _, m := range methods {
		if !slices.Contains(one.Methods, m) {
			one.Methods = append(one.Methods, m)
		}
	}
	one.proved(s.now(), methods)
	token := newSecret("")
	if err := strengthenSession(ctx, tx, one, digestOf(token)); err != nil {
		return secret.Text{}, Subject{}, err
	}
	tx.OnCommit(func() {
		s.sessions.drop(one.PersonID, func(old *Subject) bool { return old.SessionID == one.ID })
	})
	subject.Methods, subject.AuthenticatedAt, subject.StrongAt, subject.PasskeyAt = one.Methods, one.AuthenticatedAt, one.StrongAt, one.PasskeyAt
	return token, subject, s.record(ctx, tx, SessionStrengthened, subject.Person.Username, aboutStrength{
		Person: subject.Person.ID, Username: subject.Person.Username, Session: one.ID, Methods: methods,
	})
}

// aboutStrength is the data of session.strengthened.
type aboutStrength struct {
	Person   string   `json:"person"`
	Username string   `json:"username"`
	Session  string   `json:"session"`
	Methods  []Method `json:"methods"`
}

// Guess is one allowed try at somebody's second factor.
type Guess struct{ attempt attempt }

// GuessFactor asks for a try at a code of a person. Only who knows the
// password, or has a session, gets that far, so the limit is one for the
// person, wherever the tries come from.
func (s *Service) GuessFactor(personID string) (Guess, error) {
	key := "second factor of " + personID
	return s.guess(key, key)
}

// GuessPasskey asks for a try at a passkey from where a request came. No
// account counts them: whose it is, only a right one says.
func (s *Service) GuessPasskey(from Origin) (Guess, error) {
	return s.guess("passkey", from.Network())
}

func (s *Service) guess(account, address string) (Guess, error) {
	one, wait := s.limits.begin(account, address, true, s.now())
	if wait > 0 {
		return Guess{}, fault.Often("too many attempts: wait %s", spoken(wait)).After(wait)
	}
	return Guess{one}, nil
}

// Right takes the try back: it was no guess.
func (g Guess) Right() { g.attempt.succeed() }
