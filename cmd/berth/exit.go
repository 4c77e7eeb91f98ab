package main

import (
	"errors"

	"berth/internal/fault"
)

// The exit codes; the description of the command lists them.
const (
	exitDone = iota
	exitInternal
	exitInput
	exitUnauthenticated
	exitDenied
	exitMissing
	exitClash
	exitTooLarge
	exitTooOften
	exitNotNow
	exitNotLive
	exitWouldChange
	exitAltered
	exitBroken
)

var (
	// errNotLive says that a deployment that was waited for did not go live.
	errNotLive = errors.New("the release did not go live")
	// errRunFailed says that a run of a job that was waited for did not go well.
	errRunFailed = errors.New("the run did not succeed")
	// errWouldChange says that a plan has changes in it.
	errWouldChange = errors.New("there is something to change")
	// errSaid is in the chain of an error whose reason a person has read.
	errSaid = errors.New("said")
)

// exitCode is the one place where an error becomes an exit code.
func exitCode(err error) int {
	switch {
	case err == nil:
		return exitDone
	case asExit(err) != nil:
		return asExit(err).code
	case errors.Is(err, errNotLive), errors.Is(err, errRunFailed):
		return exitNotLive
	case errors.Is(err, errWouldChange):
		return exitWouldChange
	case errors.Is(err, errAltered):
		return exitAltered
	case errors.Is(err, errBroken):
		return exitBroken
	}
	switch fault.KindOf(err) {
	case fault.Internal:
		return exitInternal
	case fault.BadInput:
		return exitInput
	case fault.Unauthenticated:
		return exitUnauthenticated
	case fault.Denied, fault.NotProved:
		return exitDenied
	case fault.Missing:
		return exitMissing
	case fault.Clash:
		return exitClash
	case fault.TooLarge:
		return exitTooLarge
	case fault.TooOften:
		return exitTooOften
	case fault.NotNow:
		return exitNotNow
	}
	return exitInternal
}

// asExit gives the exit code of a command in an instance, which is passed on.
func asExit(err error) *exitCodeError {
	e, _ := errors.AsType[*exitCodeError](err)
	return e
}
