package identity

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"berth/internal/fault"
)

// Policy says who may enter an app. Of its rules the first that fits a request
// decides; a request that none fits is refused. The zero Policy lets nobody in.
type Policy struct {
	Rules []Rule `json:"rules" maxItems:"50" doc:"The first that fits a request decides; a request that none fits is refused"`
	// Audience is for whom assertions are made, which the app checks.
	Audience string `json:"audience,omitempty" maxLength:"200" doc:"Whom the signed assertions of who comes are for; the app gets none when absent" example:"https://shop.example.com"`
	// TokensOf is the provider whose access tokens the app may ask for, on
	// behalf of who comes; it takes an Audience.
	TokensOf string `json:"tokens_of,omitempty" maxLength:"32" doc:"The provider whose access tokens the app may exchange its assertions for; none when absent" example:"forgejo"`
}

// Rule lets some people in to some of an app. It fits a request when each of
// Methods, Paths and Networks that is there does.
type Rule struct {
	Methods  []string `json:"methods,omitempty" maxItems:"20" doc:"HTTP methods, such as GET; any when absent"`
	Paths    []string `json:"paths,omitempty" maxItems:"50" doc:"Path prefixes, such as /admin, which holds /admin/x and not /administrator; any when absent"`
	Networks []string `json:"networks,omitempty" maxItems:"50" doc:"Networks that the request comes from, such as 192.168.0.0/16; any when absent"`
	// Allow is who it lets in; nobody when it is empty.
	Allow Who `json:"allow"`
	// Strength is how surely they must have signed in.
	Strength Strength `json:"strength,omitempty" enum:"second_factor,passkey" doc:"What the sign-in must have had beside a password"`
	// Within is how long ago that may be at most; 0 is as long as the session.
	Within Duration `json:"within,omitempty" doc:"How long ago the sign-in, or the passkey, may be at most; as long as the session when absent"`
	// APITokens lets those people in by a bearer API token, too.
	APITokens bool `json:"api_tokens,omitempty" doc:"Let those people in by an API token as a bearer, too"`
	// JWTs lets in who brings a token of an issuer that is named here, and of
	// whom the claims in Allow are true, where there are any.
	JWTs []JWTIssuer `json:"jwts,omitempty" maxItems:"10" doc:"Let in bearers of tokens of these issuers, of whom all claims in allow are true"`
}

// Who is a choice of people: those of whom any part of it is true.
type Who struct {
	Public         bool     `json:"public,omitempty" doc:"Everybody, without signing in"`
	SignedIn       bool     `json:"signed_in,omitempty" doc:"Everybody who has signed in"`
	Administrators bool     `json:"administrators,omitempty"`
	People         []string `json:"people,omitempty" maxItems:"200" doc:"Usernames"`
	Groups         []string `json:"groups,omitempty" maxItems:"200" doc:"Names of groups"`
	Claims         []Claim  `json:"claims,omitempty" maxItems:"20" doc:"What one provider says of them; all of them must be true. In a rule with jwts they are about the bearers"`
}

// Claim compares what a provider says of a person.
type Claim struct {
	Name     string   `json:"name" minLength:"1" maxLength:"200" doc:"The claim, such as department; dots lead into objects"`
	Operator Operator `json:"operator" enum:"equals,contains,matches,exists"`
	Value    string   `json:"value,omitempty" maxLength:"500"`
	// Provider is whose claim it is: others may tell anything under its name.
	// Policies from before there was such a thing have none; see [Gate.Enter].
	Provider string `json:"provider,omitempty" maxLength:"32" doc:"The provider whose claim it is; needed, but in a rule with jwts" example:"corp"`
}

// Operator is how a claim is compared.
type Operator string

// The operators.
const (
	ClaimEquals   Operator = "equals"   // it is the value
	ClaimContains Operator = "contains" // it is a list that holds the value
	ClaimMatches  Operator = "matches"  // it, or one of its list, fits the whole regular expression (RE2)
	ClaimExists   Operator = "exists"   // it is there
)

// JWTIssuer is who may vouch for a bearer that is no person of Berth's.
type JWTIssuer struct {
	Issuer   string `json:"issuer" minLength:"1" maxLength:"500" doc:"The issuer's address, which its tokens carry as iss" example:"https://token.actions.githubusercontent.com"`
	Audience string `json:"audience" minLength:"1" maxLength:"500" doc:"What its tokens must carry as aud"`
}

// Strength is how surely somebody must have signed in.
type Strength string

// The strengths, each above the one before it.
const (
	StrengthAny          Strength = ""
	StrengthSecondFactor Strength = "second_factor"
	StrengthPasskey      Strength = "passkey"
)

// Duration is a time.Duration that JSON spells as "1m30s".
type Duration time.Duration

