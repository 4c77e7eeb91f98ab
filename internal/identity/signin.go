package identity

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"strings"
	"sync/atomic"
	"time"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// errWrong is the one answer to every wrong sign-in, whatever was wrong.
func errWrong() error { return fault.SignIn("the username or the password is wrong") }

// SignIn starts a session for whoever knows the password; a [FactorError] goes
// on from there when that is not enough. A name nobody has, a disabled account,
// a password that the sign-in mode does not take and a wrong one give the same
// answer in the same time.
// How often it may be tried is bounded: a fault of kind TooOften says how long
// to wait.
func (s *Service) SignIn(ctx context.Context, username string, password secret.Text, from Origin) (token secret.Text, subject Subject, err error) {
	p, hash, err := s.prove(ctx, username, password, from)
	if err != nil {
		return secret.Text{}, Subject{}, err
	}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if p, err = s.unchanged(ctx, tx, p.ID, hash); err != nil {
			return err
		}
		if err := s.short(p, hash, Proof{Methods: []Method{MethodPassword}}); err != nil {
			return err
		}
		if token, subject, err = s.startSession(ctx, tx, p, Proof{Methods: []Method{MethodPassword}}, from); err != nil {
			return err
		}
		return s.recordSignIn(ctx, tx, SignInSucceeded, p, from, ViaSession, MethodPassword)
	})
	if err != nil {
		return secret.Text{}, Subject{}, err
	}
	return token, subject, nil
}

// proofLives is how long a password that was right once is taken without
// paying for its comparison again.
const proofLives = 5 * time.Minute

// Authenticate is for HTTP Basic (RFC 7617): the password, or an API token in
// its place, with every single request. Of hundreds of requests in a row only
// the first pays for comparing the password, and a change of the password or
// the account takes that back at once. The limits are those of SignIn.
func (s *Service) Authenticate(ctx context.Context, username string, password secret.Text, from Origin) (Subject, error) {
	if LooksLikeToken(password.Reveal()) {
		subject, err := s.ByToken(ctx, password)
		if err == nil && !strings.EqualFold(subject.Person.Username, username) {
			err = errWrong()
		}
		if err != nil {
			return Subject{}, err
		}
		return subject, nil
	}
	key := s.proofOf(username, password)
	entry, _ := s.proofs.get(key)
	if entry != nil && s.now().Before(entry.expires) {
		return entry.subject, nil
	}
	// A client that opens ten connections at once sends ten of the same; they
	// are one attempt. It goes on for the others when the first one hangs up.
	attempt := string(key[:]) + from.Network()
	proved, err, _ := s.proving.Do(attempt, func() (any, error) {
		return s.provePassword(context.WithoutCancel(ctx), key, username, password, from)
	})
	if err != nil {
		return Subject{}, err
	}
	return proved.(Subject), nil //nolint:forcetypeassert // the only type the line above can give
}

func (s *Service) provePassword(ctx context.Context, key digest, username string, password secret.Text, from Origin) (Subject, error) {
	_, epoch := s.proofs.get(key)
	p, hash, err := s.prove(ctx, username, password, from)
	if err != nil {
		return Subject{}, err
	}
	if !s.enough(p, []Method{MethodPassword}) {
		return Subject{}, s.refusePassword(ctx, p, from)
	}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if p, err = s.unchanged(ctx, tx, p.ID, hash); err != nil {
			return err
		}
		if err := s.short(p, hash, Proof{Methods: []Method{MethodPassword}}); err != nil {
			return err
		}
		return s.recordSignIn(ctx, tx, SignInSucceeded, p, from, ViaPassword, MethodPassword)
	})
	if err != nil {
		return Subject{}, err
	}
	subject := Subject{Person: p, Via: ViaPassword, Email: toldEmail(p, false, "")}
	s.proofs.put(key, &cached{subject: subject, expires: s.now().Add(proofLives), seen: &atomic.Int64{}}, epoch)
	return subject, nil
}

// refusePassword is for those whose password alone is not enough: with every
// single request there is no second step.
func (s *Service) refusePassword(ctx context.Context, p Person, from Origin) error {
	err := s.db.Write(ctx, func(tx *sqlite.Tx) error {
		return s.recordSignIn(ctx, tx, SignInFailed, p, from, ViaPassword, MethodPassword)
	})
	if err != nil {
		return err
	}
	return fault.SignIn("this account needs a second factor, which can't be asked for here: give an API token in the place of the password")
}

