package identity

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// The kinds of events about identities.
const (
	IdentityLinked   event.Kind = "identity.linked"
	IdentityUnlinked event.Kind = "identity.unlinked"
)

// Identity is a person as a provider knows them.
type Identity struct {
	ID         string `json:"id"`
	PersonID   string `json:"-"`
	Provider   string `json:"provider"`
	Issuer     string `json:"issuer"`
	ExternalID string `json:"external_id"`
	Username   string `json:"username"` // there
	Email      string `json:"email"`    // there
	// EmailVerified says whether the provider vouches for the address.
	EmailVerified bool      `json:"email_verified"`
	Groups        []string  `json:"groups"` // as policies name them
	CreatedAt     time.Time `json:"created_at"`
	LastSignInAt  time.Time `json:"last_sign_in_at,omitzero"`
	SyncedAt      time.Time `json:"synced_at"` // when the provider last told of groups and claims

	claims map[string]any
}

// External is somebody as a provider has just proved them. Who they are is
// told by the first three alone.
type External struct {
	Provider   string
	Issuer     string
	ExternalID string

	Username    string
	DisplayName string
	Email       string
	// EmailVerified says whether the provider vouches for the address.
	EmailVerified bool
	Groups        []string // as policies name them
	Claims        map[string]any
	// Administrator says whether the provider makes them one; nil when it does
	// not speak of that.
	Administrator *bool
	Create        bool // whether a person is made when there is none
	UpstreamSID   string
	Methods       []Method // what the provider says it took, on top
}

// Why an identity gives no session, or can't be linked.
var (
	ErrUnknownIdentity = errors.New("nobody here has this identity")
	ErrDisabled        = errors.New("the person is disabled")
	ErrLinkedElsewhere = errors.New("the identity is somebody else's")
)

// maxIdentities bounds the identities of one person.
const maxIdentities = 20

// SignInExternal starts a session for whoever a provider has proved: the
// person who has the identity, or a new one where ext allows that. A name or
// an e-mail address finds nobody. What the provider tells of them is taken
// over; keep is for what else belongs into the transaction. Where a second factor
// is required that the provider does not tell of, the error is a [FactorError].
func (s *Service) SignInExternal(ctx context.Context, ext External, from Origin, keep func(*sqlite.Tx, string) error) (token secret.Text, subject Subject, err error) {
	var half error
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		one, p, err := s.recognize(ctx, tx, ext)
		if errors.Is(err, ErrUnknownIdentity) && ext.Create {
			one, p, err = s.welcome(ctx, tx, ext)
		}
		if err != nil {
			return err
		}
		if err := s.sync(ctx, tx, one, p, ext, true); err != nil {
			return err
		}
		proof := Proof{
			Methods: append([]Method{MethodProvider}, ext.Methods...), Provider: ext.Provider, IdentityID: one.ID, UpstreamSID: shortened(ext.UpstreamSID, 255),
		}
		if err := keep(tx, one.ID); err != nil {
			return err
		}
		p, hash, err := personByID(ctx, tx, p.ID) // with the role that it has by now
		if err != nil {
			return err
		}
		// What was told is kept also where it is too little for a session.
		if half = s.short(p, hash, proof); half != nil {
			return nil //nolint:nilerr // it is told below, once what was told is stored
		}
		token, subject, err = s.BeginSession(ctx, tx, p.ID, proof, from)
		return err
	})
	if err = errors.Join(err, half); err != nil {
		return secret.Text{}, Subject{}, err
	}
	return token, subject, nil
}

// recognize finds who has an identity.
func (s *Service) recognize(ctx context.Context, tx *sqlite.Tx, ext External) (Identity, Person, error) {
	one, err := findIdentity(ctx, tx, ext)
	if err != nil {
		return Identity{}, Person{}, err
	}
	p, _, err := personByID(ctx, tx, one.PersonID)
	if err == nil && p.Disabled {
		err = ErrDisabled
	}
	return one, p, err
}

// welcome makes a person of an identity that nobody has.
func (s *Service) welcome(ctx context.Context, tx *sqlite.Tx, ext External) (Identity, Person, error) {
	username, err := freeUsername(ctx, tx, ext.Username)
	if err != nil {
		return Identity{}, Person{}, err
	}
	p := Person{Username: username, DisplayName: displayable(ext.DisplayName), Email: mailable(ext.Email), Role: roleOf(ext, RoleMember)}
	if err := checkPerson(&p); err != nil {
		return Identity{}, Person{}, fmt.Errorf("make a person of %s at %s: %w", ext.ExternalID, ext.Provider, err)
	}
	if err := s.addPerson(ctx, tx, berth, &p, nil); err != nil {
		return Identity{}, Person{}, err
	}
	one, err := s.addIdentity(ctx, tx, p, ext)
	return one, p, err
}

