package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"

	"berth/internal/fault"
	"berth/internal/outgoing"
	"berth/internal/secret"
)

// maxAnswer bounds what another registry may send in one answer, in bytes.
const maxAnswer = 16 << 20

// outside asks other registries: those that an administrator has an account
// for also in private networks, the others, which members name in projects,
// only where everybody reaches them.
type outside struct{ private, public *http.Transport }

func newOutside() *outside {
	return &outside{private: newTransport(true), public: newTransport(false)}
}

func newTransport(private bool) *http.Transport {
	dialer := outgoing.NewDialer(private)
	dialer.Timeout = 5 * time.Second
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    5 * time.Second,
		ResponseHeaderTimeout:  15 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        30 * time.Second,
		ForceAttemptHTTP2:      true,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
	}
}

// source gives a repository on another host.
func (o *outside) source(host, repository string, a RegistryAccount, password secret.Text) (source, error) {
	options := []name.Option{name.WeakValidation}
	if a.Insecure {
		options = append(options, name.Insecure)
	}
	repo, err := name.NewRepository(host+"/"+repository, options...)
	if err != nil {
		return nil, fault.Invalid("%s/%s is not an image name", host, repository).Because(err)
	}
	auth := authn.Anonymous
	if a.Username != "" {
		auth = authn.FromConfig(authn.AuthConfig{Username: a.Username, Password: password.Reveal()})
	}
	g := &guard{outside: o, own: repo.RegistryStr(), known: a.Host != "", insecure: a.Insecure}
	puller, err := remote.NewPuller(
		remote.WithTransport(g), remote.WithAuth(auth), remote.WithUserAgent("berth"), remote.WithPageSize(100),
		remote.WithRetryBackoff(remote.Backoff{Duration: 300 * time.Millisecond, Factor: 2, Steps: 2}),
	)
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", host, err)
	}
	return &foreign{repository: repo, host: host, puller: puller, guard: g, signedIn: a.Username != ""}, nil
}

// foreign is a repository on another host as a source.
type foreign struct {
	repository name.Repository
	host       string // as people write it
	puller     *remote.Puller
	guard      *guard
	signedIn   bool
}

func (s *foreign) manifest(ctx context.Context, reference string) (*storedManifest, error) {
	d, err := s.puller.Get(ctx, s.reference(reference))
	if err != nil {
		return nil, s.explain(err)
	}
	return &storedManifest{mediaType: string(d.MediaType), digest: digest.Digest(d.Digest.String()), content: d.Manifest}, nil
}

func (s *foreign) reference(reference string) name.Reference {
	if digest.Digest(reference).Validate() == nil {
		return s.repository.Digest(reference)
	}
	return s.repository.Tag(reference)
}

func (s *foreign) config(ctx context.Context, d digest.Digest) ([]byte, error) {
	blob, err := s.puller.Layer(ctx, s.repository.Digest(string(d)))
	if err != nil {
		return nil, s.explain(err)
	}
	content, err := blob.Compressed() // the bytes as they are kept
	if err != nil {
		return nil, s.explain(err)
	}
	defer content.Close()
	raw, err := readConfig(content, d)
	if err != nil && fault.KindOf(err) == fault.Internal {
		return nil, s.explain(err)
	}
	return raw, err
}

func (s *foreign) tags(ctx context.Context, limit int) ([]string, error) {
	lister, err := s.puller.Lister(ctx, s.repository)
	if err != nil {
		return nil, s.explain(err)
	}
	if !lister.HasNext() {
		return nil, nil
	}
	page, err := lister.Next(ctx)
	if err != nil {
		return nil, s.explain(err)
	}
	names := page.Tags
	return names[max(0, len(names)-limit):], nil // in lexical order the last are the likelier to be new
}

// explain turns what went wrong with another registry into a fault. What that
// registry said is for the log alone.
func (s *foreign) explain(err error) error {
	if answer, ok := errors.AsType[*transport.Error](err); ok {
		return s.explainStatus(answer.StatusCode, err)
	}
	if s.guard.refused.Load() || errors.Is(err, http.ErrSchemeMismatch) {
		return fault.Unavailable("%s answers only in plain HTTP; an administrator can allow that in the account for this registry", s.host).Because(err)
	}
	if errors.Is(err, outgoing.ErrForbiddenPlace) {
		return fault.Forbidden("%s is, or leads, in a private network, where Berth asks no registry that it has no account for; an administrator can add an account, which needs no username", s.host).Because(err)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fault.Unavailable("the certificate of %s is not one that this machine trusts", s.host).Because(err)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return fault.Unavailable("there is no host named %s", s.host).Because(err)
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return fault.Unavailable("%s did not answer in time", s.host).Because(err)
	}
	if errors.Is(err, errAnswerLarge) {
		return fault.Unavailable("%s answered with more than %d bytes", s.host, maxAnswer).Because(err)
	}
	return fault.Unavailable("%s can't be reached", s.host).Because(err)
}

func (s *foreign) explainStatus(status int, err error) error {
	switch {
	case status == http.StatusNotFound:
		return errNoManifest
	case status == http.StatusUnauthorized && s.signedIn:
		return fault.Forbidden("%s does not accept the account that Berth has for it, or it may not read this image", s.host).Because(err)
	case status == http.StatusUnauthorized, status == http.StatusForbidden && !s.signedIn:
		return fault.Forbidden("%s gives this image to nobody unnamed, or has no such image; an administrator can add an account for %s", s.host, s.host).Because(err)
	case status == http.StatusForbidden:
		return fault.Forbidden("the account that Berth has for %s may not read this image", s.host).Because(err)
	case status == http.StatusTooManyRequests:
		return fault.Often("%s asks to wait: too many requests have come from here", s.host).Because(err)
	}
	return fault.Unavailable("%s answered with status %d", s.host, status).Because(err)
}

var (
	errPlainHTTP   = errors.New("plain HTTP is not allowed for this registry")
	errAnswerLarge = errors.New("the answer is too large")
)

// guard lets nothing go out unencrypted but to the registry itself, where it is
// this machine or its account allows it, and nothing to a private network but
// to a registry with an account, wherever the registry points to. It bounds
// what comes back.
type guard struct {
	outside  *outside
	own      string // the registry's host and port
	known    bool   // an administrator has an account for it
	insecure bool
	refused  atomic.Bool
}

func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	own := req.URL.Host == g.own
	if req.URL.Scheme != "https" && (!own || !g.insecure && !isLoopback(g.own)) {
		g.refused.Store(true)
		return nil, errPlainHTTP
	}
	next := g.outside.public
	// What a proxy of the machine reaches is for that to say.
	if proxy, err := http.ProxyFromEnvironment(req); own && g.known || err == nil && proxy != nil {
		next = g.outside.private
	}
	res, err := next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	res.Body = &boundedBody{ReadCloser: res.Body, left: maxAnswer}
	return res, nil
}

// boundedBody fails when an answer goes on for too long.
type boundedBody struct {
	io.ReadCloser
	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errAnswerLarge
	}
	return n, err
}
