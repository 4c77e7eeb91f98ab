package registry

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"berth/internal/fault"
)

// edge is where requests come in. It finds what each is about, has the gate
// decide, holds it to its limits, and lets the protocol's server do the rest.
type edge struct {
	registry *Registry
	gate     gate
	protocol http.Handler
}

// exchange is what the edge knows of a request and the storage needs.
type exchange struct {
	actor string
	bound *Bound
	// offset is where the request's bytes go on in their upload; -1 when it
	// does not say.
	offset int64
	// failure is why the storage refused bytes: the protocol's server does
	// not always pass it on.
	failure error
}

type exchangeKey struct{}

// exchangeOf gives a request's exchange; nil outside of one.
func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

func (e *edge) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	h := w.Header()
	h.Set("Docker-Distribution-API-Version", "registry/2.0")
	// What people push is never to be run by a browser on Berth's own host.
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	if err := e.serve(w, req); err != nil {
		e.refuse(w, req, err)
	}
}

func (e *edge) serve(w http.ResponseWriter, req *http.Request) error {
	if req.URL.Path == "/v2/token" {
		return e.gate.serveToken(w, req)
	}
	t, err := targetOf(req.Method, req.URL)
	if err != nil {
		// Who is not known learns nothing but that.
		if _, denied := e.gate.admit(w, req, target{action: pull}); denied != nil {
			return denied
		}
		return err
	}
	c, err := e.gate.admit(w, req, t)
	if err != nil {
		return err
	}
	x := &exchange{actor: c.account.Name, bound: c.account.Bound, offset: -1}
	req = req.WithContext(context.WithValue(req.Context(), exchangeKey{}, x))

	switch {
	case t.part == partBlob && t.action == pull:
		return e.registry.serveBlob(w, req, t)
	case t.part == partReferrers && t.action == pull:
		return e.registry.serveReferrers(w, req, t)
	case t.part == partUpload && t.action == remove:
		return e.cancelUpload(w, req, t)
	}
	if req, err = e.bound(w, req, t, x); err != nil {
		return err
	}
	if t.mount != "" && !e.canMount(req, t, c) {
		req = withQuery(req, url.Values{}) // an upload begins instead, as the specification has it
	}
	e.protocol.ServeHTTP(e.registry.patience.writer(w), req)
	return nil
}

// bound holds a request's body and lists to their limits.
func (e *edge) bound(w http.ResponseWriter, req *http.Request, t target, x *exchange) (*http.Request, error) {
	req = req.WithContext(req.Context()) // a copy that may be changed
	switch t.part {
	case partManifest:
		if t.action != push {
			return req, nil
		}
		content, err := readManifest(req, e.registry.patience.body(w, req.Body))
		if err != nil {
			return req, err
		}
		req.Body = io.NopCloser(bytes.NewReader(content))
	case partUploads, partUpload:
		if req.ContentLength > e.registry.maxBlob {
			return req, refusef(http.StatusRequestEntityTooLarge, "SIZE_INVALID", "a blob may have at most %d bytes here", e.registry.maxBlob)
		}
		req.Body = e.registry.patience.body(w, req.Body)
		return req, x.takeRange(req)
	case partCatalog, partTags:
		q := req.URL.Query()
		if n, err := strconv.Atoi(q.Get("n")); q.Get("n") == "" || err == nil && (n <= 0 || n > maxPage) {
			q.Set("n", strconv.Itoa(maxPage))
		}
		return withQuery(req, q), nil
	case partBase, partBlob, partReferrers:
	}
	return req, nil
}

var errManifestLarge = refusef(http.StatusRequestEntityTooLarge, "MANIFEST_INVALID", "a manifest may have at most %d bytes", maxManifest)

func readManifest(req *http.Request, body io.Reader) ([]byte, error) {
	if req.ContentLength > maxManifest {
		return nil, errManifestLarge
	}
	content, err := io.ReadAll(io.LimitReader(body, maxManifest+1))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "MANIFEST_INVALID", "the manifest did not arrive whole")
	}
	if len(content) > maxManifest {
		return nil, errManifestLarge
	}
	return content, nil
}

// takeRange reads where a chunk goes from the header, and takes the header
// away: the protocol's server can't tell byte 0 from no byte named.
func (x *exchange) takeRange(req *http.Request) error {
	text := req.Header.Get("Content-Range")
	if text == "" {
		return nil
	}
	first, last, ok := strings.Cut(strings.TrimPrefix(text, "bytes "), "-")
	last, _, _ = strings.Cut(last, "/")
	start, err1 := strconv.ParseUint(first, 10, 62)
	end, err2 := strconv.ParseUint(last, 10, 62)
	if !ok || err1 != nil || err2 != nil {
		return refusef(http.StatusRequestedRangeNotSatisfiable, "RANGE_INVALID", "Content-Range is first-last in bytes, such as 0-1023, not %q", text)
	}
	if n := req.ContentLength; n >= 0 && n != int64(end)-int64(start)+1 && (n != 0 || start != end) {
		return refusef(http.StatusRequestedRangeNotSatisfiable, "RANGE_INVALID", "Content-Range %s does not fit %d bytes", text, n)
	}
	x.offset = int64(start)
	req.Header = req.Header.Clone()
	req.Header.Del("Content-Range")
	return nil
}

// canMount says whether the blob is where the client believes it to be, and
// the client may read it there.
func (e *edge) canMount(req *http.Request, t target, c caller) bool {
	if !c.may(pull, t.mountFrom) {
		return false
	}
	return e.registry.findBlob(req.Context(), t.mountFrom, digestOf(t.mount)) == nil
}

func (e *edge) cancelUpload(w http.ResponseWriter, req *http.Request, t target) error {
	// The protocol's server writes ids into its URLs like this.
	id, err := base64.RawURLEncoding.DecodeString(t.reference)
	if err != nil {
		return errUploadUnknown
	}
	if err := e.registry.cancelUpload(req.Context(), t.repository, string(id)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func withQuery(req *http.Request, q url.Values) *http.Request {
	u := *req.URL
	u.RawQuery = q.Encode()
	req = req.WithContext(req.Context())
	req.URL = &u
	return req
}

// refuse answers with an error in the form of the distribution specification.
func (e *edge) refuse(w http.ResponseWriter, req *http.Request, err error) {
	if x := exchangeOf(req.Context()); x != nil && x.failure != nil {
		err = x.failure
	}
	status, body, internal := answer(err)
	if internal && req.Context().Err() == nil { // otherwise it failed because the client went
		e.registry.log.ErrorContext(req.Context(), "registry request failed", "method", req.Method, "path", req.URL.Path, "error", err)
	}
	if wait := fault.RetryAfter(err); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone reads nothing
}
