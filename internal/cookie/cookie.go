// Package cookie says what Berth's cookies are called and how browsers are to
// keep them, so that whoever sets one, reads one or must let none through goes
// by one rule.
//
// Start with [For]. What stands in a cookie, and for how long that counts, is
// for those who set it.
package cookie

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"berth/internal/settings"
)

// Name tells Berth's cookies apart.
type Name string

// Session is the cookie that somebody is signed in by.
const Session Name = ""

// Rule is how the cookies of one Berth are kept: host-only and out of reach of
// scripts, always; over TLS alone, and under the prefix that makes browsers
// hold to both (RFC 6265bis section 4.1.3.2), unless the base URL is plain
// HTTP on loopback, where browsers do not take it.
type Rule struct {
	prefix string
	secure bool
}

// For gives the rule under a base URL, which apps' hosts share.
func For(base *url.URL) Rule {
	if base.Scheme == "http" && settings.IsLoopback(base.Hostname()) {
		return Rule{prefix: "berth"}
	}
	return Rule{prefix: "__Host-berth", secure: true}
}

// Called gives a cookie's full name.
func (r Rule) Called(n Name) string {
	if n == Session {
		return r.prefix
	}
	return r.prefix + "-" + string(n)
}

// Owns says that a name is that of a cookie of Berth's. Browsers tell names
// apart by case; an app that reads them need not.
func (r Rule) Owns(name string) bool {
	if len(name) < len(r.prefix) || !strings.EqualFold(name[:len(r.prefix)], r.prefix) {
		return false
	}
	return len(name) == len(r.prefix) || name[len(r.prefix)] == '-'
}

// Read gives a cookie's value. A browser sends each of them once, so two of
// one name, of which one was set by somebody else, are none.
func (r Rule) Read(h http.Header, n Name) (value string, ok bool) {
	want := r.Called(n)
	for _, line := range h["Cookie"] {
		for more := true; more; {
			var pair string
			pair, line, more = strings.Cut(line, ";")
			name, v, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
			if name != want {
				continue
			}
			if ok {
				return "", false
			}
			value, ok = v, true
		}
	}
	return value, ok && value != ""
}

// forever is as long as browsers keep a cookie: 400 days.
const forever = 400 * 24 * time.Hour

// Set makes a cookie; one that lasts zero is kept as long as browsers do,
// because what it stands for ends by itself.
func (r Rule) Set(n Name, value string, lasts time.Duration) http.Cookie {
	if lasts <= 0 {
		lasts = forever
	}
	return r.cookie(n, value, int(lasts/time.Second))
}

// Clear makes the cookie that takes one away.
func (r Rule) Clear(n Name) http.Cookie { return r.cookie(n, "", -1) }

func (r Rule) cookie(n Name, value string, maxAge int) http.Cookie {
	return http.Cookie{ //nolint:gosec // not Secure only for plain HTTP on loopback
		Name: r.Called(n), Value: value, Path: "/", MaxAge: maxAge,
		Secure: r.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}
