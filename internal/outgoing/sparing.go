package outgoing

import (
	"errors"
	"net/http"
	"time"

	"golang.org/x/time/rate"
)

// ErrSpared is why a request was not sent by a client of [Sparing].
var ErrSpared = errors.New("it was asked too often")

// Sparing gives a client that sends at most burst requests at once, and one
// more each time every has passed; the others fail with [ErrSpared]. It is for
// what strangers can cause: a token by a key that nobody knows makes Berth ask
// for the keys again.
func Sparing(client *http.Client, every time.Duration, burst int) *http.Client {
	own := *client
	own.Transport = &spared{next: client.Transport, limit: rate.NewLimiter(rate.Every(every), burst)}
	return &own
}

type spared struct {
	next  http.RoundTripper // http.DefaultTransport when nil
	limit *rate.Limiter
}

func (s *spared) RoundTrip(r *http.Request) (*http.Response, error) {
	switch {
	case !s.limit.Allow():
		return nil, ErrSpared
	case s.next == nil:
		return http.DefaultTransport.RoundTrip(r)
	}
	return s.next.RoundTrip(r)
}
