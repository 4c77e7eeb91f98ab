package api

import (
	"context"
	"net/http"
	"time"

	"berth/internal/cookie"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
)

// SessionInfo says who is signed in, and how.
type SessionInfo struct {
	Person identity.Person  `json:"person"`
	Via    identity.Via     `json:"via"`
	Scope  identity.Scope   `json:"scope,omitempty" doc:"Of the API token, where there is one"`
	Bounds *identity.Bounds `json:"bounds,omitempty" doc:"What the API token is held to, where it is"`
	// Provider is where the session began.
	Provider string `json:"provider,omitempty" doc:"Where the session began: local, or a provider's slug"`

	// TakesPassword is for the account's page: a password that does not sign in
	// is of no use there either.
	TakesPassword bool `json:"takes_password" doc:"Whether a password of theirs signs in, by the sign-in mode"`

	// Contact is whom to ask about what one may not.
	Contact string `json:"contact" doc:"Whom to ask about what one may not"`

	Methods         []identity.Method `json:"methods,omitempty" doc:"How the session was proved"`
	AuthenticatedAt time.Time         `json:"authenticated_at,omitzero" doc:"When that was last"`
	PasskeyAt       time.Time         `json:"passkey_at,omitzero" doc:"When it was last by a passkey, if ever"`
}

func (a *API) infoOf(s identity.Subject) SessionInfo {
	return SessionInfo{
		Person: s.Person, Via: s.Via, Scope: s.Scope, Bounds: s.Bounds, Provider: s.Provider, Contact: a.contact,
		Methods: s.Methods, AuthenticatedAt: s.AuthenticatedAt, PasskeyAt: s.PasskeyAt,
	}
}

// SetupState says whether the first administrator is still to be made.
type SetupState struct {
	Needed bool `json:"needed"`
}

func (a *API) getSetup(ctx context.Context, _ *struct{}) (*output[SetupState], error) {
	needed, err := a.identity.NeedsSetup(ctx)
	if err != nil {
		return nil, err
	}
	return answer(SetupState{Needed: needed}), nil
}

type setupInput struct {
	Body struct {
		Token    secret.Text `json:"token" minLength:"1" maxLength:"256" doc:"From the link that Berth printed at its first start"`
		Username string      `json:"username" minLength:"1" maxLength:"64"`
		Password secret.Text `json:"password" minLength:"1" maxLength:"1024"`
	}
}

func (a *API) useSetupLink(ctx context.Context, in *setupInput) (*entered, error) {
	token, s, err := a.identity.UseSetupLink(ctx, in.Body.Token, in.Body.Username, in.Body.Password, callerOf(ctx).origin)
	out, err := a.factors.Open(ctx, token, s, err)
	return a.enter(ctx, out, err)
}

type signInInput struct {
	Body struct {
		Username string      `json:"username" minLength:"1" maxLength:"64"`
		Password secret.Text `json:"password" minLength:"1" maxLength:"1024"`
	}
}

func (a *API) signIn(ctx context.Context, in *signInInput) (*entered, error) {
	out, err := a.factors.SignIn(ctx, in.Body.Username, in.Body.Password, callerOf(ctx).origin)
	return a.enter(ctx, out, err)
}

func (a *API) getSession(ctx context.Context, _ *struct{}) (*output[SessionInfo], error) {
	info := a.infoOf(callerOf(ctx).who())
	var err error
	if info.TakesPassword, err = a.identity.MayHavePassword(ctx, info.Person); err != nil {
		return nil, err
	}
	return answer(info), nil
}

type signedOut struct {
	Cookie http.Cookie `header:"Set-Cookie" hidden:"true"`
}

func (a *API) signOut(ctx context.Context, _ *struct{}) (*signedOut, error) {
	s := callerOf(ctx).who()
	if s.Via != identity.ViaSession {
		return nil, fault.Invalid("only a session can be signed out; remove an API token instead")
	}
	if err := a.identity.SignOut(ctx, s); err != nil {
		return nil, err
	}
	return &signedOut{Cookie: a.cookies.Clear(cookie.Session)}, nil
}
