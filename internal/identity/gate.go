package identity

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Gate is a policy that is ready to decide. It is never changed.
type Gate struct {
	rules    []gateRule
	byMethod bool
}

type gateRule struct {
	Rule
	networks []netip.Prefix
	patterns []*regexp.Regexp // of Allow.Claims; nil where none is needed
}

// NewGate readies a policy. The zero Policy makes a gate that lets nobody in.
func NewGate(p Policy) (*Gate, error) {
	p = p.Normalise()
	if wrong := p.Check("access"); len(wrong) > 0 {
		return nil, fmt.Errorf("policy: %s %s", wrong[0].Name, wrong[0].Message)
	}
	g := &Gate{rules: make([]gateRule, len(p.Rules))}
	for i, r := range p.Rules {
		g.byMethod = g.byMethod || len(r.Methods) > 0
		ready := gateRule{Rule: r, patterns: make([]*regexp.Regexp, len(r.Allow.Claims))}
		for _, network := range r.Networks {
			prefix, err := parseNetwork(network)
			if err != nil {
				return nil, err
			}
			ready.networks = append(ready.networks, prefix)
		}
		for n, c := range r.Allow.Claims {
			if c.Operator == ClaimMatches {
				pattern, err := wholeRegexp(c.Value)
				if err != nil {
					return nil, err
				}
				ready.patterns[n] = pattern
			}
		}
		g.rules[i] = ready
	}
	return g, nil
}

// ByMethod says whether it counts for the decision which method a request has.
func (g *Gate) ByMethod() bool { return g != nil && g.byMethod }

// Visit is a request for an app, as far as it counts for who may enter.
type Visit struct {
	// Method is as it came: in capitals it must lead to the same rule.
	Method string
	// Path is decoded. Others are the other ways in which an app may read it:
	// all of them must lead to the same rule.
	Path    string
	Others  []string
	Address netip.Addr // the client's
	At      time.Time
	On      On // the app: what API tokens may be bound to
	// OnlyProvider is where all claims come from: see [Service.OnlyProvider].
	OnlyProvider string
}

// Verdict is what a [Gate] says of a visit.
type Verdict struct {
	Allowed bool
	Rule    int  // the place of the rule that decided, from 0; -1 when none did
	Need    Need // what would help
	Why     Why
}

// Need is what would help somebody who is not let in. The zero Need is nothing.
type Need int

// The needs.
const (
	NeedNothing  Need = iota // nothing would help, or nothing is needed
	NeedSignIn               // to sign in
	NeedStronger             // to prove more: see Rule.Strength
	NeedFresher              // to prove it again
)

func (n Need) String() string {
	switch n {
	case NeedNothing:
		return "nothing"
	case NeedSignIn:
		return "sign_in"
	case NeedStronger:
		return "stronger"
	case NeedFresher:
		return "fresher"
	}
	return "unknown"
}

// Why is the reason of a verdict.
type Why int

// The reasons.
const (
	WhyNoRule     Why = iota // no rule fits the request
	WhyAmbiguous             // readings of the path lead to different rules
	WhyMethodCase            // the method in capitals leads to another rule
	WhyPublic                // the rule lets everybody in
	WhyNamed                 // the rule lets them in
	WhyNobody                // nobody is signed in
	WhyNotNamed              // the rule does not let them in
	WhyWhoseClaim            // nor can it by a claim that names no provider
	WhyNoTokens              // the rule takes no API tokens
	WhyBounds                // the API token is bound to something else
	WhyNoIssuer              // the rule takes no tokens of that issuer
	WhyVia                   // what they came with opens no app
	WhyStale                 // what their provider said of them is too old
	WhyWeak                  // the sign-in had no second factor, or no passkey
	WhyTooLongAgo            // the sign-in, or the passkey, is too long ago
)

func (w Why) String() string {
	switch w {
	case WhyNoRule:
		return "no rule fits the request"
	case WhyAmbiguous:
		return "the path can be read in different ways that lead to different rules"
	case WhyMethodCase:
		return "the method leads to another rule when it is read in capitals, as many apps read it"
	case WhyPublic:
		return "the rule lets everybody in"
	case WhyNamed:
		return "the rule lets them in"
	case WhyNobody:
		return "nobody is signed in"
	case WhyNotNamed:
		return "the rule does not let them in"
	case WhyWhoseClaim:
		return "the rule does not let them in: its claim names no provider, and holds for nobody while there is not exactly one"
	case WhyNoTokens:
		return "the rule takes no API tokens"
	case WhyBounds:
		return "the API token is bound to something else"
	case WhyNoIssuer:
		return "the rule takes no tokens of that issuer for that audience"
	case WhyVia:
		return "what they came with opens no app"
	case WhyStale:
		return "what their provider said of their groups and claims is too old"
	case WhyWeak:
		return "the sign-in is not as strong as the rule asks"
	case WhyTooLongAgo:
		return "the sign-in is longer ago than the rule allows"
	}
	return "unknown"
}

