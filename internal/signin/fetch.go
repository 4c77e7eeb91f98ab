package signin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"berth/internal/outgoing"
)

// fetch makes a request and decodes what is answered, which is JSON.
func (s *Service) fetch(request *http.Request, into any) (status int, headers http.Header, err error) {
	request.Header.Set("User-Agent", "Berth")
	response, err := s.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body) // bounded by the client
	if err != nil {
		return 0, nil, err
	}
	if err := json.Unmarshal(raw, into); err != nil && response.StatusCode < 300 {
		if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); kind == "text/html" {
			return 0, nil, errPage
		}
		return 0, nil, err
	}
	return response.StatusCode, response.Header, nil
}

// errPage says that a page for people came where JSON was asked for.
var errPage = errors.New("its answer is a page, and no JSON")

// get fetches what is there when the answer is 200, and gives a [statusError]
// for every other.
func (s *Service) get(request *http.Request, whose string, into any) error {
	status, headers, err := s.fetch(request, into)
	if err == nil && status != http.StatusOK {
		err = &statusError{whose: whose, status: status, wait: s.retryAfter(headers)}
	}
	return err
}

// statusError is an answer that is none.
type statusError struct {
	whose  string
	status int
	wait   time.Duration // that it asked for; 0 when it did not
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s answered %d %s", e.whose, e.status, http.StatusText(e.status))
}

// retryAfter reads for how long an answer asks to wait; 0 when it does not.
func (s *Service) retryAfter(h http.Header) time.Duration {
	return outgoing.RetryAfter(h.Get("Retry-After"), s.now(), haltMost)
}
