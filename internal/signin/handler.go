package signin

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"berth/internal/cookie"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
)

// Edge is what the API knows of a browser's requests, and says to it.
type Edge interface {
	// Subject gives who is signed in in the browser; nil for nobody.
	Subject(r *http.Request) *identity.Subject
	// Origin gives where a request comes from.
	Origin(r *http.Request) identity.Origin
	// SignIn gives the browser its session.
	SignIn(w http.ResponseWriter, session secret.Text)
	// GoOn has the browser go on to a second factor.
	GoOn(w http.ResponseWriter, r *http.Request, half *identity.FactorError) error
}

// The dashboard's pages that a browser is sent to.
const (
	pageSignIn = "/sign-in"
	// The parameter has it say so, and lead nowhere: see signedOut.
	pageSignedOut = pageSignIn + "?state=" + signedOut
	pageLinked    = "/account/identities"
	pageTrial     = "/system/sign-in/test"
)

// Handler serves what browsers, and providers, come to under /auth/.
func (s *Service) Handler(edge Edge) http.Handler {
	h := &handler{service: s, edge: edge}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /auth/{provider}/start", h.start)
	mux.HandleFunc("GET /auth/{provider}/callback", h.callback)
	mux.HandleFunc("GET /auth/{provider}/sign-out", h.signOut)
	mux.HandleFunc("POST /auth/{provider}/backchannel-logout", h.logOut)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// What is in these addresses is nobody else's, and good once.
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		mux.ServeHTTP(w, r)
	})
}

type handler struct {
	service *Service
	edge    Edge
}

func (h *handler) start(w http.ResponseWriter, r *http.Request) {
	provider, to := r.PathValue("provider"), r.URL.Query().Get("to")
	purpose, strength := ToSignIn, identity.Strength("")
	var subject *identity.Subject
	if r.URL.Query().Has("step_up") {
		purpose, strength, subject = ToStepUp, strengthOf(r.URL.Query().Get("step_up")), h.edge.Subject(r)
		if subject == nil { // who is nobody signs in, and has proved it anew by that
			purpose = ToSignIn
		}
	}
	place, browser, err := h.service.Begin(r.Context(), provider, Departure{
		Purpose: purpose, Subject: subject, Strength: strength, Browser: h.service.ReadBrowser(r), ReturnTo: to, Another: r.URL.Query().Has("other"), Origin: h.edge.Origin(r),
	})
	if err != nil {
		h.fail(w, r, purpose, provider, Arrival{ReturnTo: ReturnPath(to), Strength: strength}, err)
		return
	}
	own := h.service.BrowserCookie(browser)
	http.SetCookie(w, &own)
	http.Redirect(w, r, place, http.StatusSeeOther) //nolint:gosec // the provider's page, from its metadata
}

func (h *handler) callback(w http.ResponseWriter, r *http.Request) {
	provider := r.PathValue("provider")
	at, err := h.service.Finish(r.Context(), provider, Return{
		Query: r.URL.Query(), Browser: h.service.ReadBrowser(r), Subject: h.edge.Subject(r), Origin: h.edge.Origin(r),
	})
	if half, is := errors.AsType[*identity.FactorError](err); is {
		if err = h.edge.GoOn(w, r, half); err == nil {
			h.send(w, r, pageSignIn, url.Values{"to": {at.ReturnTo}})
			return
		}
	}
	if err != nil {
		h.fail(w, r, at.Purpose, provider, at, err)
		return
	}
	switch at.Purpose {
	case ToTest:
		h.send(w, r, pageTrial, url.Values{"id": {at.Trial}})
	case ToLink:
		h.send(w, r, pageLinked, url.Values{"linked": {provider}})
	case ToSignIn, ToStepUp:
		h.edge.SignIn(w, at.Session)
		http.Redirect(w, r, at.ReturnTo, http.StatusSeeOther)
	}
}

