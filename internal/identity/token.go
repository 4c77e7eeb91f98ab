package identity

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// Token is an API token, without what opens: that is shown once.
type Token struct {
	ID         string     `json:"id"`
	PersonID   string     `json:"-"`
	Name       string     `json:"name"`
	Scope      Scope      `json:"scope"`
	Bounds     *Bounds    `json:"bounds,omitempty"` // what it is held to; all that its person may reach, when nil
	CreatedAt  time.Time  `json:"created_at"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
	ExpiresAt  *time.Time `json:"expires_at,omitempty"` // never, when nil
}

const (
	tokenPrefix = "berth_"
	tokenLength = 43 // of what newSecret makes, without a prefix

	maxTokens = 100 // of one person
	// keepExpiredTokens is how long a token stays in the list after its end,
	// so that its person sees why something stopped.
	keepExpiredTokens = 30 * 24 * time.Hour
)

// LooksLikeToken says whether a text has the form of an API token.
func LooksLikeToken(text string) bool {
	return len(text) == len(tokenPrefix)+tokenLength && strings.HasPrefix(text, tokenPrefix)
}

// ByToken finds who an API token belongs to. After the first time it asks the
// store nothing, but for a token that is bound: its project's image may change
// at any time. A token that is unknown, removed or expired gives a fault of
// kind Unauthenticated.
func (s *Service) ByToken(ctx context.Context, token secret.Text) (Subject, error) {
	guest, err := s.GuestByToken(ctx, token)
	if err != nil {
		return Subject{}, err
	}
	return *guest.Subject(), nil
}

// GuestByToken is ByToken for an app's host.
func (s *Service) GuestByToken(ctx context.Context, token secret.Text) (Guest, error) {
	if !LooksLikeToken(token.Reveal()) {
		return Guest{}, errNoToken()
	}
	key, now := digestOf(token), s.now()
	entry, epoch := s.tokens.get(key)
	if entry == nil {
		var err error
		if entry, err = s.loadToken(ctx, key); err != nil {
			return Guest{}, err
		}
		if entry.subject.Bounds == nil {
			s.tokens.put(key, entry, epoch)
		}
	}
	if !entry.expires.IsZero() && !now.Before(entry.expires) {
		s.tokens.remove(key)
		return Guest{}, errNoToken()
	}
	s.seen.note(entry, now)
	return Guest{entry, s.tokens, key, epoch}, nil
}

func (s *Service) loadToken(ctx context.Context, key digest) (*cached, error) {
	entry := newCached()
	err := s.db.Read(ctx, func(tx *sqlite.Tx) error {
		one, p, err := tokenByHash(ctx, tx, key)
		if err != nil {
			return err
		}
		if p.Disabled {
			return errNoToken()
		}
		groups, err := groupsOf(ctx, tx, p.ID)
		if err != nil {
			return err
		}
		entry.subject = Subject{Person: p, Via: ViaToken, TokenID: one.ID, Scope: one.Scope, Bounds: one.Bounds, Email: toldEmail(p, false, ""), OwnGroups: groups, Groups: groups}
		if one.ExpiresAt != nil {
			entry.expires = *one.ExpiresAt
		}
		if one.LastUsedAt != nil {
			entry.seen.Store(one.LastUsedAt.UnixMilli())
		}
		return nil
	})
	return entry, err
}

func errNoToken() error { return fault.SignIn("this API token is unknown, removed or expired") }

// CreateToken makes an API token of the subject's own. The text is given here
// and never again. expires is the zero time for never. Who comes with a token
// makes none of a wider scope and none that outlives it.
func (s *Service) CreateToken(ctx context.Context, subject Subject, name string, scope Scope, expires time.Time) (secret.Text, Token, error) {
	return s.CreateBoundToken(ctx, subject, nil, name, scope, expires)
}

// CreateBoundToken is CreateToken of one that is held to bounds, which ends
// with the project or stage they name. Their Repository is not read.
func (s *Service) CreateBoundToken(ctx context.Context, subject Subject, to *Bounds, name string, scope Scope, expires time.Time) (secret.Text, Token, error) {
	return s.makeToken(ctx, subject, newToken{bounds: to, name: name, scope: scope, expires: expires})
}

// newToken is a token to make.
type newToken struct {
	bounds  *Bounds
	name    string
	scope   Scope
	expires time.Time

	// The machine that it is made for, and where that asked from, when its
	// person is elsewhere.
	machine, address string
}

func (s *Service) makeToken(ctx context.Context, subject Subject, t newToken) (secret.Text, Token, error) {
	to, name, scope, expires := t.bounds, t.name, t.scope, t.expires
	if err := Decide(&subject, ActionOwnAccount, On{}); err != nil {
		return secret.Text{}, Token{}, err
	}
	now := s.now()
	name = strings.TrimSpace(name)
	if err := checkToken(name, scope, to, expires, now); err != nil {
		return secret.Text{}, Token{}, err
	}
	if err := checkTokenOf(subject.Person.Role, scope, to); err != nil {
		return secret.Text{}, Token{}, err
	}
	if subject.Via == ViaToken && scope.level() > subject.Scope.level() {
		return secret.Text{}, Token{}, fault.Forbidden("a token with the scope %q makes none with the scope %q", subject.Scope, scope)
	}
	text := newSecret(tokenPrefix)
	one := Token{ID: sqlite.NewID(now), PersonID: subject.Person.ID, Name: name, Scope: scope, CreatedAt: now}
	if to != nil {
		one.Bounds = &Bounds{Project: to.Project, Stage: to.Stage}
	}
	if !expires.IsZero() {
		expires = expires.UTC().Truncate(time.Millisecond)
		one.ExpiresAt = &expires
	}
	err := s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if err := outlivesNone(ctx, tx, subject, one); err != nil {
			return err
		}
		if t.machine != "" {
			if err := s.approvedStill(ctx, tx, subject); err != nil {
				return err
			}
		}
		have, err := selectTokens(ctx, tx, one.PersonID)
		if err != nil {
			return err
		}
		if len(have) >= maxTokens {
			return errManyTokens(len(have))
		}
		ids, err := boundIDs(ctx, tx, one.Bounds)
		if err != nil {
			return err
		}
		err = insertToken(ctx, tx, one, ids, digestOf(text))
		if sqlite.IsUnique(err) {
			return fault.Conflict("you have an API token named %q already", name)
		}
		if err != nil {
			return err
		}
		said := about(subject.Person, one, "")
		said.Machine, said.Address = t.machine, t.address
		return s.record(ctx, tx, TokenCreated, subject.Person.Username, said)
	})
	if err != nil {
		return secret.Text{}, Token{}, err
	}
	return text, one, nil
}

func errManyTokens(have int) error {
	return fault.Conflict("you have %d API tokens, and more are not kept: remove one first", have)
}

// approvedStill refuses a token that was approved in a session which has ended
// since, or by somebody who was disabled or has another role.
func (s *Service) approvedStill(ctx context.Context, tx *sqlite.Tx, subject Subject) error {
	p, _, err := personByID(ctx, tx, subject.Person.ID)
	if err != nil {
		return err
	}
	one, err := sessionByID(ctx, tx, p.ID, subject.SessionID)
	if err != nil {
		return err
	}
	if p.Disabled || p.Role != subject.Person.Role || !s.living(one) {
		return errNoSession()
	}
	return nil
}

// outlivesNone refuses a token that would live on after the one it is made
// with: what leaks for a day must not last for ever.
func outlivesNone(ctx context.Context, tx *sqlite.Tx, subject Subject, made Token) error {
	if subject.Via != ViaToken {
		return nil
	}
	with, err := tokenByID(ctx, tx, subject.Person.ID, subject.TokenID)
	if err != nil {
		return err
	}
	if with.ExpiresAt != nil && (made.ExpiresAt == nil || made.ExpiresAt.After(*with.ExpiresAt)) {
		return fault.Forbidden("a token makes none that outlives it: let the new one expire by %s", with.ExpiresAt.Format(time.RFC3339))
	}
	return nil
}

// Tokens lists a person's API tokens by name, those that have expired of late
// with them.
func (s *Service) Tokens(ctx context.Context, personID string) (list []Token, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		list, err = selectTokens(ctx, tx, personID)
		return err
	})
	return list, err
}

// RemoveToken removes an API token of a person, the actor's own or, for an
// administrator, anybody's, at once. A token may always end itself: whoever
// holds one must be able to give it up.
func (s *Service) RemoveToken(ctx context.Context, actor Subject, personID, tokenID string) error {
	if err := decideToken(actor, personID, tokenID); err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		one, err := tokenByID(ctx, tx, personID, tokenID)
		if err != nil {
			return err
		}
		return s.removeToken(ctx, tx, actor.Person.Username, one, "removed")
	})
}

func decideToken(actor Subject, personID, tokenID string) error {
	if actor.Via == ViaToken && actor.Person.ID == personID && actor.TokenID == tokenID {
		return Decide(&actor, ActionEndToken, On{})
	}
	return decideFor(actor, personID)
}

// aboutToken is the data of token.created and token.removed.
type aboutToken struct {
	Person   string  `json:"person"`   // the person's id
	Username string  `json:"username"` // whose it is, who is not always the actor
	Token    string  `json:"token"`
	Name     string  `json:"name"`
	Scope    Scope   `json:"scope"`
	Bounds   *Bounds `json:"bounds,omitempty"`
	Why      string  `json:"why,omitempty"`
	Machine  string  `json:"machine,omitempty"` // the one that it was made for, by "berth login --web"
	Address  string  `json:"address,omitempty"` // of that machine
}

func about(p Person, one Token, why string) aboutToken {
	return aboutToken{Person: p.ID, Username: p.Username, Token: one.ID, Name: one.Name, Scope: one.Scope, Bounds: one.Bounds, Why: why}
}

func (s *Service) removeToken(ctx context.Context, tx *sqlite.Tx, actor string, one Token, why string) error {
	p, _, err := personByID(ctx, tx, one.PersonID)
	if err != nil {
		return err
	}
	if err := deleteToken(ctx, tx, one.ID); err != nil {
		return err
	}
	tx.OnCommit(func() {
		gone := func(subject *Subject) bool { return subject.TokenID == one.ID }
		s.tokens.drop(one.PersonID, gone)
		s.holds.drop(gone)
		s.watches.drop(gone)
	})
	return s.record(ctx, tx, TokenRemoved, actor, about(p, one, why))
}

// checkTokenOf holds a user's token to what it is for, entering apps: so that
// it is no more on the day on which its person is. What there is to be bound to
// is not theirs to know.
func checkTokenOf(r Role, scope Scope, to *Bounds) error {
	var wrong []fault.Field
	if r == RoleUser && scope != ScopeRead {
		wrong = append(wrong, fault.Field{Name: "scope", Message: "is read, for somebody who enters apps"})
	}
	if r == RoleUser && to != nil {
		wrong = append(wrong, fault.Field{Name: "bounds", Message: "are for members and administrators"})
	}
	return fault.InvalidFields(wrong)
}

func checkToken(name string, scope Scope, to *Bounds, expires, now time.Time) error {
	var wrong []fault.Field
	if name == "" || utf8.RuneCountInString(name) > 100 || !printable(name) {
		wrong = append(wrong, fault.Field{Name: "name", Message: "takes 1 to 100 printable characters"})
	}
	if scope.level() == 0 {
		wrong = append(wrong, fault.Field{Name: "scope", Message: "is read, deploy or admin"})
	}
	if to != nil && scope == ScopeAdmin {
		wrong = append(wrong, fault.Field{Name: "scope", Message: "is read or deploy, for a token that is bound to a project"})
	}
	if !expires.IsZero() && !expires.After(now) {
		wrong = append(wrong, fault.Field{Name: "expires_at", Message: "is in the past"})
	}
	return fault.InvalidFields(wrong)
}
