package identity_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

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

// askAt asks from an address, and gives the codes, or how it was refused.
func (w *world) askAt(address string) (identity.DeviceCodes, error) {
	return w.AskByDevice(laptop, identity.Origin{Address: address})
}

func TestDevice_WaitingOnesAreBounded(t *testing.T) {
	w := newWorld(t)
	at := func(address string) error {
		_, err := w.askAt(address)
		return err
	}
	for i := range 20 {
		require.NoError(t, at(fmt.Sprintf("2001:db8::%x", i+1)))
		require.NoError(t, at("192.0.2.1"))
	}
	requireKind(t, fault.TooOften, at("2001:db8::ffff"))
	requireKind(t, fault.TooOften, at("192.0.2.1"))
	for i := range 40 {
		require.NoError(t, at(fmt.Sprintf("2001:db8:0:%x::1", i+1)))
	}
	requireKind(t, fault.TooOften, at("2001:db8:0:ffff::1")) // other networks of one site are no way around
	require.NoError(t, at("2001:db8:1::1"))
	w.wait(10 * time.Minute)
	for range 20 {
		require.NoError(t, at("2001:db8::1"))
	}
}

func TestDevice_OneThatNobodyComesForMakesRoomInItsNetwork(t *testing.T) {
	w := newWorld(t)
	left, err := w.askAt("192.0.2.1")
	require.NoError(t, err)
	w.wait(time.Second)
	stopped, err := w.askAt("192.0.2.1")
	require.NoError(t, err)
	require.ErrorIs(t, w.redeems(t, stopped), identity.ErrDevicePending)
	w.wait(time.Minute)
	var come []identity.DeviceCodes
	for range 18 {
		codes, err := w.askAt("192.0.2.1")
		require.NoError(t, err)
		come = append(come, codes)
	}
	for _, gone := range []identity.DeviceCodes{left, stopped} {
		_, err := w.askAt("192.0.2.1")
		require.NoError(t, err)
		require.ErrorIs(t, w.redeems(t, gone), identity.ErrDeviceExpired)
	}
	_, err = w.askAt("192.0.2.1")
	requireKind(t, fault.TooOften, err)
	for _, codes := range come {
		require.ErrorIs(t, w.redeems(t, codes), identity.ErrDevicePending, "who comes keeps theirs")
	}
}

func TestDevice_WhoFillsItUpLocksNobodyOut(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	_, ana := w.signIn(t, "ana")
	approved, err := w.askAt("2001:db8::1")
	require.NoError(t, err)
	require.NoError(t, w.ApproveDevice(t.Context(), ana, approved.Person, identity.ScopeRead, time.Hour))
	alone, err := w.askAt("192.0.2.255")
	require.NoError(t, err)
	w.wait(time.Second)
	oldest, err := w.askAt("2001:db8::2")
	require.NoError(t, err)
	w.wait(time.Second)
	for i := range 49 { // 30 of the site that has most, 20 of each other one
		for j := range 20 {
			address := fmt.Sprintf("192.0.2.%d", i)
			if i == 0 || i == 1 && j < 8 {
				address = fmt.Sprintf("2001:db8:0:%x::1", 1+i)
			}
			_, err := w.askAt(address)
			require.NoError(t, err)
		}
	}
	for i := range 17 {
		_, err := w.askAt(fmt.Sprintf("198.51.100.%d", i))
		require.NoError(t, err)
	}
	require.ErrorIs(t, w.redeems(t, oldest), identity.ErrDevicePending, "it is full, not more")
	_, err = w.askAt("203.0.113.1")
	require.NoError(t, err)
	require.ErrorIs(t, w.redeems(t, oldest), identity.ErrDeviceExpired, "of the site that has most")
	require.ErrorIs(t, w.redeems(t, alone), identity.ErrDevicePending)
	require.NoError(t, w.redeems(t, approved), "what was decided stays")
}

func TestDevice_NameOfItsTokenHasRoomForTheLongestMachine(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	_, ana := w.signIn(t, "ana")
	long := laptop
	long.Machine = strings.Repeat("é", 64)
	codes := w.asks(t, long)
	require.NoError(t, w.ApproveDevice(t.Context(), ana, codes.Person, identity.ScopeRead, time.Hour))
	_, made, _, err := w.RedeemDevice(t.Context(), codes.Device)
	require.NoError(t, err)
	require.Contains(t, made.Name, "berth login on "+strings.Repeat("é", 50)+", 2")
}

func TestDevice_IsLostByNothingThatPasses(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	_, ana := w.signIn(t, "ana")
	codes := w.asks(t, laptop)
	broken, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, w.DenyDevice(broken, ana, codes.Person), context.Canceled)
	require.ErrorIs(t, w.redeems(t, codes), identity.ErrDevicePending, "what is not written down is not decided")
	require.NoError(t, w.ApproveDevice(t.Context(), ana, codes.Person, identity.ScopeRead, time.Hour))
	_, _, _, err := w.RedeemDevice(broken, codes.Device)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, w.redeems(t, codes))
	require.ErrorIs(t, w.redeems(t, codes), identity.ErrDeviceExpired)
}

func TestDevice_GetsNothingOfASessionThatIsIdleForTooLong(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	idle, err := identity.New(identity.Config{DB: w.db, Events: w.events, Clock: w.clock, PasswordCost: bcrypt.MinCost, SessionIdle: 5 * time.Minute})
	require.NoError(t, err)
	w.Service = idle
	_, ana := w.signIn(t, "ana")
	codes := w.asks(t, laptop)
	require.NoError(t, w.ApproveDevice(t.Context(), ana, codes.Person, identity.ScopeRead, time.Hour))
	w.wait(5 * time.Minute)
	require.ErrorIs(t, w.redeems(t, codes), identity.ErrDeviceDenied)
}