// fail leads to the page that says why it did not work. The page has the
// sentences: nothing that came with the request is shown.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, purpose Purpose, provider string, at Arrival, err error) {
	problem := "failed"
	if reason, is := ReasonOf(err); is {
		problem = reason.String()
	} else if kind := fault.KindOf(err); kind == fault.TooOften || kind == fault.NotNow {
		problem = "busy"
	} else if kind != fault.Missing {
		h.service.log.ErrorContext(r.Context(), "sign-in failed", "provider", provider, "error", err)
	}
	query := url.Values{"problem": {problem}}
	if slugPattern.MatchString(provider) {
		query.Set("provider", provider)
	}
	switch purpose {
	case ToLink:
		h.send(w, r, pageLinked, query)
	case ToTest:
		h.send(w, r, "/system/sign-in", query)
	case ToStepUp:
		query.Set("step_up", stepUpWord(at.Strength))
		query.Set("to", at.ReturnTo)
		h.send(w, r, pageSignIn, query)
	case ToSignIn, "": // "" is before it was known
		if at.ReturnTo != "" && at.ReturnTo != "/" {
			query.Set("to", at.ReturnTo)
		}
		h.send(w, r, pageSignIn, query)
	}
}

// anySignIn is the page's word for a step-up of no certain strength.
const anySignIn = "sign_in"

func stepUpWord(s identity.Strength) string {
	if s == identity.StrengthAny {
		return anySignIn
	}
	return string(s)
}

// strengthOf reads the page's word. What is none asks for the most, which no
// provider proves.
func strengthOf(word string) identity.Strength {
	switch s := identity.Strength(word); {
	case word == anySignIn:
		return identity.StrengthAny
	case s == identity.StrengthSecondFactor:
		return s
	}
	return identity.StrengthPasskey
}

func (*handler) send(w http.ResponseWriter, r *http.Request, page string, query url.Values) {
	http.Redirect(w, r, page+"?"+query.Encode(), http.StatusSeeOther)
}

// signOut leads on to the provider's own page to sign out, after a sign-out
// here, or back to the sign-in page.
func (h *handler) signOut(w http.ResponseWriter, r *http.Request) {
	to, err := h.service.SignOutAt(r.Context(), r.PathValue("provider"))
	if err != nil && fault.KindOf(err) != fault.Missing {
		h.service.log.WarnContext(r.Context(), "provider can not be asked to sign out", "provider", r.PathValue("provider"), "error", trouble(err))
	}
	if err != nil || to == "" {
		to = pageSignedOut
	}
	http.Redirect(w, r, to, http.StatusSeeOther) //nolint:gosec // the provider's page, from its metadata
}

// maxLogoutBody bounds what a provider sends with a logout.
const maxLogoutBody = 64 << 10

// logOut takes a logout token: section 2.5 of OpenID Connect Back-Channel
// Logout 1.0, with its answers from section 2.8.
func (h *handler) logOut(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxLogoutBody)
	raw := r.PostFormValue("logout_token")
	_, err := h.service.LogOut(r.Context(), r.PathValue("provider"), raw, h.edge.Origin(r))
	if err == nil {
		w.WriteHeader(http.StatusOK)
		return
	}
	status := http.StatusBadRequest
	switch fault.KindOf(err) {
	case fault.Missing:
		status = http.StatusNotFound
	case fault.TooOften:
		status = http.StatusTooManyRequests
	case fault.NotNow:
		status = http.StatusServiceUnavailable
	case fault.Internal:
		status = http.StatusInternalServerError
		h.service.log.ErrorContext(r.Context(), "logout at a provider failed", "provider", r.PathValue("provider"), "error", err)
	case fault.BadInput, fault.Unauthenticated, fault.Denied, fault.Clash, fault.TooLarge, fault.NotProved:
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_request", "error_description": fault.Message(err)}) // the provider is away
}

// flowCookie is what a browser is known by when it comes back.
const flowCookie cookie.Name = "signin"

// BrowserCookie gives a browser what it is known by when it comes back.
func (s *Service) BrowserCookie(browser secret.Text) http.Cookie {
	return s.cookies.Set(flowCookie, browser.Reveal(), flowLives)
}

// ReadBrowser reads what BrowserCookie gave.
func (s *Service) ReadBrowser(r *http.Request) secret.Text {
	value, _ := s.cookies.Read(r.Header, flowCookie)
	if len(value) != secretLength {
		return secret.Text{}
	}
	return secret.New(value)
}
