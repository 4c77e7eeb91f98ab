package factor_test

import (
	"encoding/base32"
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"
	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"berth/internal/event"
	"berth/internal/factor"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
	"berth/internal/vault"
)

const password = "correct horse battery"

var (
	start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	home  = identity.Origin{Address: "192.0.2.1:50000", UserAgent: "Firefox"}
	away  = identity.Origin{Address: "198.51.100.7:50000", UserAgent: "Firefox"}
)

// world is a Service over a real database, with people in it and a clock that
// is set by hand.
type world struct {
	*factor.Service
	people *identity.Service
	db     *sqlite.DB
	events *event.Log
	vault  *vault.Vault

	mu  sync.Mutex
	now time.Time
}

func newWorld(tb testing.TB, required ...identity.Requirement) *world {
	tb.Helper()
	w := &world{now: start}
	var err error
	w.db, err = sqlite.Open(tb.Context(), sqlite.Config{Path: filepath.Join(tb.TempDir(), "berth.db")})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, w.db.Close()) })
	w.events = event.New(event.Config{DB: w.db, Clock: w.clock})
	w.vault, err = vault.New(vault.Config{DB: w.db, Events: w.events, Key: secret.New("a key for tests that is long enough"), Clock: w.clock})
	require.NoError(tb, err)
	w.require(tb, append(required, identity.RequireOfNobody)[0])
	return w
}

// require starts both services anew over the same data.
func (w *world) require(tb testing.TB, of identity.Requirement) {
	tb.Helper()
	var err error
	w.people, err = identity.New(identity.Config{DB: w.db, Events: w.events, Clock: w.clock, PasswordCost: bcrypt.MinCost, SecondFactor: of})
	require.NoError(tb, err)
	w.Service, err = factor.New(factor.Config{
		DB: w.db, Events: w.events, People: w.people, Slots: w.vault, Clock: w.clock,
		BaseURL: &url.URL{Scheme: "https", Host: "berth.example.com"},
	})
	require.NoError(tb, err)
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) wait(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) person(tb testing.TB, username string, role identity.Role) identity.Person {
	tb.Helper()
	p, err := w.people.CreatePerson(tb.Context(), "test", identity.Person{Username: username, Role: role}, secret.New(password))
	require.NoError(tb, err)
	return p
}

// begin signs in with the password.
func (w *world) begin(tb testing.TB, username string) factor.Outcome {
	tb.Helper()
	out, err := w.SignIn(tb.Context(), username, secret.New(password), home)
	require.NoError(tb, err)
	return out
}

// app makes the codes of one secret.
type app struct {
	w      *world
	secret string
}

func (a app) code(tb testing.TB) string {
	tb.Helper()
	code, err := totp.GenerateCode(a.secret, a.w.clock())
	require.NoError(tb, err)
	return code
}

// app adds an app to whoever is signed in, and gives the stronger session.
func (w *world) app(tb testing.TB, subject identity.Subject) (app, factor.Outcome) {
	tb.Helper()
	made, err := w.AskTOTP(tb.Context(), subject)
	require.NoError(tb, err)
	a := app{w, made.Secret}
	out, err := w.AddTOTP(tb.Context(), subject, a.code(tb))
	require.NoError(tb, err)
	w.wait(time.Minute) // the next code is another
	return a, out
}

// device is an authenticator with one passkey.
type device struct {
	party virtualwebauthn.RelyingParty
	auth  virtualwebauthn.Authenticator
	key   virtualwebauthn.Credential
}

func newDevice(p identity.Person) *device {
	return &device{
		party: virtualwebauthn.RelyingParty{ID: "berth.example.com", Name: "Berth", Origin: "https://berth.example.com"},
		auth:  virtualwebauthn.NewAuthenticatorWithOptions(virtualwebauthn.AuthenticatorOptions{UserHandle: []byte(p.ID)}),
		key:   newPasskeyKey(),
	}
}

func (d *device) create(tb testing.TB, q factor.Question) []byte {
	tb.Helper()
	options, err := virtualwebauthn.ParseAttestationOptions(string(q.Options))
	require.NoError(tb, err)
	return []byte(virtualwebauthn.CreateAttestationResponse(d.party, d.auth, d.key, *options))
}

