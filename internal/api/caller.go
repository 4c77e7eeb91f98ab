package api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"berth/internal/cookie"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
)

// caller is who sent a request, and from where.
type caller struct {
	subject *identity.Subject // nil: nobody
	refused error             // why there is nobody, although there was something to know them by
	origin  identity.Origin
	// attempt and question are what a browser in the midst of a sign-in brings:
	// they make nobody of it.
	attempt  secret.Text
	question secret.Text
	browser  secret.Text // what it is known by between a provider and here
	control  *http.ResponseController
}

type callerKey struct{}

// callerOf gives the caller that identify put into ctx; nobody when it did not.
func callerOf(ctx context.Context) *caller {
	if c, ok := ctx.Value(callerKey{}).(*caller); ok {
		return c
	}
	return &caller{}
}

// allowed says whether the caller passes the rule on something; anything else
// is denied.
func (c *caller) allowed(r rule, on identity.On) error {
	if r.public {
		return nil
	}
	if c.subject == nil && c.refused != nil {
		return c.refused
	}
	return identity.Decide(c.subject, r.action, on)
}

// who gives the subject of a request that passed a rule that is not public.
func (c *caller) who() identity.Subject { return *c.subject }

// actor is the name that events carry.
func (c *caller) actor() string { return c.subject.Person.Username }

// bodyRead takes off the deadline that huma sets for reading a body: it would
// end the request's context while a slow handler still works.
func (c *caller) bodyRead() {
	if c.control != nil {
		_ = c.control.SetReadDeadline(time.Time{}) // a writer without deadlines has none to take off
	}
}

// identify finds out who sends a request, by an API token when there is an
// Authorization header, else by the session cookie.
func (a *API) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &caller{origin: originOf(r), browser: a.signin.ReadBrowser(r), control: http.NewResponseController(w)}
		c.subject, c.refused = a.subjectOf(r)
		c.attempt, c.question = a.brought(r, attemptCookie), a.brought(r, questionCookie)
		known := r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
		defer func() { r.Pattern = known.Pattern }() // for the access log
		next.ServeHTTP(w, known)
	})
}

// The cookies of a browser in the midst of a sign-in.
const (
	attemptCookie  cookie.Name = "attempt"  // a sign-in that is not finished
	questionCookie cookie.Name = "question" // what a passkey was asked, sealed
)

func (a *API) brought(r *http.Request, name cookie.Name) secret.Text {
	value, _ := a.cookies.Read(r.Header, name)
	return secret.New(value)
}

// local is identify for the socket that only the machine's administrator can
// open.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := identity.Local()
		c := &caller{
			subject: &s,
			origin:  identity.Origin{Address: "local", UserAgent: userAgent(r)},
			control: http.NewResponseController(w),
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
	})
}

// subjectOf gives nobody, without an error, when r shows nothing to know
// anybody by.
func (a *API) subjectOf(r *http.Request) (*identity.Subject, error) {
	if said := r.Header.Get("Authorization"); said != "" {
		scheme, token, _ := strings.Cut(said, " ")
		if !strings.EqualFold(scheme, "Bearer") { // RFC 6750 section 2.1
			return nil, fault.SignIn("the Authorization header must be \"Bearer\" and an API token")
		}
		return found(a.identity.ByToken(r.Context(), secret.New(strings.TrimSpace(token))))
	}
	if token, ok := a.cookies.Read(r.Header, cookie.Session); ok {
		return found(a.identity.BySession(r.Context(), secret.New(token)))
	}
	return nil, nil
}

func found(s identity.Subject, err error) (*identity.Subject, error) {
	if err != nil {
		return nil, err
	}
	return &s, nil
}

// originOf is where a request comes from: the gateway has put it into
// RemoteAddr, by what the proxies that it trusts say. No header counts here.
func originOf(r *http.Request) identity.Origin {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	return identity.Origin{Address: host, UserAgent: userAgent(r)}
}

// userAgent bounds what a stranger may have stored.
func userAgent(r *http.Request) string {
	const most = 256
	ua := strings.ToValidUTF8(r.UserAgent(), "")
	if len(ua) > most {
		ua = strings.ToValidUTF8(ua[:most], "")
	}
	return ua
}

// sameSite refuses what a page of another origin makes a browser send: writes
// by http.CrossOriginProtection, and reads of /api/ too, which no other
// origin has a reason to ask for.
func (a *API) sameSite(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := protection.Check(r)
		if site := r.Header.Get("Sec-Fetch-Site"); err == nil && strings.HasPrefix(r.URL.Path, "/api/") &&
			site != "" && site != "same-origin" && site != "none" {
			err = errors.New("cross-origin read of the API")
		}
		if err != nil {
			a.answer(w, r, fault.Forbidden("this request comes from another site's page").Because(err))
			return
		}
		next.ServeHTTP(w, r)
	})
}
