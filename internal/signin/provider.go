package signin

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/settings"
)

// Provider is a place where people sign in.
type Provider struct {
	ID string `json:"id"`
	// Slug names it for ever: in addresses, in identities and before groups.
	Slug    string `json:"slug"`
	Preset  Preset `json:"preset"`
	Label   string `json:"label"` // on its button
	Order   int    `json:"order"` // of its button; the lowest is first
	Enabled bool   `json:"enabled"`

	Issuer string `json:"issuer"` // as it was given
	// PinnedIssuer is the issuer to the letter as the provider itself spells it:
	// with or without the slash at its end. "" until it was asked.
	PinnedIssuer string   `json:"pinned_issuer,omitempty"`
	ClientID     string   `json:"client_id"`
	HasSecret    bool     `json:"has_secret"`
	Scopes       []string `json:"scopes"`
	Claims       ClaimMap `json:"claims"`

	Create bool `json:"create"` // whether people come in whom Berth does not know yet
	// NewRole is what they become: a user, or a member.
	NewRole        identity.Role `json:"new_role"`
	AllowedDomains []string      `json:"allowed_domains"` // of verified e-mail addresses; all when empty
	AllowedGroups  []string      `json:"allowed_groups"`  // as the provider names them; all when empty
	// GroupPrefix goes before the names of groups; nil is the slug and a colon.
	// With an empty one the provider's groups are Berth's own of the same names.
	GroupPrefix *string `json:"group_prefix,omitempty"`
	SignOut     bool    `json:"sign_out"` // whether signing out of Berth leads on to signing out there
	// TrustFactor lets its word count that it asked for a second factor.
	TrustFactor bool `json:"trust_factor"`
	// TrustEmail has an address count as verified of which it does not say
	// whether it is.
	TrustEmail bool `json:"trust_email"`

	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Version   int64     `json:"version"` // grows with each edit; an edit names the one it saw
}

// ClaimMap says where in what a provider tells of somebody Berth finds what.
// Each is the name of a claim, or a path to it with dots.
type ClaimMap struct {
	Username string `json:"username,omitempty"`
	Name     string `json:"name,omitempty"`
	Email    string `json:"email,omitempty"`
	Groups   string `json:"groups,omitempty"`
	// Admin makes administrators: "claim" for one that is true, "claim=value"
	// for one that is, or holds, the value. Nobody, when empty.
	Admin string `json:"admin,omitempty"`
}

// NewProvider is what a provider is made of. What is left out is the preset's.
type NewProvider struct {
	Slug           string
	Preset         Preset
	Label          string
	Order          int
	Enabled        bool
	Issuer         string
	ClientID       string
	ClientSecret   secret.Text
	Scopes         []string
	Claims         ClaimMap
	Create         bool
	NewRole        identity.Role // a user when empty
	AllowedDomains []string
	AllowedGroups  []string
	GroupPrefix    *string
	SignOut        bool
	TrustFactor    bool
	TrustEmail     bool
}

// ProviderEdit is what an edit changes; nil is as it was.
type ProviderEdit struct {
	// Preset is what its author takes the provider to be of, which no edit
	// changes; "" for whatever it is.
	Preset         Preset
	Label          *string
	Order          *int
	Enabled        *bool
	Issuer         *string
	ClientID       *string
	ClientSecret   secret.Text // empty: as it was
	Scopes         []string
	Claims         *ClaimMap
	Create         *bool
	NewRole        *identity.Role
	AllowedDomains []string
	AllowedGroups  []string
	GroupPrefix    *string
	// OwnGroupPrefix goes back to the slug and a colon.
	OwnGroupPrefix bool
	SignOut        *bool
	TrustFactor    *bool
	Force          bool // also where people have no way in left by it
	TrustEmail     *bool
}

// Prefix goes before the names of the provider's groups, so that no provider
// can speak of another's, or of Berth's own.
func (p Provider) Prefix() string {
	if p.GroupPrefix != nil {
		return *p.GroupPrefix
	}
	return p.Slug + ":"
}

// issuer is what identities of this provider are kept under.
func (p Provider) issuer() string {
	if p.PinnedIssuer != "" {
		return p.PinnedIssuer
	}
	return p.Issuer
}

