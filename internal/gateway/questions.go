package gateway

import (
	"context"
	"errors"
	"sync/atomic"

	"golang.org/x/time/rate"
)

// outcome is how a question of another proxy's was answered: by a decision, or
// by one of these.
type outcome int

const (
	fromNoProxy outcome = decisions + iota // it was nobody's to ask
	switchedOff                            // no proxy of this kind asks here
	leftUnclear                            // it can not be told what was asked
	hostUnknown                            // no app of Berth's is there
	notAnswered                            // it can not be found out now
	outcomes    = decisions + iota
)

func (o outcome) String() string {
	switch o {
	case fromNoProxy:
		return "untrusted"
	case switchedOff:
		return "off"
	case leftUnclear:
		return "unclear"
	case hostUnknown:
		return "unknown_host"
	case notAnswered:
		return "unavailable"
	}
	return decision(o).String()
}

// outcomeOf sorts what kept a question from being allowed.
func outcomeOf(err error) outcome {
	no, refused := errors.AsType[*refusal](err)
	switch {
	case refused:
		return outcome(decisionOf(no.verdict))
	case errors.Is(err, errNotAProxy):
		return fromNoProxy
	case errors.Is(err, errNotAskedHere):
		return switchedOff
	case errors.Is(err, errBadOrigin), errors.As(err, new(*unclearError)):
		return leftUnclear
	case errors.Is(err, errUnknownHost):
		return hostUnknown
	case errors.Is(err, errNotAsked), errors.Is(err, errAllowedNow):
		return notAnswered
	case errors.Is(err, errSignedOut):
		return outcome(toSignIn)
	}
	return outcome(turnedAway)
}

// questions are those of other proxies, as they were answered.
type questions struct {
	counts [dialects][outcomes]atomic.Int64
	warns  rate.Sometimes // keeps a proxy that is set up wrong from filling the log
}

// countQuestion counts an answer, and logs what somebody has to put right.
func (x *exchange) countQuestion(ctx context.Context, d dialect, err error) {
	how := outcomeOf(err)
	if err == nil {
		how = outcome(x.decision)
	}
	x.g.questions.counts[d][how].Add(1)
	switch {
	case how == fromNoProxy, how == switchedOff, how == leftUnclear:
		x.g.questions.warns.Do(func() {
			x.g.log.WarnContext(ctx, "a proxy's question who may enter was refused", x.attrs("why", err.Error(), "address", x.from.address)...)
		})
	case errors.Is(err, errNotAsked):
		x.g.questions.warns.Do(func() {
			x.g.log.WarnContext(ctx, "a proxy's question who may enter was not answered", x.attrs("error", err)...)
		})
	}
}
