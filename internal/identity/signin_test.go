package identity_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
)

func from(address string) identity.Origin { return identity.Origin{Address: address} }

// try signs in and gives only what came of it.
func (w *world) try(t *testing.T, username, password, address string) error {
	t.Helper()
	_, _, err := w.SignIn(t.Context(), username, secret.New(password), from(address))
	return err
}

// exhaust fails until somebody has to wait, and gives how long.
func (w *world) exhaust(t *testing.T, username, address string) time.Duration {
	t.Helper()
	for range 100 {
		err := w.try(t, username, "wrong password", address)
		if fault.KindOf(err) == fault.TooOften {
			return fault.RetryAfter(err)
		}
		requireKind(t, fault.Unauthenticated, err)
	}
	t.Fatal("was never asked to wait")
	return 0
}

func TestSignIn_TakesTheNameInAnyCase(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	for _, name := range []string{"ana", "Ana", " ANA "} {
		require.NoError(t, w.try(t, name, password, "192.0.2.1"), name)
	}
	done := w.happened(t, identity.SignInSucceeded)
	require.Len(t, done, 3)
	require.Equal(t, "ana", done[0].Actor)
	require.Equal(t, "192.0.2.1", about(t, done[0], "address"))
}

func TestSignIn_GivesOneAnswerToAllThatIsWrong(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	gone := w.person(t, "gone", identity.RoleMember)
	disabled := true
	_, err := w.UpdatePerson(t.Context(), "root", "gone", gone.Version, identity.PersonEdit{Disabled: &disabled})
	require.NoError(t, err)

	for i, wrong := range [][2]string{
		{"ana", "wrong password"},
		{"ana", ""},
		{"ana", password + "x"},
		{"ana", password + "\x00" + password},
		{"nobody", password},
		{"gone", password},
		{"", ""},
		{strings.Repeat("x", 10_000), password},
		{"ana' OR 1=1 --", password},
		{"ana\x00", password},
		{"\xff", password},
	} {
		err := w.try(t, wrong[0], wrong[1], fmt.Sprint("192.0.2.", i))
		requireKind(t, fault.Unauthenticated, err)
		require.Equal(t, "the username or the password is wrong", fault.Message(err))
	}
}

func TestSignIn_TakesAsLongForANameThatNobodyHas(t *testing.T) {
	w := newWorld(t)
	w.restart(t, 8) // ten milliseconds or so: a name that is not compared takes a tenth
	w.person(t, "ana", identity.RoleMember)
	took := map[string][]time.Duration{}
	for i := range 7 { // in turn, so that what else the machine does slows both
		for _, username := range []string{"ana", "nobody"} {
			began := time.Now()
			requireKind(t, fault.Unauthenticated, w.try(t, username, "wrong password", fmt.Sprint("192.0.2.", i)))
			took[username] = append(took[username], time.Since(began))
		}
	}
	median := func(username string) time.Duration {
		slices.Sort(took[username])
		return took[username][len(took[username])/2]
	}
	known, unknown := median("ana"), median("nobody")
	require.Greater(t, unknown, known/4)
	require.Greater(t, known, unknown/4)
}

func TestSignIn_WritesNoPasswordIntoTheLogOfEvents(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	requireKind(t, fault.Unauthenticated, w.try(t, "my secret password", "x", "192.0.2.1"))
	requireKind(t, fault.Unauthenticated, w.try(t, "ana", "another secret", "192.0.2.1"))
	failed := w.happened(t, identity.SignInFailed)
	require.Len(t, failed, 2)
	require.JSONEq(t, `{"address":"192.0.2.1"}`, string(failed[0].Data), "what nobody is named is not written down")
	require.Equal(t, "ana", about(t, failed[1], "username"))
	require.NotContains(t, string(failed[1].Data), "secret")
}

