package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"berth/internal/cookie"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/signin"
	"berth/internal/vault"
)

// SignInButton is a provider on the sign-in page.
type SignInButton struct {
	Slug   string        `json:"slug"`
	Preset signin.Preset `json:"preset"`
	Label  string        `json:"label"`
}

// SignInPage is what a sign-in page shows, providers in the order in which it
// does. A username and a password are always taken besides, if not everybody's.
type SignInPage struct {
	Providers []SignInButton     `json:"providers"`
	Passwords identity.Passwords `json:"passwords" enum:"everybody,administrators" doc:"Whose passwords sign in"`
}

func (a *API) getSignInPage(ctx context.Context, _ *struct{}) (*output[SignInPage], error) {
	found, err := a.signin.Providers(ctx)
	if err != nil {
		return nil, err
	}
	mode, err := a.signin.Mode(ctx)
	if err != nil {
		return nil, err
	}
	page := SignInPage{Providers: []SignInButton{}, Passwords: mode.Passwords}
	for _, p := range found {
		if p.Enabled {
			page.Providers = append(page.Providers, SignInButton{Slug: p.Slug, Preset: p.Preset, Label: p.Label})
		}
	}
	return answer(page), nil
}

// ProviderDetail is a provider with the addresses that are entered there, and
// how it answers in between.
type ProviderDetail struct {
	signin.Provider
	signin.Addresses
	Refresh signin.Health `json:"refresh"`
}

func (a *API) detail(p signin.Provider) ProviderDetail {
	return ProviderDetail{Provider: p, Addresses: a.signin.Addresses(p.Slug), Refresh: a.signin.Health(p.Slug)}
}

func (a *API) listProviders(ctx context.Context, _ *struct{}) (*listOutput[ProviderDetail], error) {
	found, err := a.signin.Providers(ctx)
	if err != nil {
		return nil, err
	}
	details := make([]ProviderDetail, len(found))
	for i, p := range found {
		details[i] = a.detail(p)
	}
	return list(details, ""), nil
}

// ProviderPresets is what is known of kinds of providers, and who can always
// sign in without one.
type ProviderPresets struct {
	Presets []signin.PresetInfo `json:"presets"`
	// BreakGlass are the administrators who have a password.
	BreakGlass []string `json:"break_glass" doc:"The administrators who can sign in with a password, whatever becomes of every provider; the last one stays one"`
	// Base is what the addresses of a provider begin with.
	Base string `json:"base" doc:"A provider's addresses are this, its slug, and /callback or /backchannel-logout"`
}

func (a *API) listProviderPresets(ctx context.Context, _ *struct{}) (*output[ProviderPresets], error) {
	names, err := a.identity.BreakGlass(ctx)
	if err != nil {
		return nil, err
	}
	return answer(ProviderPresets{Presets: signin.Presets, BreakGlass: names, Base: a.baseURL.JoinPath("auth").String() + "/"}), nil
}

type createProviderInput struct {
	Body struct {
		Slug           string          `json:"slug" minLength:"1" maxLength:"32" doc:"Names it for ever, in addresses and before the names of groups"`
		Preset         signin.Preset   `json:"preset" doc:"What is left out is the preset's"`
		Label          string          `json:"label,omitempty" maxLength:"60" doc:"On its button"`
		Order          int             `json:"order,omitempty" doc:"Of its button; the lowest is first"`
		Enabled        *bool           `json:"enabled,omitempty" default:"true"`
		Issuer         string          `json:"issuer,omitempty" maxLength:"500" doc:"The address without /.well-known/openid-configuration"`
		ClientID       string          `json:"client_id" minLength:"1" maxLength:"512"`
		ClientSecret   secret.Text     `json:"client_secret,omitzero" maxLength:"4096" doc:"Sealed, and never shown again; none for a public client"`
		Scopes         []string        `json:"scopes,omitempty" maxItems:"32"`
		Claims         signin.ClaimMap `json:"claims,omitzero"`
		Create         bool            `json:"create,omitempty" doc:"Whether people come in whom Berth does not know yet"`
		NewRole        identity.Role   `json:"new_role,omitempty" doc:"What they become: user, which is the default, or member"`
		AllowedDomains []string        `json:"allowed_domains,omitempty" maxItems:"100" doc:"Of verified e-mail addresses; all when empty"`
		AllowedGroups  []string        `json:"allowed_groups,omitempty" maxItems:"100" doc:"As the provider names them; all when empty"`
		GroupPrefix    *string         `json:"group_prefix,omitempty" minLength:"1" maxLength:"32" doc:"Before the names of groups, with a colon or slash at its end; the slug and a colon when absent"`
		NoGroupPrefix  bool            `json:"no_group_prefix,omitempty" doc:"Nothing before them: its groups are Berth's own, and other providers', of the same names"`
		SignOut        bool            `json:"sign_out,omitempty" doc:"Whether signing out of Berth leads on to signing out there"`
		TrustFactor    bool            `json:"trust_factor,omitempty" doc:"Whether its word counts, by amr or acr in its id_token, that it asked for a second factor"`
		TrustEmail     bool            `json:"trust_email,omitempty" doc:"Whether an e-mail address counts as verified of which it does not say whether it is; only for a provider that lets nobody choose their address"`
	}
}

