package identity

import (
	"cmp"
	"context"
	"encoding/json"
	"reflect"
	"slices"

	"berth/internal/sqlite"
)

// SyncExternal takes over what a provider tells of somebody between two
// sign-ins. An identity that nobody has gives [ErrUnknownIdentity].
func (s *Service) SyncExternal(ctx context.Context, ext External) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		one, p, err := s.recognize(ctx, tx, ext)
		if err != nil {
			return err
		}
		return s.sync(ctx, tx, one, p, ext, false)
	})
}

// told takes over what a provider tells.
func (i *Identity) told(ext External) {
	if ext.Username != "" {
		i.Username = shortened(ext.Username, 255)
	}
	if ext.Email != "" {
		i.Email = shortened(ext.Email, 255)
	}
	i.EmailVerified = ext.Email != "" && ext.EmailVerified
	i.Groups = slices.Clone(ext.Groups)
	slices.Sort(i.Groups)
	i.Groups = slices.Compact(i.Groups)
	if i.Groups == nil {
		i.Groups = []string{}
	}
	i.claims = ext.Claims
	if i.claims == nil {
		i.claims = map[string]any{}
	}
}

// sync takes over what a provider tells. Where that changes what somebody may
// do, what they have open is cut, and read anew; where it does not, it is only
// known to be so for longer, and nothing is read for it.
func (s *Service) sync(ctx context.Context, tx *sqlite.Tx, one Identity, p Person, ext External, signIn bool) error {
	before := one
	one.told(ext)
	one.SyncedAt = s.now()
	if signIn {
		one.LastSignInAt = one.SyncedAt
	}
	if err := one.hold(ctx, tx); err != nil {
		return err
	}
	if err := updateIdentity(ctx, tx, one); err != nil {
		return err
	}
	less := !slices.Equal(before.Groups, one.Groups) || !sameClaims(before.claims, one.claims)
	gone := func(subject *Subject) bool { return subject.IdentityID == one.ID }
	tx.OnCommit(func() {
		if !less && !signIn {
			s.sessions.confirm(p.ID, gone, one.SyncedAt.Add(toldFor))
			return
		}
		s.sessions.drop(p.ID, gone)
		if less {
			s.holds.drop(gone)
			s.watches.drop(gone)
		}
	})
	if before.held != one.held {
		s.tellAnew(tx, p.ID)
	}
	p, err := s.adopt(ctx, tx, one, p, ext)
	if err != nil {
		return err
	}
	if err := s.syncRole(ctx, tx, p, ext); err != nil {
		return err
	}
	if before.Username == one.Username && before.Email == one.Email && before.EmailVerified == one.EmailVerified {
		return nil
	}
	return s.reckon(ctx, tx)
}

func sameClaims(a, b map[string]any) bool {
	// As they are stored: what was read back has other types of numbers.
	return reflect.DeepEqual(canonical(a), canonical(b))
}

func canonical(claims map[string]any) (decoded any) {
	raw, err := json.Marshal(claims)
	if err != nil {
		return nil
	}
	_ = json.Unmarshal(raw, &decoded) // it was just written
	return decoded
}

// syncRole gives somebody the role that the provider says, which counts where
// no list says who administers. An account of Berth's own keeps the one that it
// was given here: no provider takes from Berth its last administrator, nor makes
// one of an account that is not its own. A password that somebody set themselves
// makes an account no more Berth's, or they would stay what they once were there.
func (s *Service) syncRole(ctx context.Context, tx *sqlite.Tx, p Person, ext External) error {
	if p.Local {
		return nil
	}
	after := p
	if after.GivenRole = roleOf(ext, p.GivenRole); after.GivenRole == p.GivenRole {
		return nil
	}
	listed, err := hasList(ctx, tx)
	if err != nil {
		return err
	}
	switch {
	case !listed:
		after.Role = after.GivenRole
	case after.Role != RoleAdministrator:
		after.Role = after.GivenRole.unlisted()
	}
	after.Version++
	after.UpdatedAt = s.now()
	if err := updatePerson(ctx, tx, after); err != nil {
		return err
	}
	s.forget(tx, p.ID)
	return s.recordEdit(ctx, tx, berth, p, after)
}

// roleOf gives the role of somebody who has one: only administrators are told
// of, and who is none any more is what somebody new would be.
func roleOf(ext External, has Role) Role {
	switch {
	case ext.Administrator == nil:
		return has
	case *ext.Administrator:
		return RoleAdministrator
	case has == RoleAdministrator:
		return ext.newRole()
	}
	return has
}

// newRole is what a new person of a provider becomes; a user where it does not
// say.
func (e External) newRole() Role { return cmp.Or(e.NewRole, RoleUser) }
