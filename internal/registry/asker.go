package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"berth/internal/fault"
	"berth/internal/outgoing"
	"berth/internal/secret"
)

const (
	// askTime bounds one request of a poll.
	askTime = 20 * time.Second
	// mostTags bounds how many tags of a repository are looked at.
	mostTags = 10_000
	// longestRetryAfter bounds how long a registry may ask us to stay away.
	longestRetryAfter = 6 * time.Hour
)

// asker asks one repository elsewhere for its tags and their digests, as
// cheaply as the protocol lets it: it stays signed in between polls, asks with
// HEAD, and lets the registry say "unchanged". It is used by one goroutine at
// a time.
type asker struct {
	foreign *foreign
	auth    authn.Authenticator
	client  *http.Client // nil until the registry was reached
	wait    waits
	account RegistryAccount // that this was made for
}

func (o *outside) asker(host, repository string, a RegistryAccount, password secret.Text) (*asker, error) {
	from, err := o.source(host, repository, a, password)
	if err != nil {
		return nil, err
	}
	f, ok := from.(*foreign)
	if !ok {
		return nil, fmt.Errorf("no client for %s/%s", host, repository)
	}
	auth := authn.Anonymous
	if a.Username != "" {
		auth = authn.FromConfig(authn.AuthConfig{Username: a.Username, Password: password.Reveal()})
	}
	return &asker{foreign: f, auth: auth, account: a}, nil
}

// connect reaches the registry and signs in, once.
func (a *asker) connect(ctx context.Context) error {
	if a.client != nil {
		return nil
	}
	a.wait.next = a.foreign.guard
	rt, err := transport.NewWithContext(ctx, a.foreign.repository.Registry, a.auth,
		transport.NewUserAgent(&a.wait, "berth"), []string{a.foreign.repository.Scope(transport.PullScope)})
	if err != nil {
		return a.explain(err)
	}
	a.client = &http.Client{Transport: rt}
	return nil
}

// answer is what a registry says of one thing.
type answered struct {
	same   bool // it is as it was when it had the ETag that was sent
	gone   bool // there is no such thing
	digest string
	etag   string
}

// digest asks what a tag points to.
func (a *asker) digest(ctx context.Context, tag, etag string) (answered, error) {
	found, err := a.manifest(ctx, http.MethodHead, tag, etag)
	if err != nil || found.same || found.gone || found.digest != "" {
		return found, err
	}
	return a.manifest(ctx, http.MethodGet, tag, etag) // a registry that keeps the digest to itself
}

func (a *asker) manifest(ctx context.Context, method, tag, etag string) (answered, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	res, err := a.do(ctx, method, "manifests/"+tag, nil, etag, acceptManifests)
	if err != nil {
		return answered{}, err
	}
	defer res.Body.Close()
	found := answered{etag: res.Header.Get("ETag")}
	switch {
	case res.StatusCode == http.StatusNotModified && etag != "":
		return answered{same: true, etag: etag}, nil
	case res.StatusCode == http.StatusNotFound:
		return answered{gone: true}, nil
	case res.StatusCode == http.StatusMethodNotAllowed && method == http.MethodHead:
		return answered{}, nil
	case res.StatusCode != http.StatusOK:
		return answered{}, a.refused(res)
	}
	if d := digest.Digest(res.Header.Get("Docker-Content-Digest")); d.Validate() == nil {
		found.digest = string(d)
		return found, nil
	}
	if method == http.MethodHead {
		return found, nil
	}
	content, err := io.ReadAll(io.LimitReader(res.Body, maxManifest+1))
	if err != nil {
		return answered{}, a.explain(err)
	}
	if len(content) > maxManifest {
		return answered{}, fault.Unavailable("%s answered with a manifest of more than %d bytes", a.foreign.host, maxManifest)
	}
	found.digest = string(digest.FromBytes(content))
	return found, nil
}

// tags lists the repository's tags, at most mostTags. A repository that is
// not there has none.
func (a *asker) tags(ctx context.Context, etag string) (names []string, found answered, err error) {
	query := url.Values{"n": {"1000"}}
	for {
		page, next, got, err := a.page(ctx, query, etag)
		if err != nil || got.same {
			return nil, got, err
		}
		if names == nil {
			found.etag = got.etag
		}
		names = append(names, page...)
		if next == nil || len(page) == 0 || len(names) >= mostTags {
			break
		}
		// The tag of the first page would not tell of a change on the others.
		query, etag, found.etag = next, "", ""
	}
	return names[:min(len(names), mostTags)], found, nil
}

