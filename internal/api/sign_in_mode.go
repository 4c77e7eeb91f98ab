package api

import (
	"cmp"
	"context"
	"net/http"
	"net/url"

	"berth/internal/identity"
	"berth/internal/signin"
)

// SignInMode is how people sign in, and what comes of it now.
type SignInMode struct{ signin.Mode }

func (a *API) getSignInMode(ctx context.Context, _ *struct{}) (*output[SignInMode], error) {
	mode, err := a.signin.Mode(ctx)
	if err != nil {
		return nil, err
	}
	return answer(SignInMode{mode}), nil
}

type signInModeInput struct {
	Body struct {
		Passwords  identity.Passwords `json:"passwords" enum:"everybody,administrators" doc:"Whose passwords sign in"`
		StraightTo string             `json:"straight_to,omitempty" maxLength:"32" doc:"The provider to lead to without the sign-in page; the page when empty"`
		Version    int64              `json:"version" minimum:"0" doc:"The version that was seen; 409 when it has moved"`
		Force      bool               `json:"force,omitempty" doc:"Also where people have no way in left by it; 409 otherwise"`
	}
}

// setSignInMode is for who has just proved who they are: whoever takes over a
// session would have passwords taken again first.
func (a *API) setSignInMode(ctx context.Context, in *signInModeInput) (*output[SignInMode], error) {
	s, b := callerOf(ctx).who(), in.Body
	if err := a.provesAgain(ctx); err != nil {
		return nil, err
	}
	mode, err := a.signin.SetMode(ctx, s, identity.SignInMode{Passwords: b.Passwords, StraightTo: b.StraightTo, Version: b.Version}, b.Force)
	if err != nil {
		return nil, err
	}
	return answer(SignInMode{mode}), nil
}

type modeLeftOutInput struct {
	Passwords identity.Passwords `query:"passwords" enum:"everybody,administrators" required:"true" doc:"Whose passwords would sign in"`
}

func (a *API) getModeLeftOut(ctx context.Context, in *modeLeftOutInput) (*output[identity.LeftOut], error) {
	left, err := a.signin.ModeLeavesOut(ctx, in.Passwords)
	if err != nil {
		return nil, err
	}
	return answer(left), nil
}

// signInPath is the sign-in page.
const signInPath = "/sign-in"

// straight gives where the sign-in page leads without being shown: to the
// provider that the mode names. Whoever comes there for another reason than to
// go on to a page sees it, and gets in by it whatever becomes of the provider:
// who has signed out, whose session has ended, whom the provider sent back with
// a problem, who has to give a second factor, and who asks for it (?local=1).
func (a *API) straight(r *http.Request) (to string, err error) {
	if r.URL.Path != signInPath || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return "", nil
	}
	asked := r.URL.Query()
	for name := range asked {
		if name != "to" && name != "next" {
			return "", nil
		}
	}
	if _, halfway := a.cookies.Read(r.Header, attemptCookie); halfway || (signInEdge{a}).Subject(r) != nil {
		return "", nil
	}
	slug, err := a.signin.StraightTo(r.Context())
	if err != nil || slug == "" {
		return "", err
	}
	start := url.URL{Path: "/auth/" + slug + "/start", RawQuery: url.Values{"to": {signin.ReturnPath(cmp.Or(asked.Get("to"), asked.Get("next")))}}.Encode()}
	return start.String(), nil
}