func (d *device) answer(tb testing.TB, q factor.Question) []byte {
	tb.Helper()
	options, err := virtualwebauthn.ParseAssertionOptions(string(q.Options))
	require.NoError(tb, err)
	d.key.Counter++
	return []byte(virtualwebauthn.CreateAssertionResponse(d.party, d.auth, d.key, *options))
}

// passkey adds a device to whoever is signed in, and gives the stronger session.
func (w *world) passkey(tb testing.TB, subject identity.Subject, name string) (*device, factor.Passkey, factor.Outcome) {
	tb.Helper()
	q, err := w.AskNewPasskey(tb.Context(), subject)
	require.NoError(tb, err)
	d := newDevice(subject.Person)
	key, out, err := w.AddPasskey(tb.Context(), subject, name, q.Challenge, d.create(tb, q))
	require.NoError(tb, err)
	return d, key, out
}

// alive says whether a session's token still is one.
func (w *world) alive(tb testing.TB, token secret.Text) bool {
	tb.Helper()
	_, err := w.people.BySession(tb.Context(), token)
	return err == nil
}

func (w *world) happened(tb testing.TB, kinds ...event.Kind) []event.Event {
	tb.Helper()
	list, err := w.events.Since(tb.Context(), 0, event.Filter{Kinds: kinds}, 1000)
	require.NoError(tb, err)
	return list
}

func about(tb testing.TB, e event.Event, field string) any {
	tb.Helper()
	var data map[string]any
	require.NoError(tb, json.Unmarshal(e.Data, &data))
	return data[field]
}

func requireKind(tb testing.TB, kind fault.Kind, err error) {
	tb.Helper()
	require.Error(tb, err)
	require.Equal(tb, kind.String(), fault.KindOf(err).String(), "%v", err)
}

func (w *world) exec(tb testing.TB, query string, args ...any) {
	tb.Helper()
	require.NoError(tb, w.db.Write(tb.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(tb.Context(), query, args...)
		return err
	}))
}

func TestSignIn_WithASecondFactorIsNobodyUntilItIsGiven(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	codes, _ := w.app(t, w.begin(t, "ana").Subject)

	out := w.begin(t, "ana")
	require.True(t, out.Session.Empty())
	require.Empty(t, out.Subject.Person.ID)
	require.Equal(t, []identity.Method{identity.MethodTOTP, identity.MethodRecovery}, out.Waiting.SecondFactor)
	require.False(t, w.alive(t, out.Attempt), "the attempt's token opens nothing")
	waiting, err := w.Attempt(t.Context(), out.Attempt)
	require.NoError(t, err)
	require.Equal(t, out.Waiting, waiting)
	// Nor does what only a sign-in that has to set up a factor may do.
	_, err = w.SetUpTOTP(t.Context(), out.Attempt)
	requireKind(t, fault.Unauthenticated, err)

	done, err := w.SecondFactor(t.Context(), out.Attempt, identity.MethodTOTP, codes.code(t), home)
	require.NoError(t, err)
	require.True(t, w.alive(t, done.Session))
	require.Equal(t, []identity.Method{identity.MethodPassword, identity.MethodTOTP}, done.Subject.Methods)
	require.True(t, done.Subject.Strong())
	_, err = w.SecondFactor(t.Context(), out.Attempt, identity.MethodTOTP, codes.code(t), home)
	requireKind(t, fault.Unauthenticated, err)
	in := w.happened(t, identity.SignInSucceeded)
	require.Equal(t, []any{"password", "totp"}, about(t, in[len(in)-1], "methods"))
}

func TestSignIn_TellsNothingOfFactorsToWhoKnowsNoPassword(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	w.app(t, w.begin(t, "ana").Subject)
	said := map[string]bool{}
	for _, name := range []string{"ana", "nobody"} {
		_, err := w.SignIn(t.Context(), name, secret.New("wrong password"), away)
		requireKind(t, fault.Unauthenticated, err)
		said[fault.Message(err)] = true
	}
	require.Len(t, said, 1)
}