// proofOf names a username with its password in memory without keeping them.
func (s *Service) proofOf(username string, password secret.Text) digest {
	mac := hmac.New(sha256.New, s.proofKey)
	mac.Write([]byte(strings.ToLower(username)))
	mac.Write([]byte{0})
	mac.Write([]byte(password.Reveal()))
	return digest(mac.Sum(nil))
}

// prove compares the password, within the limits. It gives the person and the
// hash that matched.
func (s *Service) prove(ctx context.Context, username string, password secret.Text, from Origin) (Person, []byte, error) {
	// A name that cannot be is nobody's, however long.
	name := strings.ToLower(strings.TrimSpace(shortened(username, 100)))
	p, hash, known, err := s.credentials(ctx, name, from)
	if err != nil {
		return Person{}, nil, err
	}
	network := from.Network()
	if from.signedIn {
		network += " of " + name // nobody else's tries count there
	}
	attempt, wait := s.limits.begin(name, network, known, s.now())
	if wait > 0 {
		return Person{}, nil, fault.Often("too many attempts to sign in: wait %s", spoken(wait)).After(wait)
	}
	matched, err := s.passwords.match(ctx, hash, password)
	if err != nil {
		attempt.undo()
		return Person{}, nil, err
	}
	if !matched {
		err := s.db.Write(ctx, func(tx *sqlite.Tx) error {
			return s.recordSignIn(ctx, tx, SignInFailed, p, from, "")
		})
		if err != nil {
			return Person{}, nil, err
		}
		return Person{}, nil, errWrong()
	}
	attempt.succeed()
	return p, hash, nil
}

// credentials reads who a name belongs to, the hash to compare with (nil when
// nobody may sign in by that name), and whether this address is one that the
// person has a session from, or they are in one.
func (s *Service) credentials(ctx context.Context, name string, from Origin) (p Person, hash []byte, known bool, err error) {
	takes := false
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		p, hash, err = personByName(ctx, tx, name)
		if fault.KindOf(err) == fault.Missing {
			return nil
		}
		if err != nil {
			return err
		}
		if takes, err = s.TakesPassword(ctx, tx, p); err != nil {
			return err
		}
		if from.signedIn {
			known = true
			return nil
		}
		known, err = hasSessionFrom(ctx, tx, p.ID, from.Host())
		return err
	})
	if p.Disabled || !takes {
		hash = nil
	}
	return p, hash, known, err
}

// unchanged reads the person again where something is written: what was
// proved must still be so.
func (s *Service) unchanged(ctx context.Context, tx *sqlite.Tx, id string, hash []byte) (Person, error) {
	p, now, err := personByID(ctx, tx, id)
	if fault.KindOf(err) == fault.Missing || p.Disabled || !bytes.Equal(now, hash) {
		return Person{}, errWrong()
	}
	if err != nil {
		return Person{}, err
	}
	return p, s.mayProveByPassword(ctx, tx, p, []Method{MethodPassword})
}

// aboutSignIn is the data of signin events. A failed one names a person only
// when there is one: what people type into that field is at times a password.
type aboutSignIn struct {
	Person    string `json:"person,omitempty"`
	Username  string `json:"username,omitempty"`
	Address   string `json:"address,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
	Via       Via    `json:"via,omitempty"`
	// Methods are how it was proved, or, of a failed one, what failed.
	Methods []Method `json:"methods,omitempty"`
}

func (s *Service) recordSignIn(ctx context.Context, tx *sqlite.Tx, kind event.Kind, p Person, from Origin, via Via, methods ...Method) error {
	return s.record(ctx, tx, kind, p.Username, aboutSignIn{
		Person: p.ID, Username: p.Username, Address: from.Host(),
		UserAgent: shortened(from.UserAgent, 256), Via: via, Methods: methods,
	})
}

// spoken rounds a wait up to what people say.
func spoken(wait time.Duration) string {
	if wait <= time.Minute {
		return (wait + time.Second - 1).Truncate(time.Second).String()
	}
	return strings.TrimSuffix((wait + time.Minute - 1).Truncate(time.Minute).String(), "0s")
}
