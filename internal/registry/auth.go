package registry

import (
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"berth/internal/fault"
	"berth/internal/secret"
)

// gate decides who a request is from and whether it may go on.
type gate interface {
	// admit gives the caller, when it may do what the request is about. When
	// it may not, w carries the challenge and the error says why.
	admit(w http.ResponseWriter, req *http.Request, t target) (caller, error)
	// serveToken hands out a bearer token.
	serveToken(w http.ResponseWriter, req *http.Request) error
}

// caller is who sent a request, and what they may do with it.
type caller struct {
	account Account
	// token is what the request is bound to, nil when it came with the
	// account's own credentials.
	token *claims
}

// may says whether the account has the right to an action anywhere.
func (a Account) may(what action) bool {
	switch what {
	case pull:
		return a.Pull
	case push:
		return a.Push
	case remove:
		return a.Push && a.Bound == nil
	}
	return false
}

// reaches says whether a repository is one that the account is let to.
func (a Account) reaches(repository string) bool {
	return a.Bound == nil || a.Bound.Repository == repository
}

// may says whether the caller may act on a repository.
func (c caller) may(what action, repository string) bool {
	return c.account.may(what) && c.account.reaches(repository) && (c.token == nil || c.token.covers(what, repository))
}

// accountGate lets in Berth's accounts, by their password or API token
// (Basic) or by a bearer token that they were given for these.
type accountGate struct {
	auth    Authenticator
	tokens  tokens
	baseURL *url.URL
}

func (g *accountGate) admit(w http.ResponseWriter, req *http.Request, t target) (caller, error) {
	c, err := g.identify(req)
	if err != nil {
		if fault.KindOf(err) == fault.Unauthenticated {
			g.challenge(w, req, t, "invalid_token")
		}
		return c, err
	}
	switch t.part {
	case partBase:
		return c, nil
	case partCatalog:
		if t.action == pull && c.account.Pull && c.account.Bound == nil && (c.token == nil || c.token.Catalog) {
			return c, nil
		}
	case partBlob, partUploads, partUpload, partManifest, partTags, partReferrers:
		if c.may(t.right(), t.repository) {
			return c, nil
		}
	}
	if !c.account.may(t.right()) {
		return c, fault.Forbidden("%s may not %s images here", c.account.Name, t.action)
	}
	if !c.account.reaches(t.repository) {
		return c, fault.Forbidden("this API token is for the repository %s alone", c.account.Bound.Repository)
	}
	// The token was asked for something else: the client is to ask for
	// another (RFC 6750, section 3.1).
	g.challenge(w, req, t, "insufficient_scope")
	return c, fault.SignIn("the token is not for this repository")
}

func (g *accountGate) identify(req *http.Request) (caller, error) {
	if bearer, ok := bearerOf(req); ok {
		claims, err := g.tokens.read(bearer)
		if err != nil {
			return caller{}, err
		}
		return caller{account: claims.account(), token: &claims}, nil
	}
	account, err := g.basic(req)
	return caller{account: account}, err
}

func (g *accountGate) basic(req *http.Request) (Account, error) {
	username, password, ok := req.BasicAuth()
	if !ok {
		return Account{}, fault.SignIn("sign in with an account of Berth; an API token may stand for the password")
	}
	return g.auth.Authenticate(req.Context(), username, secret.New(password), addressOf(req))
}

// challenge says where a token can be had, and for what it is to be asked
// (RFC 6750, section 3; distribution specification, token authentication).
func (g *accountGate) challenge(w http.ResponseWriter, req *http.Request, t target, why string) {
	var b strings.Builder
	b.WriteString(`Bearer realm="` + g.realm(req) + `",service="` + g.tokens.service + `"`)
	if scope := t.scope(); scope != "" {
		b.WriteString(`,scope="` + scope + `"`)
	}
	if req.Header.Get("Authorization") != "" {
		b.WriteString(`,error="` + why + `"`)
	}
	w.Header().Set("WWW-Authenticate", b.String())
}

// realm is the token endpoint as this client can reach it: at the host it
// asked when that is this machine, which may be another name or port than
// the base URL has; at the base URL otherwise, whatever the Host header says.
func (g *accountGate) realm(req *http.Request) string {
	u := url.URL{Scheme: g.baseURL.Scheme, Host: g.baseURL.Host, Path: "/v2/token"}
	if isLoopback(req.Host) {
		u.Scheme, u.Host = "http", req.Host
		if req.TLS != nil {
			u.Scheme = "https"
		}
	}
	return u.String()
}

// isLoopback says whether a host, with or without a port, is this machine by
// its spelling.
func isLoopback(hostport string) bool {
	host := hostport
	if h, port, err := net.SplitHostPort(hostport); err == nil {
		if strings.Trim(port, "0123456789") != "" {
			return false
		}
		host = h
	}
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && address.Zone() == "" && address.IsLoopback()
}

func addressOf(req *http.Request) string {
	host, _, err := net.SplitHostPort(req.RemoteAddr)
	if err != nil {
		return req.RemoteAddr
	}
	return host
}

func bearerOf(req *http.Request) (string, bool) {
	scheme, token, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), strings.EqualFold(scheme, "Bearer")
}

// engineGate lets one credential read, and nobody do anything else.
type engineGate struct {
	username string
	password secret.Text
}

func (g *engineGate) admit(w http.ResponseWriter, req *http.Request, t target) (caller, error) {
	username, password, _ := req.BasicAuth()
	known := subtle.ConstantTimeCompare([]byte(username), []byte(g.username)) &
		subtle.ConstantTimeCompare([]byte(password), []byte(g.password.Reveal()))
	if known != 1 || g.password.Empty() {
		w.Header().Set("WWW-Authenticate", `Basic realm="Berth's container engine"`)
		return caller{}, fault.SignIn("this listener is for Berth's own container engine")
	}
	if t.action != pull {
		return caller{}, fault.Forbidden("this listener only reads")
	}
	return caller{account: Account{Name: g.username, Pull: true}}, nil
}

func (g *engineGate) serveToken(http.ResponseWriter, *http.Request) error {
	return refuse(http.StatusNotFound, "UNSUPPORTED", "no such page")
}