func TestAttempt_EndsWithTimeWithTriesAndWithThePassword(t *testing.T) {
	for name, end := range map[string]func(tb testing.TB, w *world, attempt secret.Text){
		"after five minutes": func(_ testing.TB, w *world, _ secret.Text) { w.wait(5 * time.Minute) },
		"with a new password": func(tb testing.TB, w *world, _ secret.Text) {
			tb.Helper()
			require.NoError(tb, w.people.SetPassword(tb.Context(), "root", "ana", secret.New("another password")))
		},
		"with the account": func(tb testing.TB, w *world, _ secret.Text) {
			tb.Helper()
			p, err := w.people.Person(tb.Context(), "ana")
			require.NoError(tb, err)
			disabled := true
			_, err = w.people.UpdatePerson(tb.Context(), "root", "ana", p.Version, identity.PersonEdit{Disabled: &disabled})
			require.NoError(tb, err)
		},
		"when it is given up": func(tb testing.TB, w *world, attempt secret.Text) {
			tb.Helper()
			require.NoError(tb, w.GiveUp(tb.Context(), attempt))
		},
		"after ten tries": func(tb testing.TB, w *world, attempt secret.Text) {
			tb.Helper()
			for range 10 {
				_, err := w.SecondFactor(tb.Context(), attempt, identity.MethodTOTP, "000000", home)
				require.Error(tb, err)
				w.wait(time.Second)
			}
		},
		"when ten newer ones are there": func(tb testing.TB, w *world, _ secret.Text) {
			tb.Helper()
			for range 10 {
				w.wait(time.Second)
				w.begin(tb, "ana")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.person(t, "ana", identity.RoleMember)
			codes, _ := w.app(t, w.begin(t, "ana").Subject)
			attempt := w.begin(t, "ana").Attempt
			end(t, w, attempt)
			_, err := w.SecondFactor(t.Context(), attempt, identity.MethodTOTP, codes.code(t), home)
			require.Error(t, err)
			_, err = w.Attempt(t.Context(), attempt)
			if name != "after ten tries" { // then the last look ended it
				requireKind(t, fault.Unauthenticated, err)
			}
			_, err = w.SecondFactor(t.Context(), attempt, identity.MethodTOTP, codes.code(t), home)
			requireKind(t, fault.Unauthenticated, err)
		})
	}
}

func TestSecondFactor_IsGuessedNoFasterByBeginningAgainOrFromElsewhere(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	codes, _ := w.app(t, w.begin(t, "ana").Subject)
	waits := 0
	for i := range 20 {
		out, err := w.SignIn(t.Context(), "ana", secret.New(password), identity.Origin{Address: fmt.Sprint("198.51.100.", i)})
		require.NoError(t, err, "the password is right each time")
		_, err = w.SecondFactor(t.Context(), out.Attempt, identity.MethodTOTP, "000000", identity.Origin{Address: fmt.Sprint("198.51.100.", i)})
		if fault.KindOf(err) == fault.TooOften {
			waits++
			continue
		}
		requireKind(t, fault.Unauthenticated, err)
	}
	require.Equal(t, 15, waits, "five tries, then each waits")
	require.Len(t, w.happened(t, identity.SignInFailed), 5)
	// The owner is in by a passkey all the same, and by a code once the wait is over.
	w.wait(time.Minute)
	_, err := w.SecondFactor(t.Context(), w.begin(t, "ana").Attempt, identity.MethodTOTP, codes.code(t), home)
	require.NoError(t, err)
}

func TestTOTP_TakesEachStepOnceAndOneToEitherSide(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	codes, _ := w.app(t, w.begin(t, "ana").Subject)
	give := func(code string) error {
		_, err := w.SecondFactor(t.Context(), w.begin(t, "ana").Attempt, identity.MethodTOTP, code, home)
		return err
	}
	at := func(steps time.Duration) string {
		code, err := totp.GenerateCode(codes.secret, w.clock().Add(steps*30*time.Second))
		require.NoError(t, err)
		return code
	}
	requireKind(t, fault.Unauthenticated, give(at(-2)))
	requireKind(t, fault.Unauthenticated, give(at(2)))
	require.NoError(t, give(at(-1)))
	now := at(0)
	require.NoError(t, give(now[:3]+" "+now[3:]))
	err := give(now)
	requireKind(t, fault.Unauthenticated, err)
	require.Contains(t, fault.Message(err), "used already")
	requireKind(t, fault.Unauthenticated, give(at(-1)))
	require.NoError(t, give(at(1)), "a clock that is ahead")
	requireKind(t, fault.Unauthenticated, give(at(0)))
}