func (s *Service) addIdentity(ctx context.Context, tx *sqlite.Tx, p Person, ext External) (Identity, error) {
	now := s.now()
	one := Identity{
		ID: sqlite.NewID(now), PersonID: p.ID, Provider: ext.Provider, Issuer: ext.Issuer, ExternalID: ext.ExternalID,
		Groups: []string{}, CreatedAt: now, SyncedAt: now, claims: map[string]any{},
	}
	one.told(ext)
	if err := insertIdentity(ctx, tx, one); err != nil {
		return Identity{}, err
	}
	if err := s.record(ctx, tx, IdentityLinked, p.Username, one.about(p)); err != nil {
		return Identity{}, err
	}
	return one, s.reckon(ctx, tx)
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
// do, what they have open is cut, and read anew.
func (s *Service) sync(ctx context.Context, tx *sqlite.Tx, one Identity, p Person, ext External, signIn bool) error {
	before := one
	one.told(ext)
	one.SyncedAt = s.now()
	if signIn {
		one.LastSignInAt = one.SyncedAt
	}
	if err := updateIdentity(ctx, tx, one); err != nil {
		return err
	}
	less := !slices.Equal(before.Groups, one.Groups) || !sameClaims(before.claims, one.claims)
	gone := func(subject *Subject) bool { return subject.IdentityID == one.ID }
	tx.OnCommit(func() {
		s.sessions.drop(p.ID, gone)
		if less {
			s.holds.drop(gone)
			s.watches.drop(gone)
		}
	})
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
// no list says who administers. Who has a password
// here keeps the one that they were given here: no provider takes from Berth
// its last administrator, nor makes one of an account that is not its own.
func (s *Service) syncRole(ctx context.Context, tx *sqlite.Tx, p Person, ext External) error {
	_, hash, err := personByID(ctx, tx, p.ID)
	if err != nil || hash != nil {
		return err
	}
	after := p
	if after.GivenRole = roleOf(ext, p.GivenRole); after.GivenRole == p.GivenRole {
		return nil
	}
	listed, err := hasList(ctx, tx)
	if err != nil {
		return err
	}
	if !listed {
		after.Role = after.GivenRole
	}
	after.Version++
	after.UpdatedAt = s.now()
	if err := updatePerson(ctx, tx, after); err != nil {
		return err
	}
	s.forget(tx, p.ID)
	return s.recordEdit(ctx, tx, berth, p, after)
}

func roleOf(ext External, otherwise Role) Role {
	switch {
	case ext.Administrator == nil:
		return otherwise
	case *ext.Administrator:
		return RoleAdministrator
	}
	return RoleMember
}

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

// LinkExternal gives the subject another identity. Both were just proved: that
// is for the caller to know.
func (s *Service) LinkExternal(ctx context.Context, subject Subject, ext External, keep func(*sqlite.Tx, string) error) (one Identity, err error) {
	if err := Decide(&subject, ActionOwnAccount, On{}); err != nil {
		return Identity{}, err
	}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		p, _, err := personByID(ctx, tx, subject.Person.ID)
		if err != nil {
			return err
		}
		if p.Disabled {
			return ErrDisabled
		}
		one, err = findIdentity(ctx, tx, ext)
		switch {
		case errors.Is(err, ErrUnknownIdentity):
			list, err := selectIdentities(ctx, tx, p.ID)
			if err != nil {
				return err
			}
			if len(list) >= maxIdentities {
				return fault.Conflict("you have %d identities already, and no more are kept", len(list))
			}
			if one, err = s.addIdentity(ctx, tx, p, ext); err != nil {
				return err
			}
		case err != nil:
			return err
		case one.PersonID != p.ID:
			return ErrLinkedElsewhere
		default:
			if err := s.sync(ctx, tx, one, p, ext, false); err != nil {
				return err
			}
		}
		return keep(tx, one.ID)
	})
	if err != nil {
		return Identity{}, err
	}
	return one, nil
}

// Identities lists how providers know a person.
func (s *Service) Identities(ctx context.Context, personID string) (list []Identity, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		list, err = selectIdentities(ctx, tx, personID)
		return err
	})
	return list, err
}

// Unlink takes an identity from a person, the actor's own or, for an
// administrator, anybody's, and ends the sessions that began with it. The last
// way in stays.
func (s *Service) Unlink(ctx context.Context, actor Subject, personID, id string) error {
	if err := decideFor(actor, personID); err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		p, hash, err := personByID(ctx, tx, personID)
		if err != nil {
			return err
		}
		list, err := selectIdentities(ctx, tx, personID)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(list, func(i Identity) bool { return i.ID == id })
		switch {
		case at < 0:
			return fault.NotFound("there is no such identity")
		case hash == nil && len(list) == 1:
			if err := s.staysIn(ctx, tx, actor, p); err != nil {
				return err
			}
		}
		sessions, err := sessionsOfIdentity(ctx, tx, id)
		if err != nil {
			return err
		}
		for _, one := range sessions {
			if err := s.endSession(ctx, tx, actor.Person.Username, one, "identity unlinked"); err != nil {
				return err
			}
		}
		if err := deleteIdentity(ctx, tx, id); err != nil {
			return err
		}
		if err := s.record(ctx, tx, IdentityUnlinked, actor.Person.Username, list[at].about(p)); err != nil {
			return err
		}
		return s.reckon(ctx, tx)
	})
}

