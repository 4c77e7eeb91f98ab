package signin

import "strings"

// Preset is a kind of provider of which something is known already.
type Preset string

// The presets. OIDC is every other issuer of OpenID Connect.
const (
	OIDC      Preset = "oidc"
	Authentik Preset = "authentik"
	Keycloak  Preset = "keycloak"
	Dex       Preset = "dex"
	Zitadel   Preset = "zitadel"
	Entra     Preset = "entra"
	Google    Preset = "google"
	Forgejo   Preset = "forgejo"
	Gitea     Preset = "gitea"
	GitLab    Preset = "gitlab"
	GitHub    Preset = "github"
)

func (p Preset) String() string { return string(p) }

// protocol is how a provider is spoken to.
type protocol int

const (
	protocolOIDC   protocol = iota + 1 // discovery, id_token, userinfo
	protocolGitHub                     // OAuth 2.0 and GitHub's own API
)

// PresetInfo is what is known of a preset.
type PresetInfo struct {
	Preset Preset   `json:"preset"`
	Label  string   `json:"label"`
	Issuer string   `json:"issuer,omitempty"` // the only one there is, or the usual one
	Like   string   `json:"like"`             // what an issuer of it looks like
	Scopes []string `json:"scopes"`
	Claims ClaimMap `json:"claims"`
	Hint   string   `json:"hint,omitempty"` // what to know when setting it up there
}

var usualScopes = []string{"openid", "profile", "email"}

// offlineScopes ask for a refresh token besides, where providers give none
// without: by it Berth asks about people between two sign-ins.
var offlineScopes = []string{"openid", "profile", "email", "offline_access"}

var usualClaims = ClaimMap{Username: "preferred_username", Name: "name", Email: "email", Groups: "groups"}

func usualWith(change func(*ClaimMap)) ClaimMap {
	c := usualClaims
	change(&c)
	return c
}

// Presets are all of them, in the order in which people are shown them.
var Presets = []PresetInfo{
	{
		Preset: OIDC, Label: "Single sign-on", Like: "https://id.example.org", Scopes: usualScopes, Claims: usualClaims,
		Hint: "Any issuer with OpenID Connect Discovery. Add the scope that it gives groups for, often \"groups\".",
	},
	{
		Preset: Authentik, Label: "authentik", Like: "https://authentik.example.org/application/o/berth/", Scopes: offlineScopes, Claims: usualClaims,
		Hint: "An application with an OAuth2/OpenID provider a signing key (without one, authentik signs with the client secret, which Berth refuses), and the scope offline_access among its own. The issuer ends with a slash.",
	},
	{
		Preset: Keycloak, Label: "Keycloak", Like: "https://keycloak.example.org/realms/example", Scopes: usualScopes, Claims: usualClaims,
		Hint: "A confidential client with the standard flow. Groups come with a mapper of type \"Group Membership\" into the claim \"groups\"; roles are at realm_access.roles.",
	},
	{
		Preset: Dex, Label: "Dex", Like: "https://dex.example.org", Scopes: []string{"openid", "profile", "email", "groups", "offline_access"}, Claims: usualClaims,
	},
	{
		Preset: Zitadel, Label: "Zitadel", Like: "https://example.zitadel.cloud", Scopes: []string{"openid", "profile", "email", "offline_access", "urn:zitadel:iam:org:project:roles"},
		Claims: usualWith(func(c *ClaimMap) { c.Groups = "urn:zitadel:iam:org:project:roles" }),
		Hint:   "A web application with the code flow, and refresh tokens. The roles of its project are its groups.",
	},
	{
		Preset: Entra, Label: "Microsoft", Like: "https://login.microsoftonline.com/TENANT-ID/v2.0", Scopes: offlineScopes, Claims: usualClaims,
		Hint: "One tenant: its id stands in the issuer. Groups come as their object ids, once the token configuration has the groups claim.",
	},
	{
		Preset: Google, Label: "Google", Issuer: "https://accounts.google.com", Like: "https://accounts.google.com", Scopes: usualScopes,
		Claims: usualWith(func(c *ClaimMap) { c.Username, c.Groups = "email", "" }),
		Hint:   "Everybody has a Google account: name your domains, or keep \"unknown people may come in\" off.",
	},
	{
		Preset: Forgejo, Label: "Forgejo", Like: "https://forgejo.example.org", Scopes: []string{"openid", "profile", "email", "groups"}, Claims: usualClaims,
		Hint: "An OAuth2 application, under Settings, Applications. Groups are organisations, and teams as organisation:team.",
	},
	{
		Preset: Gitea, Label: "Gitea", Like: "https://gitea.example.org", Scopes: []string{"openid", "profile", "email", "groups"}, Claims: usualClaims,
		Hint: "An OAuth2 application, under Settings, Applications. Groups are organisations, and teams as organisation:team.",
	},
	{
		Preset: GitLab, Label: "GitLab", Issuer: "https://gitlab.com", Like: "https://gitlab.com", Scopes: usualScopes,
		Claims: usualWith(func(c *ClaimMap) { c.Groups = "groups" }),
		Hint:   "An application with the scopes openid, profile and email. Groups are those that somebody is a member of.",
	},
	{
		Preset: GitHub, Label: "GitHub", Issuer: "https://github.com", Like: "https://github.com", Scopes: []string{"read:user", "user:email", "read:org"},
		Claims: ClaimMap{Username: "login", Name: "name", Email: "email", Groups: "groups"},
		Hint:   "An OAuth app. Groups are organisations, and teams as organisation/team. Everybody has a GitHub account: name your organisations, or keep \"unknown people may come in\" off.",
	},
}

// Known gives what is known of a preset.
func (p Preset) Known() (PresetInfo, bool) {
	for _, info := range Presets {
		if info.Preset == p {
			return info, true
		}
	}
	return PresetInfo{}, false
}

func (p Preset) protocol() protocol {
	if p == GitHub {
		return protocolGitHub
	}
	return protocolOIDC
}

func presetNames() string {
	names := make([]string, len(Presets))
	for i, info := range Presets {
		names[i] = string(info.Preset)
	}
	return strings.Join(names, ", ")
}
