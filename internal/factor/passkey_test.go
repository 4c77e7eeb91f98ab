package factor_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/factor"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

func (w *world) ask(tb testing.TB) factor.Question {
	tb.Helper()
	q, err := w.AskPasskey(tb.Context())
	require.NoError(tb, err)
	return q
}

func TestPasskey_SignsInWithoutAPassword(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	phone, key, added := w.passkey(t, w.begin(t, "ana").Subject, "  phone ")
	require.Equal(t, "phone", key.Name)
	require.Len(t, added.Codes, 10)
	w.wait(time.Hour)

	q := w.ask(t)
	out, err := w.SignInByPasskey(t.Context(), q.Challenge, phone.answer(t, q), home)
	require.NoError(t, err)
	require.True(t, w.alive(t, out.Session))
	require.Equal(t, "ana", out.Subject.Person.Username)
	require.Equal(t, w.clock(), out.Subject.PasskeyAt)
	require.True(t, out.Subject.Strong())
	has, err := w.Of(t.Context(), out.Subject.Person.ID)
	require.NoError(t, err)
	require.Equal(t, w.clock(), *has.Passkeys[0].LastUsedAt)
	in := w.happened(t, identity.SignInSucceeded)
	require.Equal(t, []any{"passkey"}, about(t, in[len(in)-1], "methods"))
}

func TestPasskey_IsAWayInWhenTheLastIdentityGoes(t *testing.T) {
	w := newWorld(t)
	root := w.person(t, "root", identity.RoleAdministrator)
	ext := identity.External{Provider: "home", Issuer: "https://id.example.org", ExternalID: "1001", Username: "cy", Create: true}
	_, cy, err := w.people.SignInExternal(t.Context(), ext, home, func(*sqlite.Tx, string) error { return nil })
	require.NoError(t, err)
	admin := identity.Subject{Person: root, Via: identity.ViaSession}

	err = w.people.Unlink(t.Context(), cy, cy.Person.ID, cy.IdentityID)
	requireKind(t, fault.Clash, err)
	require.ErrorContains(t, err, "add a passkey or link another identity first")
	err = w.people.Unlink(t.Context(), admin, cy.Person.ID, cy.IdentityID)
	requireKind(t, fault.Clash, err)
	require.ErrorContains(t, err, "set a password for them first")
	// Codes from an app sign nobody in by themselves.
	_, out := w.app(t, cy)
	requireKind(t, fault.Clash, w.people.Unlink(t.Context(), out.Subject, cy.Person.ID, cy.IdentityID))

	phone, _, out := w.passkey(t, out.Subject, "phone")
	require.NoError(t, w.people.Unlink(t.Context(), out.Subject, cy.Person.ID, cy.IdentityID))
	require.False(t, w.alive(t, out.Session), "the session that the identity began goes with it")
	q := w.ask(t)
	in, err := w.SignInByPasskey(t.Context(), q.Challenge, phone.answer(t, q), home)
	require.NoError(t, err)
	require.Equal(t, "cy", in.Subject.Person.Username)
	// And now the passkey is the last way in.
	has, err := w.Of(t.Context(), cy.Person.ID)
	require.NoError(t, err)
	requireKind(t, fault.Clash, w.RemovePasskey(t.Context(), in.Subject, has.Passkeys[0].ID))
}

func TestPasskey_IsASecondFactorAndStepsUp(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	phone, _, _ := w.passkey(t, w.begin(t, "ana").Subject, "phone")

	begun := w.begin(t, "ana")
	require.Equal(t, []identity.Method{identity.MethodPasskey, identity.MethodRecovery}, begun.Waiting.SecondFactor)
	q, err := w.AskSecondPasskey(t.Context(), begun.Attempt)
	require.NoError(t, err)
	out, err := w.SecondPasskey(t.Context(), begun.Attempt, q.Challenge, phone.answer(t, q), home)
	require.NoError(t, err)
	require.Equal(t, []identity.Method{identity.MethodPassword, identity.MethodPasskey}, out.Subject.Methods)

	w.wait(time.Hour)
	q, err = w.AskStepUp(t.Context(), out.Subject)
	require.NoError(t, err)
	answer := phone.answer(t, q)
	up, err := w.StepUpByPasskey(t.Context(), out.Subject, q.Challenge, answer, home)
	require.NoError(t, err)
	require.Equal(t, w.clock(), up.Subject.PasskeyAt)
	require.False(t, w.alive(t, out.Session))
	require.True(t, w.alive(t, up.Session))
	_, err = w.StepUpByPasskey(t.Context(), up.Subject, q.Challenge, answer, home)
	requireKind(t, fault.BadInput, err)
}

