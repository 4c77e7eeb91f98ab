package identity

import (
	"context"
	"slices"
	"time"

	"berth/internal/event"
	"berth/internal/settings"
	"berth/internal/sqlite"
)

// AdministratorsChanged is that another list says who administers.
const AdministratorsChanged event.Kind = "administrators.changed"

// Listed is an entry of the list of those who administer, and what it came to.
type Listed struct {
	settings.Admin
	State ListedState
	// Username is whose entry it is here; "" while it is nobody's.
	Username string
	// Issuer and ExternalID are what the entry is bound to since BoundAt; of an
	// account of Berth's own the id alone.
	Issuer     string
	ExternalID string
	BoundAt    time.Time
}

// ListedState is what became of an entry.
type ListedState string

// The states of an entry.
const (
	ListedAdministers ListedState = "administers" // somebody is who it names
	ListedWaits       ListedState = "waits"       // nobody has come yet whom it fits
	ListedUnclear     ListedState = "unclear"     // it fits several, and so nobody
	ListedOther       ListedState = "other"       // whom it is bound to has another name now, or is gone
)

func (l ListedState) String() string { return string(l) }

// Administrators is who administers, and why.
type Administrators struct {
	Listed []Listed // empty where no list says so
	// BreakGlass administers whatever a list says; "" while there is nobody.
	BreakGlass string
	People     []Person // all who administer, by name
}

// UseAdministrators has a list say, in tx, who administers; an empty one leaves
// it to everybody's own role. Whoever administers no more is cut off at once.
// Of the entries that stay, what they are bound to stays.
func (s *Service) UseAdministrators(ctx context.Context, tx *sqlite.Tx, actor string, list []settings.Admin) error {
	before, err := selectListed(ctx, tx)
	if err != nil {
		return err
	}
	had := make([]settings.Admin, len(before))
	for i, one := range before {
		had[i] = one.Admin
	}
	about := aboutAdministrators{Added: spelledOut(list, had), Removed: spelledOut(had, list)}
	for _, one := range had {
		if !slices.Contains(list, one) {
			if err := deleteListed(ctx, tx, one); err != nil {
				return err
			}
		}
	}
	for i, one := range list {
		if err := upsertListed(ctx, tx, one, i); err != nil {
			return err
		}
	}
	if len(about.Added)+len(about.Removed) > 0 {
		if err := s.record(ctx, tx, AdministratorsChanged, actor, about); err != nil {
			return err
		}
	}
	return s.reckon(ctx, tx)
}

// aboutAdministrators is the data of administrators.changed.
type aboutAdministrators struct {
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
}

// spelledOut gives those of list that others has not, as people write them.
func spelledOut(list, others []settings.Admin) (names []string) {
	for _, one := range list {
		if !slices.Contains(others, one) {
			names = append(names, one.String())
		}
	}
	return names
}

// Administrators says who administers, and why.
func (s *Service) Administrators(ctx context.Context) (all Administrators, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		if all.Listed, err = selectListed(ctx, tx); err != nil {
			return err
		}
		for i := range all.Listed {
			whose, state, err := whoseEntry(ctx, tx, all.Listed[i])
			if err != nil {
				return err
			}
			all.Listed[i].State, all.Listed[i].Username = state, whose.username
		}
		glass, err := breakGlass(ctx, tx)
		if err != nil {
			return err
		}
		if all.People, err = selectAdministrators(ctx, tx); err != nil {
			return err
		}
		for _, p := range all.People {
			if p.ID == glass {
				all.BreakGlass = p.Username
			}
		}
		return nil
	})
	return all, err
}

