package gateway

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"berth/internal/cookie"
	"berth/internal/identity"
)

// own is what of the fields of a message is Berth's own: no app is sent it by
// a client, and no client by an app.
type own struct {
	prefix  string // of the identity headers, lower case, when it is not X-Berth-
	cookies cookie.Rule
}

// header says that a client's request header never reaches an app under this
// name: the identity headers, what proxies say of a request (X-Forwarded-*,
// Forwarded, X-Real-IP, its id), what some apps take for another address than
// the one that was decided on (X-Original-URL, X-Rewrite-URL), what begins an
// app's own proxy settings under CGI (Proxy), and where a message ends. An app
// that reads headers as CGI variables can not tell "X-Berth-User" from
// "x_berth.user", so names are compared the way such an app reads them: without
// case, and with each character that is neither letter nor digit the same.
func (o *own) header(name string) bool {
	switch name[0] | 0x20 {
	case 'x':
		if readsAs(name, "x-berth-", true) || readsAs(name, "x-forwarded-", true) || readsAs(name, "x-forwarded", false) ||
			readsAs(name, "x-real-ip", false) || readsAs(name, "x-request-id", false) ||
			readsAs(name, "x-original-", true) || readsAs(name, "x-rewrite-url", false) {
			return true
		}
	case 'c':
		if readsAs(name, "content-length", false) {
			return true
		}
	case 'p':
		if readsAs(name, "proxy", false) {
			return true
		}
	case 't':
		if readsAs(name, "transfer-encoding", false) {
			return true
		}
	case 'f':
		if readsAs(name, "forwarded", false) {
			return true
		}
	case 'r':
		for _, remote := range remoteHeaders {
			if readsAs(name, remote, false) {
				return true
			}
		}
	}
	return o.prefix != "" && readsAs(name, o.prefix, true)
}

// overrides says that a header has an app take a request for one of another
// method than it is.
func overrides(name string) bool {
	return (name[0]|0x20) == 'x' && (readsAs(name, "x-http-method", true) || readsAs(name, "x-method-override", false))
}

// remoteHeaders are what other gateways say who comes in. Apps believe them,
// whether this one sets them or not.
var remoteHeaders = []string{"remote-user", "remote-email", "remote-name", "remote-groups"}

// readsAs compares name with want, which is lower case and has only dashes
// beside letters and digits.
func readsAs(name, want string, prefix bool) bool {
	if len(name) < len(want) || !prefix && len(name) != len(want) {
		return false
	}
	for i := range len(want) {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		default:
			c = '-'
		}
		if c != want[i] {
			return false
		}
	}
	return true
}

// mayTrail says that a client's field may go on after the body. net/http
// passes on trailers that nobody announced, Content-Length and Host among
// them, which an app may take for fields of the head (RFC 9110 section 6.5.1).
// name is canonical.
func (o *own) mayTrail(name string) bool {
	return name != "" && !o.header(name) && !hopByHop(name) && name != "Cookie" && httpguts.ValidTrailerHeader(name)
}

// eachForwarded calls f with each field of a request that the app gets as the
// client sent it.
func (o *own) eachForwarded(h http.Header, f func(name string, values []string)) {
	skip := named(h["Connection"])
next:
	for name, values := range h {
		if name == "" || hopByHop(name) || o.header(name) {
			continue
		}
		switch name {
		case "Content-Length", "Expect", "Host":
			continue
		case "Cookie":
			values = o.withoutCookies(values)
		case "Authorization":
			values = withoutTokens(values)
		}
		for _, s := range skip {
			if name == s {
				continue next
			}
		}
		f(name, values)
	}
}

// withoutCookies leaves Berth's cookies out of a Cookie header.
func (o *own) withoutCookies(lines []string) []string {
	holds := func(line string) bool {
		for pair := range strings.SplitSeq(line, ";") {
			if name, _, _ := strings.Cut(pair, "="); o.cookies.Owns(strings.TrimSpace(name)) {
				return true
			}
		}
		return false
	}
	if !slices.ContainsFunc(lines, holds) {
		return lines
	}
	var left []string
	for _, line := range lines {
		var pairs []string
		for pair := range strings.SplitSeq(line, ";") {
			if name, _, _ := strings.Cut(pair, "="); strings.TrimSpace(pair) != "" && !o.cookies.Owns(strings.TrimSpace(name)) {
				pairs = append(pairs, strings.TrimSpace(pair))
			}
		}
		if len(pairs) > 0 {
			left = append(left, strings.Join(pairs, "; "))
		}
	}
	return left
}

// keepCookies leaves out of an answer's Set-Cookie what names Berth's cookies:
// no app signs anybody in or out. A cookie without a name is sent back as its
// value alone, so that is looked at, too.
func (o *own) keepCookies(h http.Header) {
	lines := h["Set-Cookie"]
	if lines == nil {
		return
	}
	left := slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		pair, _, _ := strings.Cut(line, ";")
		name, value, named := strings.Cut(pair, "=")
		if !named || strings.TrimSpace(name) == "" {
			name, _, _ = strings.Cut(value+name, "=")
		}
		return o.cookies.Owns(strings.TrimSpace(name))
	})
	if len(left) == len(lines) {
		return
	}
	if h["Set-Cookie"] = left; len(left) == 0 {
		delete(h, "Set-Cookie")
	}
}

// withoutTokens leaves API tokens out of an Authorization header: what opens
// Berth is no app's to know.
func withoutTokens(lines []string) []string {
	if !slices.ContainsFunc(lines, holdsToken) {
		return lines
	}
	return slices.DeleteFunc(slices.Clone(lines), holdsToken)
}

func holdsToken(line string) bool {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	if strings.EqualFold(scheme, "Basic") {
		pair, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
		if err != nil {
			return false
		}
		username, password, _ := strings.Cut(string(pair), ":")
		return identity.LooksLikeToken(username) || identity.LooksLikeToken(password)
	}
	for part := range strings.FieldsFuncSeq(line, func(c rune) bool { return c == ' ' || c == '\t' || c == ',' }) {
		if identity.LooksLikeToken(part) {
			return true
		}
	}
	return false
}