// Enter decides whether s may make the visit; nil is nobody. It is a pure
// function of its arguments: default deny.
func (g *Gate) Enter(s *Subject, v Visit) Verdict {
	n, why := g.decisive(v)
	if n < 0 {
		return Verdict{Rule: -1, Why: why}
	}
	need, why := g.rules[n].enter(s, v)
	return Verdict{Allowed: why == WhyPublic || why == WhyNamed, Rule: n, Need: need, Why: why}
}

// decisive gives the place of the rule that decides. It is -1 where none does,
// and where an app may read the visit in a way that leads to another.
func (g *Gate) decisive(v Visit) (n int, why Why) {
	n, same := g.findEach(v)
	if !same {
		return -1, WhyAmbiguous
	}
	// A method is passed on as it came, and is told from others by case
	// (RFC 9110 section 9.1); Symfony, Django and Werkzeug take it in capitals.
	if capitals := strings.ToUpper(v.Method); g.byMethod && capitals != v.Method {
		v.Method = capitals
		if m, same := g.findEach(v); !same || m != n {
			return -1, WhyMethodCase
		}
	}
	return n, WhyNoRule
}

// findEach is find for each way to read the path; same says that they agree.
func (g *Gate) findEach(v Visit) (n int, same bool) {
	n = g.find(v, v.Path, false)
	// An app that reads paths without case must not be entered by another rule.
	if g.find(v, v.Path, true) != n {
		return -1, false
	}
	for _, other := range v.Others {
		if g.find(v, other, false) != n || g.find(v, other, true) != n {
			return -1, false
		}
	}
	return n, true
}

// find gives the place of the first rule that fits, -1 when none does.
func (g *Gate) find(v Visit, path string, fold bool) int {
	for i := range g.rules {
		if g.rules[i].fits(v, path, fold) {
			return i
		}
	}
	return -1
}

func (r *gateRule) fits(v Visit, path string, fold bool) bool {
	if len(r.Methods) > 0 && !slices.Contains(r.Methods, v.Method) {
		return false
	}
	if len(r.Paths) > 0 && !slices.ContainsFunc(r.Paths, func(prefix string) bool { return Under(prefix, path, fold) }) {
		return false
	}
	if len(r.networks) == 0 {
		return true
	}
	address := v.Address.Unmap()
	return slices.ContainsFunc(r.networks, func(network netip.Prefix) bool { return network.Contains(address) })
}

// Under says whether a path is prefix or below it, on segment boundaries; with
// fold, as an app reads it to which case is nothing.
func Under(prefix, path string, fold bool) bool {
	if prefix == "/" {
		return strings.HasPrefix(path, "/") // and nothing that is no path
	}
	if fold {
		return sameLetters(firstSegments(path, strings.Count(prefix, "/")), prefix)
	}
	return len(path) >= len(prefix) && path[:len(prefix)] == prefix && (len(path) == len(prefix) || path[len(prefix)] == '/')
}

// firstSegments gives a path up to its slash after n others.
func firstSegments(path string, n int) string {
	for i := range len(path) {
		if path[i] == '/' {
			if n == 0 {
				return path[:i]
			}
			n--
		}
	}
	return path
}

// sameLetters compares without regard to case, whether who reads goes by
// capitals or by small letters: the Kelvin sign is a k by one, the dotless i an
// i by the other, and both are of another length.
func sameLetters(a, b string) bool {
	for a != "" && b != "" {
		one, n := utf8.DecodeRuneInString(a)
		two, m := utf8.DecodeRuneInString(b)
		if one != two && unicode.ToLower(unicode.ToUpper(one)) != unicode.ToLower(unicode.ToUpper(two)) {
			return false
		}
		a, b = a[n:], b[m:]
	}
	return a == b
}

func (r *gateRule) enter(s *Subject, v Visit) (Need, Why) {
	if r.Allow.Public {
		return NeedNothing, WhyPublic
	}
	if s == nil || s.Person.Disabled {
		return NeedSignIn, WhyNobody
	}
	switch s.Via {
	case ViaSession:
	case ViaToken:
		switch {
		case !r.APITokens:
			return NeedNothing, WhyNoTokens
		case s.Scope.level() < ScopeRead.level() || s.Bounds != nil && !s.Bounds.reachStage(v.On):
			return NeedNothing, WhyBounds
		}
	case ViaJWT:
		return r.enterByJWT(s)
	case ViaPassword, ViaLocal:
		return NeedNothing, WhyVia
	default:
		return NeedSignIn, WhyNobody
	}
	stale := !s.SyncedUntil.IsZero() && !v.At.Before(s.SyncedUntil)
	switch {
	case r.allowsPerson(s):
	case !r.allowsByProvider(s, v.OnlyProvider):
		return NeedNothing, r.whyNot(v.OnlyProvider)
	case stale:
		return NeedFresher, WhyStale
	}
	return r.sure(s, v.At)
}