func TestChallenge_CountsOnceForOneThingInOneBrowser(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	phone, _, in := w.passkey(t, w.begin(t, "ana").Subject, "phone")
	tries := 0
	give := func(challenge secret.Text, answer []byte) error {
		tries++
		_, err := w.SignInByPasskey(t.Context(), challenge, answer, identity.Origin{Address: fmt.Sprint("198.51.100.", tries)})
		return err
	}

	q := w.ask(t)
	answer := phone.answer(t, q)
	require.NoError(t, give(q.Challenge, answer))
	requireKind(t, fault.Unauthenticated, give(q.Challenge, answer))

	other := w.ask(t)
	requireKind(t, fault.Unauthenticated, give(other.Challenge, phone.answer(t, w.ask(t))))
	requireKind(t, fault.Unauthenticated, give(secret.New("AAAA"), phone.answer(t, other)))
	requireKind(t, fault.Unauthenticated, give(secret.New(strings.ToUpper(other.Challenge.Reveal())), phone.answer(t, other)))

	old := w.ask(t)
	answer = phone.answer(t, old)
	w.wait(5 * time.Minute)
	requireKind(t, fault.Unauthenticated, give(old.Challenge, answer))

	// What was asked for a step up signs nobody in, and what was asked for one
	// attempt finishes no other.
	stepUp, err := w.AskStepUp(t.Context(), in.Subject)
	require.NoError(t, err)
	requireKind(t, fault.Unauthenticated, give(stepUp.Challenge, phone.answer(t, stepUp)))
	mine, theirs := w.begin(t, "ana"), w.begin(t, "ana")
	q, err = w.AskSecondPasskey(t.Context(), mine.Attempt)
	require.NoError(t, err)
	_, err = w.SecondPasskey(t.Context(), theirs.Attempt, q.Challenge, phone.answer(t, q), home)
	requireKind(t, fault.Unauthenticated, err)

	// A restart asks anew.
	q = w.ask(t)
	w.require(t, identity.RequireOfNobody)
	requireKind(t, fault.Unauthenticated, give(q.Challenge, phone.answer(t, q)))
}

func TestPasskey_IsRefusedWhenItIsNotWhatWasAskedFor(t *testing.T) {
	for name, change := range map[string]func(*device){
		"without verifying its user": func(d *device) { d.auth.Options.UserNotVerified = true },
		"without its user there":     func(d *device) { d.auth.Options.UserNotPresent = true },
		"at another origin":          func(d *device) { d.party.Origin = "https://berth.example.com.evil.example" },
		"of another host":            func(d *device) { d.party.ID = "example.com" },
		"with another handle":        func(d *device) { d.auth.Options.UserHandle = []byte("nobody") },
		"with no handle":             func(d *device) { d.auth.Options.UserHandle = nil },
		"with another key": func(d *device) {
			id := d.key.ID
			*d = *newDevice(identity.Person{ID: string(d.auth.Options.UserHandle)})
			d.key.ID = id
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.person(t, "ana", identity.RoleMember)
			phone, _, _ := w.passkey(t, w.begin(t, "ana").Subject, "phone")
			change(phone)
			q := w.ask(t)
			_, err := w.SignInByPasskey(t.Context(), q.Challenge, phone.answer(t, q), home)
			requireKind(t, fault.Unauthenticated, err)
			require.Contains(t, fault.Message(err), "not known here")
		})
	}
}

func TestPasskey_OfSomebodyElseProvesNothing(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	w.person(t, "bo", identity.RoleMember)
	w.passkey(t, w.begin(t, "ana").Subject, "ana's")
	bos, _, bo := w.passkey(t, w.begin(t, "bo").Subject, "bo's")

	attempt := w.begin(t, "ana").Attempt
	q, err := w.AskSecondPasskey(t.Context(), attempt)
	require.NoError(t, err)
	_, err = w.SecondPasskey(t.Context(), attempt, q.Challenge, bos.answer(t, q), home)
	requireKind(t, fault.Unauthenticated, err)
	failed := w.happened(t, identity.SignInFailed)
	require.Equal(t, "ana", failed[len(failed)-1].Actor)
	require.Equal(t, []any{"passkey"}, about(t, failed[len(failed)-1], "methods"))

	// Nor of somebody who is disabled.
	p, err := w.people.Person(t.Context(), "bo")
	require.NoError(t, err)
	disabled := true
	_, err = w.people.UpdatePerson(t.Context(), "root", "bo", p.Version, identity.PersonEdit{Disabled: &disabled})
	require.NoError(t, err)
	require.False(t, w.alive(t, bo.Session))
	ask := w.ask(t)
	_, err = w.SignInByPasskey(t.Context(), ask.Challenge, bos.answer(t, ask), home)
	requireKind(t, fault.Unauthenticated, err)
}

