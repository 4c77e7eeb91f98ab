package api_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"
	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/factor"
	"berth/internal/identity"
	"berth/internal/sqlite"
)

// browser keeps the cookies of one person's browser.
type browser struct {
	s       *server
	cookies map[string]*http.Cookie
}

func (s *server) browser() *browser { return &browser{s: s, cookies: map[string]*http.Cookie{}} }

func (b *browser) do(t *testing.T, method, path, body string) reply {
	t.Helper()
	got := b.s.do(nobody, method, path, body, func(r *http.Request) {
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		for _, c := range b.cookies {
			r.AddCookie(c)
		}
	})
	for _, c := range got.Cookies() {
		require.True(t, c.HttpOnly, c.Name)
		if b.cookies[c.Name] = c; c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	return got
}

// must is do for what has to go well.
func (b *browser) must(t *testing.T, method, path, body string, into any) {
	t.Helper()
	got := b.do(t, method, path, body)
	require.Less(t, got.StatusCode, 300, "%s %s: %s", method, path, got.body)
	if into != nil {
		got.decode(t, into)
	}
}

// signIn signs bo in.
func (b *browser) signIn(t *testing.T) (came api.Entry) {
	t.Helper()
	b.must(t, "POST", "/api/session", `{"username":"bo","password":"`+password+`"}`, &came)
	return came
}

// app adds an app that makes codes, and gives its secret and what came of it.
func (b *browser) app(t *testing.T) (secret string, came api.Entry) {
	t.Helper()
	var made factor.Enrolment
	b.must(t, "POST", "/api/account/totp", "", &made)
	code, err := totp.GenerateCode(made.Secret, time.Now())
	require.NoError(t, err)
	b.must(t, "POST", "/api/account/totp/confirm", `{"code":"`+code+`"}`, &came)
	return made.Secret, came
}

// nextCode gives a code that was not used yet: of the step to come.
func nextCode(t *testing.T, secret string) string {
	t.Helper()
	code, err := totp.GenerateCode(secret, time.Now().Add(30*time.Second))
	require.NoError(t, err)
	return code
}

func TestSignIn_BySecondFactor(t *testing.T) {
	s := newServer(t)
	b := s.browser()
	require.True(t, b.signIn(t).OfferPasskey)
	before := b.cookies["berth"].Value
	secret, came := b.app(t)
	require.Len(t, came.RecoveryCodes, 10)
	require.NotEqual(t, before, b.cookies["berth"].Value, "the session has a new token")

	other := s.browser()
	came = other.signIn(t)
	require.Nil(t, came.Person)
	require.Equal(t, []identity.Method{identity.MethodTOTP, identity.MethodRecovery}, came.SecondFactor)
	require.NotContains(t, other.cookies, "berth")
	// Half a sign-in opens nothing but its second half, also in the place of a session.
	require.Equal(t, http.StatusUnauthorized, other.do(t, "GET", "/api/session", "").StatusCode)
	other.cookies["berth"] = &http.Cookie{Name: "berth", Value: other.cookies["berth-attempt"].Value}
	require.Equal(t, http.StatusUnauthorized, other.do(t, "GET", "/api/projects", "").StatusCode)
	delete(other.cookies, "berth")
	require.Contains(t, other.do(t, "GET", "/api/session/second-factor", "").body, `"second_factor":["totp","recovery"]`)
	require.Equal(t, http.StatusUnauthorized, other.do(t, "POST", "/api/session/second-factor", `{"method":"totp","code":"000000"}`).StatusCode)

	other.must(t, "POST", "/api/session/second-factor", `{"method":"totp","code":"`+nextCode(t, secret)+`"}`, &came)
	require.Equal(t, "bo", came.Person.Username)
	require.NotContains(t, other.cookies, "berth-attempt")
	require.Contains(t, other.do(t, "GET", "/api/session", "").body, `"methods":["password","totp"]`)
	require.Equal(t, http.StatusNotFound, other.do(t, "GET", "/api/session/second-factor", "").StatusCode)
}

func TestSignIn_ByPasskeyIsBoundToTheBrowserThatAsked(t *testing.T) {
	s := newServer(t)
	b := s.browser()
	b.signIn(t)
	bo, err := s.identity.Person(t.Context(), "bo")
	require.NoError(t, err)
	party := virtualwebauthn.RelyingParty{ID: "localhost", Name: "Berth", Origin: "http://localhost:8080"}
	device := virtualwebauthn.NewAuthenticatorWithOptions(virtualwebauthn.AuthenticatorOptions{UserHandle: []byte(bo.ID)})
	key := newPasskeyKey()

	options := func(asked reply) string {
		var q struct {
			Options json.RawMessage `json:"options"`
		}
		asked.decode(t, &q)
		return string(q.Options)
	}
	create, err := virtualwebauthn.ParseAttestationOptions(options(b.do(t, "POST", "/api/account/passkeys/question", "")))
	require.NoError(t, err)
	b.must(t, "POST", "/api/account/passkeys", `{"name":"phone","credential":`+virtualwebauthn.CreateAttestationResponse(party, device, key, *create)+`}`, nil)
	require.Contains(t, b.do(t, "GET", "/api/account/factors", "").body, `"name":"phone"`)

	answerTo := func(asked reply) string {
		get, err := virtualwebauthn.ParseAssertionOptions(options(asked))
		require.NoError(t, err)
		return `{"credential":` + virtualwebauthn.CreateAssertionResponse(party, device, key, *get) + `}`
	}
	mine, theirs := s.browser(), s.browser()
	answer := answerTo(mine.do(t, "POST", "/api/session/passkey/question", ""))
	require.Equal(t, http.StatusUnauthorized, theirs.do(t, "POST", "/api/session/passkey", answer).StatusCode, "no question was asked there")
	answerTo(theirs.do(t, "POST", "/api/session/passkey/question", ""))
	require.Equal(t, http.StatusUnauthorized, theirs.do(t, "POST", "/api/session/passkey", answer).StatusCode, "another one was")
	var came api.Entry
	mine.must(t, "POST", "/api/session/passkey", answer, &came)
	require.Equal(t, "bo", came.Person.Username)
	require.Contains(t, mine.do(t, "GET", "/api/session", "").body, `"passkey_at"`)
}

func TestStepUp_GivesANewTokenAndTheOldOneIsDead(t *testing.T) {
	s := newServer(t)
	b := s.browser()
	b.signIn(t)
	require.Contains(t, b.do(t, "GET", "/api/session/step-up", "").body, `"methods":["password"]`)
	old := b.cookies["berth"]
	require.Equal(t, http.StatusUnprocessableEntity, b.do(t, "POST", "/api/session/step-up", `{"method":"password","password":"wrong password"}`).StatusCode)
	b.must(t, "POST", "/api/session/step-up", `{"method":"password","password":"`+password+`"}`, nil)
	require.Equal(t, http.StatusOK, b.do(t, "GET", "/api/session", "").StatusCode)
	stolen := s.browser()
	stolen.cookies["berth"] = old
	require.Equal(t, http.StatusUnauthorized, stolen.do(t, "GET", "/api/session", "").StatusCode)
}

func TestFactors_AreChangedAfterAFreshProofAlone(t *testing.T) {
	s := newServer(t)
	b := s.browser()
	b.signIn(t)
	_, came := b.app(t)
	// Ten minutes ago, in what is read with the next request.
	require.NoError(t, s.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(t.Context(), "UPDATE sessions SET authenticated_at = authenticated_at - 600000")
		return err
	}))
	got := b.do(t, "DELETE", "/api/account/totp", "")
	require.Equal(t, http.StatusForbidden, got.StatusCode)
	require.Contains(t, got.body, `"code":"step_up"`)
	b.must(t, "POST", "/api/session/step-up", `{"method":"recovery","code":"`+came.RecoveryCodes[0]+`"}`, nil)
	b.must(t, "DELETE", "/api/account/totp", "", nil)
}

