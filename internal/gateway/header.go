package gateway

import (
	"bufio"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

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

func writeField(w *bufio.Writer, name, value string) {
	_, _ = w.WriteString(name)
	_, _ = w.WriteString(": ")
	_, _ = w.WriteString(value)
	_, _ = w.WriteString("\r\n")
}
