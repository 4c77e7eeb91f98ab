package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"berth/internal/api"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/signin"
)

type providerCommand struct {
	List    providerList    `cmd:"" default:"withargs" help:"List the providers."`
	Show    providerShow    `cmd:"" help:"Show a provider, with the addresses to enter there."`
	Add     providerAdd     `cmd:"" help:"Add a provider."`
	Edit    providerEdit    `cmd:"" help:"Change a provider."`
	Check   providerCheck   `cmd:"" help:"Ask a provider for its metadata and say what is in it."`
	Presets providerPresets `cmd:"" help:"List the kinds of providers of which something is known."`
	Remove  providerRemove  `cmd:"" help:"Remove a provider, and end the sessions that came by it."`
}

type providerList struct{}

// Run lists providers.
func (*providerList) Run(ctx context.Context, c *client, o *output) error {
	var list page[api.ProviderDetail]
	if err := c.get(ctx, "/api/providers", &list); err != nil {
		return err
	}
	return o.result(list.Items, func() {
		rows := make([][]string, len(list.Items))
		for i, p := range list.Items {
			state := "on"
			if !p.Enabled {
				state = "off"
			}
			rows[i] = []string{p.Slug, string(p.Preset), p.Label, p.Issuer, state}
		}
		o.table([]string{"provider", "preset", "label", "issuer", "state"}, rows)
	})
}

type providerShow struct {
	Provider string `arg:"" help:"The provider."`
}

// Run shows a provider.
func (cmd *providerShow) Run(ctx context.Context, c *client, o *output) error {
	var p api.ProviderDetail
	if err := c.get(ctx, pathf("/api/providers/%s", cmd.Provider), &p); err != nil {
		return err
	}
	return o.result(p, func() { showProvider(o, p) })
}

func showProvider(o *output, p api.ProviderDetail) {
	yes := func(v bool) string { return map[bool]string{true: "yes", false: "no"}[v] }
	all := func(list []string) string {
		if len(list) == 0 {
			return "all"
		}
		return strings.Join(list, ", ")
	}
	issuer := p.Issuer
	if p.PinnedIssuer != "" && p.PinnedIssuer != p.Issuer {
		issuer += " (calls itself " + p.PinnedIssuer + ")"
	}
	o.table([]string{"", ""}, [][]string{
		{"provider", p.Slug},
		{"label", p.Label},
		{"preset", string(p.Preset)},
		{"on", yes(p.Enabled)},
		{"order", strconv.Itoa(p.Order)},
		{"issuer", issuer},
		{"client id", p.ClientID},
		{"client secret", map[bool]string{true: "sealed", false: "none"}[p.HasSecret]},
		{"scopes", strings.Join(p.Scopes, " ")},
		{"unknown people", map[bool]string{true: "come in, as a " + string(p.NewRole), false: "stay out"}[p.Create]},
		{"domains", all(p.AllowedDomains)},
		{"groups", all(p.AllowedGroups)},
		{"group prefix", strconv.Quote(p.Prefix())},
		{"username from", p.Claims.Username},
		{"name from", p.Claims.Name},
		{"e-mail address from", p.Claims.Email},
		{"groups from", p.Claims.Groups},
		{"administrators", p.Claims.Admin},
		{"signs out there", yes(p.SignOut)},
		{"second factor trusted", yes(p.TrustFactor)},
		{"asked in between", askedInBetween(p.Refresh)},
		{"addresses trusted", yes(p.TrustEmail)},
		{"redirect address", p.Redirect},
		{"back-channel logout", p.Logout},
		{"after a sign-out", p.LandedAt},
	})
}

// askedInBetween says how a provider answers about those who are signed in.
func askedInBetween(h signin.Health) string {
	said := fmt.Sprintf("about %d who are signed in", h.AskedAbout)
	if h.NotAskedAbout > 0 {
		said += fmt.Sprintf(", not about %d: it gave no refresh token", h.NotAskedAbout)
	}
	if !h.FailingSince.IsZero() {
		said += fmt.Sprintf("; fails since %s: %s", h.FailingSince.Format(time.RFC3339), h.Trouble)
	}
	return said
}

