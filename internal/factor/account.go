package factor

import (
	"context"
	"slices"
	"strings"
	"time"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// Factors is what somebody has beside their password.
type Factors struct {
	Passkeys []Passkey `json:"passkeys"`
	TOTP     *TOTP     `json:"totp,omitempty" doc:"Codes from an app, where there are any"`
	Recovery Recovery  `json:"recovery"`
	// Required says that their role must have a second factor.
	Required bool `json:"required" doc:"Whether the role must have a second factor"`
	// PasskeysTaken says whether there can be passkeys at this base host.
	PasskeysTaken bool `json:"passkeys_taken" doc:"Whether there can be passkeys: not where the base URL has an address for a host"`
	// Reset is what an administrator did to them, until they have seen it.
	Reset *ResetNotice `json:"reset,omitempty" doc:"That an administrator removed them all, until that is dismissed"`
}

// ResetNotice tells somebody that an administrator removed their factors.
type ResetNotice struct {
	By string    `json:"by"`
	At time.Time `json:"at"`
}

// second says whether any of it is a second factor.
func (f *Factors) second() bool { return len(f.Passkeys) > 0 || f.TOTP != nil }

// Of lists a person's factors.
func (s *Service) Of(ctx context.Context, personID string) (has Factors, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		p, err := s.people.PersonByID(ctx, tx, personID)
		if err != nil {
			return err
		}
		if has, err = factorsOf(ctx, tx, personID); err != nil {
			return err
		}
		has.Required, has.PasskeysTaken = s.people.RequiresSecondFactor(p.Role), s.TakesPasskeys()
		return nil
	})
	return has, err
}

// Offer says whether to offer somebody who has just signed in a first passkey:
// they have no second factor and have not said no.
func (s *Service) Offer(ctx context.Context, subject identity.Subject) (offer bool, err error) {
	if !s.TakesPasskeys() || subject.Person.SecondFactor || subject.Via != identity.ViaSession {
		return false, nil
	}
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		declined, err := hasDeclined(ctx, tx, subject.Person.ID)
		offer = !declined
		return err
	})
	return offer, err
}

// Decline keeps that somebody wants no passkey, so that it is not offered again.
func (s *Service) Decline(ctx context.Context, subject identity.Subject) error {
	if err := identity.Decide(&subject, identity.ActionOwnFactors, identity.On{}); err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *sqlite.Tx) error { return decline(ctx, tx, subject.Person.ID, s.now()) })
}

// Dismiss says that the subject has read what an administrator did.
func (s *Service) Dismiss(ctx context.Context, subject identity.Subject) error {
	if err := identity.Decide(&subject, identity.ActionOwnFactors, identity.On{}); err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *sqlite.Tx) error { return dismissReset(ctx, tx, subject.Person.ID) })
}

// AskNewPasskey begins to add a passkey to the subject's account.
func (s *Service) AskNewPasskey(ctx context.Context, subject identity.Subject) (Question, error) {
	if err := s.Fresh(subject); err != nil {
		return Question{}, err
	}
	return s.askNew(ctx, subject.Person.ID, subject.SessionID)
}

// AddPasskey adds the passkey that answered. The session it came with is
// stronger for it and has a new token.
func (s *Service) AddPasskey(ctx context.Context, subject identity.Subject, name string, sealed secret.Text, answer []byte) (Passkey, Outcome, error) {
	if err := s.Fresh(subject); err != nil {
		return Passkey{}, Outcome{}, err
	}
	key, err := s.newPasskey(ctx, subject.Person.ID, subject.SessionID, name, sealed, answer)
	if err != nil {
		return Passkey{}, Outcome{}, err
	}
	out, err := s.add(ctx, subject, identity.MethodPasskey, func(tx *sqlite.Tx) error {
		return s.addPasskey(ctx, tx, subject.Person, key)
	})
	return key, out, err
}

