package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"berth/internal/cookie"
	"berth/internal/factor"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/signin"
)

// Entry is what came of a sign-in or of one step of it: who is signed in, or
// what else is needed.
type Entry struct {
	Person *identity.Person `json:"person,omitempty" doc:"Who is signed in; absent while more is needed"`
	Via    identity.Via     `json:"via,omitempty"`
	factor.Waiting
	RecoveryCodes []string `json:"recovery_codes,omitempty" doc:"Made with a first factor, and shown this once"`
	OfferPasskey  bool     `json:"offer_passkey,omitempty" doc:"Whether to offer to set up a passkey: there is no second factor, and it was not declined"`
}

// entered answers with cookies and what came of it.
type entered struct {
	Cookies []http.Cookie `header:"Set-Cookie" hidden:"true"`
	Body    Entry
}

// enter hands the browser what an outcome gave it.
func (a *API) enter(ctx context.Context, out factor.Outcome, err error) (*entered, error) {
	if err != nil {
		return nil, err
	}
	if !out.Attempt.Empty() {
		return &entered{Cookies: []http.Cookie{a.cookies.Set(attemptCookie, out.Attempt.Reveal(), 15*time.Minute)}, Body: Entry{Waiting: out.Waiting}}, nil
	}
	e := &entered{Body: Entry{Person: &out.Subject.Person, Via: out.Subject.Via, RecoveryCodes: out.Codes}}
	e.Cookies = []http.Cookie{a.cookies.Set(cookie.Session, out.Session.Reveal(), 0)}
	if c := callerOf(ctx); !c.attempt.Empty() {
		e.Cookies = append(e.Cookies, a.cookies.Clear(attemptCookie))
	}
	if c := callerOf(ctx); !c.question.Empty() {
		e.Cookies = append(e.Cookies, a.cookies.Clear(questionCookie))
	}
	e.Body.OfferPasskey, err = a.factors.Offer(ctx, out.Subject)
	return e, err
}

// question asks a passkey: with a cookie that binds the answer to the browser.
type question struct {
	Cookie http.Cookie `header:"Set-Cookie" hidden:"true"`
	Body   struct {
		Options json.RawMessage `json:"options" doc:"What navigator.credentials takes, with its bytes in base64url (WebAuthn, section 5.1.8)"`
	}
}

func (a *API) ask(q factor.Question, err error) (*question, error) {
	if err != nil {
		return nil, err
	}
	asked := &question{Cookie: a.cookies.Set(questionCookie, q.Challenge.Reveal(), 5*time.Minute)}
	asked.Body.Options = q.Options
	return asked, nil
}

// attempt gives the sign-in that the browser is in the midst of.
func attempt(ctx context.Context) (secret.Text, error) {
	token := callerOf(ctx).attempt
	if token.Empty() {
		return secret.Text{}, fault.NotFound("there is no sign-in under way: begin with the username and the password")
	}
	return token, nil
}

type answerInput struct {
	Body struct {
		Credential json.RawMessage `json:"credential" doc:"What navigator.credentials gave, as its toJSON has it"`
	}
}

func (a *API) askPasskey(ctx context.Context, _ *struct{}) (*question, error) {
	return a.ask(a.factors.AskPasskey(ctx))
}

func (a *API) signInByPasskey(ctx context.Context, in *answerInput) (*entered, error) {
	c := callerOf(ctx)
	out, err := a.factors.SignInByPasskey(ctx, c.question, in.Body.Credential, c.origin)
	return a.enter(ctx, out, err)
}

func (a *API) getAttempt(ctx context.Context, _ *struct{}) (*output[factor.Waiting], error) {
	token, err := attempt(ctx)
	if err != nil {
		return nil, err
	}
	waiting, err := a.factors.Attempt(ctx, token)
	if err != nil {
		return nil, err
	}
	return answer(waiting), nil
}

