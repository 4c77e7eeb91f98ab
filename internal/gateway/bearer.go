package gateway

import (
	"context"
	"sync"
	"time"

	"berth/internal/identity"
)

// bearer is who a token of another issuer is of.
type bearer struct {
	subject identity.Subject
	expires time.Time

	once sync.Once
	made *told
}

// told gives what apps are told of the bearer.
func (b *bearer) told(t *teller) *told {
	b.once.Do(func() { b.made = &told{fields: t.fieldsOf(&b.subject)} })
	return b.made
}

// verifier proves tokens of the issuers that a route names. It gives nil
// without an error for what is no such token, which is the app's own affair.
type verifier interface {
	verify(ctx context.Context, of []identity.JWTIssuer, token string) (*bearer, error)
}

// expiry cuts a request when its bearer's token ends.
type expiry struct{ timer *time.Timer }

func (e *expiry) start(in time.Duration, f func()) bool {
	if in <= 0 {
		return false
	}
	e.timer = time.AfterFunc(in, f)
	return true
}

func (e *expiry) stop() {
	if e.timer != nil {
		e.timer.Stop()
	}
}