// createProvider, as updateProvider and removeProvider, is for who has just
// proved who they are: a provider says who comes in, and who of them administers.
func (a *API) createProvider(ctx context.Context, in *createProviderInput) (*output[ProviderDetail], error) {
	b := in.Body
	if err := a.provesAgain(ctx); err != nil {
		return nil, err
	}
	p, err := a.signin.Create(ctx, callerOf(ctx).actor(), signin.NewProvider{
		Slug: b.Slug, Preset: b.Preset, Label: b.Label, Order: b.Order, Enabled: b.Enabled == nil || *b.Enabled,
		Issuer: b.Issuer, ClientID: b.ClientID, ClientSecret: b.ClientSecret, Scopes: b.Scopes, Claims: b.Claims, Create: b.Create, NewRole: b.NewRole,
		AllowedDomains: b.AllowedDomains, AllowedGroups: b.AllowedGroups, GroupPrefix: prefixOf(b.GroupPrefix, b.NoGroupPrefix), SignOut: b.SignOut, TrustFactor: b.TrustFactor,
		TrustEmail: b.TrustEmail,
	})
	if err != nil {
		return nil, err
	}
	return answer(a.detail(p)), nil
}

// ProviderPath names a provider in a path.
type ProviderPath struct {
	Provider string `path:"provider" maxLength:"32"`
}

func (a *API) getProvider(ctx context.Context, in *ProviderPath) (*output[ProviderDetail], error) {
	p, err := a.signin.Provider(ctx, in.Provider)
	if err != nil {
		return nil, err
	}
	return answer(a.detail(p)), nil
}

type updateProviderInput struct {
	ProviderPath
	Body struct {
		Version        int64            `json:"version" doc:"The version that was seen; 409 when it has moved"`
		Label          *string          `json:"label,omitempty" maxLength:"60"`
		Order          *int             `json:"order,omitempty"`
		Enabled        *bool            `json:"enabled,omitempty" doc:"Switching it off ends the sessions that came by it"`
		Issuer         *string          `json:"issuer,omitempty" maxLength:"500" doc:"Takes the client secret again"`
		ClientID       *string          `json:"client_id,omitempty" maxLength:"512"`
		ClientSecret   secret.Text      `json:"client_secret,omitzero" maxLength:"4096" doc:"Instead of the one there is"`
		Scopes         []string         `json:"scopes,omitempty" maxItems:"32"`
		Claims         *signin.ClaimMap `json:"claims,omitempty"`
		Create         *bool            `json:"create,omitempty"`
		NewRole        *identity.Role   `json:"new_role,omitempty" doc:"user or member"`
		AllowedDomains *[]string        `json:"allowed_domains,omitempty" maxItems:"100"`
		AllowedGroups  *[]string        `json:"allowed_groups,omitempty" maxItems:"100"`
		GroupPrefix    *string          `json:"group_prefix,omitempty" minLength:"1" maxLength:"32"`
		NoGroupPrefix  bool             `json:"no_group_prefix,omitempty" doc:"Nothing before the names of groups: they are Berth's own, and other providers', of the same names"`
		OwnGroupPrefix bool             `json:"own_group_prefix,omitempty" doc:"Goes back to the slug and a colon"`
		SignOut        *bool            `json:"sign_out,omitempty"`
		TrustFactor    *bool            `json:"trust_factor,omitempty" doc:"Switching it off ends the sessions that its word counted for"`
		Force          bool             `json:"force,omitempty" doc:"Also where people have no way in left by it: it is switched off, or its issuer is another; 409 otherwise"`
		TrustEmail     *bool            `json:"trust_email,omitempty" doc:"Switched off, and with another claim of e-mail addresses, none counts until the provider tells of somebody again"`
	}
}