// Whole is the provider that is made of n, with what n leaves out.
func (n NewProvider) Whole() Provider {
	preset, _ := n.Preset.Known()
	p := Provider{
		Slug: n.Slug, Preset: n.Preset, Label: strings.TrimSpace(n.Label), Order: n.Order, Enabled: n.Enabled,
		Issuer: strings.TrimSpace(n.Issuer), ClientID: strings.TrimSpace(n.ClientID),
		Scopes: n.Scopes, Claims: n.Claims.over(preset.Claims), Create: n.Create, NewRole: cmp.Or(n.NewRole, identity.RoleUser),
		AllowedDomains: lowered(n.AllowedDomains), AllowedGroups: orEmpty(n.AllowedGroups), GroupPrefix: n.GroupPrefix, SignOut: n.SignOut, TrustFactor: n.TrustFactor,
		TrustEmail: n.TrustEmail,
	}
	if p.Label == "" {
		p.Label = preset.Label
	}
	if p.Issuer == "" {
		p.Issuer = preset.Issuer
	}
	if len(p.Scopes) == 0 {
		p.Scopes = slices.Clone(preset.Scopes)
	}
	return p
}

// EditTo is the edit that makes what p is of whatever a provider of its slug
// and preset was. Without a client secret, the one there is stays.
func (p Provider) EditTo(clientSecret secret.Text) ProviderEdit {
	return ProviderEdit{
		Preset: p.Preset, Label: &p.Label, Order: &p.Order, Enabled: &p.Enabled, Issuer: &p.Issuer, ClientID: &p.ClientID,
		ClientSecret: clientSecret, Scopes: orEmpty(p.Scopes), Claims: &p.Claims, Create: &p.Create, NewRole: &p.NewRole,
		AllowedDomains: orEmpty(p.AllowedDomains), AllowedGroups: orEmpty(p.AllowedGroups),
		GroupPrefix: p.GroupPrefix, OwnGroupPrefix: p.GroupPrefix == nil, SignOut: &p.SignOut, TrustFactor: &p.TrustFactor, TrustEmail: &p.TrustEmail,
	}
}

// over fills what c leaves out.
func (c ClaimMap) over(other ClaimMap) ClaimMap {
	for _, field := range []struct{ to, from *string }{
		{&c.Username, &other.Username},
		{&c.Name, &other.Name},
		{&c.Email, &other.Email},
		{&c.Groups, &other.Groups},
	} {
		if *field.to == "" {
			*field.to = *field.from
		}
	}
	return c
}

// of applies an edit.
func (e ProviderEdit) of(p Provider) Provider {
	set(&p.Label, e.Label)
	set(&p.Order, e.Order)
	set(&p.Enabled, e.Enabled)
	set(&p.ClientID, e.ClientID)
	set(&p.Claims, e.Claims)
	set(&p.Create, e.Create)
	set(&p.NewRole, e.NewRole)
	set(&p.SignOut, e.SignOut)
	set(&p.TrustFactor, e.TrustFactor)
	set(&p.TrustEmail, e.TrustEmail)
	if e.Issuer != nil && *e.Issuer != p.Issuer {
		p.Issuer, p.PinnedIssuer = strings.TrimSpace(*e.Issuer), ""
	}
	if !e.ClientSecret.Empty() {
		p.HasSecret = true
	}
	if e.Scopes != nil {
		p.Scopes = e.Scopes
	}
	if e.AllowedDomains != nil {
		p.AllowedDomains = lowered(e.AllowedDomains)
	}
	if e.AllowedGroups != nil {
		p.AllowedGroups = e.AllowedGroups
	}
	switch {
	case e.GroupPrefix != nil:
		p.GroupPrefix = e.GroupPrefix
	case e.OwnGroupPrefix:
		p.GroupPrefix = nil
	}
	return p
}

func set[T any](to, value *T) {
	if value != nil {
		*to = *value
	}
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func lowered(list []string) []string {
	low := make([]string, len(list))
	for i, v := range list {
		low[i] = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(v)), "@")
	}
	return low
}