func (a *API) endAttempt(ctx context.Context, _ *struct{}) (*signedOut, error) {
	token, err := attempt(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.factors.GiveUp(ctx, token); err != nil {
		return nil, err
	}
	return &signedOut{Cookie: a.cookies.Clear(attemptCookie)}, nil
}

type secondFactorInput struct {
	Body struct {
		Method     identity.Method `json:"method" enum:"passkey,totp,recovery"`
		Code       secret.Text     `json:"code,omitzero" maxLength:"64" doc:"From the app, or for recovery"`
		Credential json.RawMessage `json:"credential,omitempty" doc:"Of a passkey: what navigator.credentials gave"`
	}
}

func (a *API) secondFactor(ctx context.Context, in *secondFactorInput) (*entered, error) {
	token, err := attempt(ctx)
	if err != nil {
		return nil, err
	}
	c := callerOf(ctx)
	var out factor.Outcome
	if in.Body.Method == identity.MethodPasskey {
		out, err = a.factors.SecondPasskey(ctx, token, c.question, in.Body.Credential, c.origin)
	} else {
		out, err = a.factors.SecondFactor(ctx, token, in.Body.Method, in.Body.Code.Reveal(), c.origin)
	}
	return a.enter(ctx, out, err)
}

func (a *API) askSecondPasskey(ctx context.Context, _ *struct{}) (*question, error) {
	token, err := attempt(ctx)
	if err != nil {
		return nil, err
	}
	return a.ask(a.factors.AskSecondPasskey(ctx, token))
}

func (a *API) setUpPasskey(ctx context.Context, _ *struct{}) (*question, error) {
	token, err := attempt(ctx)
	if err != nil {
		return nil, err
	}
	return a.ask(a.factors.SetUpPasskey(ctx, token))
}

type newPasskeyInput struct {
	Body struct {
		Name       string          `json:"name" minLength:"1" maxLength:"64" doc:"To know it by later, such as the device it is on"`
		Credential json.RawMessage `json:"credential" doc:"What navigator.credentials gave, as its toJSON has it"`
	}
}

func (a *API) finishWithPasskey(ctx context.Context, in *newPasskeyInput) (*entered, error) {
	token, err := attempt(ctx)
	if err != nil {
		return nil, err
	}
	c := callerOf(ctx)
	out, err := a.factors.FinishWithPasskey(ctx, token, in.Body.Name, c.question, in.Body.Credential, c.origin)
	return a.enter(ctx, out, err)
}

func (a *API) setUpTOTP(ctx context.Context, _ *struct{}) (*output[factor.Enrolment], error) {
	token, err := attempt(ctx)
	if err != nil {
		return nil, err
	}
	made, err := a.factors.SetUpTOTP(ctx, token)
	if err != nil {
		return nil, err
	}
	return answer(made), nil
}

type codeInput struct {
	Body struct {
		Code secret.Text `json:"code" minLength:"1" maxLength:"64" doc:"What the app shows now"`
	}
}

func (a *API) finishWithTOTP(ctx context.Context, in *codeInput) (*entered, error) {
	token, err := attempt(ctx)
	if err != nil {
		return nil, err
	}
	out, err := a.factors.FinishWithTOTP(ctx, token, in.Body.Code.Reveal(), callerOf(ctx).origin)
	return a.enter(ctx, out, err)
}

// StepUp is how somebody can prove again who they are.
type StepUp struct {
	Methods []identity.Method `json:"methods" doc:"One of these is enough; none where they only sign in at a provider"`
	// Providers are where they can be sent to.
	Providers []signin.StepUpAt `json:"providers" doc:"Where they can prove it instead: go to /auth/{slug}/start?step_up=sign_in&to=/…"`
	// WayIn keeps who has none from signing out in the hope of a fresh sign-in.
	WayIn bool `json:"way_in" doc:"Whether they could sign in again: with a password that the sign-in mode takes, by a passkey, or at a provider that is switched on"`
}

func (a *API) getStepUp(ctx context.Context, _ *struct{}) (*output[StepUp], error) {
	methods, err := a.factors.StepUpMethods(ctx, callerOf(ctx).who())
	if err != nil {
		return nil, err
	}
	at, err := a.signin.StepUps(ctx, callerOf(ctx).who())
	if err != nil {
		return nil, err
	}
	can, err := a.identity.CanSignIn(ctx, callerOf(ctx).who().Person.ID)
	if err != nil {
		return nil, err
	}
	return answer(StepUp{Methods: methods, Providers: at, WayIn: can}), nil
}

type stepUpInput struct {
	Body struct {
		Method     identity.Method `json:"method" enum:"password,passkey,totp,recovery"`
		Password   secret.Text     `json:"password,omitzero" maxLength:"1024" doc:"Of those who have no second factor"`
		Code       secret.Text     `json:"code,omitzero" maxLength:"64" doc:"From the app, or for recovery"`
		Credential json.RawMessage `json:"credential,omitempty" doc:"Of a passkey: what navigator.credentials gave"`
	}
}

func (a *API) stepUp(ctx context.Context, in *stepUpInput) (*entered, error) {
	c := callerOf(ctx)
	var out factor.Outcome
	var err error
	if in.Body.Method == identity.MethodPasskey {
		out, err = a.factors.StepUpByPasskey(ctx, c.who(), c.question, in.Body.Credential, c.origin)
	} else {
		given := in.Body.Code
		if in.Body.Method == identity.MethodPassword {
			given = in.Body.Password
		}
		out, err = a.factors.StepUp(ctx, c.who(), in.Body.Method, given, c.origin)
	}
	return a.enter(ctx, out, err)
}

func (a *API) askStepUp(ctx context.Context, _ *struct{}) (*question, error) {
	return a.ask(a.factors.AskStepUp(ctx, callerOf(ctx).who()))
}

func (a *API) getFactors(ctx context.Context, _ *struct{}) (*output[factor.Factors], error) {
	return a.factorsOf(ctx, callerOf(ctx).who().Person.ID)
}

func (a *API) factorsOf(ctx context.Context, personID string) (*output[factor.Factors], error) {
	has, err := a.factors.Of(ctx, personID)
	if err != nil {
		return nil, err
	}
	return answer(has), nil
}

func (a *API) dismissFactorReset(ctx context.Context, _ *struct{}) (*struct{}, error) {
	return nil, a.factors.Dismiss(ctx, callerOf(ctx).who())
}

func (a *API) declinePasskey(ctx context.Context, _ *struct{}) (*struct{}, error) {
	return nil, a.factors.Decline(ctx, callerOf(ctx).who())
}

func (a *API) askNewPasskey(ctx context.Context, _ *struct{}) (*question, error) {
	return a.ask(a.factors.AskNewPasskey(ctx, callerOf(ctx).who()))
}

func (a *API) addPasskey(ctx context.Context, in *newPasskeyInput) (*entered, error) {
	c := callerOf(ctx)
	_, out, err := a.factors.AddPasskey(ctx, c.who(), in.Body.Name, c.question, in.Body.Credential)
	return a.enter(ctx, out, err)
}

type renamePasskeyInput struct {
	ID   string `path:"id" maxLength:"64"`
	Body struct {
		Name string `json:"name" minLength:"1" maxLength:"64"`
	}
}

func (a *API) renamePasskey(ctx context.Context, in *renamePasskeyInput) (*output[factor.Passkey], error) {
	key, err := a.factors.RenamePasskey(ctx, callerOf(ctx).who(), in.ID, in.Body.Name)
	if err != nil {
		return nil, err
	}
	return answer(key), nil
}

func (a *API) removePasskey(ctx context.Context, in *idInput) (*struct{}, error) {
	return nil, a.factors.RemovePasskey(ctx, callerOf(ctx).who(), in.ID)
}

func (a *API) askTOTP(ctx context.Context, _ *struct{}) (*output[factor.Enrolment], error) {
	made, err := a.factors.AskTOTP(ctx, callerOf(ctx).who())
	if err != nil {
		return nil, err
	}
	return answer(made), nil
}

func (a *API) addTOTP(ctx context.Context, in *codeInput) (*entered, error) {
	out, err := a.factors.AddTOTP(ctx, callerOf(ctx).who(), in.Body.Code.Reveal())
	return a.enter(ctx, out, err)
}

func (a *API) removeTOTP(ctx context.Context, _ *struct{}) (*struct{}, error) {
	return nil, a.factors.RemoveTOTP(ctx, callerOf(ctx).who())
}

// Codes are recovery codes.
type Codes struct {
	Codes []string `json:"codes" doc:"Each counts once; never to be seen again"`
}

func (a *API) newRecoveryCodes(ctx context.Context, _ *struct{}) (*output[Codes], error) {
	codes, err := a.factors.NewCodes(ctx, callerOf(ctx).who())
	if err != nil {
		return nil, err
	}
	return answer(Codes{Codes: codes}), nil
}

func (a *API) getPersonFactors(ctx context.Context, in *personInput) (*output[factor.Factors], error) {
	p, err := a.identity.Person(ctx, in.Username)
	if err != nil {
		return nil, err
	}
	return a.factorsOf(ctx, p.ID)
}

func (a *API) resetPersonFactors(ctx context.Context, in *personInput) (*struct{}, error) {
	p, err := a.identity.Person(ctx, in.Username)
	if err != nil {
		return nil, err
	}
	if err := a.provesAgainOf(ctx, p); err != nil {
		return nil, err
	}
	return nil, a.factors.ResetAll(ctx, callerOf(ctx).actor(), in.Username)
}
