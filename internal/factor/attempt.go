package factor

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// The bounds of an attempt.
const (
	attemptLives = 5 * time.Minute
	setUpLives   = 15 * time.Minute // an app may have to be found first
	maxTries     = 10
	maxAttempts  = 10 // of one person; the oldest goes for a new one
)

// Outcome is what came of a sign-in, or of a step of it: a session, or an
// attempt that waits for more.
type Outcome struct {
	Session secret.Text
	Subject identity.Subject
	// Attempt is set when there is no session yet.
	Attempt secret.Text
	Waiting Waiting
	// Codes are the recovery codes that were made with a first factor.
	Codes []string
}

// Waiting is what an attempt waits for.
type Waiting struct {
	// SecondFactor are the methods of which one is needed.
	SecondFactor []identity.Method `json:"second_factor,omitempty" doc:"What else is needed: one of these"`
	// SetUp are those of which one is to be set up, where there is none and
	// the role needs one.
	SetUp     []identity.Method `json:"set_up,omitempty" doc:"What is to be set up first: one of these"`
	ExpiresAt time.Time         `json:"expires_at,omitzero" doc:"When the sign-in has to begin again"`
}

// attempt is a row of them.
type attempt struct {
	hash      digest
	person    string
	proof     identity.Proof
	stamp     identity.Stamp
	setUp     bool
	tries     int
	createdAt time.Time
	expiresAt time.Time
}

type digest [sha256.Size]byte

func digestOf(token secret.Text) digest { return sha256.Sum256([]byte(token.Reveal())) }

func newToken() secret.Text {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return secret.New(base64.RawURLEncoding.EncodeToString(b))
}

func errNoAttempt() error {
	return fault.SignIn("the sign-in took too long, or was begun anew: begin again")
}

// SignIn begins with a password: see [identity.Service.SignIn].
func (s *Service) SignIn(ctx context.Context, username string, password secret.Text, from identity.Origin) (Outcome, error) {
	token, subject, err := s.people.SignIn(ctx, username, password, from)
	return s.Open(ctx, token, subject, err)
}

// Open takes what a beginning of a session gave. Where that was too little for
// a session, the outcome is an attempt that goes on from it.
func (s *Service) Open(ctx context.Context, token secret.Text, subject identity.Subject, err error) (Outcome, error) {
	short, ok := errors.AsType[*identity.FactorError](err)
	if !ok {
		return Outcome{Session: token, Subject: subject}, err
	}
	now := s.now()
	one := attempt{
		person: short.Person.ID, proof: short.Proof, stamp: short.Stamp, setUp: !short.Person.SecondFactor,
		createdAt: now, expiresAt: now.Add(attemptLives),
	}
	if one.setUp {
		one.expiresAt = now.Add(setUpLives)
	}
	begun := newToken()
	one.hash = digestOf(begun)
	var waiting Waiting
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if err := deleteOldAttempts(ctx, tx, one.person, maxAttempts-1); err != nil {
			return err
		}
		if err := insertAttempt(ctx, tx, one); err != nil {
			return err
		}
		waiting, err = s.waiting(ctx, tx, one)
		return err
	})
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Attempt: begun, Waiting: waiting}, nil
}

// Attempt says what an attempt waits for.
func (s *Service) Attempt(ctx context.Context, token secret.Text) (waiting Waiting, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		one, _, err := s.attempt(ctx, tx, token)
		if err != nil {
			return err
		}
		waiting, err = s.waiting(ctx, tx, one)
		return err
	})
	return waiting, err
}

// GiveUp ends an attempt.
func (s *Service) GiveUp(ctx context.Context, token secret.Text) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error { return deleteAttempt(ctx, tx, digestOf(token)) })
}

// SecondFactor finishes an attempt with a code: of an app, or for recovery.
func (s *Service) SecondFactor(ctx context.Context, token secret.Text, method identity.Method, code string, from identity.Origin) (Outcome, error) {
	one, p, err := s.try(ctx, token, false)
	if err != nil {
		return Outcome{}, err
	}
	guess, err := s.people.GuessFactor(p.ID)
	if err != nil {
		return Outcome{}, err
	}
	secretOf, err := s.secretFor(ctx, p.ID, method)
	if err != nil {
		return Outcome{}, err
	}
	return s.finish(ctx, one, method, from, guess, func(tx *sqlite.Tx) error {
		return s.redeem(ctx, tx, p, method, code, secretOf)
	})
}