func TestTOTP_CountsForNothingUntilItsFirstCode(t *testing.T) {
	w := newWorld(t)
	p := w.person(t, "ana", identity.RoleMember)
	in := w.begin(t, "ana")
	made, err := w.AskTOTP(t.Context(), in.Subject)
	require.NoError(t, err)
	require.Contains(t, made.URI, "otpauth://totp/Berth%20berth.example.com:ana?")
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(made.Secret)
	require.NoError(t, err)
	require.Len(t, raw, 20)
	require.Contains(t, made.QR.Path, "M4 4h7v1h-7z", "the first finder's upper edge")
	require.False(t, w.begin(t, "ana").Session.Empty(), "a password is still enough")

	_, err = w.AddTOTP(t.Context(), in.Subject, "000000")
	requireKind(t, fault.BadInput, err)
	// The secret is where only the key opens it, and in nobody's list.
	var slots []vault.Slot
	slots, err = w.vault.List(t.Context(), "berth/totp")
	require.NoError(t, err)
	require.Equal(t, p.ID, slots[0].Name)

	again, err := w.AskTOTP(t.Context(), in.Subject)
	require.NoError(t, err)
	_, err = w.AddTOTP(t.Context(), in.Subject, app{w, made.Secret}.code(t))
	requireKind(t, fault.BadInput, err)
	out, err := w.AddTOTP(t.Context(), in.Subject, app{w, again.Secret}.code(t))
	require.NoError(t, err)
	require.Len(t, out.Codes, 10)
	_, err = w.AskTOTP(t.Context(), out.Subject)
	requireKind(t, fault.Clash, err)
	// The code that confirmed it proves nothing more.
	_, err = w.SecondFactor(t.Context(), w.begin(t, "ana").Attempt, identity.MethodTOTP, app{w, again.Secret}.code(t), home)
	requireKind(t, fault.Unauthenticated, err)
}

func TestRecovery_EachCodeCountsOnceAndNoneAfterNewOnes(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	_, out := w.app(t, w.begin(t, "ana").Subject)
	require.Len(t, out.Codes, 10)
	give := func(code string) (factor.Outcome, error) {
		return w.SecondFactor(t.Context(), w.begin(t, "ana").Attempt, identity.MethodRecovery, code, home)
	}
	in, err := give(" " + out.Codes[0] + " ")
	require.NoError(t, err)
	_, err = give(out.Codes[0])
	requireKind(t, fault.Unauthenticated, err)
	used := w.happened(t, factor.Used)
	require.Len(t, used, 1)
	require.InDelta(t, 9, about(t, used[0], "left"), 0)

	fresh, err := w.NewCodes(t.Context(), in.Subject)
	require.NoError(t, err)
	require.Len(t, fresh, 10)
	_, err = give(out.Codes[1])
	requireKind(t, fault.Unauthenticated, err)
	_, err = give(fresh[0])
	require.NoError(t, err)
	for _, e := range w.happened(t) {
		for _, code := range append(fresh, out.Codes...) {
			require.NotContains(t, string(e.Data), code)
		}
	}
}

func TestAuthenticate_TakesNoPasswordWhereASecondFactorIsNeeded(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	_, err := w.people.Authenticate(t.Context(), "ana", secret.New(password), home)
	require.NoError(t, err)
	_, out := w.app(t, w.begin(t, "ana").Subject)

	_, err = w.people.Authenticate(t.Context(), "ana", secret.New(password), home)
	requireKind(t, fault.Unauthenticated, err)
	require.Contains(t, fault.Message(err), "API token")
	_, err = w.people.Authenticate(t.Context(), "ana", secret.New("wrong password"), home)
	require.NotContains(t, fault.Message(err), "API token", "who knows no password learns nothing")
	token, _, err := w.people.CreateToken(t.Context(), out.Subject, "ci", identity.ScopeDeploy, time.Time{})
	require.NoError(t, err)
	_, err = w.people.Authenticate(t.Context(), "ana", token, home)
	require.NoError(t, err)
}