// staysIn refuses to take the last identity of somebody without a password who
// has nothing else to sign in with, and says what to add first.
func (s *Service) staysIn(ctx context.Context, tx *sqlite.Tx, actor Subject, p Person) error {
	for _, way := range s.waysIn {
		leads, err := way(ctx, tx, p.ID)
		if err != nil || leads {
			return err
		}
	}
	if actor.Person.ID == p.ID {
		return fault.Conflict("you have no other way in: add a passkey or link another identity first, or have an administrator set a password for you")
	}
	return fault.Conflict("%s has no other way in: set a password for them first, or have them add a passkey or link another identity", p.Username)
}

// OnWayIn has f asked, in the transaction, whether somebody without a password
// and without an identity can sign in nevertheless. It is called before the
// Service is used.
func (s *Service) OnWayIn(f func(ctx context.Context, tx *sqlite.Tx, personID string) (bool, error)) {
	s.waysIn = append(s.waysIn, f)
}

// Foresee says, in tx, whose username an identity would sign in, and whether
// that person would be made for it.
func (s *Service) Foresee(ctx context.Context, tx *sqlite.Tx, ext External) (username string, fresh bool, err error) {
	_, p, err := s.recognize(ctx, tx, ext)
	if errors.Is(err, ErrUnknownIdentity) && ext.Create {
		username, err = freeUsername(ctx, tx, ext.Username)
		return username, true, err
	}
	return p.Username, false, err
}

// EndProviderSessions ends, in tx, every session that began at a provider, and
// says how many that were.
func (s *Service) EndProviderSessions(ctx context.Context, tx *sqlite.Tx, actor, provider, why string) (int, error) {
	list, err := sessionsOfProvider(ctx, tx, provider)
	return s.endAll(ctx, tx, actor, list, err, why)
}

// EndUpstream ends, in tx, the sessions that began in one session at a
// provider, or, when sid is "", all of an identity's.
func (s *Service) EndUpstream(ctx context.Context, tx *sqlite.Tx, provider, issuer, externalID, sid string) (int, error) {
	list, err := sessionsUpstream(ctx, tx, provider, issuer, externalID, sid)
	return s.endAll(ctx, tx, berth, list, err, "signed out at the provider")
}

func (s *Service) endAll(ctx context.Context, tx *sqlite.Tx, actor string, list []Session, err error, why string) (int, error) {
	if err != nil {
		return 0, err
	}
	for _, one := range list {
		if err := s.endSession(ctx, tx, actor, one, why); err != nil {
			return 0, err
		}
	}
	return len(list), nil
}

// aboutIdentity is the data of events about identities.
type aboutIdentity struct {
	Person     string `json:"person"`
	Username   string `json:"username"`
	Provider   string `json:"provider"`
	ExternalID string `json:"external_id"`
}

func (i Identity) about(p Person) aboutIdentity {
	return aboutIdentity{Person: p.ID, Username: p.Username, Provider: i.Provider, ExternalID: i.ExternalID}
}

// freeUsername makes a username of the one that somebody has elsewhere. One
// that is taken gets a number: whose it is stays who they are.
func freeUsername(ctx context.Context, tx *sqlite.Tx, theirs string) (string, error) {
	base := usernameFrom(theirs)
	for n := 1; n < 100; n++ {
		name := base
		if n > 1 {
			name += "-" + strconv.Itoa(n)
		}
		free, err := isFree(ctx, tx, name)
		if err != nil || free {
			return name, err
		}
	}
	return base + "-" + strings.ToLower(rand.Text()[:8]), nil
}

func isFree(ctx context.Context, tx *sqlite.Tx, name string) (bool, error) {
	if slices.Contains(reserved, name) {
		return false, nil
	}
	_, _, err := personByName(ctx, tx, name)
	if fault.KindOf(err) == fault.Missing {
		return true, nil
	}
	return false, err
}

// usernameFrom brings a name into the form that usernames have here.
func usernameFrom(theirs string) string {
	local, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(theirs)), "@")
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '-'
	}, local)
	name = strings.Trim(name[:min(len(name), 50)], "._-")
	if name == "" {
		return "person"
	}
	return name
}

// displayable gives a name as it may be shown; "" for one that may not.
func displayable(name string) string {
	name = strings.TrimSpace(name)
	if runes := []rune(name); len(runes) > 100 {
		name = strings.TrimSpace(string(runes[:100]))
	}
	if !printable(name) {
		return ""
	}
	return name
}

// mailable gives an e-mail address; "" for what is none.
func mailable(email string) string {
	address, err := mail.ParseAddress(email)
	if err != nil || address.Address != email || len(email) > 254 {
		return ""
	}
	return email
}

// BreakGlass lists the administrators who can sign in with a password,
// whatever becomes of every provider.
func (s *Service) BreakGlass(ctx context.Context) (usernames []string, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		usernames, err = administratorsWithPassword(ctx, tx)
		return err
	})
	return usernames, err
}
