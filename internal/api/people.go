package api

import (
	"context"

	"berth/internal/identity"
	"berth/internal/secret"
)

func (a *API) listPeople(ctx context.Context, in *Page) (*listOutput[identity.Person], error) {
	found, next, err := a.identity.People(ctx, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	return list(found, next), nil
}

type createPersonInput struct {
	Body struct {
		Username    string        `json:"username" minLength:"1" maxLength:"64"`
		DisplayName string        `json:"display_name,omitempty" maxLength:"128"`
		Email       string        `json:"email,omitempty" maxLength:"254"`
		Role        identity.Role `json:"role"`
		Password    secret.Text   `json:"password" minLength:"1" maxLength:"1024"`
	}
}

// provesAgain asks who makes or names an administrator, sets the password or
// removes the factors of one, says by which provider people come, or reads a
// secret, by a session to have just proved who they are: whoever takes over a
// session would stay one of them, and change by another account what takes a
// fresh proof.
func (a *API) provesAgain(ctx context.Context) error {
	s := callerOf(ctx).who()
	if s.Via != identity.ViaSession {
		return nil
	}
	return a.factors.Fresh(s)
}

// provesAgainOf is provesAgain for who changes how an administrator comes in.
func (a *API) provesAgainOf(ctx context.Context, p identity.Person) error {
	if p.Role != identity.RoleAdministrator && p.GivenRole != identity.RoleAdministrator {
		return nil
	}
	return a.provesAgain(ctx)
}

func (a *API) createPerson(ctx context.Context, in *createPersonInput) (*output[PersonDetail], error) {
	if in.Body.Role == identity.RoleAdministrator {
		if err := a.provesAgain(ctx); err != nil {
			return nil, err
		}
	}
	p, err := a.identity.CreatePerson(ctx, callerOf(ctx).actor(), identity.Person{
		Username: in.Body.Username, DisplayName: in.Body.DisplayName, Email: in.Body.Email, Role: in.Body.Role,
	}, in.Body.Password)
	if err != nil {
		return nil, err
	}
	return a.detailOf(ctx, p)
}

type personInput struct {
	Username string `path:"username" maxLength:"64"`
}

// PersonDetail is a person with whether they can sign in.
type PersonDetail struct {
	identity.Person
	WayIn bool `json:"way_in" doc:"Whether they can sign in, were they not disabled: with a password that the sign-in mode takes, by a passkey, or at a provider that is switched on"`

	// PasswordRefused is for whoever would set them one to hand over.
	PasswordRefused bool `json:"password_refused,omitempty" doc:"Whether the sign-in mode takes no password of theirs"`
}

func (a *API) getPerson(ctx context.Context, in *personInput) (*output[PersonDetail], error) {
	p, err := a.identity.Person(ctx, in.Username)
	if err != nil {
		return nil, err
	}
	return a.detailOf(ctx, p)
}

func (a *API) detailOf(ctx context.Context, p identity.Person) (*output[PersonDetail], error) {
	can, err := a.identity.CanSignIn(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	takes, err := a.identity.MayHavePassword(ctx, p)
	if err != nil {
		return nil, err
	}
	return answer(PersonDetail{Person: p, WayIn: can, PasswordRefused: !takes}), nil
}

type updatePersonInput struct {
	Username string `path:"username" maxLength:"64"`
	Body     struct {
		Version      int64          `json:"version" doc:"The version that was seen; 409 when it has moved"`
		DisplayName  *string        `json:"display_name,omitempty" maxLength:"128"`
		Email        *string        `json:"email,omitempty" maxLength:"254" doc:"Another one is given here: apps are told it. An empty one leaves it to the person's provider"`
		ConfirmEmail bool           `json:"confirm_email,omitempty" doc:"The address that there is counts as given here, whatever their provider says of it"`
		Role         *identity.Role `json:"role,omitempty"`
		Disabled     *bool          `json:"disabled,omitempty"`
		Force        bool           `json:"force,omitempty" doc:"Also where they have no way in left by another role; 409 without it"`
	}
}

func (a *API) updatePerson(ctx context.Context, in *updatePersonInput) (*output[identity.Person], error) {
	if role := in.Body.Role; role != nil && *role == identity.RoleAdministrator {
		if err := a.provesAgain(ctx); err != nil {
			return nil, err
		}
	}
	p, err := a.identity.UpdatePerson(ctx, callerOf(ctx).actor(), in.Username, in.Body.Version, identity.PersonEdit{
		DisplayName: in.Body.DisplayName, Email: in.Body.Email, ConfirmEmail: in.Body.ConfirmEmail, Role: in.Body.Role, Disabled: in.Body.Disabled, Force: in.Body.Force,
	})
	if err != nil {
		return nil, err
	}
	return answer(p), nil
}

func (a *API) removePerson(ctx context.Context, in *personInput) (*struct{}, error) {
	return nil, a.identity.RemovePerson(ctx, callerOf(ctx).actor(), in.Username)
}

type setPasswordInput struct {
	Username string `path:"username" maxLength:"64"`
	Body     struct {
		Password secret.Text `json:"password" minLength:"1" maxLength:"1024"`
	}
}

func (a *API) setPassword(ctx context.Context, in *setPasswordInput) (*struct{}, error) {
	p, err := a.identity.Person(ctx, in.Username)
	if err != nil {
		return nil, err
	}
	if err := a.provesAgainOf(ctx, p); err != nil {
		return nil, err
	}
	return nil, a.identity.SetPassword(ctx, callerOf(ctx).actor(), in.Username, in.Body.Password)
}

func (a *API) listPersonSessions(ctx context.Context, in *personInput) (*listOutput[Session], error) {
	p, err := a.identity.Person(ctx, in.Username)
	if err != nil {
		return nil, err
	}
	return a.sessionsOf(ctx, p.ID, callerOf(ctx).who().SessionID)
}

// SignedOut is what became of somebody's sessions, and what did not end.
type SignedOut struct {
	Ended  int `json:"ended" doc:"How many sessions that were"`
	Tokens int `json:"tokens" doc:"How many of their API tokens stay: those that have not expired"`
}

func (a *API) endPersonSessions(ctx context.Context, in *personInput) (*output[SignedOut], error) {
	p, err := a.identity.Person(ctx, in.Username)
	if err != nil {
		return nil, err
	}
	ended, tokens, err := a.identity.SignOutEverywhere(ctx, callerOf(ctx).who(), p.ID)
	if err != nil {
		return nil, err
	}
	return answer(SignedOut{Ended: ended, Tokens: tokens}), nil
}

type personSessionInput struct {
	Username string `path:"username" maxLength:"64"`
	ID       string `path:"id" maxLength:"64"`
}

func (a *API) endPersonSession(ctx context.Context, in *personSessionInput) (*struct{}, error) {
	p, err := a.identity.Person(ctx, in.Username)
	if err != nil {
		return nil, err
	}
	return nil, a.identity.EndSession(ctx, callerOf(ctx).who(), p.ID, in.ID)
}

func (a *API) listPersonTokens(ctx context.Context, in *personInput) (*listOutput[identity.Token], error) {
	p, err := a.identity.Person(ctx, in.Username)
	if err != nil {
		return nil, err
	}
	found, err := a.identity.Tokens(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	return list(found, ""), nil
}

type personTokenInput struct {
	Username string `path:"username" maxLength:"64"`
	ID       string `path:"id" maxLength:"64"`
}

func (a *API) removePersonToken(ctx context.Context, in *personTokenInput) (*struct{}, error) {
	p, err := a.identity.Person(ctx, in.Username)
	if err != nil {
		return nil, err
	}
	return nil, a.identity.RemoveToken(ctx, callerOf(ctx).who(), p.ID, in.ID)
}
