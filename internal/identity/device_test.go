package identity_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
)

var (
	elsewhere = identity.Origin{Address: "198.51.100.7", UserAgent: "berth/1"}
	laptop    = identity.DeviceAsk{Machine: "laptop", Scope: identity.ScopeAdmin, Lives: 24 * time.Hour}
)

func (w *world) asks(t *testing.T, ask identity.DeviceAsk) identity.DeviceCodes {
	t.Helper()
	codes, err := w.AskByDevice(ask, elsewhere)
	require.NoError(t, err)
	return codes
}

func (w *world) redeems(t *testing.T, codes identity.DeviceCodes) error {
	t.Helper()
	_, _, _, err := w.RedeemDevice(t.Context(), codes.Device)
	return err
}

func TestDevice_GetsATokenOfWhoApprovedItOnce(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	_, ana := w.signIn(t, "ana")
	codes := w.asks(t, laptop)
	require.Regexp(t, `^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$`, codes.Person.Reveal())
	require.ErrorIs(t, w.redeems(t, codes), identity.ErrDevicePending)

	typed := secret.New(" " + strings.ToLower(strings.ReplaceAll(codes.Person.Reveal(), "-", " ")))
	asked, err := w.DeviceRequest(ana, typed)
	require.NoError(t, err)
	require.Equal(t, identity.DeviceRequest{
		Machine: "laptop", Address: "198.51.100.7", UserAgent: "berth/1", Scope: identity.ScopeAdmin, Lives: 86400, AskedAt: start, ExpiresAt: start.Add(10 * time.Minute),
	}, asked)
	require.NoError(t, w.ApproveDevice(t.Context(), ana, codes.Person, identity.ScopeDeploy, time.Hour))
	requireKind(t, fault.Missing, w.ApproveDevice(t.Context(), ana, codes.Person, identity.ScopeDeploy, time.Hour))
	requireKind(t, fault.Missing, w.DenyDevice(t.Context(), ana, codes.Person))
	list, err := w.Tokens(t.Context(), ana.Person.ID)
	require.NoError(t, err)
	require.Empty(t, list, "one that nobody comes for is not made")

	text, made, person, err := w.RedeemDevice(t.Context(), codes.Device)
	require.NoError(t, err)
	require.Equal(t, ana.Person.ID, person.ID)
	require.Equal(t, identity.ScopeDeploy, made.Scope)
	require.Equal(t, start.Add(time.Hour), *made.ExpiresAt)
	require.Contains(t, made.Name, "berth login on laptop")
	by, err := w.ByToken(t.Context(), text)
	require.NoError(t, err)
	require.Equal(t, "ana", by.Person.Username)
	require.ErrorIs(t, w.redeems(t, codes), identity.ErrDeviceExpired, "once")

	approved := w.happened(t, identity.TokenApproved)[0]
	require.Equal(t, "ana", approved.Actor)
	require.Equal(t, "laptop", about(t, approved, "machine"))
	require.Equal(t, "198.51.100.7", about(t, approved, "address"))
	require.Equal(t, "laptop", about(t, w.happened(t, identity.TokenCreated)[0], "machine"))
	for _, e := range w.happened(t) {
		for _, kept := range []secret.Text{codes.Device, codes.Person, text} {
			require.NotContains(t, string(e.Data), kept.Reveal())
		}
	}
}

func TestDevice_GetsNothingThatWasDeniedOrIsLate(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	_, ana := w.signIn(t, "ana")
	denied, late := w.asks(t, laptop), w.asks(t, laptop)
	require.NoError(t, w.DenyDevice(t.Context(), ana, denied.Person))
	require.ErrorIs(t, w.redeems(t, denied), identity.ErrDeviceDenied)
	require.ErrorIs(t, w.redeems(t, denied), identity.ErrDeviceExpired)
	require.Equal(t, "ana", w.happened(t, identity.TokenDenied)[0].Actor)

	w.wait(10*time.Minute - time.Second)
	_, err := w.DeviceRequest(ana, late.Person)
	require.NoError(t, err)
	w.wait(time.Second)
	_, err = w.DeviceRequest(ana, late.Person)
	requireKind(t, fault.Missing, err)
	requireKind(t, fault.Missing, w.ApproveDevice(t.Context(), ana, late.Person, identity.ScopeRead, time.Hour))
	require.ErrorIs(t, w.redeems(t, late), identity.ErrDeviceExpired)

	approved := w.asks(t, laptop)
	require.NoError(t, w.ApproveDevice(t.Context(), ana, approved.Person, identity.ScopeRead, time.Hour))
	w.wait(10 * time.Minute)
	require.ErrorIs(t, w.redeems(t, approved), identity.ErrDeviceExpired, "also one that was approved")
}