func TestPasskey_WhoseCounterWentBackIsToldAndTaken(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	phone, _, _ := w.passkey(t, w.begin(t, "ana").Subject, "phone")
	in := func(counter uint32) {
		phone.key.Counter = counter - 1 // which the answer counts up
		q := w.ask(t)
		_, err := w.SignInByPasskey(t.Context(), q.Challenge, phone.answer(t, q), home)
		require.NoError(t, err)
	}
	in(7)
	in(8)
	require.Empty(t, w.happened(t, factor.Suspected))
	in(8)
	suspected := w.happened(t, factor.Suspected)
	require.Len(t, suspected, 1)
	require.Equal(t, "phone", about(t, suspected[0], "name"))
}

func TestPasskey_ThatCountsNothingIsNeverSuspected(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	phone, _, _ := w.passkey(t, w.begin(t, "ana").Subject, "phone")
	for range 3 {
		phone.key.Counter = ^uint32(0) // which the answer counts up to 0
		q := w.ask(t)
		_, err := w.SignInByPasskey(t.Context(), q.Challenge, phone.answer(t, q), home)
		require.NoError(t, err)
	}
	require.Empty(t, w.happened(t, factor.Suspected))
}

func TestRemovePasskey_KeepsTheLastWayIn(t *testing.T) {
	w := newWorld(t)
	p := w.person(t, "ana", identity.RoleMember)
	_, first, in := w.passkey(t, w.begin(t, "ana").Subject, "first")
	_, second, in := w.passkey(t, in.Subject, "second")
	w.exec(t, "UPDATE people SET password_hash = NULL WHERE id = ?", p.ID)

	require.NoError(t, w.RemovePasskey(t.Context(), in.Subject, first.ID))
	err := w.RemovePasskey(t.Context(), in.Subject, second.ID)
	requireKind(t, fault.Clash, err)
	require.Contains(t, fault.Message(err), "last way in")
	requireKind(t, fault.Clash, w.ResetAll(t.Context(), "root", "ana"))
	requireKind(t, fault.Missing, w.RemovePasskey(t.Context(), in.Subject, first.ID))

	require.NoError(t, w.people.SetPassword(t.Context(), "root", "ana", secret.New(password)))
	require.NoError(t, w.RemovePasskey(t.Context(), in.Subject, second.ID))
	again := w.begin(t, "ana")
	require.False(t, again.Session.Empty(), "a password is enough again")
	has, err := w.Of(t.Context(), p.ID)
	require.NoError(t, err)
	require.Zero(t, has.Recovery.Left, "recovery codes stand in for nothing")
	require.Len(t, w.happened(t, factor.Removed), 2)
}

func TestPasskey_IsAddedOnceByWhoeverAsked(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	w.person(t, "bo", identity.RoleMember)
	ana, bo := w.begin(t, "ana"), w.begin(t, "bo")
	q, err := w.AskNewPasskey(t.Context(), ana.Subject)
	require.NoError(t, err)
	phone := newDevice(ana.Subject.Person)
	answer := phone.create(t, q)
	_, _, err = w.AddPasskey(t.Context(), bo.Subject, "stolen", q.Challenge, answer)
	requireKind(t, fault.BadInput, err)
	_, _, err = w.AddPasskey(t.Context(), ana.Subject, " ", q.Challenge, answer)
	requireKind(t, fault.BadInput, err)
	key, out, err := w.AddPasskey(t.Context(), ana.Subject, "phone", q.Challenge, answer)
	require.NoError(t, err)
	_, _, err = w.AddPasskey(t.Context(), out.Subject, "phone", q.Challenge, answer)
	requireKind(t, fault.BadInput, err)

	renamed, err := w.RenamePasskey(t.Context(), out.Subject, key.ID, "old phone")
	require.NoError(t, err)
	require.Equal(t, "old phone", renamed.Name)
	_, err = w.RenamePasskey(t.Context(), bo.Subject, key.ID, "mine")
	requireKind(t, fault.Missing, err)
}

func TestOffer_IsMadeUntilItIsDeclinedOrTaken(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	offer := func(s identity.Subject) bool {
		offer, err := w.Offer(t.Context(), s)
		require.NoError(t, err)
		return offer
	}
	in := w.begin(t, "ana")
	require.True(t, offer(in.Subject))
	require.NoError(t, w.Decline(t.Context(), in.Subject))
	require.False(t, offer(w.begin(t, "ana").Subject))
	w.person(t, "bo", identity.RoleMember)
	_, _, out := w.passkey(t, w.begin(t, "bo").Subject, "phone")
	require.False(t, offer(out.Subject))
}
