package identity

import (
	"context"
	"crypto/sha256"
	"time"

	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// maxHostSessions bounds the tokens for apps' hosts of one session; the oldest
// goes for a new one, and its host asks for another.
const maxHostSessions = 500

// Guest is somebody on an app's host, as they stay known from one request to
// the next.
type Guest struct {
	entry *cached
	cache *cache
	key   digest
	epoch uint64
}

// Subject is who it is, which nobody may change.
func (g Guest) Subject() *Subject { return &g.entry.subject }

// Now is who it is by now: until when counts what their provider told of them
// moves on without anything being revoked.
func (g Guest) Now() *Subject {
	if now, _ := g.cache.get(g.key); now != nil {
		return &now.subject
	}
	return &g.entry.subject
}

// Notes gives what was last noted of the guest, nil for nothing.
func (g Guest) Notes() any { return g.entry.notes.Load() }

// Note keeps something that was made of Subject for as long as that is known.
// It is always of the same type.
func (g Guest) Note(v any) { g.entry.notes.Store(v) }

// ByHostSession finds who a token belongs to that a session has for one app's
// host. On every other host it is nobody's. Like [Service.BySession] it asks
// the store nothing after the first time, and what ends the session ends this.
func (s *Service) ByHostSession(ctx context.Context, host string, token secret.Text) (Guest, error) {
	if len(token.Reveal()) != tokenLength {
		return Guest{}, errNoSession()
	}
	return s.session(ctx, hostDigest(host, token), sessionByHostHash)
}

// hostDigest is what is kept of a host's token. It holds the host, so that no
// lookup by it can find another host's; a NUL is in no host and in no token.
func hostDigest(host string, token secret.Text) digest {
	var space [512]byte
	text := append(space[:0], host...)
	text = append(text, 0)
	return sha256.Sum256(append(text, token.Reveal()...))
}

// Passage is where a session is carried over to.
type Passage struct {
	Host string // the app's, as [Service.ByHostSession] gets it
	Bind string // a digest of what the browser holds on that host
	To   string // where it goes on from there
}

// IssueTicket gives a ticket that carries the subject's session to an app's
// host: once, within a minute, and by the one browser that Bind is of.
func (s *Service) IssueTicket(subject Subject, to Passage) (secret.Text, error) {
	if subject.Via != ViaSession {
		return secret.Text{}, fault.Forbidden("only a session is carried over to an app")
	}
	text := newSecret("")
	if !s.tickets.add(digestOf(text), ticket{Passage: to, session: subject.SessionID, person: subject.Person.ID}, s.now()) {
		return secret.Text{}, fault.Unavailable("too many sign-ins are under way: try again in a minute").After(ticketLives)
	}
	return text, nil
}

// RedeemTicket takes a ticket for the token of its host's session, and says
// where to go on. Whatever is wrong with it, a ticket is taken once.
func (s *Service) RedeemTicket(ctx context.Context, text secret.Text, host, bind string) (token secret.Text, to string, err error) {
	one, ok := s.tickets.take(digestOf(text), s.now())
	if !ok || one.Host != host || !secret.New(one.Bind).Equal(secret.New(bind)) || bind == "" {
		return secret.Text{}, "", fault.SignIn("this link was used already, is too old, or is another browser's")
	}
	token, now := newSecret(""), s.now()
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		session, err := sessionByID(ctx, tx, one.person, one.session)
		if fault.KindOf(err) == fault.Missing || err == nil && !now.Before(session.ExpiresAt) {
			return errNoSession()
		}
		if err != nil {
			return err
		}
		return insertHostSession(ctx, tx, one.session, host, hostDigest(host, token), now, maxHostSessions)
	})
	if err != nil {
		return secret.Text{}, "", err
	}
	return token, one.To, nil
}

// ticketLives is how long a ticket is good: a redirect takes no longer.
const ticketLives = time.Minute