func (a *API) updateProvider(ctx context.Context, in *updateProviderInput) (*output[ProviderDetail], error) {
	b := in.Body
	if err := a.provesAgain(ctx); err != nil {
		return nil, err
	}
	p, err := a.signin.Update(ctx, callerOf(ctx).actor(), in.Provider, b.Version, signin.ProviderEdit{
		Label: b.Label, Order: b.Order, Enabled: b.Enabled, Issuer: b.Issuer, ClientID: b.ClientID, ClientSecret: b.ClientSecret,
		Scopes: b.Scopes, Claims: b.Claims, Create: b.Create, NewRole: b.NewRole, AllowedDomains: listed(b.AllowedDomains), AllowedGroups: listed(b.AllowedGroups),
		GroupPrefix: prefixOf(b.GroupPrefix, b.NoGroupPrefix), OwnGroupPrefix: b.OwnGroupPrefix, SignOut: b.SignOut, TrustFactor: b.TrustFactor, TrustEmail: b.TrustEmail, Force: b.Force,
	})
	if err != nil {
		return nil, err
	}
	return answer(a.detail(p)), nil
}

// prefixOf gives the empty prefix to who says that there is none, and to nobody else.
func prefixOf(given *string, none bool) *string {
	if none {
		return new("")
	}
	return given
}

// listed tells a list that is empty from one that is not there: nil.
func listed(given *[]string) []string {
	if given == nil {
		return nil
	}
	return append([]string{}, *given...)
}

type removeProviderInput struct {
	ProviderPath
	Force bool `query:"force" doc:"Also where people have no way in left by it; 409 otherwise"`
}

func (a *API) removeProvider(ctx context.Context, in *removeProviderInput) (*struct{}, error) {
	if err := a.provesAgain(ctx); err != nil {
		return nil, err
	}
	return nil, a.signin.Remove(ctx, callerOf(ctx).actor(), in.Provider, in.Force)
}

func (a *API) getLeftOut(ctx context.Context, in *ProviderPath) (*output[identity.LeftOut], error) {
	left, err := a.signin.LeftOut(ctx, in.Provider)
	if err != nil {
		return nil, err
	}
	return answer(left), nil
}

func (a *API) checkProvider(ctx context.Context, in *ProviderPath) (*output[signin.Findings], error) {
	found, err := a.signin.Check(ctx, in.Provider)
	if err != nil {
		return nil, err
	}
	return answer(found), nil
}

// Journey is where a browser goes next.
type Journey struct {
	Location string `json:"location" doc:"The provider's page; the browser has a cookie by now that it is known by when it comes back"`
}

type journey struct {
	Cookie http.Cookie `header:"Set-Cookie" hidden:"true"`
	Body   Journey
}

// begin sends the caller's browser to a provider.
func (a *API) begin(ctx context.Context, provider string, purpose signin.Purpose) (*journey, error) {
	c := callerOf(ctx)
	to, browser, err := a.signin.Begin(ctx, provider, signin.Departure{
		Purpose: purpose, Browser: c.browser, Subject: c.subject, Origin: c.origin,
	})
	if err != nil {
		return nil, err
	}
	return &journey{Cookie: a.signin.BrowserCookie(browser), Body: Journey{Location: to}}, nil
}

func (a *API) testProvider(ctx context.Context, in *ProviderPath) (*journey, error) {
	return a.begin(ctx, in.Provider, signin.ToTest)
}

type trialInput struct {
	ID string `path:"id" maxLength:"64"`
}

func (a *API) getProviderTest(ctx context.Context, in *trialInput) (*output[signin.Trial], error) {
	found, err := a.signin.Trial(ctx, callerOf(ctx).who(), in.ID)
	if err != nil {
		return nil, err
	}
	return answer(found), nil
}

