package outgoing

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// ErrTooLarge is in the chain of the error that ends an answer over its bound.
var ErrTooLarge = errors.New("is larger than Berth reads")

// Client is what an HTTP client may do. Each bound is required.
type Client struct {
	Inside    bool           // whether it may reach private networks
	Timeout   time.Duration  // of a request with its answer
	MaxAnswer int64          // bytes of an answer's body
	Roots     *x509.CertPool // whose certificates are trusted; the system's when nil
}

// New makes the client. It follows no redirects, which would take a credential
// elsewhere, and asks no proxy, behind which the guard would see nothing.
func (c Client) New() *http.Client {
	return &http.Client{
		Timeout:       c.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &bounded{most: c.MaxAnswer, next: &http.Transport{
			Proxy: nil, DialContext: NewDialer(c.Inside).DialContext, ForceAttemptHTTP2: true,
			TLSClientConfig:     &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: c.Timeout, ResponseHeaderTimeout: c.Timeout, IdleConnTimeout: time.Minute,
			MaxIdleConns: 32, MaxIdleConnsPerHost: 4, MaxResponseHeaderBytes: 64 << 10,
		}},
	}
}

// bounded ends bodies that are over their bound with an error: what was cut
// off must not pass for the whole.
type bounded struct {
	next http.RoundTripper
	most int64
}

func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	response.Body = &boundedBody{ReadCloser: response.Body, left: b.most}
	return response, nil
}

// CloseIdleConnections is how http.Client asks for it.
func (b *bounded) CloseIdleConnections() {
	if next, ok := b.next.(interface{ CloseIdleConnections() }); ok {
		next.CloseIdleConnections()
	}
}

type boundedBody struct {
	io.ReadCloser
	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	// One byte more than there may be tells the bound from the end.
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("the answer %w", ErrTooLarge)
	}
	return n, err
}
