package e2e

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/selftest"
)

// nobody notes somebody who came in and should not have.
func nobody(t *selftest.Try, who, sent string) {
	expect(t, who == "", sent, &reply{&http.Response{}, "signed in as " + who})
}

func (h *house) stateReplay() selftest.Check {
	return selftest.Check{
		Name:       "state-replay",
		Prevents:   "A provider's answer is taken twice, in another browser, or without the browser having asked: somebody works in another's account.",
		Advisories: []string{"CVE-2022-39222"},
		Attack: func(_ context.Context, t *selftest.Try) {
			l := h.liar("state")
			v := h.visitor()
			back := v.begin(l)
			victim := h.visitor()
			nobody(t, victim.comesBack(back), "an answer that another browser asked for")
			victim.begin(l) // it has a cookie of its own by now
			nobody(t, victim.comesBack(back), "an answer that another browser asked for, beside its own")

			v = h.visitor()
			back = v.begin(l)
			expect(t, v.comesBack(back) == "ada-state", "an answer", &reply{&http.Response{}, "not taken"})
			v.do("DELETE", h.baseURL()+"/api/session", nil, "Sec-Fetch-Site: same-origin")
			again := *back
			query := again.Query()
			query.Set("code", v.begin(l).Query().Get("code"))
			again.RawQuery = query.Encode()
			nobody(t, v.comesBack(back), "the same answer again")
			nobody(t, v.comesBack(&again), "the same state with a fresh code")
			for _, state := range []string{"", "x", strings.Repeat("A", 43)} {
				v = h.visitor()
				back = v.begin(l)
				query := back.Query()
				query.Set("state", state)
				back.RawQuery = query.Encode()
				nobody(t, v.comesBack(back), "the state "+state)
			}
			v = h.visitor()
			back = v.begin(l)
			back.RawQuery += "&" + url.Values{"state": {strings.Repeat("A", 43)}}.Encode()
			nobody(t, v.comesBack(back), "two states")
		},
	}
}

func (h *house) codeInjection() selftest.Check {
	return selftest.Check{
		Name:       "code-injection",
		Prevents:   "A code that was stolen, or used before, is brought in by another browser than the one that it was made for.",
		Advisories: []string{"CVE-2022-39222", "GHSA-xg2q-62g2-cvcm"},
		Attack: func(_ context.Context, t *selftest.Try) {
			l := h.liar("code")
			stolen := h.visitor().begin(l).Query().Get("code")
			inject := func(code string) string {
				thief := h.visitor()
				back := thief.begin(l)
				query := back.Query()
				query.Set("code", code)
				back.RawQuery = query.Encode()
				return thief.comesBack(back)
			}
			nobody(t, inject(stolen), "a stolen code")
			v := h.visitor()
			used := v.begin(l)
			expect(t, v.comesBack(used) == "ada-code", "a code", &reply{&http.Response{}, "not taken"})
			nobody(t, inject(used.Query().Get("code")), "a used code")
			nobody(t, inject(""), "no code")
		},
	}
}

func (h *house) mixUp() selftest.Check {
	return selftest.Check{
		Name:     "provider-mix-up",
		Prevents: "A code of one provider is shown to another, or an answer of one is taken for another's.",
		Attack: func(_ context.Context, t *selftest.Try) {
			honest, evil := h.liar("honest"), h.liar("evil")
			for what, change := range map[string]func(url.Values){
				"another issuer":                 func(back url.Values) { back.Set("iss", evil.URL) },
				"the issuer with a slash":        func(back url.Values) { back.Set("iss", honest.URL+"/") },
				"no issuer":                      func(back url.Values) { back.Del("iss") },
				"two issuers":                    func(back url.Values) { back.Add("iss", evil.URL) },
				"the issuer in capitals":         func(back url.Values) { back.Set("iss", strings.ToUpper(honest.URL)) },
				"the issuer with more behind it": func(back url.Values) { back.Set("iss", honest.URL+".evil.example") },
			} {
				stop := honest.lie(func() { honest.answer = change })
				v := h.visitor()
				nobody(t, v.comesBack(v.begin(honest)), what)
				stop()
			}
			expect(t, honest.tokensAsked() == 0, "these", &reply{&http.Response{}, "a code went out"})
			v := h.visitor()
			back := v.begin(honest)
			crossed := *back
			crossed.Path = strings.Replace(back.Path, "/honest/", "/evil/", 1)
			nobody(t, v.comesBack(&crossed), "an answer at another provider's address")
			expect(t, evil.tokensAsked() == 0, "it", &reply{&http.Response{}, "another provider was shown the code"})
		},
	}
}

