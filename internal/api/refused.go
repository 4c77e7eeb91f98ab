package api

import (
	"net/http"
	"net/url"
	"path"
	"strings"

	"berth/internal/cookie"
	"berth/internal/fault"
	"berth/internal/gateway"
	"berth/internal/identity"
	"berth/internal/secret"
)

// administratorsPages are the dashboard's pages, with all below them, that are
// for administrators: a test holds them to the dashboard's own.
var administratorsPages = []string{"/people", "/groups", "/registries", "/audit", "/system/sign-in"}

// forAdministrators says whether a page of the dashboard is theirs alone.
func forAdministrators(page string) bool {
	page = path.Clean("/" + page)
	for _, prefix := range administratorsPages {
		if page == prefix || strings.HasPrefix(page, prefix+"/") {
			return true
		}
	}
	return strings.HasPrefix(page, "/projects/") && path.Base(page) == "terminal"
}

// pages serves the dashboard, and leads straight on from its sign-in page where
// the mode says so. Whoever is signed in, may not administer and
// opens an administrators' page, is told so, and whom to ask.
func (a *API) pages(dashboard http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if forAdministrators(r.URL.Path) && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			if subject := (signInEdge{a}).Subject(r); subject != nil && !mayAdminister(subject) {
				a.turnAway(w, r, subject)
				return
			}
		}
		to, err := a.straight(r)
		if err != nil { // the page works all the same
			a.log.ErrorContext(r.Context(), "sign-in mode can not be read", "error", err)
		}
		if to != "" {
			protect(w.Header())
			http.Redirect(w, r, to, http.StatusSeeOther) //nolint:gosec // to a path of Berth
			return
		}
		dashboard.ServeHTTP(w, r)
	})
}

func (a *API) turnAway(w http.ResponseWriter, r *http.Request, subject *identity.Subject) {
	to := url.Values{"to": {r.URL.RequestURI()}}
	gateway.Notice{
		Status: http.StatusForbidden, Title: "For administrators",
		Detail: "You are signed in as " + gateway.Known(subject) + ", and do not administer this Berth. Ask " + a.contact + " if you think you should.",
		Action: leavePath + "?" + to.Encode(), Button: "Sign in as somebody else",
		Link: "/", LinkText: "Go to projects",
	}.Write(w, r)
}

// leavePath is where a page without a script sends whoever wants to sign in as
// somebody else.
const leavePath = "/auth/leave"

// leave ends the session of the browser, and leads to where one signs in as
// somebody else. Another site's page is refused: see sameSite.
func (a *API) leave(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	if token, ok := a.cookies.Read(r.Header, cookie.Session); ok {
		subject, err := a.identity.BySession(r.Context(), secret.New(token))
		if err == nil {
			err = a.identity.SignOut(r.Context(), subject)
		}
		if kind := fault.KindOf(err); err != nil && kind != fault.Unauthenticated && kind != fault.Missing {
			a.answer(w, r, err)
			return
		}
	}
	gone := a.cookies.Clear(cookie.Session)
	http.SetCookie(w, &gone)
	page := url.URL{Path: signInPath, RawQuery: url.Values{"to": {r.URL.Query().Get("to")}, "other": {"1"}}.Encode()}
	http.Redirect(w, r, page.String(), http.StatusSeeOther)
}