func TestResetFactors_IsForAdministratorsAndIsTold(t *testing.T) {
	s := newServer(t)
	b := s.browser()
	b.signIn(t)
	b.app(t)
	require.Contains(t, s.do(admin, "GET", "/api/people/bo", "").body, `"second_factor":true`)
	require.Contains(t, s.do(admin, "GET", "/api/people/bo/factors", "").body, `"totp":{`)
	require.Equal(t, http.StatusNoContent, s.do(admin, "DELETE", "/api/people/bo/factors", "").StatusCode)
	require.Equal(t, http.StatusUnauthorized, b.do(t, "GET", "/api/session", "").StatusCode)
	require.NotNil(t, b.signIn(t).Person)
	require.Contains(t, b.do(t, "GET", "/api/account/factors", "").body, `"reset":{"by":"ana"`)
	b.must(t, "DELETE", "/api/account/factors/reset", "", nil)
	require.NotContains(t, b.do(t, "GET", "/api/account/factors", "").body, `"reset"`)
}

// Whoever takes over a session would take the second factor of an administrator
// whose password they have.
func TestResetFactors_OfAnAdministratorTakesAFreshProof(t *testing.T) {
	s := newServer(t)
	stale := s.longAgo(admin)
	got := s.do(nobody, "DELETE", "/api/people/ana/factors", "", stale)
	require.Equal(t, http.StatusForbidden, got.StatusCode, got.body)
	require.Contains(t, got.body, `"code":"step_up"`)
	require.Equal(t, http.StatusNoContent, s.do(nobody, "DELETE", "/api/people/bo/factors", "", stale).StatusCode)
	require.Equal(t, http.StatusNoContent, s.do(admin, "DELETE", "/api/people/ana/factors", "").StatusCode)
}

// newPasskeyKey makes a key of P-256. The library writes a coordinate that
// begins with a zero byte without it, one key in 128, which no authenticator
// does (RFC 9053 section 7.1.1): such a key is not taken.
func newPasskeyKey() virtualwebauthn.Credential {
	const whole = 77 // bytes of the COSE key with both coordinates of 32
	for {
		if key := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2); len(key.Key.AttestationData()) == whole {
			return key
		}
	}
}