// finish takes the second proof in the transaction that starts the session.
func (s *Service) finish(ctx context.Context, one attempt, method identity.Method, from identity.Origin, guess identity.Guess, prove func(*sqlite.Tx) error) (out Outcome, err error) {
	var p identity.Person
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if p, err = s.still(ctx, tx, one); err != nil {
			return err
		}
		if err := prove(tx); err != nil {
			return err
		}
		proof := one.proof
		proof.Methods = append(slices.Clone(proof.Methods), method)
		out, err = s.start(ctx, tx, one, proof, from)
		return err
	})
	if fault.KindOf(err) == fault.Unauthenticated && p.ID != "" {
		return Outcome{}, errors.Join(err, s.people.RecordFailure(ctx, p, method, from))
	}
	if err != nil {
		return Outcome{}, err
	}
	guess.Right()
	return out, nil
}

// start makes a session of an attempt, which ends with it.
func (s *Service) start(ctx context.Context, tx *sqlite.Tx, one attempt, proof identity.Proof, from identity.Origin) (Outcome, error) {
	if err := takeAttempt(ctx, tx, one.hash); err != nil {
		return Outcome{}, err
	}
	token, subject, err := s.people.BeginSession(ctx, tx, one.person, proof, from)
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Session: token, Subject: subject}, nil
}

// try counts one use of an attempt, which ends with too many. setUp says which
// sort it must be.
func (s *Service) try(ctx context.Context, token secret.Text, setUp bool) (one attempt, p identity.Person, err error) {
	spent := false
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if one, p, err = s.attempt(ctx, tx, token); err != nil {
			return err
		}
		if one.setUp != setUp {
			return errNoAttempt()
		}
		if spent = one.tries >= maxTries; spent {
			return deleteAttempt(ctx, tx, one.hash)
		}
		return countTry(ctx, tx, one.hash)
	})
	if err == nil && spent {
		err = errNoAttempt()
	}
	return one, p, err
}

// attempt finds an attempt that still counts, and whose it is.
func (s *Service) attempt(ctx context.Context, tx *sqlite.Tx, token secret.Text) (attempt, identity.Person, error) {
	one, err := attemptByHash(ctx, tx, digestOf(token))
	if err != nil {
		return attempt{}, identity.Person{}, err
	}
	if !s.now().Before(one.expiresAt) {
		return attempt{}, identity.Person{}, errNoAttempt()
	}
	p, err := s.still(ctx, tx, one)
	return one, p, err
}

// still reads whose an attempt is, while what it began with counts: a password
// may be one that the sign-in mode does not take any more, which says nothing
// of the second factor.
func (s *Service) still(ctx context.Context, tx *sqlite.Tx, one attempt) (identity.Person, error) {
	p, err := s.people.Unchanged(ctx, tx, one.person, one.stamp)
	if err != nil || !slices.Contains(one.proof.Methods, identity.MethodPassword) {
		return p, err
	}
	takes, err := s.people.TakesPassword(ctx, tx, p)
	if err == nil && !takes {
		err = errNoAttempt()
	}
	if err != nil {
		return identity.Person{}, err
	}
	return p, nil
}

// waiting says what an attempt waits for.
func (s *Service) waiting(ctx context.Context, tx *sqlite.Tx, one attempt) (Waiting, error) {
	w := Waiting{ExpiresAt: one.expiresAt}
	if one.setUp {
		w.SetUp = s.canSetUp()
		return w, nil
	}
	var err error
	w.SecondFactor, err = s.methods(ctx, tx, one.person)
	return w, err
}

func (s *Service) canSetUp() []identity.Method {
	if s.TakesPasskeys() {
		return []identity.Method{identity.MethodPasskey, identity.MethodTOTP}
	}
	return []identity.Method{identity.MethodTOTP}
}

// methods lists the second factors that somebody can use.
func (s *Service) methods(ctx context.Context, tx *sqlite.Tx, personID string) ([]identity.Method, error) {
	has, err := factorsOf(ctx, tx, personID)
	if err != nil {
		return nil, err
	}
	list := []identity.Method{}
	if len(has.Passkeys) > 0 && s.TakesPasskeys() {
		list = append(list, identity.MethodPasskey)
	}
	if has.TOTP != nil {
		list = append(list, identity.MethodTOTP)
	}
	if has.Recovery.Left > 0 {
		list = append(list, identity.MethodRecovery)
	}
	return list, nil
}