// enterByJWT is for bearers that are no person: an issuer vouches for them.
func (r *gateRule) enterByJWT(s *Subject) (Need, Why) {
	if !slices.Contains(r.JWTs, JWTIssuer{Issuer: s.Issuer, Audience: s.Audience}) {
		return NeedNothing, WhyNoIssuer
	}
	if !r.claimsHold(s.Claims) {
		return NeedNothing, WhyNotNamed
	}
	return NeedNothing, WhyNamed
}

// allowsPerson says whether the rule lets in who s is by what Berth itself knows.
func (r *gateRule) allowsPerson(s *Subject) bool {
	w := &r.Allow
	return w.SignedIn || w.Administrators && s.Person.Role == RoleAdministrator ||
		slices.Contains(w.People, s.Person.Username) ||
		slices.ContainsFunc(w.Groups, func(group string) bool { return slices.Contains(s.OwnGroups, group) })
}

// allowsByProvider says whether it does by what their provider said. Claims of a
// rule that takes tokens of other issuers are about their bearers.
func (r *gateRule) allowsByProvider(s *Subject, only string) bool {
	return slices.ContainsFunc(r.Allow.Groups, func(group string) bool { return slices.Contains(s.Groups, group) }) ||
		len(r.Allow.Claims) > 0 && len(r.JWTs) == 0 && r.claimsAreOf(s.Provider, only) && r.claimsHold(s.Claims)
}

// claimsAreOf says whether all claims of the rule are a provider's. One that
// names none is that of the only one there is.
func (r *gateRule) claimsAreOf(provider, only string) bool {
	if provider == "" || provider == ProviderLocal {
		return false
	}
	return !slices.ContainsFunc(r.Allow.Claims, func(c Claim) bool { return cmp.Or(c.Provider, only) != provider })
}

// whyNot says why the rule does not let somebody in whom it does not name.
func (r *gateRule) whyNot(only string) Why {
	if only == "" && len(r.JWTs) == 0 && slices.ContainsFunc(r.Allow.Claims, func(c Claim) bool { return c.Provider == "" }) {
		return WhyWhoseClaim
	}
	return WhyNotNamed
}

// sure says whether the sign-in is as strong and as fresh as the rule asks.
func (r *gateRule) sure(s *Subject, now time.Time) (Need, Why) {
	if s.Via != ViaSession { // Check lets no rule ask it of a token
		return NeedNothing, WhyNamed
	}
	at := s.AuthenticatedAt
	switch r.Strength {
	case StrengthAny:
	case StrengthSecondFactor:
		if at = s.StrongAt; !s.Strong() {
			return NeedStronger, WhyWeak
		}
	case StrengthPasskey:
		if at = s.PasskeyAt; at.IsZero() {
			return NeedStronger, WhyWeak
		}
	}
	if r.Within > 0 && now.Sub(at) >= time.Duration(r.Within) {
		return NeedFresher, WhyTooLongAgo
	}
	return NeedNothing, WhyNamed
}

func (r *gateRule) claimsHold(claims map[string]any) bool {
	for i, c := range r.Allow.Claims {
		value, there := claimOf(claims, c.Name)
		if !there || !c.holds(value, r.patterns[i]) {
			return false
		}
	}
	return true
}

// claimOf finds a claim by its name, or by the way to it through objects.
func claimOf(claims map[string]any, name string) (any, bool) {
	if value, there := claims[name]; there {
		return value, true
	}
	first, rest, more := strings.Cut(name, ".")
	if !more {
		return nil, false
	}
	inner, _ := claims[first].(map[string]any)
	return claimOf(inner, rest)
}

func (c Claim) holds(value any, pattern *regexp.Regexp) bool {
	if value == nil {
		return false
	}
	list, isList := value.([]any)
	switch c.Operator {
	case ClaimExists:
		return true
	case ClaimEquals:
		return !isList && spelled(value) == c.Value
	case ClaimContains:
		return slices.ContainsFunc(list, func(one any) bool { return spelled(one) == c.Value })
	case ClaimMatches:
		if isList {
			return slices.ContainsFunc(list, func(one any) bool { return pattern.MatchString(spelled(one)) })
		}
		return pattern.MatchString(spelled(value))
	}
	return false
}

// spelled gives a text as it is, and everything else as JSON has it.
func spelled(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(raw)
}