// AskTOTP begins to add an app that makes codes.
func (s *Service) AskTOTP(ctx context.Context, subject identity.Subject) (made Enrolment, err error) {
	if err := s.Fresh(subject); err != nil {
		return Enrolment{}, err
	}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		made, err = s.askTOTP(ctx, tx, subject.Person)
		return err
	})
	return made, err
}

// AddTOTP adds the app, by its first code.
func (s *Service) AddTOTP(ctx context.Context, subject identity.Subject, code string) (Outcome, error) {
	if err := s.Fresh(subject); err != nil {
		return Outcome{}, err
	}
	of, err := s.secretFor(ctx, subject.Person.ID, identity.MethodTOTP)
	if err != nil {
		return Outcome{}, err
	}
	return s.add(ctx, subject, identity.MethodTOTP, func(tx *sqlite.Tx) error {
		return s.confirmTOTP(ctx, tx, subject.Person, code, of)
	})
}

// add keeps a factor, makes recovery codes with the first, and strengthens the
// session with what was just proved.
func (s *Service) add(ctx context.Context, subject identity.Subject, method identity.Method, keep func(*sqlite.Tx) error) (out Outcome, err error) {
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if err := keep(tx); err != nil {
			return err
		}
		if out.Codes, err = s.added(ctx, tx, subject.Person, subject.SessionID); err != nil {
			return err
		}
		out.Session, out.Subject, err = s.people.Strengthen(ctx, tx, subject, method)
		return err
	})
	if err != nil {
		return Outcome{}, err
	}
	return out, nil
}

// added follows a new factor: the person has a second one now, and codes for
// the day when it is lost.
func (s *Service) added(ctx context.Context, tx *sqlite.Tx, p identity.Person, keep string) (codes []string, err error) {
	left, err := codesLeft(ctx, tx, p.ID)
	if err != nil {
		return nil, err
	}
	if left == 0 {
		if codes, err = s.newCodes(ctx, tx, p.ID); err != nil {
			return nil, err
		}
		if err := s.record(ctx, tx, Added, p.Username, p, about{Factor: identity.MethodRecovery}); err != nil {
			return nil, err
		}
	}
	if err := dismissReset(ctx, tx, p.ID); err != nil {
		return nil, err
	}
	return codes, s.people.SetSecondFactor(ctx, tx, p.Username, p.ID, true, keep)
}

// NewCodes makes recovery codes in the place of those the subject had.
func (s *Service) NewCodes(ctx context.Context, subject identity.Subject) (codes []string, err error) {
	if err := s.Fresh(subject); err != nil {
		return nil, err
	}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		has, err := factorsOf(ctx, tx, subject.Person.ID)
		if err != nil {
			return err
		}
		if !has.second() {
			return fault.Conflict("recovery codes stand in for a passkey or an app: add one first")
		}
		if codes, err = s.newCodes(ctx, tx, subject.Person.ID); err != nil {
			return err
		}
		return s.record(ctx, tx, Added, subject.Person.Username, subject.Person, about{Factor: identity.MethodRecovery})
	})
	return codes, err
}

// RenamePasskey gives one of the subject's passkeys another name.
func (s *Service) RenamePasskey(ctx context.Context, subject identity.Subject, id, name string) (key Passkey, err error) {
	if err := identity.Decide(&subject, identity.ActionOwnFactors, identity.On{}); err != nil {
		return Passkey{}, err
	}
	name = strings.TrimSpace(name)
	if err := checkPasskeyName(name); err != nil {
		return Passkey{}, err
	}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if key, err = passkeyByID(ctx, tx, subject.Person.ID, id); err != nil {
			return err
		}
		key.Name = name
		return updatePasskey(ctx, tx, key)
	})
	return key, err
}

// RemovePasskey removes one of the subject's passkeys, unless it is the last
// way in, or the last second factor of a role that must have one.
func (s *Service) RemovePasskey(ctx context.Context, subject identity.Subject, id string) error {
	return s.remove(ctx, subject, func(tx *sqlite.Tx, has *Factors) (about, error) {
		key, err := passkeyByID(ctx, tx, subject.Person.ID, id)
		if err != nil {
			return about{}, err
		}
		has.Passkeys = slices.DeleteFunc(has.Passkeys, func(k Passkey) bool { return k.ID == id })
		return about{Factor: identity.MethodPasskey, Name: key.Name}, deletePasskey(ctx, tx, id)
	})
}

