package gateway

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"berth/internal/cookie"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
)

// How a session comes to an app's host, whose cookies are its own: the browser
// is given a bind cookie and led to the base host with a digest of it; there,
// once it is signed in, it gets a ticket, and comes back with that to
// ownPath/ticket, which takes it only from the browser with the cookie.

const (
	bindCookie cookie.Name = "bind"
	bindLasts              = time.Hour // which signing in may take
	toMost                 = 4 << 10   // bytes of an address to come back to
)

// Serves says that a host is one that requests are served at, and gives its
// one spelling.
func (t *Table) Serves(host string) (normal string, ok bool) {
	if normal, ok = normalHost(host); !ok {
		return "", false
	}
	return normal, len(t.current.Load().hosts[normal]) > 0
}

// Serves says that a host is an app's, and gives its one spelling.
func (g *Gateway) Serves(host string) (normal string, ok bool) { return g.table.Serves(host) }

// Trusts gives the networks of the proxies whose word counts.
func (g *Gateway) Trusts() []netip.Prefix { return slices.Clone(g.proxies) }

// Asks says whether proxies of a kind may ask who may enter.
func (g *Gateway) Asks(kind string) bool { return slices.Contains(g.asks, kind) }

// PassageTo gives the address that takes a ticket at an app's host.
func (g *Gateway) PassageTo(host string, ticket secret.Text) string {
	u := g.addressOf(host)
	u.Path, u.RawQuery = ownPath+"/ticket", url.Values{"ticket": {ticket.Reveal()}}.Encode()
	return u.String()
}

// addressOf gives the address of an app's host: its scheme and port are those
// of the base host.
func (g *Gateway) addressOf(host string) *url.URL {
	u := &url.URL{Scheme: g.baseURL.Scheme, Host: host}
	if port := g.baseURL.Port(); port != "" {
		u.Host += ":" + port
	}
	return u
}

// bound says whether a text can be the digest of a bind cookie, or the cookie.
func bound(s string) bool {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	return err == nil && len(raw) == sha256.Size
}