// MarshalText spells d as time.Duration does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText takes what time.ParseDuration takes.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as \"30s\" or \"1m30s\"", b)
	}
	*d = Duration(v)
	return nil
}

// SignedIn lets in everybody who has signed in.
func SignedIn() Policy { return Policy{Rules: []Rule{{Allow: Who{SignedIn: true}}}} }

// Public lets in everybody.
func Public() Policy { return Policy{Rules: []Rule{{Allow: Who{Public: true}}}} }

// People gives the usernames that a policy names, each once.
func (p Policy) People() []string {
	var names []string
	for _, r := range p.Rules {
		names = append(names, r.Allow.People...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Without gives the policy without a person, and whether it named them.
func (p Policy) Without(username string) (Policy, bool) {
	named := false
	rules := slices.Clone(p.Rules)
	for i, r := range rules {
		if slices.Contains(r.Allow.People, username) {
			named = true
			rules[i].Allow.People = slices.DeleteFunc(slices.Clone(r.Allow.People), func(n string) bool { return n == username })
		}
	}
	p.Rules = rules
	return p, named
}

// Normalise spells a policy in the one way in which it is stored.
func (p Policy) Normalise() Policy {
	rules := make([]Rule, len(p.Rules))
	for i, r := range p.Rules {
		r.Methods = mapped(r.Methods, strings.ToUpper)
		r.Paths = mapped(r.Paths, func(path string) string {
			if len(path) > 1 {
				path = strings.TrimRight(path, "/")
			}
			if path == "" {
				return "/"
			}
			return path
		})
		r.Networks = mapped(r.Networks, func(network string) string {
			if prefix, err := parseNetwork(network); err == nil {
				return prefix.String()
			}
			return network
		})
		r.Allow.People = mapped(r.Allow.People, strings.ToLower)
		r.Allow.Claims = slices.Clone(r.Allow.Claims)
		for n := range r.Allow.Claims {
			r.Allow.Claims[n].Provider = strings.TrimSpace(r.Allow.Claims[n].Provider)
		}
		rules[i] = r
	}
	p.Rules, p.Audience, p.TokensOf = rules, strings.TrimSpace(p.Audience), strings.TrimSpace(p.TokensOf)
	return p
}

func mapped(list []string, f func(string) string) []string {
	if list == nil {
		return nil
	}
	done := make([]string, len(list))
	for i, s := range list {
		done[i] = f(strings.TrimSpace(s))
	}
	return done
}

// parseNetwork takes "192.168.0.0/16", and an address for itself alone.
func parseNetwork(s string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(address.Unmap(), address.Unmap().BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	if prefix.Addr().Is4In6() {
		if prefix.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("%s holds more than IPv4 addresses", s)
		}
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked(), nil
}

// The bounds of a policy.
const (
	maxRules  = 50
	maxWithin = Duration(30 * 24 * time.Hour)
)

var methodPattern = regexp.MustCompile(`^[A-Z][A-Z0-9-]{0,30}$`)

// Check names every field of a normal policy that is wrong, below name.
func (p Policy) Check(name string) []fault.Field {
	var wrong []fault.Field
	add := func(field, format string, args ...any) {
		wrong = append(wrong, fault.Field{Name: name + "." + field, Message: fmt.Sprintf(format, args...)})
	}
	if len(p.Audience) > 200 || !printable(p.Audience) {
		add("audience", "takes at most 200 printable characters")
	}
	if p.TokensOf != "" {
		if !usernamePattern.MatchString(p.TokensOf) {
			add("tokens_of", "%q is no name of a provider", p.TokensOf)
		}
		if p.Audience == "" {
			add("audience", "is needed to give the app tokens: they are given for its assertions")
		}
	}
	if len(p.Rules) > maxRules {
		add("rules", "takes at most %d", maxRules)
	}
	for i, r := range p.Rules {
		r.check(func(field, format string, args ...any) { add(fmt.Sprintf("rules[%d].%s", i, field), format, args...) })
	}
	return wrong
}

func (r Rule) check(add func(field, format string, args ...any)) {
	for i, m := range r.Methods {
		if !methodPattern.MatchString(m) {
			add(fmt.Sprintf("methods[%d]", i), "%q is no HTTP method such as GET", m)
		}
	}
	for i, path := range r.Paths {
		if !plainPath(path) {
			add(fmt.Sprintf("paths[%d]", i), "%q is no path such as /admin: it begins with a slash and has no empty part, no dots for a part, and none of %% ? # ; \\", path)
		}
	}
	for i, network := range r.Networks {
		if _, err := parseNetwork(network); err != nil {
			add(fmt.Sprintf("networks[%d]", i), "%q is no network such as 192.168.0.0/16 or 2001:db8::/32", network)
		}
	}
	r.Allow.check(add)
	switch r.Strength {
	case StrengthAny, StrengthSecondFactor, StrengthPasskey:
	default:
		add("strength", "is second_factor or passkey")
	}
	if r.Within < 0 || r.Within > maxWithin || (r.Within > 0 && r.Within < Duration(time.Second)) {
		add("within", "takes 1s to %s", time.Duration(maxWithin))
	}
	if r.Allow.Public && (r.Strength != StrengthAny || r.Within != 0 || r.APITokens || len(r.JWTs) > 0) {
		add("allow.public", "lets everybody in without signing in, so the rule can ask for no strength, age or token")
	}
	if r.APITokens && (r.Strength != StrengthAny || r.Within != 0) {
		add("api_tokens", "can't be let in where a strength or an age of the sign-in is asked for: no token has one")
	}
	for i, c := range r.Allow.Claims {
		if len(r.JWTs) > 0 && c.Provider != "" {
			add(fmt.Sprintf("allow.claims[%d].provider", i), "is for people: the claims of a rule with tokens of other issuers are about their bearers")
		}
	}
	for i, j := range r.JWTs {
		if !strings.HasPrefix(j.Issuer, "https://") {
			add(fmt.Sprintf("jwts[%d].issuer", i), "is an address such as https://token.example.com: by http:// whoever is on the way could give keys of their own")
		}
		if j.Audience == "" {
			add(fmt.Sprintf("jwts[%d].audience", i), "is needed: a token for somebody else must not open this")
		}
	}
}

func (w Who) check(add func(field, format string, args ...any)) {
	for i, person := range w.People {
		if !usernamePattern.MatchString(person) {
			add(fmt.Sprintf("allow.people[%d]", i), "%q is no username", person)
		}
	}
	for i, group := range w.Groups {
		if group == "" || len(group) > 200 || !printable(group) {
			add(fmt.Sprintf("allow.groups[%d]", i), "is a group's name of 1 to 200 characters")
		}
	}
	for i, c := range w.Claims {
		field := fmt.Sprintf("allow.claims[%d]", i)
		if c.Name == "" {
			add(field+".name", "is needed")
		}
		switch {
		case c.Provider == ProviderLocal:
			add(field+".provider", "is one that tells of people; Berth itself has no claims")
		case c.Provider != "" && !usernamePattern.MatchString(c.Provider):
			add(field+".provider", "%q is no name of a provider", c.Provider)
		}
		switch c.Operator {
		case ClaimEquals, ClaimContains:
			if c.Value == "" {
				add(field+".value", "is needed to compare with")
			}
		case ClaimMatches:
			if _, err := wholeRegexp(c.Value); err != nil || c.Value == "" {
				add(field+".value", "%q is no regular expression (RE2)", c.Value)
			}
		case ClaimExists:
			if c.Value != "" {
				add(field+".value", "has nothing to be compared with")
			}
		default:
			add(field+".operator", "is equals, contains, matches or exists")
		}
	}
}

// CheckClaims names every claim of a new policy, below name, that does not say
// which of the providers tells it, and those of whom no one provider tells all.
func (p Policy) CheckClaims(name string, providers []string) (wrong []fault.Field) {
	these := "there is no provider yet"
	if len(providers) > 0 {
		these = "the providers are " + strings.Join(providers, ", ")
	}
	for i, r := range p.Rules {
		if len(r.JWTs) > 0 {
			continue
		}
		for n, c := range r.Allow.Claims {
			var message string
			switch {
			case c.Provider == "":
				message = "is needed, since any provider may tell a claim of that name: " + these
			case !slices.Contains(providers, c.Provider):
				message = fmt.Sprintf("no provider is named %q: %s", c.Provider, these)
			case c.Provider != r.Allow.Claims[0].Provider:
				message = "is another than that of the first: all claims of a rule must be true, and nobody signs in by two providers at once"
			default:
				continue
			}
			wrong = append(wrong, fault.Field{Name: fmt.Sprintf("%s.rules[%d].allow.claims[%d].provider", name, i, n), Message: message})
		}
	}
	return wrong
}

// plainPath says that a path reads the same to everybody.
func plainPath(path string) bool {
	if path == "/" {
		return true
	}
	if len(path) > 1000 || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "%?#;\\") || !printable(path) {
		return false
	}
	for part := range strings.SplitSeq(path[1:], "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}

// wholeRegexp compiles a pattern by itself first: one that closes a group it
// did not open would fit more than it says.
func wholeRegexp(pattern string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(pattern); err != nil {
		return nil, err
	}
	return regexp.Compile(`^(?:` + pattern + `)$`)
}
