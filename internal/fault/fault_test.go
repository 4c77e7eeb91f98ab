package fault_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
)

func TestKindOf_FindsTheFirstFaultInTheChain(t *testing.T) {
	for kind, err := range map[fault.Kind]error{
		fault.Internal:        io.EOF,
		fault.BadInput:        fault.Invalid("x"),
		fault.Unauthenticated: fault.SignIn("x"),
		fault.Denied:          fault.Forbidden("x"),
		fault.Missing:         fault.NotFound("x"),
		fault.Clash:           fault.Conflict("x"),
		fault.TooLarge:        fault.Large("x"),
		fault.TooOften:        fault.Often("x"),
		fault.NotNow:          fault.Unavailable("x"),
		fault.NotProved:       fault.ProveAgain("x"),
	} {
		require.Equal(t, kind, fault.KindOf(err))
		require.Equal(t, kind, fault.KindOf(fmt.Errorf("doing: %w", err)))
		require.Equal(t, kind, fault.KindOf(errors.Join(io.ErrShortWrite, err)))
	}
	require.Equal(t, fault.Internal, fault.KindOf(nil))
	require.Equal(t, fault.Denied, fault.KindOf(fault.Forbidden("outer").Because(fault.NotFound("inner"))))
}

func TestKind_HasAWordForEach(t *testing.T) {
	words := map[string]bool{}
	for kind := fault.Internal; kind <= fault.NotProved; kind++ {
		words[kind.String()] = true
	}
	require.Len(t, words, int(fault.NotProved)+1)
	require.Equal(t, "internal", fault.Kind(99).String())
}

func TestMessage_KeepsTheCauseFromPeople(t *testing.T) {
	cause := errors.New("dial tcp 10.0.0.1: password hunter2")
	err := fmt.Errorf("deploy shop: %w", fault.Unavailable("the registry %q does not answer", "ghcr.io").Because(cause))
	require.Equal(t, `the registry "ghcr.io" does not answer`, fault.Message(err))
	require.Contains(t, err.Error(), "hunter2", "a log says all")
	require.ErrorIs(t, err, cause)
	require.NotContains(t, fault.Message(cause), "hunter2")
	require.Contains(t, fault.Message(cause), "something went wrong")
}

func TestBecause_LeavesTheFaultItCameFromAlone(t *testing.T) {
	known := fault.NotFound("no project named %q", "shop")
	require.NotErrorIs(t, known, known.Because(io.EOF).Unwrap())
	require.Equal(t, "no project named \"shop\"", known.Error())
	require.Zero(t, func() time.Duration { _ = known.After(time.Minute); return known.RetryAfter }())
}

func TestInvalidFields_NamesEachAndIsNothingWithoutAny(t *testing.T) {
	require.NoError(t, fault.InvalidFields(nil))
	fields := []fault.Field{{Name: "port", Message: "is above 65535"}, {Name: "host", Message: "is empty"}}
	err := fmt.Errorf("check: %w", fault.InvalidFields(fields))
	require.Equal(t, fields, fault.FieldsOf(err))
	require.Equal(t, "port: is above 65535; host: is empty", fault.Message(err))
	require.Nil(t, fault.FieldsOf(io.EOF))
}

func TestRetryAfter_TellsHowLongToWait(t *testing.T) {
	require.Equal(t, 3*time.Second, fault.RetryAfter(fmt.Errorf("x: %w", fault.Often("wait").After(3*time.Second))))
	require.Zero(t, fault.RetryAfter(fault.Often("wait")))
	require.Zero(t, fault.RetryAfter(io.EOF))
}