func bindOf(value string) string {
	sum := sha256.Sum256([]byte(value))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// CheckPassage says what is wrong with where somebody wants to go on to.
func (g *Gateway) CheckPassage(p identity.Passage) (identity.Passage, error) {
	host, ok := g.Serves(p.Host)
	switch {
	case !ok:
		return p, fault.NotFound("no app is at that address")
	case !bound(p.Bind):
		return p, fault.Invalid("the address is not whole: open the app's own address again")
	case !pathToGo(p.To):
		return p, fault.Invalid("the address does not say where to go on")
	}
	p.Host = host
	return p, nil
}

// pathToGo says that a text is a path, with or without a query, on whatever
// host it is put behind.
func pathToGo(to string) bool {
	if len(to) == 0 || len(to) > toMost || to[0] != '/' {
		return false
	}
	for i := range len(to) {
		if to[i] <= ' ' || to[i] >= 0x7f || to[i] == '\\' || to[i] == '#' {
			return false
		}
	}
	return true
}

// leadToBase sends a browser to the base host, to come back with a session, or
// with a stronger or fresher one.
func (x *exchange) leadToBase(no *refusal) page {
	to := x.r.URL.EscapedPath()
	if q := x.r.URL.RawQuery; q != "" {
		to += "?" + q
	}
	return x.passage(to, no, false)
}

// passage begins the way to a session, or with a refusal to a stronger or
// fresher one. Where it is to be somebody else's, whoever signs in is asked who
// they are.
func (x *exchange) passage(to string, no *refusal, other bool) page {
	if !pathToGo(to) {
		to = "/"
	}
	bind, ok := x.g.own.cookies.Read(x.r.Header, bindCookie)
	if !ok || !bound(bind) { // another tab's is as good
		b := make([]byte, sha256.Size)
		_, _ = rand.Read(b)
		bind = base64.RawURLEncoding.EncodeToString(b)
	}
	kept := x.g.own.cookies.Set(bindCookie, bind, bindLasts)
	asked := url.Values{"host": {x.host}, "to": {to}, "bind": {bindOf(bind)}}
	if other {
		asked.Set("other", "1")
	}
	enter := url.URL{Path: "/auth/enter", RawQuery: asked.Encode()}
	where := *x.g.baseURL
	where.Path, where.RawQuery = enter.Path, enter.RawQuery
	if no != nil && no.verdict.Need != identity.NeedSignIn {
		query := url.Values{"step_up": {"sign_in"}, "to": {enter.String()}}
		if no.rule.Strength != identity.StrengthAny {
			query.Set("step_up", string(no.rule.Strength))
		}
		if no.rule.Within > 0 {
			query.Set("within", time.Duration(no.rule.Within).String())
		}
		where.Path, where.RawQuery = "/sign-in", query.Encode()
	}
	return page{
		status: http.StatusFound, title: "Sign in", detail: "This page is for people who have signed in.",
		header: http.Header{"Location": {where.String()}, "Set-Cookie": {kept.String()}},
	}
}

// ownPageError is a page of Berth's own on an app's host.
type ownPageError struct{ page page }

func (o *ownPageError) Error() string { return o.page.title }

// serveOwn answers at Berth's own addresses on an app's host.
func (x *exchange) serveOwn(ctx context.Context) error {
	if _, ok := x.g.table.Serves(x.host); !ok || x.g.identity == nil {
		return errNotHere
	}
	method := x.r.Method
	var p page
	switch name := strings.ToLower(strings.TrimPrefix(x.path.path[len(ownPath):], "/")); {
	case name == "ticket" && method == http.MethodGet:
		p = x.redeem(ctx)
	case name == "sign-in" && method == http.MethodGet:
		asked := x.r.URL.Query()
		p = x.passage(asked.Get("to"), nil, asked.Has("other"))
	case name == "sign-out" && method == http.MethodGet:
		p = x.askSignOut(ctx)
	case name == "sign-out" && method == http.MethodPost:
		p = x.signOut(ctx)
	case name == "ticket", name == "sign-in", name == "sign-out":
		p = page{status: http.StatusMethodNotAllowed, title: "Not here", detail: "This address takes no " + method + ".", code: fault.BadInput}
	default:
		return errNotHere
	}
	return &ownPageError{p}
}

// redeem takes a ticket, and gives the browser the host's own cookie.
func (x *exchange) redeem(ctx context.Context) page {
	cookies := x.g.own.cookies
	bind, _ := cookies.Read(x.r.Header, bindCookie)
	token, to, err := x.g.identity.RedeemTicket(ctx, secret.New(x.r.URL.Query().Get("ticket")), x.host, bindOf(bind))
	switch {
	case fault.KindOf(err) == fault.Unauthenticated:
		return page{
			status: http.StatusForbidden, title: "Not signed in", detail: "This link was used already, is too old, or is another browser's. If it comes again, see that this browser takes cookies.",
			code: fault.Denied, links: []link{{"Try again", "/"}},
		}
	case err != nil:
		x.g.log.ErrorContext(ctx, "session not carried over", x.attrs("error", err)...)
		return page{status: http.StatusServiceUnavailable, title: "Unavailable", detail: "You could not be signed in here at the moment. Try again in a little while.", code: fault.NotNow, retry: 5}
	}
	session, spent := cookies.Set(cookie.Session, token.Reveal(), 0), cookies.Clear(bindCookie)
	return page{
		status: http.StatusSeeOther, title: "Signed in", detail: "On to the app.",
		header: http.Header{"Location": {x.g.addressOf(x.host).String() + to}, "Set-Cookie": {session.String(), spent.String()}},
	}
}

// known finds who is signed in on the app's host.
func (x *exchange) known(ctx context.Context) (identity.Subject, error) {
	token, ok := x.g.own.cookies.Read(x.r.Header, cookie.Session)
	if !ok {
		return identity.Subject{}, fault.SignIn("nobody is signed in")
	}
	guest, err := x.g.identity.ByHostSession(ctx, x.host, secret.New(token))
	if err != nil {
		return identity.Subject{}, err
	}
	return *guest.Subject(), nil
}

// askSignOut asks before anything ends: a link on any page leads here.
func (x *exchange) askSignOut(ctx context.Context) page {
	subject, err := x.known(ctx)
	if err != nil {
		return x.signedOut()
	}
	return page{
		status: http.StatusOK, title: "Sign out?", button: "Sign out",
		detail: "You are signed in as " + nameOf(&subject) + ". Signing out ends this session here, in all other apps and in Berth itself.",
	}
}

// signOut ends the whole session. What another origin's page has a browser
// send is refused.
func (x *exchange) signOut(ctx context.Context) page {
	if err := http.NewCrossOriginProtection().Check(x.r); err != nil {
		return page{status: http.StatusForbidden, title: "Not from there", detail: "This request comes from another site's page.", code: fault.Denied}
	}
	subject, err := x.known(ctx)
	if err == nil {
		err = x.g.identity.SignOut(ctx, subject)
	}
	if kind := fault.KindOf(err); err != nil && kind != fault.Unauthenticated && kind != fault.Missing {
		x.g.log.ErrorContext(ctx, "session not ended", x.attrs("error", err)...)
		return page{status: http.StatusServiceUnavailable, title: "Unavailable", detail: "You could not be signed out at the moment. Try again in a little while.", code: fault.NotNow, retry: 5}
	}
	p := x.signedOut()
	if err == nil && x.g.leadsOn != nil && x.g.leadsOn(ctx, subject.Provider) {
		x.leadOn(&p, subject.Provider)
	}
	return p
}

// leadOn has the browser go on to sign out at a provider. A redirect would be
// the answer to the page's form, which may lead to this host alone.
func (x *exchange) leadOn(p *page, provider string) {
	to := x.g.baseURL.JoinPath("auth", provider, "sign-out").String()
	p.header.Set("Refresh", "0;url="+to)
	p.detail = "You are signed out, here and everywhere else. Next is " + provider + ", where you signed in."
	p.links = []link{{"Sign out at " + provider, to}}
}

func (x *exchange) signedOut() page {
	gone := x.g.own.cookies.Clear(cookie.Session)
	return page{
		status: http.StatusOK, title: "Signed out", detail: "You are signed out, here and everywhere else.",
		header: http.Header{"Set-Cookie": {gone.String()}}, links: []link{{"Sign in", ownPath + "/sign-in?other=1&to=/"}},
	}
}