func TestPassword_LongerThanBcryptReadsIsRefused(t *testing.T) {
	w := newWorld(t)
	most := strings.Repeat("ab", 36)
	_, err := w.CreatePerson(t.Context(), "root", identity.Person{Username: "ana"}, secret.New(most+"x"))
	requireKind(t, fault.BadInput, err)
	require.ErrorContains(t, err, "at most 72 bytes, this one has 73")
	_, err = w.CreatePerson(t.Context(), "root", identity.Person{Username: "ana"}, secret.New(most))
	require.NoError(t, err)
	require.NoError(t, w.try(t, "ana", most, "192.0.2.1"))
	requireKind(t, fault.Unauthenticated, w.try(t, "ana", most+"x", "192.0.2.1"))
}

func TestPassword_IsNoneOfThese(t *testing.T) {
	w := newWorld(t)
	for _, wrong := range []string{
		"", "short", "123456789", strings.Repeat("a", 20), "ana.long.name", "ANA.long.NAME",
		"with a \x00 in it", "\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6\xf5", "berth_" + strings.Repeat("A", 43), strings.Repeat("日", 25),
	} {
		_, err := w.CreatePerson(t.Context(), "root", identity.Person{Username: "ana.long.name"}, secret.New(wrong))
		requireKind(t, fault.BadInput, err)
		require.Equal(t, "password", fault.FieldsOf(err)[0].Name, "%q", wrong)
	}
	for i, right := range []string{"1234567890", "日本語日本語日本語日本", "  spaces count  "} {
		_, err := w.CreatePerson(t.Context(), "root", identity.Person{Username: fmt.Sprint("p", i)}, secret.New(right))
		require.NoError(t, err, right)
		require.NoError(t, w.try(t, fmt.Sprint("p", i), right, "192.0.2.1"))
	}
}

func TestLimits_OfOneAddressAtOneAccountBackOff(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	for range 5 {
		requireKind(t, fault.Unauthenticated, w.try(t, "ana", "wrong password", "192.0.2.1"))
	}
	wants := []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second}
	for _, want := range wants {
		err := w.try(t, "ana", password, "192.0.2.1")
		requireKind(t, fault.TooOften, err)
		require.Equal(t, want, fault.RetryAfter(err))
		require.Contains(t, fault.Message(err), "wait "+want.String())
		w.wait(want - time.Millisecond)
		requireKind(t, fault.TooOften, w.try(t, "ana", password, "192.0.2.1"))
		w.wait(time.Millisecond)
		requireKind(t, fault.Unauthenticated, w.try(t, "ana", "wrong password", "192.0.2.1"))
	}
	for range 10 { // it grows no further than this
		w.wait(15 * time.Minute)
		requireKind(t, fault.Unauthenticated, w.try(t, "ana", "wrong password", "192.0.2.1"))
	}
	w.wait(15 * time.Minute)
	require.NoError(t, w.try(t, "ana", password, "192.0.2.1"))
	for range 4 {
		requireKind(t, fault.Unauthenticated, w.try(t, "ana", "wrong password", "192.0.2.1"))
	}
	require.NoError(t, w.try(t, "ana", password, "192.0.2.1"), "a success forgives what was before")
}

func TestLimits_LetNobodyLockAnotherOut(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	require.NoError(t, w.try(t, "ana", password, "198.51.100.7"))
	for i := range 40 { // a guesser with many addresses
		_ = w.try(t, "ana", "wrong password", fmt.Sprint("192.0.2.", i))
	}
	err := w.try(t, "ana", password, "203.0.113.1")
	requireKind(t, fault.TooOften, err)
	require.LessOrEqual(t, fault.RetryAfter(err), 10*time.Second, "from an address never seen she waits for seconds")
	require.NoError(t, w.try(t, "ana", password, "198.51.100.7"), "from where she has a session, not at all")
	w.wait(fault.RetryAfter(err))
	require.NoError(t, w.try(t, "ana", password, "203.0.113.1"))
}

func TestLimits_LeaveWhoIsSignedInAlone(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	w.person(t, "ben", identity.RoleMember)
	_, ana := w.signIn(t, "ana")
	_, ben := w.signIn(t, "ben")
	for i := range 40 {
		_ = w.try(t, "ana", "wrong password", fmt.Sprint("192.0.2.", i))
		_ = w.confirm(t, ben, "wrong password")
	}
	require.NoError(t, w.confirm(t, ana, password), "neither who guesses at the door nor who does in another session is in her way")
	requireKind(t, fault.TooOften, w.confirm(t, ben, password))
}

