package api

import (
	"context"
	"time"

	"berth/internal/factor"
	"berth/internal/identity"
	"berth/internal/secret"
)

type changePasswordInput struct {
	Body struct {
		Old secret.Text `json:"old" minLength:"1" maxLength:"1024"`
		New secret.Text `json:"new" minLength:"1" maxLength:"1024"`
	}
}

func (a *API) changePassword(ctx context.Context, in *changePasswordInput) (*struct{}, error) {
	s := callerOf(ctx).who()
	return nil, a.identity.ChangePassword(ctx, s, in.Body.Old, in.Body.New)
}

type addPasswordInput struct {
	Body struct {
		New    secret.Text     `json:"new" minLength:"1" maxLength:"1024"`
		Method identity.Method `json:"method,omitempty" enum:"totp,recovery" doc:"Of the code"`
		Code   secret.Text     `json:"code,omitzero" maxLength:"64" doc:"With an API token, of those who have a second factor: from the app, or for recovery"`
	}
}

func (a *API) addPassword(ctx context.Context, in *addPasswordInput) (*struct{}, error) {
	c := callerOf(ctx)
	return nil, a.factors.AddPassword(ctx, c.who(), factor.Proof{Method: in.Body.Method, Code: in.Body.Code}, in.Body.New, c.origin)
}

type removePasswordInput struct {
	Body struct {
		Method   identity.Method `json:"method,omitempty" enum:"totp,recovery" doc:"Of the code"`
		Code     secret.Text     `json:"code,omitzero" maxLength:"64" doc:"With an API token, of those who have a second factor: from the app, or for recovery"`
		Password secret.Text     `json:"password,omitzero" maxLength:"1024" doc:"With an API token, of those who have none: the one to remove"`
	}
}

func (a *API) removePassword(ctx context.Context, in *removePasswordInput) (*struct{}, error) {
	c, b := callerOf(ctx), in.Body
	return nil, a.factors.RemovePassword(ctx, c.who(), factor.Proof{Method: b.Method, Code: b.Code, Password: b.Password}, c.origin)
}

// Session is a session as its person sees it.
type Session struct {
	identity.Session
	Current bool `json:"current" doc:"Whether this request came with it"`
}

// sessionsOf lists a person's sessions; current is the caller's own.
func (a *API) sessionsOf(ctx context.Context, personID, current string) (*listOutput[Session], error) {
	found, err := a.identity.Sessions(ctx, personID)
	if err != nil {
		return nil, err
	}
	sessions := make([]Session, len(found))
	for i, s := range found {
		sessions[i] = Session{Session: s, Current: s.ID == current}
	}
	return list(sessions, ""), nil
}

func (a *API) listSessions(ctx context.Context, _ *struct{}) (*listOutput[Session], error) {
	s := callerOf(ctx).who()
	return a.sessionsOf(ctx, s.Person.ID, s.SessionID)
}

type idInput struct {
	ID string `path:"id" maxLength:"64"`
}

func (a *API) endSession(ctx context.Context, in *idInput) (*struct{}, error) {
	s := callerOf(ctx).who()
	return nil, a.identity.EndSession(ctx, s, s.Person.ID, in.ID)
}

// Ended counts sessions.
type Ended struct {
	Ended int `json:"ended"`
}

func (a *API) endOtherSessions(ctx context.Context, _ *struct{}) (*output[Ended], error) {
	ended, err := a.identity.EndOtherSessions(ctx, callerOf(ctx).who())
	if err != nil {
		return nil, err
	}
	return answer(Ended{Ended: ended}), nil
}

func (a *API) listTokens(ctx context.Context, _ *struct{}) (*listOutput[identity.Token], error) {
	s := callerOf(ctx).who()
	found, err := a.identity.Tokens(ctx, s.Person.ID)
	if err != nil {
		return nil, err
	}
	return list(found, ""), nil
}

type createTokenInput struct {
	Body struct {
		Name      string           `json:"name" minLength:"1" maxLength:"64"`
		Scope     identity.Scope   `json:"scope"`
		Bounds    *identity.Bounds `json:"bounds,omitempty" doc:"Hold the token to one project, or one stage of it; its scope is read or deploy then"`
		ExpiresAt time.Time        `json:"expires_at,omitzero" doc:"Never, when absent"`
	}
}

// NewToken is an API token with its text, which is shown this once.
type NewToken struct {
	Secret string         `json:"secret" doc:"The token's text, never to be seen again" example:"berth_…"`
	Token  identity.Token `json:"token"`
}

func (a *API) createToken(ctx context.Context, in *createTokenInput) (*output[NewToken], error) {
	if err := a.provesAgain(ctx); err != nil {
		return nil, err // a token outlives the session, and proves nothing again
	}
	s := callerOf(ctx).who()
	text, token, err := a.identity.CreateBoundToken(ctx, s, in.Body.Bounds, in.Body.Name, in.Body.Scope, in.Body.ExpiresAt)
	if err != nil {
		return nil, err
	}
	return answer(NewToken{Secret: text.Reveal(), Token: token}), nil
}

func (a *API) removeToken(ctx context.Context, in *idInput) (*struct{}, error) {
	s := callerOf(ctx).who()
	return nil, a.identity.RemoveToken(ctx, s, s.Person.ID, in.ID)
}