func (h *house) tokenSubstitution() selftest.Check {
	return selftest.Check{
		Name:       "id-token-substitution",
		Prevents:   "A token that was made for somebody else, some other time, or by nobody, proves who somebody is.",
		Advisories: []string{"CVE-2016-10555", "CVE-2026-33322", "CVE-2024-37568"},
		Attack: func(_ context.Context, t *selftest.Try) {
			l := h.liar("tokens")
			other, err := rsa.GenerateKey(rand.Reader, 2048)
			require.NoError(h.t, err)
			now := time.Now()
			for what, change := range map[string]func(map[string]any){
				"another audience":     func(c map[string]any) { c["aud"] = "another" },
				"another azp":          func(c map[string]any) { c["azp"] = "another" },
				"audiences without":    func(c map[string]any) { c["aud"] = []string{theClient, "another"} },
				"another nonce":        func(c map[string]any) { c["nonce"] = "another" },
				"no nonce":             func(c map[string]any) { delete(c, "nonce") },
				"another issuer":       func(c map[string]any) { c["iss"] = "https://evil.example" },
				"expired":              func(c map[string]any) { c["exp"] = now.Add(-time.Hour).Unix() },
				"no end":               func(c map[string]any) { delete(c, "exp") },
				"not good yet":         func(c map[string]any) { c["nbf"] = now.Add(time.Hour).Unix() },
				"issued in the future": func(c map[string]any) { c["iat"] = now.Add(time.Hour).Unix() },
				"nobody":               func(c map[string]any) { c["sub"] = "" },
				"another access token": func(c map[string]any) { c["at_hash"] = "AAAAAAAAAAAAAAAAAAAAAA" },
			} {
				stop := l.lie(func() { l.claims = change })
				v := h.visitor()
				nobody(t, v.comesBack(v.begin(l)), "a token with "+what)
				stop()
			}
			for what, sign := range map[string]func(map[string]any) string{
				"none":                      func(c map[string]any) string { return unsigned("none", c, nil) },
				"None":                      func(c map[string]any) string { return unsigned("None", c, nil) },
				"NONE":                      func(c map[string]any) string { return unsigned("NONE", c, nil) },
				"RS256 without a signature": func(c map[string]any) string { return unsigned("RS256", c, nil) },
				"HS256 with the public key": func(c map[string]any) string { return unsigned("HS256", c, l.publicPEM()) },
				"HS256 with the secret":     func(c map[string]any) string { return unsigned("HS256", c, []byte(l.secret)) },
				"another key":               func(c map[string]any) string { return signBy(other, c) },
				"no token":                  func(map[string]any) string { return "" },
			} {
				stop := l.lie(func() { l.sign = sign })
				v := h.visitor()
				nobody(t, v.comesBack(v.begin(l)), what)
				stop()
			}
			for _, sub := range []any{"1002", nil, 1001, []string{theSubject}} {
				stop := l.lie(func() { l.told = func(c map[string]any) { c["sub"] = sub } })
				v := h.visitor()
				nobody(t, v.comesBack(v.begin(l)), fmt.Sprintf("userinfo of %v", sub))
				stop()
			}
			v := h.visitor()
			expect(t, v.comesBack(v.begin(l)) == "ada-tokens", "a good token", &reply{&http.Response{}, "not taken"})
			// Somebody of the same name at another provider is somebody else.
			again := h.liar("again")
			stop := again.lie(func() { again.claims = func(c map[string]any) { c["preferred_username"] = "admin" } })
			defer stop()
			v = h.visitor()
			who := v.comesBack(v.begin(again))
			expect(t, who != "" && who != "admin", "the name of an administrator", &reply{&http.Response{}, "signed in as " + who})
			v.enters("/pages")
			expect(t, v.asks("/admin") == http.StatusForbidden, "the name of an administrator, at an app", &reply{&http.Response{}, "let in"})
		},
	}
}