// reckon gives everybody the role that they have by now. Where there is no
// list, that is the one they were given. Where there is one, those whom it
// names administer and nobody else, but for one account with a password: the
// oldest that was made an administrator here. Who was and is not named is a member.
func (s *Service) reckon(ctx context.Context, tx *sqlite.Tx) error {
	list, err := selectListed(ctx, tx)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return s.giveBack(ctx, tx)
	}
	found, err := entriesOfSomebody(ctx, tx, list)
	if err != nil {
		return err
	}
	glass, err := breakGlass(ctx, tx)
	if err != nil {
		return err
	}
	named := []string{glass}
	for _, one := range found {
		named = append(named, one.personID)
		if one.BoundAt.IsZero() {
			if err := bindListed(ctx, tx, one.Admin, one.whose, s.now()); err != nil {
				return err
			}
		}
	}
	now, err := selectAdministrators(ctx, tx)
	if err != nil {
		return err
	}
	for _, p := range now {
		if !slices.Contains(named, p.ID) {
			if err := s.setRole(ctx, tx, p.ID, p.GivenRole.unlisted()); err != nil {
				return err
			}
		}
	}
	for _, id := range named {
		if id != "" {
			if err := s.setRole(ctx, tx, id, RoleAdministrator); err != nil {
				return err
			}
		}
	}
	return nil
}

// giveBack gives everybody the role that they were given: no list says otherwise.
func (s *Service) giveBack(ctx context.Context, tx *sqlite.Tx) error {
	people, err := selectWithOtherRole(ctx, tx)
	if err != nil {
		return err
	}
	for _, p := range people {
		if err := s.setRole(ctx, tx, p.ID, p.GivenRole); err != nil {
			return err
		}
	}
	return nil
}

// setRole gives somebody a role that they do not have, and cuts what they came
// with under the one before.
func (s *Service) setRole(ctx context.Context, tx *sqlite.Tx, personID string, role Role) error {
	before, _, err := personByID(ctx, tx, personID)
	if err != nil || before.Role == role {
		return err
	}
	after := before
	after.Role, after.Version, after.UpdatedAt = role, before.Version+1, s.now()
	if err := updatePerson(ctx, tx, after); err != nil {
		return err
	}
	s.forget(tx, personID)
	return s.recordEdit(ctx, tx, berth, before, after)
}

// whose is somebody whom an entry names.
type whose struct {
	personID   string
	username   string
	issuer     string
	externalID string
}

// entry is one of the list that names somebody.
type entry struct {
	Listed
	whose
}

// entriesOfSomebody gives those that name somebody by now.
func entriesOfSomebody(ctx context.Context, tx *sqlite.Tx, list []Listed) (found []entry, err error) {
	for _, one := range list {
		whose, state, err := whoseEntry(ctx, tx, one)
		if err != nil {
			return nil, err
		}
		if state == ListedAdministers {
			found = append(found, entry{one, whose})
		}
	}
	return found, nil
}

// administersBy tells who would administer were this the list.
func administersBy(ctx context.Context, tx *sqlite.Tx, list []settings.Admin) (func(Person) bool, error) {
	if len(list) == 0 {
		return func(p Person) bool { return p.GivenRole == RoleAdministrator }, nil
	}
	bound, err := selectListed(ctx, tx)
	if err != nil {
		return nil, err
	}
	becomes := make([]Listed, len(list))
	for i, one := range list {
		becomes[i] = Listed{Admin: one}
		if at := slices.IndexFunc(bound, func(b Listed) bool { return b.Admin == one }); at >= 0 {
			becomes[i] = bound[at]
		}
	}
	found, err := entriesOfSomebody(ctx, tx, becomes)
	if err != nil {
		return nil, err
	}
	glass, err := breakGlass(ctx, tx)
	return func(p Person) bool {
		return p.ID == glass || slices.ContainsFunc(found, func(e entry) bool { return e.personID == p.ID })
	}, err
}

// whoseEntry finds whom an entry names by now. One that is bound names nobody
// else ever, and also that one only while the name is theirs.
func whoseEntry(ctx context.Context, tx *sqlite.Tx, one Listed) (whose, ListedState, error) {
	find := identitiesListed
	if one.Provider == settings.LocalProvider {
		find = accountsListed
	}
	found, err := find(ctx, tx, one.Admin)
	if err != nil {
		return whose{}, "", err
	}
	if one.BoundAt.IsZero() {
		switch len(found) {
		case 0:
			return whose{}, ListedWaits, nil
		case 1:
			return found[0], ListedAdministers, nil
		}
		return whose{}, ListedUnclear, nil
	}
	for _, f := range found {
		if f.issuer == one.Issuer && f.externalID == one.ExternalID {
			return f, ListedAdministers, nil
		}
	}
	return whose{}, ListedOther, nil
}