// providerFields are what add and edit share.
type providerFields struct {
	Label         *string  `help:"What its button says."`
	Order         *int     `help:"Where its button stands; the lowest is first."`
	Issuer        *string  `help:"Where the provider is, such as https://id.example.org."`
	ClientID      *string  `help:"Who Berth is there."`
	Scope         []string `help:"What to ask for, more than once or with commas; the preset's by default."`
	UsernameClaim *string  `help:"The claim that usernames are made of."`
	NameClaim     *string  `help:"The claim that has the name to show."`
	EmailClaim    *string  `help:"The claim that has the e-mail address; of another than email a provider does not say that it is verified."`
	GroupsClaim   *string  `help:"The claim that has groups; a path with dots goes deeper."`
	Admin         *string  `help:"Who administers, as claim=value, such as groups=berth-admins."`
	Create        *bool    `negatable:"" help:"Let people in whom Berth does not know yet."`
	NewRole       *string  `enum:"user,member" placeholder:"ROLE" help:"What they become: user (enters apps), which is the default, or member (runs them, too)."`
	Domain        []string `help:"Let in only verified e-mail addresses of this domain, more than once or with commas; \"\" lets all in."`
	Group         []string `help:"Let in only members of this group, more than once or with commas; \"\" lets all in."`
	GroupPrefix   *string  `xor:"prefix" help:"What goes before the names of groups, with a colon or slash at its end; the provider's own name and a colon by default."`
	BareGroups    bool     `xor:"prefix" help:"Put nothing before the names of groups: they are Berth's own, and other providers', of the same names."`
	SignOut       *bool    `negatable:"" help:"Lead on to signing out there after signing out here."`
	TrustFactor   *bool    `negatable:"" help:"Trust its word that it asked for a second factor; --no-trust-factor ends the sessions that it counted for."`
	TrustEmail    *bool    `negatable:"" help:"Count an e-mail address as verified of which it does not say whether it is: only where nobody can choose their own."`
}

// fill puts what was given into the body of a request.
func (f *providerFields) fill(body map[string]any) {
	for name, value := range map[string]*string{
		"label": f.Label, "issuer": f.Issuer, "client_id": f.ClientID, "new_role": f.NewRole, "group_prefix": f.GroupPrefix,
	} {
		if value != nil {
			body[name] = *value
		}
	}
	for name, value := range map[string]*bool{"create": f.Create, "sign_out": f.SignOut, "trust_factor": f.TrustFactor, "trust_email": f.TrustEmail} {
		if value != nil {
			body[name] = *value
		}
	}
	if f.BareGroups {
		body["no_group_prefix"] = true
	}
	if f.Order != nil {
		body["order"] = *f.Order
	}
	for name, value := range map[string][]string{"scopes": f.Scope, "allowed_domains": f.Domain, "allowed_groups": f.Group} {
		switch {
		case len(value) == 1 && value[0] == "":
			body[name] = []string{}
		case len(value) > 0:
			body[name] = value
		}
	}
}

// claims gives the mapping with what was given in it; false when nothing was.
func (f *providerFields) claims(was signin.ClaimMap) (signin.ClaimMap, bool) {
	changed := false
	for _, field := range []struct{ to, from *string }{{&was.Username, f.UsernameClaim}, {&was.Name, f.NameClaim}, {&was.Email, f.EmailClaim}, {&was.Groups, f.GroupsClaim}, {&was.Admin, f.Admin}} {
		if field.from != nil {
			*field.to, changed = *field.from, true
		}
	}
	return was, changed
}