// RemoveTOTP removes the app that makes the subject's codes.
func (s *Service) RemoveTOTP(ctx context.Context, subject identity.Subject) error {
	return s.remove(ctx, subject, func(tx *sqlite.Tx, has *Factors) (about, error) {
		if has.TOTP == nil {
			return about{}, fault.NotFound("there is no app that makes codes")
		}
		has.TOTP = nil
		return about{Factor: identity.MethodTOTP}, s.forgetTOTP(ctx, tx, subject.Person.Username, subject.Person.ID)
	})
}

// remove takes a factor away. what tells has of it.
func (s *Service) remove(ctx context.Context, subject identity.Subject, what func(*sqlite.Tx, *Factors) (about, error)) error {
	if err := s.Fresh(subject); err != nil {
		return err
	}
	p := subject.Person
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		has, err := factorsOf(ctx, tx, p.ID)
		if err != nil {
			return err
		}
		gone, err := what(tx, &has)
		if err != nil {
			return err
		}
		stays, err := s.people.HasWayIn(ctx, tx, p.ID)
		switch {
		case err != nil:
			return err
		case !stays && gone.Factor == identity.MethodPasskey:
			return fault.Conflict("this is your last way in: add another passkey first")
		case !has.second() && s.people.RequiresSecondFactor(p.Role):
			return fault.Conflict("your role must have a second factor: add another one first")
		}
		if err := s.record(ctx, tx, Removed, p.Username, p, gone); err != nil {
			return err
		}
		if has.second() {
			return nil
		}
		return s.withoutSecond(ctx, tx, p.Username, p)
	})
}

// withoutSecond follows the last second factor: recovery codes stand in for
// nothing any more.
func (s *Service) withoutSecond(ctx context.Context, tx *sqlite.Tx, actor string, p identity.Person) error {
	if err := deleteCodes(ctx, tx, p.ID); err != nil {
		return err
	}
	return s.people.SetSecondFactor(ctx, tx, actor, p.ID, false, "")
}

func (s *Service) forgetTOTP(ctx context.Context, tx *sqlite.Tx, actor, personID string) error {
	err := s.slots.RemoveIn(ctx, tx, actor, totpContext, personID)
	if err != nil && fault.KindOf(err) != fault.Missing {
		return err
	}
	return deleteTOTP(ctx, tx, personID)
}

// ResetAll removes all factors of somebody who has lost them, for an
// administrator, and ends their sessions. They are told of it when they sign
// in again. Somebody without another way in keeps none.
func (s *Service) ResetAll(ctx context.Context, actor, username string) error {
	found, err := s.people.Person(ctx, username)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		p, err := s.people.PersonByID(ctx, tx, found.ID)
		if err != nil {
			return err
		}
		if err := deletePasskeys(ctx, tx, p.ID); err != nil {
			return err
		}
		stays, err := s.people.HasWayIn(ctx, tx, p.ID)
		if err != nil {
			return err
		}
		if !stays {
			first, err := s.people.WayToAdd(ctx, tx)
			if err != nil {
				return err
			}
			return fault.Conflict("%s has no way in but a passkey: %s", p.Username, first)
		}
		if err := s.forgetTOTP(ctx, tx, actor, p.ID); err != nil {
			return err
		}
		if err := s.withoutSecond(ctx, tx, actor, p); err != nil {
			return err
		}
		if err := noteReset(ctx, tx, p.ID, actor, s.now()); err != nil {
			return err
		}
		if err := s.people.EndSessions(ctx, tx, actor, p.ID, "", "second factors reset"); err != nil {
			return err
		}
		return s.record(ctx, tx, Reset, actor, p, about{})
	})
}
