package selftest

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

var forgedAnswers = Check{
	Name:       "forged-provider-answer",
	Prevents:   "An answer that no provider gave to nobody who asked signs somebody in, or a logout that no provider sent signs somebody out.",
	Advisories: []string{"CVE-2022-39222", "CVE-2016-10555"},
	Attack: func(ctx context.Context, t *Try) {
		m := mark()
		for _, slug := range append(t.providers(ctx), "nothing") {
			t.callBack(ctx, "/auth/"+slug+"/callback?")
			for _, token := range t.logoutTokens(m) {
				body := "logout_token=" + url.QueryEscape(token)
				message := request(http.MethodPost, t.base(), "/auth/"+slug+"/backchannel-logout", "Content-Type: application/x-www-form-urlencoded", fmt.Sprintf("Content-Length: %d", len(body))) + body
				for _, a := range t.Send(ctx, message) {
					if a.Status < 400 {
						t.Broken(message, a.String())
					}
				}
			}
		}
	},
}

// callBack comes from a provider to which it never went, with cookies of its
// own making.
func (t *Try) callBack(ctx context.Context, address string) {
	mark, long := mark(), strings.Repeat("A", 43)
	for _, query := range []url.Values{
		{},
		{"code": {mark}},
		{"code": {mark}, "state": {""}},
		{"code": {mark}, "state": {long}},
		{"code": {mark}, "state": {long, mark}},
		{"code": {mark}, "state": {long}, "iss": {"https://" + evil}},
		{"code": {mark}, "state": {"' OR 1=1 --"}},
		{"code": {mark}, "state": {"%"}},
		{"error": {"access_denied"}, "state": {long}},
		{"id_token": {"e30.e30."}, "state": {long}},
		{"access_token": {mark}, "state": {long}},
	} {
		for _, line := range []string{"X-Nothing: x", "Cookie: __Host-berth-signin=" + long + "; berth-signin=" + long, "Cookie: __Host-berth-signin=; berth-signin="} {
			message := request(http.MethodGet, t.base(), address+query.Encode(), "Accept: text/html", "Sec-Fetch-Mode: navigate", line)
			for _, a := range t.Send(ctx, message) {
				for _, set := range a.Header.Values("Set-Cookie") {
					if c, err := http.ParseSetCookie(set); err != nil || c.MaxAge >= 0 && c.Value != "" && (c.Name == "berth" || c.Name == "__Host-berth" || strings.HasSuffix(c.Name, "-attempt")) {
						t.Broken(message, "Set-Cookie: "+set)
					}
				}
				if strings.Contains(a.Header.Get("Location"), mark) {
					t.Broken(message, "Location: "+a.Header.Get("Location"))
				}
			}
		}
	}
}

// logoutTokens say that somebody signed out whom nobody knows (OpenID Connect
// Back-Channel Logout 1.0 section 2.4), signed by nobody.
func (t *Try) logoutTokens(subject string) []string {
	part := base64.RawURLEncoding.EncodeToString
	claims := part([]byte(`{"iss":"https://` + evil + `","aud":"berth","iat":` + "9999999999" + `,"jti":"` + subject + `","sub":"` + subject + `","events":{"http://schemas.openid.net/event/backchannel-logout":{}}}`))
	tokens := []string{"", "x", "..", claims}
	for _, alg := range []string{"none", "NONE", "HS256", "RS256"} {
		tokens = append(tokens, part([]byte(`{"alg":"`+alg+`","typ":"logout+jwt"}`))+"."+claims+".", part([]byte(`{"alg":"`+alg+`"}`))+"."+claims+"."+part(make([]byte, 32)))
	}
	return tokens
}
