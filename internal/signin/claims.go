package signin

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"berth/internal/identity"
	"berth/internal/vault"
)

// The bounds of what is kept of what a provider tells.
const (
	maxGroups     = 500
	maxGroupName  = 200
	maxClaimBytes = 16 << 10
)

// claims are what a provider tells of somebody.
type claims map[string]any

// notAbout are claims about the token and not about the person.
var notAbout = []string{
	"iss", "aud", "azp", "exp", "iat", "nbf", "jti", "nonce", "at_hash", "c_hash", "s_hash", "sid", "auth_time", "amr", "acr",
	"_claim_names", "_claim_sources", "token_use", "typ", "events",
	"session_state",    // Keycloak's sid
	"uti", "aio", "rh", // Entra's own, others in each token
}

// at finds a claim by its name, or by a path with dots where no claim has the
// name: realm_access.roles, and https://example.org/groups.
func (c claims) at(path string) any {
	if path == "" {
		return nil
	}
	if v, has := c[path]; has {
		return v
	}
	first, rest, deeper := strings.Cut(path, ".")
	if !deeper {
		return nil
	}
	inner, _ := c[first].(map[string]any)
	return claims(inner).at(rest)
}

// text reads a claim that is one; a number counts as its digits.
func (c claims) text(path string) string {
	switch v := c.at(path).(type) {
	case string:
		return strings.TrimSpace(v)
	case json.Number:
		return v.String()
	}
	return ""
}

// list reads a claim that names several: an array of texts, one text, or an
// object, whose keys count (Zitadel's roles). Null is none (Forgejo).
func (c claims) list(path string) []string {
	var found []string
	switch v := c.at(path).(type) {
	case string:
		found = []string{v}
	case []any:
		for _, one := range v {
			if text, is := one.(string); is {
				found = append(found, text)
			}
		}
	case map[string]any:
		for key := range v {
			found = append(found, key)
		}
	}
	found = slices.DeleteFunc(found, func(g string) bool { return g == "" || len(g) > maxGroupName || !printable(g) })
	slices.Sort(found)
	found = slices.Compact(found)
	return found[:min(len(found), maxGroups)]
}

// vouches says whether the address that p reads of the claims is verified.
// email_verified speaks of email, and of no other claim that an address may be
// read from (OpenID Connect Core section 5.1). Where a provider does not speak
// of it, an administrator may have said that its addresses are.
func (p Provider) vouches(c claims) bool {
	if p.Claims.Email == "email" {
		if v, says := c["email_verified"]; says && v != nil {
			return isTrue(v)
		}
		if p.Preset == Entra && isTrue(c["xms_edov"]) {
			return true // the address is in a domain that the tenant has proved
		}
	}
	return p.TrustEmail
}

// isTrue reads what some say as a text, or a number.
func isTrue(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case string:
		return v == "true" || v == "1"
	case json.Number:
		return v == "1"
	}
	return false
}

// holds says whether a claim is true, or is or has a value: "claim" or
// "claim=value".
func (c claims) holds(rule string) bool {
	path, value, named := strings.Cut(rule, "=")
	if named {
		return value != "" && slices.Contains(c.list(path), value)
	}
	is, _ := c.at(path).(bool)
	return is || c.text(path) == "true"
}

// fill takes over what is told elsewhere and not here. What is here was signed.
func (c claims) fill(others claims) {
	email, own := c["email"].(string)
	for name, value := range others {
		if name == "email_verified" && own && email != others["email"] {
			continue // it speaks of another address
		}
		if v, has := c[name]; !has || v == nil {
			c[name] = value
		}
	}
}

// about gives what is kept of them: what is about the person, within a bound.
func (c claims) about(m ClaimMap) map[string]any {
	kept := map[string]any{}
	for name, value := range c {
		if value != nil && !slices.Contains(notAbout, name) {
			kept[name] = value
		}
	}
	if raw, err := json.Marshal(kept); err == nil && len(raw) <= maxClaimBytes {
		return kept
	}
	small := map[string]any{"sub": c["sub"]}
	for _, path := range []string{m.Username, m.Name, m.Email, "email_verified"} {
		if text := c.text(path); text != "" && len(text) <= 500 {
			small[path] = text
		}
	}
	return small
}

// answer is what a provider has proved of somebody.
type answer struct {
	externalID string
	sessionID  string // at the provider; "" when it has none
	claims     claims
	methods    []string // of amr, as it was signed
	factor     bool     // what was signed tells of a second factor
	tokens     vault.Tokens
}

// external is an answer as package identity takes it.
func (p Provider) external(a answer) identity.External {
	ext := identity.External{
		Provider: p.Slug, Issuer: p.PinnedIssuer, ExternalID: a.externalID, UpstreamSID: a.sessionID,
		Username: a.claims.text(p.Claims.Username), DisplayName: a.claims.text(p.Claims.Name), Email: a.claims.text(p.Claims.Email),
		Claims: a.claims.about(p.Claims), Create: p.Create, NewRole: p.NewRole,
		EmailVerified: p.vouches(a.claims),
	}
	if a.factor && p.TrustFactor {
		ext.Methods = []identity.Method{identity.MethodMFA}
	}
	for _, group := range a.claims.list(p.Claims.Groups) {
		ext.Groups = append(ext.Groups, p.Prefix()+group)
	}
	if p.Claims.Admin != "" {
		administers := a.claims.holds(p.Claims.Admin)
		ext.Administrator = &administers
	}
	return ext
}

// admits says whether the provider's rules let somebody in; the reason when
// they do not.
func (p Provider) admits(c claims) error {
	if len(p.AllowedDomains) > 0 {
		email := c.text(p.Claims.Email)
		at := strings.LastIndexByte(email, '@')
		switch {
		case at < 1:
			return refused(ReasonDomain, fmt.Errorf("no e-mail address in %q", p.Claims.Email))
		case !p.vouches(c):
			return refused(ReasonDomain, errors.New("the provider does not say that the address is verified"))
		case !slices.Contains(p.AllowedDomains, strings.ToLower(email[at+1:])):
			return refused(ReasonDomain, fmt.Errorf("%q is not allowed", shortened(email[at+1:], 100)))
		}
	}
	if len(p.AllowedGroups) > 0 {
		groups := c.list(p.Claims.Groups)
		if !slices.ContainsFunc(p.AllowedGroups, func(g string) bool { return slices.Contains(groups, g) }) {
			return refused(ReasonGroup, fmt.Errorf("in %d groups, none of them allowed", len(groups)))
		}
	}
	return nil
}
