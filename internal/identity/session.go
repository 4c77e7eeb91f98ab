package identity

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// Session is one browser that somebody is signed in with.
type Session struct {
	ID         string    `json:"id"`
	PersonID   string    `json:"-"`
	Address    string    `json:"address"`
	UserAgent  string    `json:"user_agent"`
	Provider   string    `json:"provider"` // ProviderLocal, or the provider's name
	Methods    []Method  `json:"methods"`
	CreatedAt  time.Time `json:"created_at"`
	LastSeenAt time.Time `json:"last_seen_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	// AuthenticatedAt is when its person last proved who they are, StrongAt
	// when they last did so with a second factor and PasskeyAt with a passkey,
	// zero for never.
	AuthenticatedAt time.Time `json:"authenticated_at"`
	StrongAt        time.Time `json:"strong_at,omitzero"`
	PasskeyAt       time.Time `json:"passkey_at,omitzero"`

	identityID  string
	upstreamSID string
}

// maxSessions bounds the sessions of one person; the oldest ends for a new one.
const maxSessions = 50

// BySession finds who a session's token belongs to. After the first time it
// asks the store nothing. A token that is unknown, ended or expired gives a
// fault of kind Unauthenticated.
func (s *Service) BySession(ctx context.Context, token secret.Text) (Subject, error) {
	if len(token.Reveal()) != tokenLength {
		return Subject{}, errNoSession()
	}
	guest, err := s.session(ctx, digestOf(token), sessionByHash)
	if err != nil {
		return Subject{}, err
	}
	return *guest.Subject(), nil
}

// session finds a session by what find does, when it is not known already.
func (s *Service) session(ctx context.Context, key digest, find sessionFinder) (Guest, error) {
	now := s.now()
	entry, epoch := s.sessions.get(key)
	if entry == nil {
		var err error
		if entry, err = s.loadSession(ctx, key, find); err != nil {
			return Guest{}, err
		}
		s.sessions.put(key, entry, epoch)
	}
	idle := now.Sub(time.UnixMilli(entry.seen.Load()))
	if !now.Before(entry.expires) || idle >= s.idle {
		s.sessions.remove(key)
		return Guest{}, errNoSession()
	}
	s.seen.note(entry, now)
	return Guest{entry, s.sessions, key, epoch}, nil
}

// sessionFinder reads a session and whose it is.
type sessionFinder func(ctx context.Context, tx *sqlite.Tx, hash digest) (Session, Person, error)

func (s *Service) loadSession(ctx context.Context, key digest, find sessionFinder) (*cached, error) {
	entry := newCached()
	err := s.db.Read(ctx, func(tx *sqlite.Tx) error {
		one, p, err := find(ctx, tx, key)
		if err != nil {
			return err
		}
		if p.Disabled || !s.enough(p, one.Methods) {
			return errNoSession()
		}
		if entry.subject, err = s.subjectOf(ctx, tx, p, one); err != nil {
			return err
		}
		entry.expires = one.ExpiresAt
		entry.seen.Store(s.lastSeen(one).UnixMilli())
		return nil
	})
	return entry, err
}

func errNoSession() error { return fault.SignIn("your session has ended: sign in again") }

// SignOut ends the session that the subject came with.
func (s *Service) SignOut(ctx context.Context, subject Subject) error {
	if subject.Via != ViaSession {
		return fault.Invalid("there is no session to end")
	}
	return s.EndSession(ctx, subject, subject.Person.ID, subject.SessionID)
}

// Sessions lists a person's sessions, the newest first.
func (s *Service) Sessions(ctx context.Context, personID string) (list []Session, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		list, err = selectSessions(ctx, tx, personID)
		return err
	})
	live := make([]Session, 0, len(list))
	for _, one := range list {
		one.LastSeenAt = s.lastSeen(one)
		if s.living(one) {
			live = append(live, one)
		}
	}
	return live, err
}

// lastSeen is when a session was last seen, also where that is not written yet.
func (s *Service) lastSeen(one Session) time.Time {
	if unwritten := s.seen.session(one.ID); unwritten.After(one.LastSeenAt) {
		return unwritten
	}
	return one.LastSeenAt
}

// living says whether a session is neither over nor idle for too long.
func (s *Service) living(one Session) bool {
	now := s.now()
	return now.Before(one.ExpiresAt) && now.Sub(s.lastSeen(one)) < s.idle
}

// EndSession ends one session of a person: the actor's own, or, for an
// administrator, anybody's.
func (s *Service) EndSession(ctx context.Context, actor Subject, personID, sessionID string) error {
	if err := decideFor(actor, personID); err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		one, err := sessionByID(ctx, tx, personID, sessionID)
		if err != nil {
			return err
		}
		return s.endSession(ctx, tx, actor.Person.Username, one, "signed out")
	})
}

// EndOtherSessions ends all the subject's sessions but the one they came with,
// and says how many that were.
func (s *Service) EndOtherSessions(ctx context.Context, subject Subject) (ended int, err error) {
	if err := Decide(&subject, ActionOwnAccount, On{}); err != nil {
		return 0, err
	}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		ended, err = s.endSessions(ctx, tx, subject.Person.Username, subject.Person.ID, subject.SessionID, "signed out elsewhere")
		return err
	})
	return ended, err
}

// SignOutEverywhere ends all sessions of a person, the actor's own or, for an
// administrator, anybody's, and says how many that were. API tokens stay, and
// it says how many of them still work, were the person not disabled.
func (s *Service) SignOutEverywhere(ctx context.Context, actor Subject, personID string) (ended, tokens int, err error) {
	if err := decideFor(actor, personID); err != nil {
		return 0, 0, err
	}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if ended, err = s.endSessions(ctx, tx, actor.Person.Username, personID, "", "signed out everywhere"); err != nil {
			return err
		}
		list, err := selectTokens(ctx, tx, personID)
		now := s.now()
		list = slices.DeleteFunc(list, func(t Token) bool { return t.ExpiresAt != nil && !now.Before(*t.ExpiresAt) })
		tokens = len(list)
		return err
	})
	return ended, tokens, err
}

// StartSession begins a session of somebody who has proved who they are, as a
// part of a transaction. Its token is new; a person who is disabled gets none,
// and one who has to prove more a [FactorError].
func (s *Service) StartSession(ctx context.Context, tx *sqlite.Tx, personID string, proof Proof, from Origin) (secret.Text, Subject, error) {
	p, hash, err := personByID(ctx, tx, personID)
	if err != nil {
		return secret.Text{}, Subject{}, err
	}
	if p.Disabled {
		return secret.Text{}, Subject{}, errNoSession()
	}
	if err := s.mayProveByPassword(ctx, tx, p, proof.Methods); err != nil {
		return secret.Text{}, Subject{}, err
	}
	if err := s.short(p, hash, proof); err != nil {
		return secret.Text{}, Subject{}, err
	}
	return s.startSession(ctx, tx, p, proof, from)
}

// startSession makes room and writes a new session.
func (s *Service) startSession(ctx context.Context, tx *sqlite.Tx, p Person, proof Proof, from Origin) (secret.Text, Subject, error) {
	others, err := selectSessions(ctx, tx, p.ID)
	if err != nil {
		return secret.Text{}, Subject{}, err
	}
	for i := maxSessions - 1; i < len(others); i++ {
		if err := s.endSession(ctx, tx, berth, others[i], "too many"); err != nil {
			return secret.Text{}, Subject{}, err
		}
	}
	now := s.now()
	token := newSecret("")
	one := Session{
		ID: sqlite.NewID(now), PersonID: p.ID,
		Address: from.Host(), UserAgent: shortened(from.UserAgent, 256),
		Provider: cmp.Or(proof.Provider, ProviderLocal), Methods: proof.Methods, identityID: proof.IdentityID, upstreamSID: proof.UpstreamSID,
		CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(s.lifetime),
	}
	one.proved(now, proof.Methods)
	if err := insertSession(ctx, tx, one, digestOf(token)); err != nil {
		return secret.Text{}, Subject{}, err
	}
	subject, err := s.subjectOf(ctx, tx, p, one)
	return token, subject, err
}

// proved says that all of a session's methods but those given were proved
// before now. A second factor counts as fresh only where it is among these.
func (one *Session) proved(now time.Time, fresh []Method) {
	one.AuthenticatedAt = now
	if strong(one.Methods) && slices.ContainsFunc(fresh, Method.second) {
		one.StrongAt = now
	}
	if slices.Contains(fresh, MethodPasskey) {
		one.PasskeyAt = now
	}
}

// subjectOf gives who comes with a session.
func (s *Service) subjectOf(ctx context.Context, tx *sqlite.Tx, p Person, one Session) (Subject, error) {
	subject := Subject{
		Person: p, Via: ViaSession, SessionID: one.ID, Provider: one.Provider, IdentityID: one.identityID,
		Email: toldEmail(p, false, ""), Methods: one.Methods, AuthenticatedAt: one.AuthenticatedAt, StrongAt: one.StrongAt, PasskeyAt: one.PasskeyAt,
	}
	var err error
	if subject.OwnGroups, err = groupsOf(ctx, tx, p.ID); err != nil {
		return Subject{}, err
	}
	subject.Groups = subject.OwnGroups
	if one.identityID == "" {
		return subject, nil
	}
	told, err := toldOf(ctx, tx, one.identityID)
	if err != nil {
		return Subject{}, err
	}
	subject.Issuer, subject.ExternalID, subject.Claims = told.issuer, told.externalID, told.claims
	subject.Email = toldEmail(p, told.holds, told.email)
	subject.SyncedUntil = told.syncedAt.Add(toldFor)
	subject.Groups = slices.Concat(subject.OwnGroups, told.groups)
	slices.Sort(subject.Groups)
	subject.Groups = slices.Compact(subject.Groups)
	return subject, nil
}

// toldFor is how long what a provider told of somebody's groups and claims
// counts: a day after they last signed in there, or were last asked about.
const toldFor = 24 * time.Hour

func (s *Service) endSessions(ctx context.Context, tx *sqlite.Tx, actor, personID, keep, why string) (ended int, err error) {
	if err := s.ended(ctx, tx, Ended{PersonID: personID}); err != nil {
		return 0, err
	}
	list, err := selectSessions(ctx, tx, personID)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	p, _, err := personByID(ctx, tx, personID)
	if err != nil {
		return 0, err
	}
	for _, one := range list {
		if one.ID == keep {
			continue
		}
		if err := s.endSessionOf(ctx, tx, actor, p, one, why); err != nil {
			return 0, err
		}
		ended++
	}
	return ended, nil
}

// aboutSession is the data of session.ended.
type aboutSession struct {
	Person   string `json:"person"`   // the person's id
	Username string `json:"username"` // whose it was, who is not always the actor
	Session  string `json:"session"`
	Why      string `json:"why"`
}

func (s *Service) endSession(ctx context.Context, tx *sqlite.Tx, actor string, one Session, why string) error {
	p, _, err := personByID(ctx, tx, one.PersonID)
	if err != nil {
		return err
	}
	return s.endSessionOf(ctx, tx, actor, p, one, why)
}

// endSessionOf is endSession where whose it is was read already.
func (s *Service) endSessionOf(ctx context.Context, tx *sqlite.Tx, actor string, p Person, one Session, why string) error {
	if err := deleteSession(ctx, tx, one.ID); err != nil {
		return err
	}
	tx.OnCommit(func() {
		gone := func(subject *Subject) bool { return subject.SessionID == one.ID }
		s.sessions.drop(one.PersonID, gone)
		s.holds.drop(gone)
		s.watches.drop(gone)
	})
	return s.record(ctx, tx, SessionEnded, actor, aboutSession{Person: p.ID, Username: p.Username, Session: one.ID, Why: why})
}

// forget empties every cache of a person once tx is committed, and lets go of
// what they hold: it all has to be read anew.
func (s *Service) forget(tx *sqlite.Tx, personID string) {
	gone := func(subject *Subject) bool { return subject.Person.ID == personID }
	tx.OnCommit(func() {
		s.sessions.drop(personID, gone)
		s.tokens.drop(personID, gone)
		s.proofs.drop(personID, gone)
		s.holds.drop(gone)
		s.watches.drop(gone)
	})
}

func (s *Service) flushSeen(ctx context.Context) error {
	sessions, tokens := s.seen.take()
	if len(sessions)+len(tokens) == 0 {
		return nil
	}
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		for id, at := range sessions {
			if err := touchSession(ctx, tx, id, at); err != nil {
				return err
			}
		}
		for id, at := range tokens {
			if err := touchToken(ctx, tx, id, at); err != nil {
				return err
			}
		}
		return nil
	})
}

// shortened cuts a stranger's text to a number of bytes, and to what is text.
func shortened(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "")
}