// IdentityInfo is an identity with what Berth holds of it.
type IdentityInfo struct {
	identity.Identity
	Tokens *vault.Grant `json:"tokens,omitempty" doc:"The tokens of the provider that Berth holds, to act there on the person's behalf; never shown"`
}

func (a *API) listIdentities(ctx context.Context, _ *struct{}) (*listOutput[IdentityInfo], error) {
	return a.identitiesOf(ctx, callerOf(ctx).who().Person.ID)
}

func (a *API) identitiesOf(ctx context.Context, personID string) (*listOutput[IdentityInfo], error) {
	found, err := a.identity.Identities(ctx, personID)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(found))
	for i, one := range found {
		ids[i] = one.ID
	}
	held, err := a.grants.Of(ctx, ids...)
	if err != nil {
		return nil, err
	}
	infos := make([]IdentityInfo, len(found))
	for i, one := range found {
		infos[i].Identity = one
		if grant, ok := held[one.ID]; ok {
			infos[i].Tokens = &grant
		}
	}
	return list(infos, ""), nil
}

// forgetTokens removes the tokens of an identity of the caller's own.
func (a *API) forgetTokens(ctx context.Context, in *idInput) (*struct{}, error) {
	s := callerOf(ctx).who()
	found, err := a.identity.Identities(ctx, s.Person.ID)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(found, func(one identity.Identity) bool { return one.ID == in.ID }) {
		return nil, fault.NotFound("there is no such identity")
	}
	return nil, a.grants.Forget(ctx, s.Person.Username, in.ID)
}

type linkIdentityInput struct {
	Body struct {
		Provider string `json:"provider" minLength:"1" maxLength:"32"`
	}
}

func (a *API) linkIdentity(ctx context.Context, in *linkIdentityInput) (*journey, error) {
	return a.begin(ctx, in.Body.Provider, signin.ToLink)
}

func (a *API) unlinkIdentity(ctx context.Context, in *idInput) (*struct{}, error) {
	s := callerOf(ctx).who()
	return nil, a.identity.Unlink(ctx, s, s.Person.ID, in.ID)
}

func (a *API) listPersonIdentities(ctx context.Context, in *personInput) (*listOutput[IdentityInfo], error) {
	p, err := a.identity.Person(ctx, in.Username)
	if err != nil {
		return nil, err
	}
	return a.identitiesOf(ctx, p.ID)
}

func (a *API) unlinkPersonIdentity(ctx context.Context, in *personSessionInput) (*struct{}, error) {
	p, err := a.identity.Person(ctx, in.Username)
	if err != nil {
		return nil, err
	}
	return nil, a.identity.Unlink(ctx, callerOf(ctx).who(), p.ID, in.ID)
}

// signInEdge is what sign-ins at providers know of a browser.
type signInEdge struct{ api *API }

// Subject gives who is signed in in the browser.
func (e signInEdge) Subject(r *http.Request) *identity.Subject {
	token, ok := e.api.cookies.Read(r.Header, cookie.Session)
	if !ok {
		return nil
	}
	s, err := e.api.identity.BySession(r.Context(), secret.New(token))
	if err != nil {
		if fault.KindOf(err) == fault.Internal {
			e.api.log.ErrorContext(r.Context(), "session can not be looked up", "error", err)
		}
		return nil
	}
	return &s
}

// Origin gives where a request comes from.
func (signInEdge) Origin(r *http.Request) identity.Origin { return originOf(r) }

// GoOn has the browser go on to a second factor.
func (e signInEdge) GoOn(w http.ResponseWriter, r *http.Request, half *identity.FactorError) error {
	out, err := e.api.factors.Open(r.Context(), secret.Text{}, identity.Subject{}, half)
	if err != nil {
		return err
	}
	own := e.api.cookies.Set(attemptCookie, out.Attempt.Reveal(), 15*time.Minute)
	http.SetCookie(w, &own)
	return nil
}

// SignIn gives the browser its session.
func (e signInEdge) SignIn(w http.ResponseWriter, session secret.Text) {
	own := e.api.cookies.Set(cookie.Session, session.Reveal(), 0)
	http.SetCookie(w, &own)
}