func TestAdd_EndsTheSessionsThatAPasswordAloneBegan(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	other, this := w.begin(t, "ana"), w.begin(t, "ana")
	_, out := w.app(t, this.Subject)
	require.False(t, w.alive(t, other.Session))
	require.False(t, w.alive(t, this.Session), "its token is a new one")
	require.True(t, w.alive(t, out.Session))
	require.Equal(t, this.Subject.SessionID, out.Subject.SessionID)
	ended := w.happened(t, identity.SessionEnded)
	require.Len(t, ended, 1, "and is cut off where it is open")
	require.Equal(t, other.Subject.SessionID, about(t, ended[0], "session"))
}

func TestChanges_NeedAFreshProofInASession(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	in := w.begin(t, "ana")
	w.wait(10 * time.Minute)
	_, err := w.AskNewPasskey(t.Context(), in.Subject)
	requireKind(t, fault.NotProved, err)
	_, err = w.StepUp(t.Context(), in.Subject, identity.MethodPassword, secret.New("wrong password"), home)
	requireKind(t, fault.BadInput, err)
	up, err := w.StepUp(t.Context(), in.Subject, identity.MethodPassword, secret.New(password), home)
	require.NoError(t, err)
	require.False(t, w.alive(t, in.Session), "the old token is dead at once")
	codes, out := w.app(t, up.Subject)
	_, key, out := w.passkey(t, out.Subject, "phone")

	w.wait(10 * time.Minute)
	requireKind(t, fault.NotProved, w.RemovePasskey(t.Context(), out.Subject, key.ID))
	requireKind(t, fault.NotProved, w.RemoveTOTP(t.Context(), out.Subject))
	_, err = w.NewCodes(t.Context(), out.Subject)
	requireKind(t, fault.NotProved, err)
	_, err = w.StepUp(t.Context(), out.Subject, identity.MethodPassword, secret.New(password), home)
	requireKind(t, fault.BadInput, err)
	up, err = w.StepUp(t.Context(), out.Subject, identity.MethodTOTP, secret.New(codes.code(t)), home)
	require.NoError(t, err)
	require.NoError(t, w.RemovePasskey(t.Context(), up.Subject, key.ID))

	// An API token changes no factors, whatever its scope.
	byToken := up.Subject
	byToken.Via, byToken.Scope = identity.ViaToken, identity.ScopeAdmin
	_, err = w.AskTOTP(t.Context(), byToken)
	requireKind(t, fault.Denied, err)
}

func TestStepUp_LetsNoSessionLiveLonger(t *testing.T) {
	w := newWorld(t)
	p := w.person(t, "ana", identity.RoleMember)
	_, in := w.app(t, w.begin(t, "ana").Subject)
	w.wait(24 * time.Hour)
	before, err := w.people.Sessions(t.Context(), p.ID)
	require.NoError(t, err)
	up, err := w.StepUp(t.Context(), in.Subject, identity.MethodRecovery, secret.New(in.Codes[3]), home)
	require.NoError(t, err)
	after, err := w.people.Sessions(t.Context(), p.ID)
	require.NoError(t, err)
	require.Len(t, after, 1)
	require.Equal(t, before[0].ExpiresAt, after[0].ExpiresAt)
	require.Equal(t, w.clock(), after[0].AuthenticatedAt)
	require.Equal(t, w.clock(), up.Subject.AuthenticatedAt)
	require.Len(t, w.happened(t, identity.SessionStrengthened), 2)
}

