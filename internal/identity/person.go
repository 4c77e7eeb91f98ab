package identity

import (
	"context"
	"strings"
	"time"

	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// Role is what a person is to this Berth.
type Role string

// The roles.
const (
	RoleAdministrator Role = "administrator" // may do everything
	RoleMember        Role = "member"        // runs apps: everything but who enters them, people, registry accounts, settings and metrics
	RoleUser          Role = "user"          // enters the apps whose policies let them in, and has an account of their own
)

func (r Role) String() string { return string(r) }

func (r Role) known() bool { return r == RoleAdministrator || r == RoleMember || r == RoleUser }

// unlisted is what somebody is who was given the role, where a list says who
// administers and does not name them.
func (r Role) unlisted() Role {
	if r == RoleAdministrator {
		return RoleMember
	}
	return r
}

// Person is somebody known to Berth. The ID is theirs alone for ever: somebody
// who gets the same username later has another and inherits nothing.
type Person struct {
	ID          string `json:"id"`
	Username    string `json:"username"`
	DisplayName string `json:"display_name"`
	Email       string `json:"email"`
	// EmailState says whose word stands behind the address. Apps are told one
	// that was given, and one that the provider of their session vouches for.
	EmailState EmailState `json:"email_state,omitempty"`
	// Role is what they are now, GivenRole what they were made here or by their
	// provider: another one only where a list says who administers.
	Role      Role `json:"role"`
	GivenRole Role `json:"given_role"`
	Disabled  bool `json:"disabled"`
	// SecondFactor says whether they have one: a passkey, or codes from an app.
	SecondFactor bool `json:"second_factor"`
	// HasPassword says whether they have one.
	HasPassword bool `json:"has_password"`
	// Local says whether it is an account of Berth's own: made here, or given a
	// password by an administrator. It keeps the role that it was given here.
	Local     bool      `json:"-"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Version   int64     `json:"version"`

	// The identities that name and address came from; "" of what was set here.
	nameBy, emailBy string
}

// PersonEdit is what may be changed of a person; nil leaves it as it is.
type PersonEdit struct {
	DisplayName *string `json:"display_name,omitempty"`
	Email       *string `json:"email,omitempty"`
	// ConfirmEmail has the address that there is count as given here.
	ConfirmEmail bool  `json:"confirm_email,omitempty"`
	Role         *Role `json:"role,omitempty"` // the given one
	Disabled     *bool `json:"disabled,omitempty"`
	// Force is for whom another role leaves no way in: their password may be one
	// that signs in administrators alone.
	Force bool `json:"force,omitempty"`
}

// DefaultLimit and MaxLimit bound how many people are listed at a time.
const (
	DefaultLimit = 50
	MaxLimit     = 200
)

// People lists people by their names, from behind cursor ("" for the first).
// next is the cursor for more, "" when there are none.
func (s *Service) People(ctx context.Context, cursor string, limit int) (people []Person, next string, err error) {
	if limit <= 0 {
		limit = DefaultLimit
	}
	limit = min(limit, MaxLimit)
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		people, err = selectPeople(ctx, tx, cursor, limit+1)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	if len(people) > limit {
		people = people[:limit]
		next = people[limit-1].Username
	}
	return people, next, nil
}

// Person finds somebody by name.
func (s *Service) Person(ctx context.Context, username string) (p Person, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		p, _, err = personByName(ctx, tx, username)
		return err
	})
	return p, err
}

// CreatePerson adds somebody. Of p, Username, DisplayName, Email, Role (member
// when empty) and Disabled count.
func (s *Service) CreatePerson(ctx context.Context, actor string, p Person, password secret.Text) (Person, error) {
	hash, err := s.checkNewPerson(ctx, &p, password)
	if err != nil {
		return Person{}, err
	}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error { return s.addPerson(ctx, tx, actor, &p, hash) })
	if err != nil {
		return Person{}, err
	}
	return p, nil
}

// UpdatePerson changes somebody, when nobody else has since version. The role
// is the given one: where a list says who administers it counts for the account
// that administers whatever the list says. Taking
// the administrator's role or the account away empties every cache at once;
// an account that is disabled loses its sessions and API tokens for good. The
// last administrator who can sign in stays one, and whoever has no way in left
// by another role has to be forced.
func (s *Service) UpdatePerson(ctx context.Context, actor, username string, version int64, edit PersonEdit) (after Person, err error) {
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		before, _, err := personByName(ctx, tx, username)
		if err != nil {
			return err
		}
		if before.Version != version {
			return fault.Conflict("%s was changed meanwhile: load it again", before.Username)
		}
		had, err := s.administratorsWithWayIn(ctx, tx)
		if err != nil {
			return err
		}
		listed, err := hasList(ctx, tx)
		if err != nil {
			return err
		}
		switch after = edit.of(before); {
		case !listed:
			after.Role = after.GivenRole
		case after.Role != RoleAdministrator:
			after.Role = after.GivenRole.unlisted()
		}
		if err := checkPerson(&after); err != nil {
			return err
		}
		if after == before {
			return nil
		}
		if after.GivenRole != RoleAdministrator || after.Disabled {
			if err := keepAnAdministrator(ctx, tx, before); err != nil {
				return err
			}
		}
		after.Version++
		after.UpdatedAt = s.now()
		if err := updatePerson(ctx, tx, after); err != nil {
			return err
		}
		s.forget(tx, before.ID)
		if err := s.giveAddress(ctx, tx, after); err != nil {
			return err
		}
		if err := s.recordEdit(ctx, tx, actor, before, after); err != nil {
			return err
		}
		if err := s.reckon(ctx, tx); err != nil {
			return err
		}
		if after, _, err = personByID(ctx, tx, after.ID); err != nil {
			return err
		}
		return s.mayLoseWayIn(ctx, tx, had, edit.Force)
	})
	if err != nil {
		return Person{}, err
	}
	return after, nil
}

// RemovePerson removes somebody with all they have here.
func (s *Service) RemovePerson(ctx context.Context, actor, username string) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		p, _, err := personByName(ctx, tx, username)
		if err != nil {
			return err
		}
		if err := keepAnAdministrator(ctx, tx, p); err != nil {
			return err
		}
		if err := s.takeAway(ctx, tx, actor, p, "person removed"); err != nil {
			return err
		}
		for _, f := range s.onRemove {
			if err := f(ctx, tx, actor, p.Username); err != nil {
				return err
			}
		}
		if err := deletePerson(ctx, tx, p.ID); err != nil {
			return err
		}
		s.forget(tx, p.ID)
		if err := s.reckon(ctx, tx); err != nil {
			return err
		}
		return s.record(ctx, tx, PersonRemoved, actor, aboutPerson{ID: p.ID, Username: p.Username})
	})
}

// OnRemove has f called, in the transaction, with somebody who is about to be
// removed: so that what others keep by their name does not fall to whoever
// gets it next. It is for before anything is served.
func (s *Service) OnRemove(f func(ctx context.Context, tx *sqlite.Tx, actor, username string) error) {
	s.onRemove = append(s.onRemove, f)
}

// Unknown gives those of the usernames that nobody has.
func (s *Service) Unknown(ctx context.Context, tx *sqlite.Tx, usernames []string) (unknown []string, err error) {
	for _, name := range usernames {
		_, _, err := personByName(ctx, tx, name)
		switch {
		case fault.KindOf(err) == fault.Missing:
			unknown = append(unknown, name)
		case err != nil:
			return nil, err
		}
	}
	return unknown, nil
}

// aboutPerson is the data of events about people.
type aboutPerson struct {
	ID       string `json:"id"`
	Username string `json:"username"`
	Role     Role   `json:"role,omitempty"`
	// GivenRole is the one that they were given while a list says who administers.
	GivenRole Role     `json:"given_role,omitempty"`
	Changed   []string `json:"changed,omitempty"`
}

func (s *Service) checkNewPerson(ctx context.Context, p *Person, password secret.Text) (hash []byte, err error) {
	if p.Role == "" {
		p.Role = RoleMember
	}
	if err := checkPerson(p); err != nil {
		return nil, err
	}
	if p.emailBy, p.EmailState = "", ""; p.Email != "" {
		p.EmailState = EmailGiven
	}
	if err := checkNewPassword("password", p.Username, password); err != nil {
		return nil, err
	}
	return s.passwords.hash(ctx, password)
}

func (s *Service) addPerson(ctx context.Context, tx *sqlite.Tx, actor string, p *Person, hash []byte) error {
	listed, err := hasList(ctx, tx)
	if err != nil {
		return err
	}
	now := s.now()
	p.ID, p.Version, p.CreatedAt, p.UpdatedAt = sqlite.NewID(now), 1, now, now
	if p.GivenRole = p.Role; listed {
		p.Role = p.GivenRole.unlisted()
	}
	err = insertPerson(ctx, tx, *p, hash)
	if sqlite.IsUnique(err) {
		return fault.Conflict("the username %q is taken", p.Username)
	}
	if err != nil {
		return err
	}
	if err := s.giveAddress(ctx, tx, *p); err != nil {
		return err
	}
	if err := s.record(ctx, tx, PersonCreated, actor, aboutPerson{ID: p.ID, Username: p.Username, Role: p.Role}); err != nil {
		return err
	}
	if err := s.reckon(ctx, tx); err != nil {
		return err
	}
	mode, err := selectSignInMode(ctx, tx)
	if err != nil {
		return err
	}
	if err := mayLimitPasswords(ctx, tx, mode.Passwords); err != nil {
		return err
	}
	*p, _, err = personByID(ctx, tx, p.ID)
	return err
}

// recordEdit writes what a change came to, and what it takes away.
func (s *Service) recordEdit(ctx context.Context, tx *sqlite.Tx, actor string, before, after Person) error {
	about := aboutPerson{ID: after.ID, Username: after.Username}
	if before.DisplayName != after.DisplayName {
		about.Changed = append(about.Changed, "display_name")
	}
	if before.Email != after.Email || before.EmailState != after.EmailState {
		about.Changed = append(about.Changed, "email")
	}
	if before.Role != after.Role {
		about.Changed = append(about.Changed, "role")
		about.Role = after.Role
	} else if before.GivenRole != after.GivenRole {
		about.Changed = append(about.Changed, "given_role")
		about.GivenRole = after.GivenRole
	}
	if len(about.Changed) > 0 {
		if err := s.record(ctx, tx, PersonUpdated, actor, about); err != nil {
			return err
		}
	}
	if before.Disabled == after.Disabled {
		return nil
	}
	about = aboutPerson{ID: after.ID, Username: after.Username}
	if !after.Disabled {
		return s.record(ctx, tx, PersonEnabled, actor, about)
	}
	if err := s.takeAway(ctx, tx, actor, after, "person disabled"); err != nil {
		return err
	}
	return s.record(ctx, tx, PersonDisabled, actor, about)
}

// takeAway ends all sessions and removes all API tokens.
func (s *Service) takeAway(ctx context.Context, tx *sqlite.Tx, actor string, p Person, why string) error {
	if _, err := s.endSessions(ctx, tx, actor, p.ID, "", why); err != nil {
		return err
	}
	tokens, err := selectTokens(ctx, tx, p.ID)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if err := s.removeToken(ctx, tx, actor, t, why); err != nil {
			return err
		}
	}
	return nil
}

// keepAnAdministrator refuses what would leave nobody to administer: p is
// about to go, or to be less.
func keepAnAdministrator(ctx context.Context, tx *sqlite.Tx, p Person) error {
	if p.GivenRole != RoleAdministrator || p.Disabled {
		return nil
	}
	others, err := countAdministrators(ctx, tx, p.ID)
	if err != nil {
		return err
	}
	if others == 0 {
		return fault.Conflict("%s is the last administrator: make another one first", p.Username)
	}
	return nil
}

func (e PersonEdit) of(p Person) Person {
	if e.DisplayName != nil && strings.TrimSpace(*e.DisplayName) != p.DisplayName {
		p.DisplayName, p.nameBy = strings.TrimSpace(*e.DisplayName), ""
	}
	confirmed := e.ConfirmEmail
	if e.Email != nil && strings.TrimSpace(*e.Email) != p.Email {
		p.Email, confirmed = strings.TrimSpace(*e.Email), true
	}
	if confirmed {
		if p.emailBy, p.EmailState = "", EmailGiven; p.Email == "" {
			p.EmailState = "" // and what a provider tells is taken over
		}
	}
	if e.Role != nil {
		p.GivenRole = *e.Role
	}
	if e.Disabled != nil {
		p.Disabled = *e.Disabled
	}
	return p
}
