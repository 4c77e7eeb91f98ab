package factor

import (
	"context"
	"slices"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// The first factor of somebody whose role must have one: set up in the midst
// of signing in, which it finishes.

// SetUpPasskey asks for the first passkey.
func (s *Service) SetUpPasskey(ctx context.Context, token secret.Text) (Question, error) {
	one, p, err := s.try(ctx, token, true)
	if err != nil {
		return Question{}, err
	}
	return s.askNew(ctx, p.ID, holderOf(one.hash))
}

// FinishWithPasskey keeps the first passkey and starts the session.
func (s *Service) FinishWithPasskey(ctx context.Context, token secret.Text, name string, sealed secret.Text, answer []byte, from identity.Origin) (Outcome, error) {
	one, p, err := s.try(ctx, token, true)
	if err != nil {
		return Outcome{}, err
	}
	key, err := s.newPasskey(ctx, p.ID, holderOf(one.hash), name, sealed, answer)
	if err != nil {
		return Outcome{}, err
	}
	return s.finishSetUp(ctx, one, identity.MethodPasskey, from, func(tx *sqlite.Tx, p identity.Person) error {
		return s.addPasskey(ctx, tx, p, key)
	})
}

// SetUpTOTP makes the secret for the first app.
func (s *Service) SetUpTOTP(ctx context.Context, token secret.Text) (made Enrolment, err error) {
	_, p, err := s.try(ctx, token, true)
	if err != nil {
		return Enrolment{}, err
	}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		made, err = s.askTOTP(ctx, tx, p)
		return err
	})
	return made, err
}

// FinishWithTOTP lets the first app's codes count and starts the session.
func (s *Service) FinishWithTOTP(ctx context.Context, token secret.Text, code string, from identity.Origin) (Outcome, error) {
	one, p, err := s.try(ctx, token, true)
	if err != nil {
		return Outcome{}, err
	}
	of, err := s.secretFor(ctx, p.ID, identity.MethodTOTP)
	if err != nil {
		return Outcome{}, err
	}
	return s.finishSetUp(ctx, one, identity.MethodTOTP, from, func(tx *sqlite.Tx, p identity.Person) error {
		return s.confirmTOTP(ctx, tx, p, code, of)
	})
}

func (s *Service) finishSetUp(ctx context.Context, one attempt, method identity.Method, from identity.Origin, keep func(*sqlite.Tx, identity.Person) error) (out Outcome, err error) {
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		p, err := s.still(ctx, tx, one)
		if err != nil {
			return err
		}
		// Somebody else may have signed in meanwhile and set one up: whoever
		// is here has not proved that one.
		if p.SecondFactor {
			return fault.Conflict("a second factor was set up meanwhile: begin again")
		}
		if err := keep(tx, p); err != nil {
			return err
		}
		codes, err := s.added(ctx, tx, p, "")
		if err != nil {
			return err
		}
		proof := one.proof
		proof.Methods = append(slices.Clone(proof.Methods), method)
		out, err = s.start(ctx, tx, one, proof, from)
		out.Codes = codes
		return err
	})
	if err != nil {
		return Outcome{}, err
	}
	return out, nil
}