type providerAdd struct {
	Slug   string        `arg:"" help:"What to call it for ever, such as home: it stands in addresses and before the names of groups."`
	Preset signin.Preset `arg:"" help:"What kind it is: ${presets}."`
	providerFields
	Public bool `help:"It has no client secret: none is asked for."`
	Off    bool `help:"Add it switched off."`
}

// Help says where the secret comes from.
func (*providerAdd) Help() string {
	return `The client secret is asked for, or read from stdin: it is sealed, and never shown again.

Examples:
  berth provider add home authentik --issuer https://auth.example.org/application/o/berth/ --client-id berth < secret.txt
  berth provider add forge forgejo --issuer https://forge.example.org --client-id 1234 --create --group crew
  berth provider add github github --client-id Iv1.1234 --create --group my-organisation`
}

// Run adds a provider.
func (cmd *providerAdd) Run(ctx context.Context, c *client, o *output, p *process) error {
	body := map[string]any{"slug": cmd.Slug, "preset": cmd.Preset, "enabled": !cmd.Off}
	cmd.fill(body)
	if claims, given := cmd.claims(signin.ClaimMap{}); given {
		body["claims"] = claims
	}
	if !cmd.Public {
		given, err := p.askSecret("Client secret of " + cmd.Slug)
		if err != nil {
			return err
		}
		body["client_secret"] = given.Reveal()
	}
	var made api.ProviderDetail
	if err := c.call(ctx, http.MethodPost, "/api/providers", body, &made); err != nil {
		return err
	}
	return o.result(made, func() {
		o.printf("Added provider %s.\n", made.Slug)
		o.note("Enter this redirect address there: %s", made.Redirect)
		o.note("Where it asks for them: for back-channel logout %s, and to come back to after a sign-out %s", made.Logout, made.LandedAt)
		o.note("Look whether it answers: berth provider check %s", made.Slug)
	})
}

type providerEdit struct {
	Provider string `arg:"" help:"The provider."`
	providerFields
	OwnGroupPrefix bool  `help:"Go back to the provider's own name and a colon before groups."`
	Secret         bool  `help:"Ask for another client secret, or read it from stdin."`
	On             *bool `negatable:"" help:"Switch it on, or with --no-on off, which ends the sessions that came by it."`
	Force          bool  `help:"Also where people have no way in left by it, without being asked."`
}

// Run changes what is named and keeps the rest.
func (cmd *providerEdit) Run(ctx context.Context, c *client, o *output, p *process) error {
	path := pathf("/api/providers/%s", cmd.Provider)
	var was api.ProviderDetail
	if err := c.get(ctx, path, &was); err != nil {
		return err
	}
	body := map[string]any{}
	cmd.fill(body)
	if claims, given := cmd.claims(was.Claims); given {
		body["claims"] = claims
	}
	if cmd.On != nil {
		body["enabled"] = *cmd.On
	}
	if cmd.OwnGroupPrefix {
		body["own_group_prefix"] = true
	}
	if len(body) == 0 && !cmd.Secret {
		return fault.Invalid("nothing to change: see \"berth provider edit --help\"")
	}
	if cmd.Secret {
		given, err := p.askSecret("New client secret of " + cmd.Provider)
		if err != nil {
			return err
		}
		body["client_secret"] = given.Reveal()
	}
	body["version"] = was.Version
	straight, err := c.leadsStraightTo(ctx, cmd.Provider)
	if err != nil {
		return err
	}
	var now api.ProviderDetail
	err = p.meant(cmd.Force, func(force bool) error {
		body["force"] = force
		return c.call(ctx, http.MethodPatch, path, body, &now)
	})
	if err != nil {
		return err
	}
	return o.result(now, func() {
		o.printf("Changed provider %s.\n", now.Slug)
		if straight && !now.Enabled {
			o.note("People are led straight to it: while it is off they see the sign-in page.")
		}
	})
}