func (a *asker) page(ctx context.Context, query url.Values, etag string) (names []string, next url.Values, found answered, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	res, err := a.do(ctx, http.MethodGet, "tags/list", query, etag, "application/json")
	if err != nil {
		return nil, nil, found, err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotModified && etag != "":
		return nil, nil, answered{same: true, etag: etag}, nil
	case res.StatusCode == http.StatusNotFound:
		return nil, nil, found, nil
	case res.StatusCode != http.StatusOK:
		return nil, nil, found, a.refused(res)
	}
	var list struct{ Tags []string }
	if err := json.NewDecoder(res.Body).Decode(&list); err != nil {
		if errors.Is(err, errAnswerLarge) || ctx.Err() != nil {
			return nil, nil, found, a.explain(err)
		}
		return nil, nil, found, fault.Unavailable("%s answered with a list of tags that can't be read", a.foreign.host).Because(err)
	}
	return list.Tags, nextPage(res.Header.Get("Link")), answered{etag: res.Header.Get("ETag")}, nil
}

// nextPage reads where a list goes on (RFC 8288), nil at its end. Only the
// query counts: a list goes on at its own registry.
func nextPage(link string) url.Values {
	target, rel, ok := strings.Cut(link, ">")
	if !ok || !strings.HasPrefix(target, "<") || !strings.Contains(rel, "next") {
		return nil
	}
	u, err := url.Parse(strings.TrimPrefix(target, "<"))
	if err != nil || len(u.Query()) == 0 {
		return nil
	}
	return u.Query()
}

var acceptManifests = strings.Join([]string{
	string(types.OCIImageIndex), string(types.DockerManifestList),
	string(types.OCIManifestSchema1), string(types.DockerManifestSchema2),
}, ", ")

func (a *asker) do(ctx context.Context, method, what string, query url.Values, etag, accept string) (*http.Response, error) {
	if err := a.connect(ctx); err != nil {
		return nil, err
	}
	repo := a.foreign.repository
	u := url.URL{
		Scheme: repo.Scheme(), Host: repo.RegistryStr(),
		Path: "/v2/" + repo.RepositoryStr() + "/" + what, RawQuery: query.Encode(),
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	if etag != "" {
		req.Header.Set("If-None-Match", etag) // RFC 9110 section 13.1.2
	}
	res, err := a.client.Do(req)
	if err != nil {
		return nil, a.explain(err)
	}
	return res, nil
}

// refused is explain for an answer that says no.
func (a *asker) refused(res *http.Response) error {
	err := a.explain(&transport.Error{StatusCode: res.StatusCode, Request: res.Request})
	if errors.Is(err, errNoManifest) {
		return fault.NotFound("%s has no such image", a.foreign.host)
	}
	return err
}

// explain says what went wrong, and with it how long the registry asked to
// wait.
func (a *asker) explain(err error) error {
	err = a.foreign.explain(err)
	if errors.Is(err, errNoManifest) {
		return fault.Unavailable("%s answers 404 where a registry has its API", a.foreign.host)
	}
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind == fault.TooOften {
		return f.After(time.Duration(a.wait.asked.Load()))
	}
	return err
}

// created says when the image behind a digest was made; the zero time when
// that can't be found out, or is no time that it can have been.
func (a *asker) created(ctx context.Context, d string) time.Time {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	for range maxDepth {
		m, err := a.foreign.manifest(ctx, d)
		if err != nil {
			return time.Time{}
		}
		doc, err := readDocument(m.content, m.mediaType)
		if err != nil {
			return time.Time{}
		}
		if doc.isImage() {
			return a.madeAt(ctx, doc.Config.Digest)
		}
		if len(doc.Manifests) == 0 {
			return time.Time{}
		}
		d = string(doc.Manifests[0].Digest)
	}
	return time.Time{}
}

func (a *asker) madeAt(ctx context.Context, config digest.Digest) time.Time {
	raw, err := a.foreign.config(ctx, config)
	if err != nil {
		return time.Time{}
	}
	var image struct{ Created time.Time }
	if json.Unmarshal(raw, &image) != nil {
		return time.Time{}
	}
	return plausible(image.Created, time.Now())
}

// waits remembers how long the last answer of 429 asked to wait, whichever
// request of a sign-in or a look-up it answered.
type waits struct {
	next  http.RoundTripper
	asked atomic.Int64 // nanoseconds
}

func (w *waits) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := w.next.RoundTrip(req)
	if err == nil && res.StatusCode == http.StatusTooManyRequests {
		w.asked.Store(int64(retryAfter(res.Header.Get("Retry-After"), time.Now())))
	}
	return res, err
}

// retryAfter reads how long a registry asks to wait; 0 when it does not.
func retryAfter(said string, now time.Time) time.Duration {
	return outgoing.RetryAfter(said, now, longestRetryAfter)
}