var (
	slugPattern   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)
	domainPattern = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$`)
	scopePattern  = regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]{1,128}$`) // RFC 6749 section 3.3
	prefixPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,30}[:/]$`)
)

// takenSlugs are what stands where a slug does in an address, or says where
// somebody of Berth's own comes from.
var takenSlugs = []string{"local", "berth", "enter"}

// validate names every field that is wrong.
func (p Provider) validate() []fault.Field {
	var wrong []fault.Field
	add := func(name, format string, args ...any) {
		wrong = append(wrong, fault.Field{Name: name, Message: fmt.Sprintf(format, args...)})
	}
	switch {
	case !slugPattern.MatchString(p.Slug):
		add("slug", "takes 1 to 32 of a to z, 0 to 9 and -, and neither begins nor ends with -")
	case slices.Contains(takenSlugs, p.Slug):
		add("slug", "is one that Berth itself uses")
	}
	if _, ok := p.Preset.Known(); !ok {
		add("preset", "is one of %s", presetNames())
	}
	if n := utf8.RuneCountInString(p.Label); n == 0 || n > 60 || !printable(p.Label) {
		add("label", "takes 1 to 60 printable characters")
	}
	if p.Order < 0 || p.Order > 1000 {
		add("order", "is between 0 and 1000")
	}
	if err := checkIssuer(p.Issuer); err != "" {
		add("issuer", "%s", err)
	}
	if p.ClientID == "" || len(p.ClientID) > 512 || !printable(p.ClientID) {
		add("client_id", "takes 1 to 512 printable characters")
	}
	if len(p.Scopes) > 32 {
		add("scopes", "are at most 32")
	}
	for _, scope := range p.Scopes {
		if !scopePattern.MatchString(scope) {
			add("scopes", "%q is no scope", scope)
		}
	}
	if p.Preset.protocol() == protocolOIDC && !slices.Contains(p.Scopes, "openid") {
		add("scopes", "need openid: without it nobody is told apart")
	}
	if p.NewRole != identity.RoleUser && p.NewRole != identity.RoleMember {
		add("new_role", "is user or member: who administers, claims.admin says, or the list of administrators")
	}
	if p.TrustFactor && !p.asksAnew() {
		add("trust_factor", "is for providers with OpenID Connect: this one does not say what it asked for")
	}
	if p.TrustEmail && p.Preset.protocol() == protocolGitHub {
		add("trust_email", "is for providers that do not say of an address whether it is verified: GitHub does")
	}
	wrong = append(wrong, p.Claims.validate()...)
	if len(p.AllowedDomains) > 100 || len(p.AllowedGroups) > 100 {
		add("allowed_domains", "at most 100 domains and 100 groups are kept")
	}
	for _, domain := range p.AllowedDomains {
		if !domainPattern.MatchString(domain) {
			add("allowed_domains", "%q is no domain, such as example.org", domain)
		}
	}
	for _, group := range p.AllowedGroups {
		if group == "" || len(group) > maxGroupName || !printable(group) {
			add("allowed_groups", "takes names of 1 to %d printable characters", maxGroupName)
		}
	}
	return wrong
}

// checkPrefix says what is wrong with what goes before the groups. One without
// an end of its own could be a part of a group's name, and Berth's own groups
// have neither : nor /. None at all is for who says so.
func (p Provider) checkPrefix() []fault.Field {
	if p.Prefix() == "" || prefixPattern.MatchString(p.Prefix()) {
		return nil
	}
	return []fault.Field{{Name: "group_prefix", Message: "takes up to 31 of a to z, 0 to 9 and . _ -, and ends with : or /, such as corp:"}}
}

func (c ClaimMap) validate() []fault.Field {
	var wrong []fault.Field
	for name, path := range map[string]string{
		"username": c.Username, "name": c.Name, "email": c.Email, "groups": c.Groups, "admin": c.Admin,
	} {
		if len(path) > 200 || !printable(path) {
			wrong = append(wrong, fault.Field{Name: "claims." + name, Message: "takes at most 200 printable characters"})
		}
	}
	slices.SortFunc(wrong, func(a, b fault.Field) int { return strings.Compare(a.Name, b.Name) })
	if strings.HasPrefix(c.Admin, "=") {
		wrong = append(wrong, fault.Field{Name: "claims.admin", Message: "takes a claim, or claim=value"})
	}
	return wrong
}

// checkIssuer says what is wrong with the address of a provider; "" when
// nothing is.
func checkIssuer(given string) string {
	u, err := url.Parse(given)
	switch {
	case given == "":
		return "is where the provider is, such as https://id.example.org"
	case err != nil || u.Host == "" || len(given) > 500:
		return "is no address such as https://id.example.org"
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "takes a host and a path, and nothing else"
	case strings.HasSuffix(u.Path, "/.well-known/openid-configuration"):
		return "is the part before /.well-known/openid-configuration"
	case u.Scheme == "https", u.Scheme == "http" && settings.IsLoopback(u.Hostname()):
		return ""
	}
	return "needs https://: only a provider on this machine itself, such as http://127.0.0.1:3000, goes without"
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