// leadsStraightTo says whether people are led to a provider without the sign-in
// page, or would be, were it on.
func (c *client) leadsStraightTo(ctx context.Context, provider string) (bool, error) {
	var mode api.SignInMode
	err := c.get(ctx, "/api/sign-in-mode", &mode)
	return mode.StraightTo == provider, err
}

type providerCheck struct {
	Provider string `arg:"" help:"The provider."`
}

// Run asks a provider what it is.
func (cmd *providerCheck) Run(ctx context.Context, c *client, o *output) error {
	var found signin.Findings
	if err := c.call(ctx, http.MethodPost, pathf("/api/providers/%s/check", cmd.Provider), nil, &found); err != nil {
		return err
	}
	return o.result(found, func() {
		o.printf("It answers as %s.\n", found.Issuer)
		for _, line := range []struct {
			is   bool
			text string
		}{
			{found.Challenges, "takes PKCE with S256"},
			{found.TellsIssuer, "says who it is when it sends browsers back (RFC 9207)"},
			{found.Pushed, "takes requests pushed (RFC 9126)"},
			{found.TellsLogout, "tells of logouts over the back channel"},
			{found.SignsOut, "has a page to sign out at"},
		} {
			o.printf("  %s %s\n", map[bool]string{true: "✓", false: "–"}[line.is], line.text)
		}
	})
}

type providerPresets struct{}

// Run lists presets.
func (*providerPresets) Run(ctx context.Context, c *client, o *output) error {
	var known api.ProviderPresets
	if err := c.get(ctx, "/api/provider-presets", &known); err != nil {
		return err
	}
	return o.result(known, func() {
		rows := make([][]string, len(known.Presets))
		for i, p := range known.Presets {
			rows[i] = []string{string(p.Preset), p.Label, p.Like, strings.Join(p.Scopes, " ")}
		}
		o.table([]string{"preset", "label", "issuer like", "scopes"}, rows)
		o.note("Whatever becomes of every provider, these administrators sign in with a password: %s", strings.Join(known.BreakGlass, ", "))
	})
}

type providerRemove struct {
	Provider string `arg:"" help:"The provider."`
	Yes      bool   `short:"y" help:"Do not ask."`
	Force    bool   `help:"Also where people have no way in left by it, without being asked."`
}

// Run removes a provider. Whoever is asked is told who has no way in left.
func (cmd *providerRemove) Run(ctx context.Context, c *client, o *output, p *process) error {
	path := pathf("/api/providers/%s", cmd.Provider)
	var left identity.LeftOut
	if err := c.get(ctx, path+"/left-out", &left); err != nil {
		return err
	}
	straight, err := c.leadsStraightTo(ctx, cmd.Provider)
	if err != nil {
		return err
	}
	what := "Provider " + cmd.Provider + " will be removed, and everybody who came in by it signed out."
	if straight {
		what += " People are led straight to it, and will see the sign-in page."
	}
	if left.People > 0 {
		what += " " + leftOutWords(left)
	}
	if err := p.confirm(cmd.Yes || cmd.Force, what); err != nil {
		return err
	}
	if cmd.Force || !cmd.Yes && left.People > 0 {
		path += "?force=true"
	}
	if err := c.call(ctx, http.MethodDelete, path, nil, nil); err != nil {
		return err
	}
	return o.result(map[string]string{"removed": cmd.Provider}, func() { o.printf("Removed provider %s.\n", cmd.Provider) })
}

// leftOutWords says who would have no way in left.
func leftOutWords(left identity.LeftOut) string {
	who := strings.Join(left.Usernames, ", ")
	if more := left.People - len(left.Usernames); more > 0 {
		who += fmt.Sprintf(" and %d more", more)
	}
	if left.People == 1 {
		return who + " has no way in left then."
	}
	return fmt.Sprintf("%d people have no way in left then: %s.", left.People, who)
}

func presetWords() string {
	names := make([]signin.Preset, len(signin.Presets))
	for i, p := range signin.Presets {
		names[i] = p.Preset
	}
	return joinWords(names)
}
