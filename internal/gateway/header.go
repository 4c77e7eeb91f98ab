package gateway

import (
	"bufio"
	"net"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// reserved says that a request header's name is Berth's to set: the identity
// headers (X-Berth-*), where a request came from (X-Forwarded-*, Forwarded,
// X-Real-IP) and its id. An app that reads headers as CGI variables can not
// tell "X-Berth-User" from "x_berth.user", so names are compared the way such
// an app reads them: without case, and with each character that is neither
// letter nor digit the same.
func reserved(name string) bool {
	switch name[0] | 0x20 {
	case 'x':
		return readsAs(name, "x-berth-", true) || readsAs(name, "x-forwarded-", true) ||
			readsAs(name, "x-real-ip", false) || readsAs(name, "x-request-id", false)
	case 'f':
		return readsAs(name, "forwarded", false)
	}
	return false
}

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

// hopByHop says that a field is about one connection, not about the message
// (RFC 9110 section 7.6.1). name is canonical.
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings":
		return true
	}
	return false
}

// mayTrail says that a client's field may go on after the body. net/http
// passes on trailers that nobody announced, Content-Length and Host among
// them, which an app may take for fields of the head (RFC 9110 section 6.5.1).
// name is canonical.
func mayTrail(name string) bool {
	return !reserved(name) && !hopByHop(name) && httpguts.ValidTrailerHeader(name)
}

// trailing gives those of a trailer's values that can be written.
func trailing(values []string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return !httpguts.ValidHeaderFieldValue(v) })
}

// named lists the fields that a Connection header makes hop-by-hop; nil for
// the usual values.
func named(connection []string) []string {
	var names []string
	for _, line := range connection {
		for token := range strings.SplitSeq(line, ",") {
			token = strings.TrimSpace(token)
			switch strings.ToLower(token) {
			case "", "close", "keep-alive", "upgrade", "te":
			default:
				names = append(names, http.CanonicalHeaderKey(token))
			}
		}
	}
	return names
}

// hasToken says whether a comma-separated header has a token, without case.
func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		if strings.EqualFold(line, token) {
			return true
		}
		if !strings.Contains(line, ",") {
			continue
		}
		for part := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

// upgradeOf gives the protocol that a request asks to change to, "" for none.
// A change to HTTP/2 or TLS is not passed on: the app would then speak with
// the client behind the gateway's back.
func upgradeOf(r *http.Request) string {
	if r.ProtoMajor != 1 || r.ContentLength != 0 || !hasToken(r.Header["Connection"], "upgrade") {
		return ""
	}
	asked := r.Header["Upgrade"]
	if len(asked) != 1 || asked[0] == "" || strings.ContainsAny(asked[0], ", ") {
		return ""
	}
	switch name, _, _ := strings.Cut(strings.ToLower(asked[0]), "/"); name {
	case "h2", "h2c", "http", "tls":
		return ""
	}
	return asked[0]
}

// eachForwarded calls f with each field of a request that the app gets as the
// client sent it.
func eachForwarded(h http.Header, f func(name string, values []string)) {
	skip := named(h["Connection"])
next:
	for name, values := range h {
		if name == "" || hopByHop(name) || reserved(name) || name == "Content-Length" || name == "Expect" || name == "Host" {
			continue
		}
		for _, s := range skip {
			if name == s {
				continue next
			}
		}
		f(name, values)
	}
}

// origin is where a request came from, as the app is told.
type origin struct {
	address string // the client's IP address
	proto   string // "http" or "https"
}

func originOf(r *http.Request) origin {
	o := origin{r.RemoteAddr, "http"}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		o.address = host
	}
	if r.TLS != nil {
		o.proto = "https"
	}
	return o
}

// forwarded gives the Forwarded header (RFC 7239). host is a Host header that
// [normalHost] took, so it needs nothing escaped.
func (o origin) forwarded(host string) string {
	if strings.Contains(o.address, ":") {
		return `for="[` + o.address + `]";host="` + host + `";proto=` + o.proto
	}
	return "for=" + o.address + `;host="` + host + `";proto=` + o.proto
}

func writeField(w *bufio.Writer, name, value string) {
	_, _ = w.WriteString(name)
	_, _ = w.WriteString(": ")
	_, _ = w.WriteString(value)
	_, _ = w.WriteString("\r\n")
}