func TestLimits_AreTheSameForANameThatNobodyHas(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	require.Equal(t, w.exhaust(t, "ana", "192.0.2.1"), w.exhaust(t, "nobody", "192.0.2.2"))
}

func TestLimits_OfOneAddressAtManyAccounts(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	allowed := 0
	for i := range 60 {
		if fault.KindOf(w.try(t, fmt.Sprint("guess", i), "wrong password", "192.0.2.1")) == fault.Unauthenticated {
			allowed++
		}
	}
	require.Equal(t, 30, allowed)
	require.Len(t, w.happened(t, identity.SignInFailed), 30, "what was not tried is not written down")
	requireKind(t, fault.TooOften, w.try(t, "ana", password, "192.0.2.1"))
	require.NoError(t, w.try(t, "ana", password, "192.0.2.2"))
	w.wait(10 * time.Second)
	require.NoError(t, w.try(t, "ana", password, "192.0.2.1"))
}

func TestLimits_CountANetworkOfIPv6AsOne(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	for i := range 5 {
		requireKind(t, fault.Unauthenticated, w.try(t, "ana", "wrong password", fmt.Sprintf("[2001:db8::%x]:443", i+1)))
	}
	requireKind(t, fault.TooOften, w.try(t, "ana", password, "2001:db8::99"))
	require.NoError(t, w.try(t, "ana", password, "2001:db8:0:1::1"))
	require.NoError(t, w.try(t, "ana", password, "192.0.2.1:4711"))
	w.exhaust(t, "ana", "::ffff:192.0.2.9")
	requireKind(t, fault.TooOften, w.try(t, "ana", password, "192.0.2.9:1"))
}

func TestLimits_HoldWhenAllComeAtOnce(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	var work sync.WaitGroup
	var mu sync.Mutex
	kinds := map[fault.Kind]int{}
	for range 30 {
		work.Go(func() {
			err := w.try(t, "ana", "wrong password", "192.0.2.1")
			mu.Lock()
			defer mu.Unlock()
			kinds[fault.KindOf(err)]++
		})
	}
	work.Wait()
	require.Equal(t, map[fault.Kind]int{fault.Unauthenticated: 5, fault.TooOften: 25}, kinds)
}

func TestAuthenticate_PaysForThePasswordOnce(t *testing.T) {
	w := newWorld(t)
	w.restart(t, 8)
	ana := w.person(t, "ana", identity.RoleMember)
	var work sync.WaitGroup
	for range 20 { // a client that opens many connections at once
		work.Go(func() {
			subject, err := w.Authenticate(t.Context(), "ana", secret.New(password), home)
			if err != nil || subject.Person != ana || subject.Via != identity.ViaPassword {
				t.Error(subject, err)
			}
		})
	}
	work.Wait()
	require.Len(t, w.happened(t, identity.SignInSucceeded), 1)
	_, err := w.Authenticate(ended(t), "Ana", secret.New(password), home)
	require.NoError(t, err, "from memory")
	w.wait(5 * time.Minute)
	_, err = w.Authenticate(t.Context(), "ana", secret.New(password), home)
	require.NoError(t, err)
	require.Len(t, w.happened(t, identity.SignInSucceeded), 2, "and then again")
}

func TestAuthenticate_ForgetsWithThePassword(t *testing.T) {
	for name, change := range map[string]func(w *world, p identity.Person) error{
		"changed": func(w *world, _ identity.Person) error {
			return w.SetPassword(t.Context(), "root", "ana", secret.New("another password"))
		},
		"disabled": func(w *world, p identity.Person) error {
			disabled := true
			_, err := w.UpdatePerson(t.Context(), "root", "ana", p.Version, identity.PersonEdit{Disabled: &disabled})
			return err
		},
		"removed": func(w *world, _ identity.Person) error { return w.RemovePerson(t.Context(), "root", "ana") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ana := w.person(t, "ana", identity.RoleMember)
			_, err := w.Authenticate(t.Context(), "ana", secret.New(password), home)
			require.NoError(t, err)
			require.NoError(t, change(w, ana))
			_, err = w.Authenticate(t.Context(), "ana", secret.New(password), home)
			requireKind(t, fault.Unauthenticated, err)
		})
	}
}

