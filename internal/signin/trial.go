package signin

import (
	"context"
	"errors"
	"sync"
	"time"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/sqlite"
)

// Trial is what a test of a provider came to. Nothing is kept of it but in
// memory, for a while, for the one who made it.
type Trial struct {
	ID       string    `json:"id"`
	Provider string    `json:"provider"`
	At       time.Time `json:"at"`

	Refused Reason `json:"refused,omitempty"` // why it failed; "" when it did not
	Trouble string `json:"trouble,omitempty"` // more of that, for an administrator

	Issuer        string         `json:"issuer,omitempty"`
	ExternalID    string         `json:"external_id,omitempty"`
	Username      string         `json:"username,omitempty"`
	Name          string         `json:"name,omitempty"`
	Email         string         `json:"email,omitempty"`
	Verified      bool           `json:"verified"` // the address, by the provider
	Groups        []string       `json:"groups"`   // as policies name them
	Administrator bool           `json:"administrator"`
	Methods       []string       `json:"methods,omitempty"` // as it says that they signed in (RFC 8176)
	SecondFactor  bool           `json:"second_factor"`     // what it says means a second factor
	Claims        map[string]any `json:"claims,omitempty"`

	// Person is who they would be here; New whether they would be made for it.
	Person string `json:"person,omitempty"`
	New    bool   `json:"new"`

	session string
}

const (
	trialLives = 15 * time.Minute
	maxTrials  = 100
)

type trials struct {
	mu  *sync.Mutex
	all map[string]Trial
}

func newTrials() trials { return trials{mu: &sync.Mutex{}, all: map[string]Trial{}} }

func (t trials) put(one Trial) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.all {
		if len(t.all) < maxTrials {
			break
		}
		delete(t.all, id)
	}
	t.all[one.ID] = one
}

func (t trials) sweep(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, one := range t.all {
		if now.Sub(one.At) >= trialLives {
			delete(t.all, id)
		}
	}
}

// Trial gives what a test came to, to the session that made it.
func (s *Service) Trial(_ context.Context, subject identity.Subject, id string) (Trial, error) {
	s.trials.mu.Lock()
	defer s.trials.mu.Unlock()
	one, found := s.trials.all[id]
	if !found || subject.SessionID == "" || one.session != subject.SessionID || s.now().Sub(one.At) >= trialLives {
		return Trial{}, fault.NotFound("there is no such test, or it is too long ago: test again")
	}
	return one, nil
}

// try keeps what a test came to, and gives its id. The tokens are dropped.
func (s *Service) try(ctx context.Context, p Provider, c *connection, a answer, failed error, session string) string {
	one := Trial{ID: newSecret(), Provider: p.Slug, At: s.now(), Groups: []string{}, session: session}
	if c != nil && a.externalID != "" {
		ext := c.provider.external(a)
		one.Issuer, one.ExternalID, one.Username, one.Name, one.Email = ext.Issuer, ext.ExternalID, ext.Username, ext.DisplayName, ext.Email
		one.Verified, one.Claims, one.Groups = ext.Email != "" && ext.EmailVerified, ext.Claims, orEmpty(ext.Groups)
		one.Methods, one.SecondFactor = a.methods, a.factor
		one.Administrator = ext.Administrator != nil && *ext.Administrator
		if failed == nil {
			one.Person, one.New, failed = s.foresee(ctx, ext)
		}
	}
	if failed != nil {
		reason, is := ReasonOf(failed)
		if !is {
			reason = ReasonAway
			s.log.WarnContext(ctx, "test of a provider failed", "provider", p.Slug, "error", failed)
		}
		one.Refused = reason
		if e, is := errors.AsType[*RefusedError](failed); is && e.cause != nil {
			one.Trouble = trouble(e.cause)
		}
	}
	s.trials.put(one)
	return one.ID
}

// foresee says who an identity would be here.
func (s *Service) foresee(ctx context.Context, ext identity.External) (username string, fresh bool, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		username, fresh, err = s.identity.Foresee(ctx, tx, ext)
		return err
	})
	switch {
	case errors.Is(err, identity.ErrUnknownIdentity):
		return "", false, refused(ReasonUnknown, nil)
	case errors.Is(err, identity.ErrNotSetUp):
		return "", false, refused(ReasonNotSetUp, nil)
	case errors.Is(err, identity.ErrDisabled):
		return username, false, refused(ReasonDisabled, nil)
	}
	return username, fresh, err
}