func (h *house) forgedLogout() selftest.Check {
	return selftest.Check{
		Name:     "forged-or-replayed-logout",
		Prevents: "Who is no provider, or heard one say so before, signs somebody out; or somebody stays signed in whom the provider signed out.",
		Attack: func(_ context.Context, t *selftest.Try) {
			l, other := h.liar("leaving"), h.liar("stranger")
			says := func(at *liar, token string) *reply {
				form := url.Values{"logout_token": {token}}
				request, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.baseURL()+"/auth/"+at.slug+"/backchannel-logout", strings.NewReader(form.Encode()))
				require.NoError(h.t, err)
				request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				response, err := h.visitor().client.Do(request)
				require.NoError(h.t, err)
				require.NoError(h.t, response.Body.Close())
				return &reply{response, ""}
			}
			v := h.visitor()
			require.Equal(h.t, "ada-leaving", v.comesBack(v.begin(l)))
			for what, forged := range map[string]string{
				"another provider's key":   signBy(other.key, l.logoutToken()),
				"none":                     unsigned("none", l.logoutToken(), nil),
				"HS256 and the public key": unsigned("HS256", l.logoutToken(), l.publicPEM()),
				"another audience":         l.honestly(changed(l.logoutToken(), "aud", "another")),
				"another issuer":           l.honestly(changed(l.logoutToken(), "iss", other.URL)),
				"a nonce, as an id_token":  l.honestly(changed(l.logoutToken(), "nonce", "x")),
				"no event":                 l.honestly(changed(l.logoutToken(), "events", nil)),
				"no end":                   l.honestly(changed(l.logoutToken(), "exp", nil)),
			} {
				r := says(l, forged)
				expect(t, r.StatusCode == http.StatusBadRequest && v.known() == "ada-leaving", "a logout token with "+what, r)
			}
			r := says(other, signBy(other.key, other.logoutToken()))
			expect(t, v.known() == "ada-leaving", "the logout of the same id at another provider", r)
			r = says(other, l.honestly(l.logoutToken()))
			expect(t, v.known() == "ada-leaving", "a logout at another provider's address", r)

			good := l.honestly(l.logoutToken())
			r = says(l, good)
			expect(t, r.StatusCode == http.StatusOK && v.known() == "", "a logout", r)
			again := h.visitor()
			require.Equal(h.t, "ada-leaving", again.comesBack(again.begin(l)))
			r = says(l, good)
			expect(t, r.StatusCode == http.StatusBadRequest && again.known() == "ada-leaving", "the same logout again", r)
		},
	}
}

// changed gives claims with one of them changed, or taken out.
func changed(claims map[string]any, name string, value any) map[string]any {
	claims[name] = value
	if value == nil {
		delete(claims, name)
	}
	return claims
}

func (h *house) secretsAnywhere() selftest.Check {
	return selftest.Check{
		Name:       "secrets-in-answers-and-logs",
		Prevents:   "A password, a session, a token or a provider's secret stands in an answer, in a log, or readable on the disk.",
		Advisories: []string{"CVE-2024-39315"},
		Attack: func(_ context.Context, t *selftest.Try) {
			require.Greater(h.t, len(h.secrets), 30)
			require.Greater(h.t, len(h.passing), 30)
			for _, s := range h.secrets {
				t.Sent()
				if at := h.saw.holds(s); at != "" {
					t.Broken("a secret", "in an answer: "+at)
				}
			}
			files, err := filepath.Glob(filepath.Join(h.dir, "data", "berth.db*"))
			require.NoError(h.t, err)
			require.NotEmpty(h.t, files)
			places := map[string]interface{ holds(string) string }{"the log": &h.log}
			for _, file := range files {
				raw, err := os.ReadFile(file)
				require.NoError(h.t, err)
				kept := &transcript{}
				_, err = kept.Write(raw)
				require.NoError(h.t, err)
				places[filepath.Base(file)] = kept
			}
			for place, kept := range places {
				for _, s := range append(h.passing, h.secrets...) {
					t.Sent()
					if at := kept.holds(s); at != "" {
						t.Broken("a secret", "in "+place+": "+at)
					}
				}
			}
		},
	}
}
