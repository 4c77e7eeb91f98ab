package identity

import (
	"context"
	"sync"
	"time"

	"berth/internal/sqlite"
)

// Hold gives a context that ends when the proof that subject came with does:
// the session ended or expired, the token removed, the person disabled,
// removed or given another role. What lives longer than one request, such as
// a stream of events, runs under it. Call release when done.
func (s *Service) Hold(ctx context.Context, subject Subject) (held context.Context, release func()) {
	held, cancel := context.WithCancel(ctx)
	if subject.Via == ViaLocal {
		return held, cancel
	}
	forget := s.holds.add(subject, cancel)
	// Asked after it was added: a revocation in between is seen by one of the two.
	ends, alive := s.alive(ctx, subject)
	if !alive {
		cancel()
	}
	var expiry *time.Timer
	if !ends.IsZero() {
		expiry = time.AfterFunc(ends.Sub(s.now()), cancel)
	}
	return held, func() {
		if expiry != nil {
			expiry.Stop()
		}
		forget()
		cancel()
	}
}

// alive asks the store whether what the subject came with still counts, and
// until when: the zero time is for ever.
func (s *Service) alive(ctx context.Context, subject Subject) (ends time.Time, alive bool) {
	err := s.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
		ends, alive, err = aliveIn(ctx, tx, subject)
		return err
	})
	return ends, err == nil && alive
}

func aliveIn(ctx context.Context, tx *sqlite.Tx, subject Subject) (ends time.Time, alive bool, err error) {
	p, _, err := personByID(ctx, tx, subject.Person.ID)
	if err != nil || p.Disabled || p.Role != subject.Person.Role {
		return ends, false, err
	}
	switch subject.Via {
	case ViaSession:
		one, err := sessionByID(ctx, tx, p.ID, subject.SessionID)
		return one.ExpiresAt, err == nil, err
	case ViaToken:
		one, err := tokenByID(ctx, tx, p.ID, subject.TokenID)
		if one.ExpiresAt != nil {
			ends = *one.ExpiresAt
		}
		return ends, err == nil, err
	case ViaPassword:
		return ends, true, nil
	case ViaLocal, ViaJWT:
	}
	return ends, false, nil
}

// holds knows who is held, to let go of them at a revocation.
type holds struct {
	mu   sync.Mutex
	next int
	all  map[int]hold
}

type hold struct {
	subject Subject
	cancel  context.CancelFunc
}

func newHolds() *holds { return &holds{all: map[int]hold{}} }

func (h *holds) add(subject Subject, cancel context.CancelFunc) (forget func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := h.next
	h.next++
	h.all[id] = hold{subject, cancel}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.all, id)
	}
}

func (h *holds) drop(gone func(*Subject) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, one := range h.all {
		if gone(&one.subject) {
			one.cancel()
		}
	}
}
