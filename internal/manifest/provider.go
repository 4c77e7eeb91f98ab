package manifest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"berth/internal/deploy"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/signin"
)

// Provider is a place where people sign in, by the names that the API has. What
// is left out is its preset's, or the default.
type Provider struct {
	Preset   signin.Preset `json:"preset,omitempty"` // oidc by default
	Label    string        `json:"label,omitempty"`
	Order    int           `json:"order,omitempty"`
	Enabled  *bool         `json:"enabled,omitempty"` // true by default
	Issuer   string        `json:"issuer,omitempty"`
	ClientID string        `json:"client_id,omitempty"`
	// ClientSecret says where the client secret comes from. Without one the one
	// that is there stays; an empty one says besides that there is to be one.
	ClientSecret *Password `json:"client_secret,omitempty"`
	Scopes       []string  `json:"scopes"`
	Claims       Claims    `json:"claims,omitzero"`
	Create       bool      `json:"create,omitempty"`
	// NewRole is what new people become: a user by default, or a member.
	NewRole        identity.Role `json:"new_role,omitempty"`
	AllowedDomains []string      `json:"allowed_domains,omitempty"`
	AllowedGroups  []string      `json:"allowed_groups,omitempty"`
	GroupPrefix    *string       `json:"group_prefix,omitempty"` // the slug and a colon by default
	SignOut        bool          `json:"sign_out,omitempty"`
	TrustFactor    bool          `json:"trust_factor,omitempty"`
	TrustEmail     bool          `json:"trust_email,omitempty"`
}

// Claims say where in what a provider tells of somebody Berth finds what. One
// that is left out is the preset's, one that is "" is not read.
type Claims struct {
	Username *string `json:"username,omitempty"`
	Name     *string `json:"name,omitempty"`
	Email    *string `json:"email,omitempty"`
	Groups   *string `json:"groups,omitempty"`
	Admin    string  `json:"admin,omitempty"`
}

// ClientSecretOf is the slot of a provider's client secret, as documents and
// those who open them know it.
func ClientSecretOf(slug string) Slot { return Slot{signin.SlotContext, slug} }

// whole gives the provider that p makes, in the spelling in which it is saved.
func (p Provider) whole(slug string) signin.Provider {
	made := signin.NewProvider{
		Slug: slug, Preset: cmp.Or(p.Preset, signin.OIDC), Label: p.Label, Order: p.Order, Enabled: p.Enabled == nil || *p.Enabled,
		Issuer: p.Issuer, ClientID: p.ClientID, Scopes: p.Scopes, Create: p.Create, NewRole: p.NewRole,
		AllowedDomains: p.AllowedDomains, AllowedGroups: p.AllowedGroups, GroupPrefix: p.GroupPrefix, SignOut: p.SignOut, TrustFactor: p.TrustFactor,
		TrustEmail: p.TrustEmail,
	}.Whole()
	if p.Scopes != nil {
		made.Scopes = p.Scopes
	}
	for _, claim := range []struct{ to, given *string }{
		{&made.Claims.Username, p.Claims.Username},
		{&made.Claims.Name, p.Claims.Name},
		{&made.Claims.Email, p.Claims.Email},
		{&made.Claims.Groups, p.Claims.Groups},
	} {
		if claim.given != nil {
			*claim.to = *claim.given
		}
	}
	made.Claims.Admin = p.Claims.Admin
	return made
}

// providerOf gives what a document says of a provider: what its preset does not.
func providerOf(h signin.Provider) Provider {
	usual := Provider{Preset: h.Preset}.whole(h.Slug)
	p := Provider{
		Order: h.Order, ClientID: h.ClientID, Create: h.Create, AllowedDomains: h.AllowedDomains, AllowedGroups: h.AllowedGroups,
		SignOut: h.SignOut, TrustFactor: h.TrustFactor, TrustEmail: h.TrustEmail,
		Claims: Claims{
			Username: other(h.Claims.Username, usual.Claims.Username), Name: other(h.Claims.Name, usual.Claims.Name),
			Email: other(h.Claims.Email, usual.Claims.Email), Groups: other(h.Claims.Groups, usual.Claims.Groups), Admin: h.Claims.Admin,
		},
	}
	if h.Preset != signin.OIDC {
		p.Preset = h.Preset
	}
	if h.NewRole != usual.NewRole {
		p.NewRole = h.NewRole
	}
	if h.Label != usual.Label {
		p.Label = h.Label
	}
	if h.Issuer != usual.Issuer {
		p.Issuer = h.Issuer
	}
	if !h.Enabled {
		p.Enabled = &h.Enabled
	}
	if !slices.Equal(h.Scopes, usual.Scopes) {
		p.Scopes = append([]string{}, h.Scopes...)
	}
	if h.Prefix() != usual.Prefix() {
		p.GroupPrefix = h.GroupPrefix
	}
	if h.HasSecret {
		p.ClientSecret = &Password{}
	}
	return p
}

// other gives a value unless it is the usual one.
func other(value, usual string) *string {
	if value == usual {
		return nil
	}
	return &value
}

func (p *planner) providers() {
	walk(p, p.wanted.Providers, p.have.Providers, func(h signin.Provider) string { return h.Slug }, p.provider,
		func(h signin.Provider) Change {
			c := Change{
				Action: Remove, Kind: KindProvider, Name: h.Slug, version: h.Version, slot: ClientSecretOf(h.Slug),
				Fields: []deploy.Change{{Field: "issuer", From: h.Issuer}},
			}
			if h.Enabled {
				c.leftOut = p.have.LeftOut[h.Slug].People
			}
			return c
		})
}

