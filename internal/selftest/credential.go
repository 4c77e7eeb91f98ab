package selftest

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
)

// cookieNames are what Berth's cookie may be taken for: under TLS with its
// prefix, on loopback without.
var cookieNames = []string{"__Host-berth", "berth", "__host-berth", "__HOST-BERTH", "__Secure-berth", "Berth", "BERTH", "__Host-berth-attempt", "berth-attempt", "berth-bind", "berth-signin", "berth-question", "session", "..Host-berth", "__Host.berth", "__Host_berth", "+__Host-berth", "\u2000__Host-berth", "\u00a0__Host-berth", "\u0085berth"}

var forgedCookies = Check{
	Name:       "forged-and-malformed-cookies",
	Prevents:   "A cookie that is malformed, shadowed, doubled or made up is taken for a session, or has a check left out.",
	Advisories: []string{"CVE-2026-25748", "CVE-2023-23934", "CVE-2022-31629"},
	Attack: func(ctx context.Context, t *Try) {
		values := []string{"", "x", "null", "undefined", "true", "0", "admin", strings.Repeat("A", 43), strings.Repeat("0", 43), "=" + strings.Repeat("A", 43), "\"" + strings.Repeat("A", 43) + "\"", "%00", "\x00", "a\x00b", "' OR 1=1 --", "{\"admin\":true}", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.", strings.Repeat("A", 50<<10), "a,b", "a b", "é", "\xff\xfe"}
		for _, name := range cookieNames {
			for _, value := range values {
				t.nobody(ctx, "Cookie: "+name+"="+value)
			}
		}
		for _, line := range []string{
			"Cookie: =", "Cookie: ;;;;", "Cookie: berth", "Cookie: =berth=x", "Cookie: =__Host-berth=x", "Cookie: $Version=1; __Host-berth=x; $Path=/", "Cookie: $Version=\"1\"; berth=\"x\"", "Cookie: " + strings.Repeat("a=b; ", 5000) + "berth=x",
			"Cookie: berth=x\r\nCookie: berth=y", "Cookie : berth=x", "Cookie: x=\"; berth=x\"", "Cookie2: $Version=1; berth=x", "Set-Cookie: berth=x",
		} {
			t.nobody(ctx, line)
		}
		if t.Session == "" || t.Guarded == "" {
			t.Partly("with a good cookie beside a forged one")
			return
		}
		name, value, _ := strings.Cut(t.Session, "=")
		for _, line := range []string{
			t.Session + "; " + name + "=x", name + "=x; " + t.Session, t.Session + "\r\nCookie: " + name + "=x", name + "=\"" + value + "\"", name + "=" + value + "x", name + "=" + value[:len(value)-1], name + "=" + strings.ToUpper(value), strings.ToUpper(name) + "=" + value,
			"x" + name + "=" + value, "=" + t.Session, "\u2000" + t.Session, "\u00a0" + t.Session, name + "-attempt=" + value, name + "-bind=" + value, "x=\"; " + name + "=x; y=\"",
		} {
			message := request("GET", t.on(t.Guarded), "/", "Cookie: "+line)
			t.refused(message, t.Send(ctx, message))
		}
		// On any other host it is nobody's.
		t.nobody(ctx, "Cookie: "+t.Session)
	},
}

// nobody sends a line to the API, where whoever is known would be told so,
// and to an app that lets nobody in.
func (t *Try) nobody(ctx context.Context, line string) {
	message := request("GET", t.base(), "/api/session", line)
	for _, a := range t.Send(ctx, message) {
		switch a.Status {
		case http.StatusUnauthorized, http.StatusBadRequest, http.StatusRequestHeaderFieldsTooLarge:
		default:
			t.Broken(message, a.String())
		}
	}
	if t.Guarded == "" || t.Session != "" && strings.Contains(line, t.Session) {
		return
	}
	message = request("GET", t.on(t.Guarded), t.Closed, line)
	t.refused(message, t.Send(ctx, message))
}

var forgedTokens = Check{
	Name:       "forged-bearer-tokens",
	Prevents:   "A token that nobody gave, unsigned or signed with what everybody knows, is taken for somebody's.",
	Advisories: []string{"CVE-2016-10555", "CVE-2026-33322"},
	Attack: func(ctx context.Context, t *Try) {
		part := base64.RawURLEncoding.EncodeToString
		claims := part([]byte(`{"sub":"admin","iss":"` + t.Base.String() + `","aud":"` + t.Base.String() + `","exp":9999999999,"user":"admin"}`))
		var tokens []string
		for _, alg := range []string{"none", "None", "NONE", "nOnE", "HS256", "ES256", "RS256", ""} {
			for _, signature := range []string{"", "AA", part(make([]byte, 64))} {
				tokens = append(tokens, part([]byte(`{"alg":"`+alg+`","typ":"JWT","jwk":{"kty":"oct","k":"AA"},"jku":"https://`+evil+`/"}`))+"."+claims+"."+signature)
			}
		}
		tokens = append(tokens, "berth_", "berth_"+strings.Repeat("A", 43), "berth_"+strings.Repeat("A", 20<<10), "BERTH_x", "null", "undefined", "", " ", "' OR ''='", "\x00", "berth_%", "berth_*", "..", strings.Repeat("a.", 5000))
		if t.Token != "" {
			tokens = append(tokens, t.Token[:len(t.Token)-1], t.Token+"A", strings.ToUpper(t.Token), t.Token+"\x00", t.Token+","+t.Token, "\""+t.Token+"\"")
		} else {
			t.Partly("with a good token that was altered")
		}
		for _, token := range tokens {
			for _, line := range []string{"Authorization: Bearer " + token, "Authorization: bearer\t" + token, "Authorization: " + token, "Authorization: Token " + token, "X-Api-Key: " + token, "Authorization: Bearer x\r\nAuthorization: Bearer " + token} {
				t.nobody(ctx, line)
			}
		}
		if t.Token != "" {
			for _, target := range []string{"/api/session?access_token=" + t.Token, "/api/session?token=" + t.Token} {
				if a := t.Ask(ctx, "GET", t.base(), target); a != nil && a.Status != http.StatusUnauthorized {
					t.Broken("a token in the address", a.String())
				}
			}
		}
	},
}
