package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
)

const (
	// DeviceClient is the one client there is of the device authorization grant:
	// Berth's command line.
	DeviceClient = "berth"
	// GrantDevice is what that client asks for a token by (RFC 8628 section 3.4).
	GrantDevice = "urn:ietf:params:oauth:grant-type:device_code"

	// deviceMost bounds the bytes of its requests.
	deviceMost = 4 << 10
	// deviceTokenLives is how long a token is good at most that is asked for
	// without saying.
	deviceTokenLives = 90 * 24 * time.Hour
	// devicePage is where the person goes who was shown a code.
	devicePage = "device"
)

type deviceCodeInput struct {
	RawBody []byte `contentType:"application/x-www-form-urlencoded" doc:"client_id (berth) and scope, as RFC 8628 section 3.1 has them; machine, the name of the machine that asks, and lives, for how many seconds the token is to be good at most"`
}

// DeviceCode is where to go with which code, or why there is none: RFC 8628
// section 3.2, RFC 6749 section 5.2. No address holds the code: a link that
// does would need one click of whoever is sent it (RFC 8628 section 5.4).
type DeviceCode struct {
	DeviceCode      string `json:"device_code,omitempty" doc:"What the token is asked for with; secret"`
	UserCode        string `json:"user_code,omitempty" doc:"What the person types" example:"WDJB-MJHT"`
	VerificationURI string `json:"verification_uri,omitempty" doc:"Where the person types it"`
	ExpiresIn       int64  `json:"expires_in,omitempty" doc:"In seconds"`
	Interval        int64  `json:"interval,omitempty" doc:"Seconds between two polls, at least"`
	OAuthError
}

// OAuthError is why something was not given.
type OAuthError struct {
	Error       string `json:"error,omitempty" doc:"A code of RFC 6749 section 5.2 or RFC 8628 section 3.5"`
	Description string `json:"error_description,omitempty"`
}

type deviceCodeOutput struct {
	Status       int
	CacheControl string `header:"Cache-Control"`
	Body         DeviceCode
}

// askByDevice gives a command line a code, which somebody takes to the
// dashboard.
func (a *API) askByDevice(ctx context.Context, in *deviceCodeInput) (*deviceCodeOutput, error) {
	asked, wrong := readDeviceForm(in.RawBody)
	refused := func(e OAuthError) (*deviceCodeOutput, error) {
		return &deviceCodeOutput{Status: http.StatusBadRequest, CacheControl: noStore, Body: DeviceCode{OAuthError: e}}, nil
	}
	if wrong.Error != "" {
		return refused(wrong)
	}
	lives, err := strconv.ParseInt(cmp.Or(asked.Get("lives"), strconv.Itoa(int(deviceTokenLives/time.Second))), 10, 32)
	if err != nil {
		return refused(OAuthError{"invalid_request", "lives is a number of seconds"})
	}
	ask := identity.DeviceAsk{
		Machine: asked.Get("machine"), Scope: identity.Scope(cmp.Or(asked.Get("scope"), string(identity.ScopeAdmin))), Lives: time.Duration(lives) * time.Second,
	}
	codes, err := a.identity.AskByDevice(ask, callerOf(ctx).origin)
	if fault.KindOf(err) == fault.BadInput {
		return refused(OAuthError{cmp.Or(scopeError(err), "invalid_request"), fault.Message(err)})
	}
	if err != nil {
		return nil, err
	}
	return &deviceCodeOutput{Status: http.StatusOK, CacheControl: noStore, Body: DeviceCode{
		DeviceCode: codes.Device.Reveal(), UserCode: codes.Person.Reveal(), VerificationURI: a.baseURL.JoinPath(devicePage).String(),
		ExpiresIn: int64(codes.Lives / time.Second), Interval: int64(codes.Interval / time.Second),
	}}, nil
}

// scopeError is for a scope that there is not.
func scopeError(err error) string {
	f, _ := errors.AsType[*fault.Error](err)
	if f != nil && len(f.Fields) == 1 && f.Fields[0].Name == "scope" {
		return "invalid_scope"
	}
	return ""
}

// readDeviceForm reads what the command line sent.
func readDeviceForm(raw []byte) (url.Values, OAuthError) {
	form, err := url.ParseQuery(string(raw))
	switch {
	case err != nil || len(raw) > deviceMost:
		return nil, OAuthError{"invalid_request", "the body is no form"}
	case repeats(form):
		return nil, OAuthError{"invalid_request", "something is given twice"}
	case form.Get("client_id") != DeviceClient:
		return nil, OAuthError{"invalid_client", "client_id is " + DeviceClient}
	}
	return form, OAuthError{}
}

// repeats says whether a form has a parameter twice, but for those that may be:
// RFC 6749 section 3.2.
func repeats(form url.Values, may ...string) bool {
	for name, given := range form {
		if len(given) > 1 && !slices.Contains(may, name) {
			return true
		}
	}
	return false
}

