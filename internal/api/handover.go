package api

import (
	"net/http"
	"net/url"

	"berth/internal/cookie"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
)

// handOver carries the session of whoever is signed in over to an app's host, by a
// ticket; somebody who is not signs in first and comes back here.
func (a *API) handOver(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		a.answer(w, r, newProblem(http.StatusMethodNotAllowed, fault.BadInput, "this address takes GET"))
		return
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" && mode != "navigate" {
		a.answer(w, r, fault.Forbidden("only a browser that goes to a page comes here"))
		return
	}
	asked := r.URL.Query()
	passage, err := a.gateway.CheckPassage(identity.Passage{Host: asked.Get("host"), To: asked.Get("to"), Bind: asked.Get("bind")})
	if err != nil {
		a.answer(w, r, err)
		return
	}
	where, err := a.passage(r, passage, asked.Has("other"))
	if err != nil {
		a.answer(w, r, err)
		return
	}
	w.Header().Set("Location", where)
	w.WriteHeader(http.StatusSeeOther)
}

// passage gives where to go on to. A session that there is serves also who came
// to be somebody else: they signed out before, and in anew.
func (a *API) passage(r *http.Request, to identity.Passage, other bool) (where string, err error) {
	token, ok := a.cookies.Read(r.Header, cookie.Session)
	if !ok {
		return signInFor(to, other), nil
	}
	subject, err := a.identity.BySession(r.Context(), secret.New(token))
	if fault.KindOf(err) == fault.Unauthenticated {
		return signInFor(to, other), nil
	}
	if err != nil {
		return "", err
	}
	ticket, err := a.identity.IssueTicket(subject, to)
	if err != nil {
		return "", err
	}
	return a.gateway.PassageTo(to.Host, ticket), nil
}

// signInFor is the sign-in page, from which it goes on to a passage. Who wants to
// be somebody else sees it whatever the mode, and is asked by providers who it is.
func signInFor(to identity.Passage, other bool) string {
	back := url.URL{Path: enterPath, RawQuery: url.Values{"host": {to.Host}, "to": {to.To}, "bind": {to.Bind}}.Encode()}
	asked := url.Values{"to": {back.String()}}
	if other {
		asked.Set("other", "1")
	}
	page := url.URL{Path: signInPath, RawQuery: asked.Encode()}
	return page.String()
}

const enterPath = "/auth/enter"

// webKeys shows the keys that apps check assertions with.
func (a *API) webKeys(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	keys := a.gateway.PublicKeys()
	if keys == nil {
		a.answer(w, r, fault.NotFound("no assertions are given"))
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=900")
	w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
	w.Header().Set("Content-Type", "application/jwk-set+json")
	_, _ = w.Write(keys)
}
