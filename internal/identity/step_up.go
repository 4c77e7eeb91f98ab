package identity

import (
	"context"
	"errors"

	"berth/internal/secret"
	"berth/internal/sqlite"
)

// ErrTooWeak is that a provider proves less than is asked for.
var ErrTooWeak = errors.New("the provider proves less than is asked for")

// StrengthenExternal adds to the session that the subject came with what a
// provider has just proved of them, and gives it a new token. That the
// provider asked anew is for the caller to know. Whoever else it proves gives
// [ErrLinkedElsewhere] or [ErrUnknownIdentity]; where a second factor is asked
// for, or the person has one here, and it tells of none, [ErrTooWeak].
func (s *Service) StrengthenExternal(ctx context.Context, subject Subject, ext External, want Strength, keep func(*sqlite.Tx, string) error) (token secret.Text, err error) {
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		one, p, err := s.recognize(ctx, tx, ext)
		switch {
		case err != nil:
			return err
		case p.ID != subject.Person.ID:
			return ErrLinkedElsewhere
		case (want != StrengthAny || p.SecondFactor) && !strong(ext.Methods), want == StrengthPasskey:
			return ErrTooWeak
		}
		if err := s.sync(ctx, tx, one, p, ext, false); err != nil {
			return err
		}
		if err := keep(tx, one.ID); err != nil {
			return err
		}
		token, _, err = s.Strengthen(ctx, tx, subject, append([]Method{MethodProvider}, ext.Methods...)...)
		return err
	})
	return token, err
}

// EndTrustedSessions ends, in tx, the sessions of everybody whom a provider
// knows that a provider's word for a second factor counted for.
func (s *Service) EndTrustedSessions(ctx context.Context, tx *sqlite.Tx, actor, provider, why string) error {
	list, err := sessionsTrusting(ctx, tx, provider)
	_, err = s.endAll(ctx, tx, actor, Ended{Provider: provider}, list, err, why)
	return err
}
