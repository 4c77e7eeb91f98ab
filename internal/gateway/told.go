package gateway

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"berth/internal/identity"
)

// HeaderFamily is a set of headers under which other gateways tell apps who
// comes.
type HeaderFamily string

// The families. Whether they are set or not, a client's are dropped.
const (
	RemoteUser    HeaderFamily = "remote-user"      // Remote-User, -Email, -Name and -Groups
	ForwardedUser HeaderFamily = "x-forwarded-user" // X-Forwarded-User, -Email, -Preferred-Username and -Groups
)

// defaultPrefix begins the identity headers.
const defaultPrefix = "X-Berth-"

// claimsMost bounds what an app is told of somebody's claims, in bytes. Apps
// refuse heads that are much larger.
const claimsMost = 8 << 10

// field is one header field.
type field struct{ name, value string }

// teller tells apps who comes.
type teller struct {
	prefix   string
	context  string // the name of a header
	families []HeaderFamily
}

func newTeller(prefix string, families []HeaderFamily) (teller, error) {
	if prefix == "" {
		prefix = defaultPrefix
	}
	if !strings.HasSuffix(prefix, "-") || len(prefix) < 3 || strings.Trim(prefix, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
		return teller{}, fmt.Errorf("gateway: %q begins no headers: it takes letters, digits and dashes, with a dash at the end", prefix)
	}
	for _, f := range families {
		if f != RemoteUser && f != ForwardedUser {
			return teller{}, fmt.Errorf("gateway: there is no family of headers named %q", f)
		}
	}
	return teller{prefix, prefix + "Context", families}, nil
}

// told is what apps are told of one visitor, whatever the app.
type told struct {
	id     uint64 // no other's
	fields []field
}

var lastTold atomic.Uint64

func newTold(fields []field) *told { return &told{id: lastTold.Add(1), fields: fields} }

// told gives what to tell, which is worked out once for as long as a guest
// stays known.
func (t *teller) told(who *visitor) *told {
	if who.jwt != nil {
		return who.jwt.told(t)
	}
	if known, ok := who.guest.Notes().(*told); ok {
		return known
	}
	made := newTold(t.fieldsOf(who.subject))
	who.guest.Note(made)
	return made
}

func (t *teller) fieldsOf(s *identity.Subject) (fields []field) {
	add := func(name, value string) {
		if value != "" {
			fields = append(fields, field{name, value})
		}
	}
	user, email, groups := spellable(s.Person.Username, ""), spellable(s.Email, ""), groupsOf(s)
	add(t.prefix+"User", user)
	add(t.prefix+"Email", email)
	add(t.prefix+"Groups", groups)
	add(t.prefix+"Claims", claimsOf(s))
	add(t.prefix+"Provider", spellable(providerOf(s), ""))
	add(t.prefix+"External-Id", spellable(s.ExternalID, ""))
	for _, f := range t.families {
		switch f {
		case RemoteUser:
			add("Remote-User", user)
			add("Remote-Email", email)
			add("Remote-Name", spellable(s.Person.DisplayName, ""))
			add("Remote-Groups", groups)
		case ForwardedUser:
			add("X-Forwarded-User", user)
			add("X-Forwarded-Preferred-Username", user)
			add("X-Forwarded-Email", email)
			add("X-Forwarded-Groups", groups)
		}
	}
	return fields
}

// untold gives the names of those headers that tell apps who comes which are
// not in h, spelled as apps may read them.
func (t *teller) untold(h http.Header) (names []string) {
	for _, name := range t.names() {
		if _, said := h[http.CanonicalHeaderKey(name)]; !said {
			names = append(names, strings.ToLower(name))
		}
		names = append(names, strings.ToLower(strings.ReplaceAll(name, "-", "_")))
	}
	for _, name := range []string{"Cookie", "Authorization"} {
		if h[name] == nil {
			names = append(names, strings.ToLower(name))
		}
	}
	return names
}

// names gives all headers that tell apps who comes, set or not.
func (t *teller) names() (names []string) {
	for _, prefix := range slices.Compact([]string{t.prefix, defaultPrefix}) {
		for _, name := range []string{"User", "Email", "Groups", "Claims", "Provider", "External-Id", "Context", "Assertion"} {
			names = append(names, prefix+name)
		}
	}
	names = append(names, "Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups")
	return append(names, "X-Forwarded-User", "X-Forwarded-Preferred-Username", "X-Forwarded-Email", "X-Forwarded-Groups")
}

func providerOf(s *identity.Subject) string {
	if s.Via == identity.ViaJWT {
		return s.Issuer
	}
	if s.Provider == "" {
		return identity.ProviderLocal
	}
	return s.Provider
}

func groupsOf(s *identity.Subject) string {
	spelled := make([]string, len(s.Groups))
	for i, g := range s.Groups {
		spelled[i] = spellable(g, ",")
	}
	return strings.Join(spelled, ",")
}

// claimsOf gives the claims as JSON in base64url; nothing when they are more
// than an app takes, since half of them would say something else.
func claimsOf(s *identity.Subject) string {
	if len(s.Claims) == 0 {
		return ""
	}
	raw, err := json.Marshal(s.Claims)
	if err != nil || base64.RawURLEncoding.EncodedLen(len(raw)) > claimsMost {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// spellable gives a value as it can stand in a header: what is not printable
// ASCII, a percent sign, and what besides has a meaning there is
// percent-encoded (RFC 3986 section 2.1), so that decoding gives it back.
func spellable(s, besides string) string {
	plain := func(i int) bool {
		c := s[i]
		return c > ' ' && c < 0x7f && c != '%' && strings.IndexByte(besides, c) < 0 ||
			c == ' ' && i > 0 && i < len(s)-1
	}
	for i := range len(s) {
		if plain(i) {
			continue
		}
		var b strings.Builder
		for i := range len(s) {
			if plain(i) {
				b.WriteByte(s[i])
			} else {
				fmt.Fprintf(&b, "%%%02X", s[i])
			}
		}
		return b.String()
	}
	return s
}

// tell has the app told who comes: nobody, where nobody is known.
func (x *exchange) tell(f func(name, value string)) {
	who := &x.visitor
	if who.subject == nil {
		return
	}
	known := x.g.teller.told(who)
	for _, one := range known.fields {
		f(one.name, one.value)
	}
	f(x.g.teller.context, x.route.context)
	if x.g.keys != nil && x.route.Access.Audience != "" {
		f(x.g.teller.prefix+"Assertion", known.assertion(x, who.subject))
	}
}
