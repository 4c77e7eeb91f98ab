package identity

import (
	"context"
	"strings"

	"berth/internal/sqlite"
)

// EmailState is whose word stands behind a person's address.
type EmailState string

// The states; "" of somebody without an address.
const (
	EmailGiven      EmailState = "given"      // set here, which is an administrator's word
	EmailVerified   EmailState = "verified"   // by their provider
	EmailUnverified EmailState = "unverified" // their provider does not vouch for it: it is for show alone
	EmailTaken      EmailState = "taken"      // verified, and already somebody else's
)

// addressKey is what two spellings of one address have in common. By way of
// capitals, so that no other letter that becomes the same one is another.
func addressKey(email string) string { return strings.ToLower(strings.ToUpper(email)) }

// hold has an identity hold the address that its provider vouches for, unless
// it is another person's: apps know people by it. Who held it first keeps it,
// and one that was given here goes before.
func (i *Identity) hold(ctx context.Context, tx *sqlite.Tx) error {
	i.held = ""
	if !i.EmailVerified || mailable(i.Email) == "" {
		return nil
	}
	key := addressKey(i.Email)
	taken, err := isHeld(ctx, tx, key, i.PersonID)
	if err == nil && !taken {
		i.held = key
	}
	return err
}

// toldEmail gives the address that apps are told of somebody in a session of
// an identity, or without one: what an administrator gave, or else what the
// identity holds.
func toldEmail(p Person, held bool, theirs string) string {
	switch {
	case p.EmailState == EmailGiven:
		return p.Email
	case held:
		return theirs
	}
	return ""
}

// adopted is the person with the name and the address that a provider tells of
// an identity, where these came from it before, or there was none.
func (p Person) adopted(one Identity, ext External) Person {
	if name := displayable(ext.DisplayName); name != "" && (p.DisplayName == "" || p.nameBy == one.ID) {
		p.DisplayName, p.nameBy = name, one.ID
	}
	if p.Email != "" && p.emailBy != one.ID {
		return p
	}
	email := mailable(ext.Email)
	if email != "" {
		p.Email, p.emailBy = email, one.ID
	}
	switch {
	case p.Email == "":
		p.EmailState = ""
	case email == "" || !one.EmailVerified:
		p.EmailState = EmailUnverified
	case one.held == "":
		p.EmailState = EmailTaken
	default:
		p.EmailState = EmailVerified
	}
	return p
}

// adopt takes over name and address of what a provider tells.
func (s *Service) adopt(ctx context.Context, tx *sqlite.Tx, one Identity, p Person, ext External) (Person, error) {
	after := p.adopted(one, ext)
	if after == p {
		return p, nil
	}
	if err := s.rewrite(ctx, tx, p, after); err != nil {
		return Person{}, err
	}
	after, _, err := personByID(ctx, tx, p.ID)
	return after, err
}

// rewrite stores what a provider's word made of a person. Nothing that they
// may do changes by it, and nothing that they have open is cut.
func (s *Service) rewrite(ctx context.Context, tx *sqlite.Tx, before, after Person) error {
	if err := updateTold(ctx, tx, after, s.now()); err != nil {
		return err
	}
	s.tellAnew(tx, after.ID)
	return s.recordEdit(ctx, tx, berth, before, after)
}

// tellAnew has apps told anew of somebody with their next request.
func (s *Service) tellAnew(tx *sqlite.Tx, personID string) {
	all := func(subject *Subject) bool { return subject.Person.ID == personID }
	tx.OnCommit(func() {
		s.sessions.drop(personID, all)
		s.tokens.drop(personID, all)
		s.proofs.drop(personID, all)
	})
}

// giveAddress takes an address that an administrator gives to somebody from
// the identities of everybody else.
func (s *Service) giveAddress(ctx context.Context, tx *sqlite.Tx, p Person) error {
	if p.EmailState != EmailGiven {
		return nil
	}
	others, err := releaseHeld(ctx, tx, addressKey(p.Email), p.ID)
	if err != nil {
		return err
	}
	for _, id := range others {
		other, _, err := personByID(ctx, tx, id)
		if err != nil {
			return err
		}
		s.tellAnew(tx, id)
		after := other
		if other.EmailState == EmailVerified && addressKey(other.Email) == addressKey(p.Email) {
			after.EmailState = EmailTaken
		}
		if after == other {
			continue
		}
		if err := s.rewrite(ctx, tx, other, after); err != nil {
			return err
		}
	}
	return nil
}

// WithdrawAddresses has no address of a provider's count as verified, in tx,
// until it tells of somebody again: its word, or where it is read, is another.
func (s *Service) WithdrawAddresses(ctx context.Context, tx *sqlite.Tx, provider string) error {
	whose, err := withdrawAddresses(ctx, tx, provider)
	if err != nil {
		return err
	}
	for _, one := range whose {
		p, _, err := personByID(ctx, tx, one.PersonID)
		if err != nil {
			return err
		}
		s.tellAnew(tx, p.ID)
		after := p
		if p.emailBy == one.ID {
			after.EmailState = EmailUnverified
		}
		if after == p {
			continue
		}
		if err := s.rewrite(ctx, tx, p, after); err != nil {
			return err
		}
	}
	return s.reckon(ctx, tx)
}

// leaveAddress takes from a person what came from an identity that is theirs no more.
func (s *Service) leaveAddress(ctx context.Context, tx *sqlite.Tx, p Person, identityID string) error {
	after := p
	if p.nameBy == identityID {
		after.nameBy = ""
	}
	if p.emailBy == identityID {
		after.Email, after.emailBy, after.EmailState = "", "", ""
	}
	if after == p {
		return nil
	}
	return s.rewrite(ctx, tx, p, after)
}