func TestDevice_GetsNoMoreThanItAskedForAndItsPersonMay(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	w.person(t, "cy", identity.RoleUser)
	_, ana := w.signIn(t, "ana")
	_, cy := w.signIn(t, "cy")
	codes := w.asks(t, identity.DeviceAsk{Machine: "ci", Scope: identity.ScopeDeploy, Lives: time.Hour})
	for _, wrong := range []struct {
		scope identity.Scope
		lives time.Duration
	}{{identity.ScopeAdmin, time.Hour}, {"", time.Hour}, {identity.ScopeRead, time.Hour + time.Second}, {identity.ScopeRead, 0}} {
		requireKind(t, fault.BadInput, w.ApproveDevice(t.Context(), ana, codes.Person, wrong.scope, wrong.lives))
	}
	asked, err := w.DeviceRequest(cy, codes.Person)
	require.NoError(t, err)
	require.Equal(t, identity.ScopeRead, asked.Scope, "of a user")
	requireKind(t, fault.BadInput, w.ApproveDevice(t.Context(), cy, codes.Person, identity.ScopeDeploy, time.Hour))
	require.NoError(t, w.ApproveDevice(t.Context(), cy, codes.Person, identity.ScopeRead, time.Hour))
	_, made, _, err := w.RedeemDevice(t.Context(), codes.Device)
	require.NoError(t, err)
	require.Equal(t, identity.ScopeRead, made.Scope)

	for _, wrong := range []identity.DeviceAsk{
		{Machine: "", Scope: identity.ScopeRead, Lives: time.Hour},
		{Machine: "a\u202eb", Scope: identity.ScopeRead, Lives: time.Hour},
		{Machine: strings.Repeat("a", 65), Scope: identity.ScopeRead, Lives: time.Hour},
		{Machine: "a", Scope: "all", Lives: time.Hour},
		{Machine: "a", Scope: identity.ScopeRead, Lives: time.Second},
		{Machine: "a", Scope: identity.ScopeRead, Lives: 367 * 24 * time.Hour},
	} {
		_, err := w.AskByDevice(wrong, elsewhere)
		requireKind(t, fault.BadInput, err)
	}
}

func TestDevice_IsApprovedInASessionThatLivesStill(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	_, ana := w.signIn(t, "ana")
	text, _, err := w.CreateToken(t.Context(), ana, "ci", identity.ScopeAdmin, time.Time{})
	require.NoError(t, err)
	byToken, err := w.ByToken(t.Context(), text)
	require.NoError(t, err)
	codes := w.asks(t, laptop)
	_, err = w.DeviceRequest(byToken, codes.Person)
	requireKind(t, fault.Denied, err)
	requireKind(t, fault.Denied, w.ApproveDevice(t.Context(), byToken, codes.Person, identity.ScopeRead, time.Hour))
	requireKind(t, fault.Denied, w.DenyDevice(t.Context(), byToken, codes.Person))

	require.NoError(t, w.ApproveDevice(t.Context(), ana, codes.Person, identity.ScopeRead, time.Hour))
	require.NoError(t, w.SignOut(t.Context(), ana))
	require.ErrorIs(t, w.redeems(t, codes), identity.ErrDeviceDenied)
	list, err := w.Tokens(t.Context(), ana.Person.ID)
	require.NoError(t, err)
	require.Len(t, list, 1)
}

func TestDevice_PollsNoFasterThanItWasTold(t *testing.T) {
	w := newWorld(t)
	codes := w.asks(t, laptop)
	require.ErrorIs(t, w.redeems(t, codes), identity.ErrDevicePending)
	w.wait(codes.Interval - time.Millisecond)
	require.ErrorIs(t, w.redeems(t, codes), identity.ErrDeviceSlowDown)
	w.wait(codes.Interval)
	require.ErrorIs(t, w.redeems(t, codes), identity.ErrDeviceSlowDown, "5 seconds more now")
	w.wait(codes.Interval + 10*time.Second)
	require.ErrorIs(t, w.redeems(t, codes), identity.ErrDevicePending)
}

func TestDevice_CodesAreHardToGuess(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	w.person(t, "bo", identity.RoleMember)
	_, ana := w.signIn(t, "ana")
	_, bo := w.signIn(t, "bo")
	codes := w.asks(t, laptop)
	for range 5 {
		_, err := w.DeviceRequest(ana, secret.New("BCDF-GHJK"))
		requireKind(t, fault.Missing, err)
	}
	requireKind(t, fault.TooOften, w.ApproveDevice(t.Context(), ana, codes.Person, identity.ScopeRead, time.Hour))
	_, err := w.DeviceRequest(bo, codes.Person)
	require.NoError(t, err, "one person's tries are not another's")

	// A right one between wrong ones buys no tries without end.
	guessed := 0
	for range 100 {
		if _, err := w.DeviceRequest(bo, secret.New("BCDF-GHJK")); fault.KindOf(err) == fault.TooOften {
			break
		}
		guessed++
		_, err := w.DeviceRequest(bo, codes.Person)
		if fault.KindOf(err) == fault.TooOften {
			break
		}
	}
	require.Less(t, guessed, 31)
}

func TestDevice_WaitingOnesAreBounded(t *testing.T) {
	w := newWorld(t)
	at := func(address string) error {
		_, err := w.AskByDevice(laptop, identity.Origin{Address: address})
		return err
	}
	for i := range 20 {
		require.NoError(t, at(fmt.Sprintf("2001:db8::%x", i+1)))
	}
	requireKind(t, fault.TooOften, at("2001:db8::ffff"))
	for i := range 49 {
		for range 20 {
			require.NoError(t, at(fmt.Sprintf("192.0.2.%d", i)))
		}
	}
	requireKind(t, fault.TooOften, at("203.0.113.1"))
	w.wait(10 * time.Minute)
	require.NoError(t, at("203.0.113.1"))
	require.NoError(t, at("2001:db8::ffff"))
}