func TestRequired_LeadsToTheFirstFactorBeforeAnySession(t *testing.T) {
	w := newWorld(t, identity.RequireOfAdministrators)
	w.person(t, "ana", identity.RoleAdministrator)
	w.person(t, "bo", identity.RoleMember)
	require.False(t, w.begin(t, "bo").Session.Empty())

	out := w.begin(t, "ana")
	require.True(t, out.Session.Empty())
	require.Empty(t, out.Waiting.SecondFactor)
	require.Equal(t, []identity.Method{identity.MethodPasskey, identity.MethodTOTP}, out.Waiting.SetUp)
	_, err := w.SecondFactor(t.Context(), out.Attempt, identity.MethodTOTP, "000000", home)
	requireKind(t, fault.Unauthenticated, err)
	made, err := w.SetUpTOTP(t.Context(), out.Attempt)
	require.NoError(t, err)
	_, err = w.FinishWithTOTP(t.Context(), out.Attempt, "000000", home)
	requireKind(t, fault.BadInput, err)
	second := w.begin(t, "ana")
	done, err := w.FinishWithTOTP(t.Context(), out.Attempt, app{w, made.Secret}.code(t), home)
	require.NoError(t, err)
	require.True(t, w.alive(t, done.Session))
	require.Len(t, done.Codes, 10)
	// Whoever else knew the password, and was asked to set one up, is too late.
	q, err := w.SetUpPasskey(t.Context(), second.Attempt)
	require.NoError(t, err)
	_, err = w.FinishWithPasskey(t.Context(), second.Attempt, "theirs", q.Challenge, newDevice(done.Subject.Person).create(t, q), away)
	requireKind(t, fault.Clash, err)

	err = w.RemoveTOTP(t.Context(), done.Subject)
	requireKind(t, fault.Clash, err)
	require.Contains(t, fault.Message(err), "must have a second factor")
}

func TestRequired_EndsSessionsThatHaveNone(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleAdministrator)
	in := w.begin(t, "ana")
	require.True(t, w.alive(t, in.Session))
	w.require(t, identity.RequireOfEverybody)
	require.False(t, w.alive(t, in.Session))
	_, err := w.people.Authenticate(t.Context(), "ana", secret.New(password), home)
	requireKind(t, fault.Unauthenticated, err)
}

func TestSetupLink_LeadsToAFactorWhereOneIsRequired(t *testing.T) {
	w := newWorld(t, identity.RequireOfAdministrators)
	link, err := w.people.SetupLink(t.Context())
	require.NoError(t, err)
	token, subject, err := w.people.UseSetupLink(t.Context(), link, "ana", secret.New(password), home)
	out, err := w.Open(t.Context(), token, subject, err)
	require.NoError(t, err)
	require.True(t, out.Session.Empty())
	q, err := w.SetUpPasskey(t.Context(), out.Attempt)
	require.NoError(t, err)
	p, err := w.people.Person(t.Context(), "ana")
	require.NoError(t, err)
	done, err := w.FinishWithPasskey(t.Context(), out.Attempt, "laptop", q.Challenge, newDevice(p).create(t, q), home)
	require.NoError(t, err)
	require.True(t, w.alive(t, done.Session))
}

func TestResetAll_RemovesEverythingAndTellsThePerson(t *testing.T) {
	w := newWorld(t)
	p := w.person(t, "ana", identity.RoleMember)
	_, in := w.app(t, w.begin(t, "ana").Subject)
	_, _, in = w.passkey(t, in.Subject, "phone")
	require.NoError(t, w.ResetAll(t.Context(), "root", "Ana"))

	require.False(t, w.alive(t, in.Session))
	again := w.begin(t, "ana")
	require.False(t, again.Session.Empty())
	has, err := w.Of(t.Context(), p.ID)
	require.NoError(t, err)
	require.Empty(t, has.Passkeys)
	require.Nil(t, has.TOTP)
	require.Zero(t, has.Recovery.Left)
	require.Equal(t, "root", has.Reset.By)
	slots, err := w.vault.List(t.Context(), "berth/totp")
	require.NoError(t, err)
	require.Empty(t, slots)
	require.NoError(t, w.Dismiss(t.Context(), again.Subject))
	has, err = w.Of(t.Context(), p.ID)
	require.NoError(t, err)
	require.Nil(t, has.Reset)
	reset := w.happened(t, factor.Reset)
	require.Len(t, reset, 1)
	require.Equal(t, "root", reset[0].Actor)
	require.Equal(t, "ana", about(t, reset[0], "username"))
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