func (p *planner) provider(slug string, given Provider, h signin.Provider, there bool) {
	w, slot := given.whole(slug), ClientSecretOf(slug)
	before := h
	if !there {
		before = Provider{Preset: w.Preset}.whole(slug) // what is its preset's goes without saying
	}
	fields := providerDifferences(before, w)
	if p.differs(slot) {
		fields = append(fields, hidden("client_secret", h.HasSecret))
	}
	c := Change{Kind: KindProvider, Name: slug, Fields: fields, slot: slot, version: h.Version}
	if there && w.Shuts(h) {
		c.leftOut = p.have.LeftOut[slug].People
		p.leavesOut(slug)
	}
	if there && h.Enabled && !w.Enabled {
		p.leadsNoMore(slug)
	}
	p.change(there, c)
	switch {
	case given.ClientSecret == nil || !p.wanted.Values[slot].Empty():
	case given.ClientSecret.Sealed != "":
		p.notes = append(p.notes, "the client secret of the provider "+slug+" is sealed and was not opened: what is there stays")
	case !h.HasSecret:
		p.notes = append(p.notes, "the client secret of the provider "+slug+" is not set, and not in the file")
	}
}

// leftOut reads who would have no way in left without each provider, where a
// document speaks of providers.
func (s *Service) leftOut(ctx context.Context, wanted Wanted, have State) (map[string]identity.LeftOut, error) {
	left := map[string]identity.LeftOut{}
	if wanted.Providers == nil {
		return left, nil
	}
	for _, p := range have.Providers {
		of, err := s.signin.LeftOut(ctx, p.Slug)
		if err != nil {
			return nil, err
		}
		left[p.Slug] = of
	}
	return left, nil
}

// leavesOut notes who has no way in left when a provider leads nobody in any more.
func (p *planner) leavesOut(slug string) {
	if left := p.have.LeftOut[slug]; left.People > 0 {
		p.notes = append(p.notes, "without the provider "+slug+", "+left.InWords())
	}
}

// leadsNoMore notes that people are led straight to a provider that leads nobody
// in any more.
func (p *planner) leadsNoMore(slug string) {
	to := p.have.SignIn.StraightTo
	if p.wanted.SignIn != nil {
		to = p.wanted.SignIn.StraightTo
	}
	if to == slug {
		p.notes = append(p.notes, fmt.Sprintf("people are led straight to the provider %s: without it they see the sign-in page", slug))
	}
}

func providerDifferences(from, to signin.Provider) []deploy.Change {
	list := func(of []string) string { return strings.Join(of, ", ") }
	return differences(
		"preset", from.Preset.String(), to.Preset.String(),
		"label", from.Label, to.Label,
		"order", strconv.Itoa(from.Order), strconv.Itoa(to.Order),
		"enabled", strconv.FormatBool(from.Enabled), strconv.FormatBool(to.Enabled),
		"issuer", from.Issuer, to.Issuer,
		"client_id", from.ClientID, to.ClientID,
		"scopes", list(from.Scopes), list(to.Scopes),
		"claims.username", from.Claims.Username, to.Claims.Username,
		"claims.name", from.Claims.Name, to.Claims.Name,
		"claims.email", from.Claims.Email, to.Claims.Email,
		"claims.groups", from.Claims.Groups, to.Claims.Groups,
		"claims.admin", from.Claims.Admin, to.Claims.Admin,
		"create", strconv.FormatBool(from.Create), strconv.FormatBool(to.Create),
		"new_role", from.NewRole.String(), to.NewRole.String(),
		"allowed_domains", list(from.AllowedDomains), list(to.AllowedDomains),
		"allowed_groups", list(from.AllowedGroups), list(to.AllowedGroups),
		"group_prefix", from.Prefix(), to.Prefix(),
		"sign_out", strconv.FormatBool(from.SignOut), strconv.FormatBool(to.SignOut),
		"trust_factor", strconv.FormatBool(from.TrustFactor), strconv.FormatBool(to.TrustFactor),
		"trust_email", strconv.FormatBool(from.TrustEmail), strconv.FormatBool(to.TrustEmail),
	)
}

func (w *writing) provider(ctx context.Context, c Change) (err error) {
	made, clientSecret := w.wanted.Providers[c.Name].whole(c.Name), w.wanted.Values[c.slot]
	left, err := w.identity.LeftOut(ctx, w.tx, c.Name)
	if err != nil {
		return err
	}
	force := w.force(c, left)
	switch c.Action {
	case Create:
		_, err = w.signin.CreateIn(ctx, w.tx, w.actor, made, clientSecret)
	case Update:
		edit := made.EditTo(clientSecret)
		edit.Force = force
		_, err = w.signin.UpdateIn(ctx, w.tx, w.actor, c.Name, c.version, edit)
	case Remove:
		err = w.signin.RemoveIn(ctx, w.tx, w.actor, c.Name, force)
	case actionDeploy: // in no plan
	}
	return err
}

// sealProviders puts the client secrets of a document's providers into it.
func (s *Service) sealProviders(ctx context.Context, doc Document, put func(secret.Text) (string, error)) error {
	for slug, p := range doc.Providers {
		value, err := s.signin.ClientSecret(ctx, slug)
		if err != nil {
			return err
		}
		if value.Empty() {
			continue
		}
		text, err := put(value)
		if err != nil {
			return err
		}
		p.ClientSecret = &Password{Sealed: text}
		doc.Providers[slug] = p
	}
	return nil
}