func TestAuthenticate_TakesAnAPITokenOfThatPerson(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	w.person(t, "bob", identity.RoleMember)
	_, subject := w.signIn(t, "ana")
	text, made, err := w.CreateToken(t.Context(), subject, "ci", identity.ScopeDeploy, time.Time{})
	require.NoError(t, err)
	by, err := w.Authenticate(t.Context(), "ana", text, home)
	require.NoError(t, err)
	require.Equal(t, identity.ViaToken, by.Via)
	require.Equal(t, identity.ScopeDeploy, by.Scope)
	_, err = w.Authenticate(t.Context(), "bob", text, home)
	requireKind(t, fault.Unauthenticated, err)
	require.NoError(t, w.RemoveToken(t.Context(), subject, subject.Person.ID, made.ID))
	_, err = w.Authenticate(t.Context(), "ana", text, home)
	requireKind(t, fault.Unauthenticated, err)
}

func TestAuthenticate_IsLimitedAsSignInIs(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	for i := range 5 {
		_, err := w.Authenticate(t.Context(), "ana", secret.New(fmt.Sprint("wrong password ", i)), from("192.0.2.1"))
		requireKind(t, fault.Unauthenticated, err)
	}
	_, err := w.Authenticate(t.Context(), "ana", secret.New(password), from("192.0.2.1"))
	requireKind(t, fault.TooOften, err)
	requireKind(t, fault.TooOften, w.try(t, "ana", password, "192.0.2.1"))
}

func TestChangePassword_EndsTheOthersAndKeepsTheTokens(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	mine, subject := w.signIn(t, "ana")
	other, _ := w.signIn(t, "ana")
	api, _, err := w.CreateToken(t.Context(), subject, "ci", identity.ScopeRead, time.Time{})
	require.NoError(t, err)

	err = w.ChangePassword(t.Context(), subject, secret.New("not the old one"), secret.New("another password"))
	requireKind(t, fault.BadInput, err)
	require.Equal(t, "old", fault.FieldsOf(err)[0].Name)
	err = w.ChangePassword(t.Context(), subject, secret.New(password), secret.New("short"))
	requireKind(t, fault.BadInput, err)

	require.NoError(t, w.ChangePassword(t.Context(), subject, secret.New(password), secret.New("another password")))
	_, err = w.BySession(t.Context(), mine)
	require.NoError(t, err)
	_, err = w.BySession(t.Context(), other)
	requireKind(t, fault.Unauthenticated, err)
	_, err = w.ByToken(t.Context(), api)
	require.NoError(t, err)
	requireKind(t, fault.Unauthenticated, w.try(t, "ana", password, "192.0.2.1"))
	require.NoError(t, w.try(t, "ana", "another password", "192.0.2.1"))
	require.Len(t, w.happened(t, identity.PasswordChanged), 1)
}

func TestChangePassword_LetsNobodyGuessTheOldOne(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	_, subject := w.signIn(t, "ana")
	for range 5 {
		err := w.ChangePassword(t.Context(), subject, secret.New("a guess at it"), secret.New("another password"))
		requireKind(t, fault.BadInput, err)
	}
	err := w.ChangePassword(t.Context(), subject, secret.New(password), secret.New("another password"))
	requireKind(t, fault.TooOften, err)
	require.NoError(t, w.try(t, "ana", password, "192.0.2.1"), "the door is another matter")
}

func BenchmarkAuthenticateAgain(b *testing.B) {
	w := newWorld(b)
	w.person(b, "ana", identity.RoleMember)
	for b.Loop() {
		_, err := w.Authenticate(b.Context(), "ana", secret.New(password), home)
		require.NoError(b, err)
	}
}