type deviceTokenInput struct {
	RawBody []byte `contentType:"application/x-www-form-urlencoded" doc:"grant_type, device_code and client_id, as RFC 8628 section 3.4 has them"`
}

// DeviceToken is an API token for a command line, or how it stands: RFC 8628
// section 3.5.
type DeviceToken struct {
	AccessToken string         `json:"access_token,omitempty" doc:"The API token's text, given this once"`
	TokenType   string         `json:"token_type,omitempty" example:"Bearer"`
	ExpiresIn   int64          `json:"expires_in,omitempty" doc:"In seconds"`
	Scope       identity.Scope `json:"scope,omitempty"`
	TokenID     string         `json:"token_id,omitempty" doc:"By which it is removed"`
	Username    string         `json:"username,omitempty" doc:"Whose it is"`
	OAuthError
}

type deviceTokenOutput struct {
	Status       int
	CacheControl string `header:"Cache-Control"`
	Body         DeviceToken
}

// redeemDevice gives the command line its token, once somebody approved it.
func (a *API) redeemDevice(ctx context.Context, in *deviceTokenInput) (*deviceTokenOutput, error) {
	asked, wrong := readDeviceForm(in.RawBody)
	refused := func(e OAuthError) (*deviceTokenOutput, error) {
		return &deviceTokenOutput{Status: http.StatusBadRequest, CacheControl: noStore, Body: DeviceToken{OAuthError: e}}, nil
	}
	if wrong.Error != "" {
		return refused(wrong)
	}
	switch grant := asked.Get("grant_type"); {
	case grant == "" || asked.Get("device_code") == "":
		return refused(OAuthError{"invalid_request", "give grant_type and device_code"})
	case grant != GrantDevice:
		return refused(OAuthError{"unsupported_grant_type", "grant_type is " + GrantDevice})
	}
	text, token, person, err := a.identity.RedeemDevice(ctx, secret.New(asked.Get("device_code")))
	if code := deviceError(err); code != "" {
		return refused(OAuthError{code, err.Error()})
	}
	if kind := fault.KindOf(err); err != nil && (kind == fault.Clash || kind == fault.BadInput) {
		return refused(OAuthError{"invalid_grant", fault.Message(err)})
	}
	if err != nil {
		return nil, err
	}
	return &deviceTokenOutput{Status: http.StatusOK, CacheControl: noStore, Body: DeviceToken{
		AccessToken: text.Reveal(), TokenType: "Bearer", ExpiresIn: int64(token.ExpiresAt.Sub(a.clock()).Seconds()),
		Scope: token.Scope, TokenID: token.ID, Username: person.Username,
	}}, nil
}

func deviceError(err error) string {
	switch {
	case errors.Is(err, identity.ErrDevicePending):
		return "authorization_pending"
	case errors.Is(err, identity.ErrDeviceSlowDown):
		return "slow_down"
	case errors.Is(err, identity.ErrDeviceDenied):
		return "access_denied"
	case errors.Is(err, identity.ErrDeviceExpired):
		return "expired_token"
	}
	return ""
}

// DeviceAsking is who waits with a code.
type DeviceAsking struct {
	identity.DeviceRequest
	SameNetwork bool `json:"same_network" doc:"Whether it asks from where this request comes from"`
}

type deviceInput struct {
	Body struct {
		Code secret.Text `json:"code" minLength:"1" maxLength:"64" doc:"That the command line showed" example:"WDJB-MJHT"`
	}
}

func (a *API) getDevice(ctx context.Context, in *deviceInput) (*output[DeviceAsking], error) {
	c := callerOf(ctx)
	one, err := a.identity.DeviceRequest(c.who(), in.Body.Code)
	if err != nil {
		return nil, err
	}
	from := identity.Origin{Address: one.Address}
	return answer(DeviceAsking{DeviceRequest: one, SameNetwork: from.Network() == c.origin.Network()}), nil
}

type approveDeviceInput struct {
	Body struct {
		Code  secret.Text    `json:"code" minLength:"1" maxLength:"64"`
		Scope identity.Scope `json:"scope" doc:"No wider than it asked for"`
		Lives int64          `json:"lives" minimum:"60" maximum:"31622400" doc:"For how many seconds the token is good; no longer than it asked for"`
	}
}

func (a *API) approveDevice(ctx context.Context, in *approveDeviceInput) (*struct{}, error) {
	if err := a.provesAgain(ctx); err != nil {
		return nil, err
	}
	b := in.Body
	return nil, a.identity.ApproveDevice(ctx, callerOf(ctx).who(), b.Code, b.Scope, time.Duration(b.Lives)*time.Second)
}

func (a *API) denyDevice(ctx context.Context, in *deviceInput) (*struct{}, error) {
	return nil, a.identity.DenyDevice(ctx, callerOf(ctx).who(), in.Body.Code)
}
