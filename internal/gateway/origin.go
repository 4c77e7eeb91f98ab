package gateway

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// origin is where a request came from.
type origin struct {
	address string // the client's IP address
	proto   string // "http" or "https"
}

var errBadOrigin = errors.New("the proxy in front does not say clearly where the request comes from")

// originOf finds out where a request came from, and which host it is for. What
// headers say of it counts only when the connection comes from one of proxies:
// the client is then the last address in them that is not one of proxies
// itself, since whatever stands before it was written by whom nobody knows.
//
// A proxy that writes one of the headers may pass on another as the client
// sent it. So X-Forwarded-For counts before Forwarded (RFC 7239) and that
// before X-Real-IP, and a request whose headers name different clients, or
// none that can be read, is refused rather than taken for the proxy's own.
func originOf(r *http.Request, proxies []netip.Prefix) (o origin, host string, err error) {
	o = origin{r.RemoteAddr, "http"}
	if address, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		o.address = address
	}
	if r.TLS != nil {
		o.proto = "https"
	}
	if !fromProxy(r, proxies) {
		return o, r.Host, nil
	}
	said, err := forwardedOf(r.Header, proxies)
	if err != nil {
		return o, r.Host, err
	}
	if said.client.IsValid() {
		o.address = said.client.String()
	}
	if said.proto != "" {
		o.proto = said.proto
	}
	if said.host != "" {
		return o, said.host, nil
	}
	return o, r.Host, nil
}

// fromProxy says whether a request's connection comes from one of proxies.
func fromProxy(r *http.Request, proxies []netip.Prefix) bool {
	if len(proxies) == 0 {
		return false
	}
	peer, ok := hopAddress(r.RemoteAddr)
	return ok && trusts(proxies, peer)
}

func trusts(proxies []netip.Prefix, address netip.Addr) bool {
	return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(address) })
}

// forwarded is what the headers of proxies say; what they leave open is zero.
type forwarded struct {
	client      netip.Addr
	proto, host string
}

func forwardedOf(h http.Header, proxies []netip.Prefix) (said forwarded, err error) {
	chain := list(h["X-Forwarded-For"])
	var at int
	if said.client, at, err = clientIn(chain, proxies); err != nil {
		return said, err
	}
	said.proto, said.host = beside(list(h["X-Forwarded-Proto"]), chain, at), beside(list(h["X-Forwarded-Host"]), chain, at)
	elements, err := parseForwarded(h["Forwarded"])
	if err != nil {
		return said, err
	}
	fors := make([]string, len(elements))
	for i, e := range elements {
		fors[i] = e["for"]
	}
	other, at, err := clientIn(fors, proxies)
	switch {
	case err != nil:
		return said, err
	case !other.IsValid():
	case said.client.IsValid() && said.client != other:
		return said, errBadOrigin
	case !said.client.IsValid():
		said.client = other
		if said.proto == "" && said.host == "" {
			said.proto, said.host = elements[at]["proto"], elements[at]["host"]
		}
	}
	if alone := list(h["X-Real-Ip"]); !said.client.IsValid() && len(alone) > 0 {
		var ok bool
		if said.client, ok = hopAddress(alone[0]); !ok || len(alone) > 1 {
			return said, errBadOrigin
		}
	}
	switch said.proto = strings.ToLower(said.proto); said.proto {
	case "", "http", "https":
		return said, nil
	case "ws", "wss": // Traefik's, of a request for a WebSocket
		said.proto = strings.Replace(said.proto, "ws", "http", 1)
		return said, nil
	}
	return said, errBadOrigin
}

// list splits a header into its parts, over all of its lines.
func list(lines []string) (parts []string) {
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			parts = append(parts, strings.TrimSpace(part))
		}
	}
	return parts
}

// clientIn gives the client of a chain of addresses, and its place: the last
// that is no proxy, or the first when all of them are.
func clientIn(chain []string, proxies []netip.Prefix) (client netip.Addr, at int, err error) {
	for i, hop := range slices.Backward(chain) {
		address, ok := hopAddress(hop)
		if !ok {
			return netip.Addr{}, 0, errBadOrigin
		}
		if i == 0 || !trusts(proxies, address) {
			return address, i, nil
		}
	}
	return netip.Addr{}, 0, nil
}

// beside gives the part that was written with the client at a place of chain:
// proxies that add to both add to both alike. Where they do not, it is what the
// nearest one wrote.
func beside(parts, chain []string, at int) string {
	switch {
	case len(parts) == 0:
		return ""
	case len(parts) == len(chain):
		return parts[at]
	default:
		return parts[len(parts)-1]
	}
}

// hopAddress reads an address as proxies write it: with or without a port.
func hopAddress(s string) (netip.Addr, bool) {
	if with, err := netip.ParseAddrPort(s); err == nil {
		return with.Addr().Unmap().WithZone(""), true
	}
	s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	address, err := netip.ParseAddr(s)
	return address.Unmap().WithZone(""), err == nil
}

// parseForwarded reads the elements of a Forwarded header, each by the lower
// case names of its pairs (RFC 7239 section 4).
func parseForwarded(lines []string) (elements []map[string]string, err error) {
	for _, line := range lines {
		parts, ok := splitQuoted(line, ',')
		if !ok {
			return nil, errBadOrigin
		}
		for _, part := range parts {
			pairs, _ := splitQuoted(part, ';')
			element := map[string]string{}
			for _, pair := range pairs {
				name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
				name = strings.ToLower(name)
				if _, twice := element[name]; !ok || twice {
					return nil, errBadOrigin
				}
				element[name] = unquote(value)
			}
			elements = append(elements, element)
		}
	}
	return elements, nil
}

// splitQuoted splits at a separator that does not stand in quotes; it says
// false when a quote does not end.
func splitQuoted(s string, separator byte) (parts []string, ok bool) {
	quoted, from := false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == separator && !quoted:
			parts = append(parts, s[from:i])
			from = i + 1
		}
	}
	return append(parts, s[from:]), !quoted
}

// unquote takes a value out of its quotes (RFC 9110 section 5.6.4).
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	var b strings.Builder
	for i := 1; i < len(s)-1; i++ {
		if s[i] == '\\' && i < len(s)-2 {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// forwarded gives the Forwarded header (RFC 7239). host is a Host header that
// [normalHost] took, so it needs nothing escaped.
func (o origin) forwarded(host string) string {
	if strings.Contains(o.address, ":") {
		return `for="[` + o.address + `]";host="` + host + `";proto=` + o.proto
	}
	return "for=" + o.address + `;host="` + host + `";proto=` + o.proto
}
