package deploy

import (
	"fmt"
	"math"
	"time"
)

// Guard says how a new release is watched after the switch, and what is too
// much. A release that does worse gives the stage back to the one before it.
type Guard struct {
	Window Duration `json:"window,omitempty"` // from the switch on; 0: nothing is watched
	// ErrorRate is how many answers of a hundred may be errors beyond those of
	// the release before; 5 by default.
	ErrorRate float64 `json:"error_rate,omitempty"`
	// MinRequests is the number of answers under which nothing is said of
	// errors and latency; 20 by default.
	MinRequests int `json:"min_requests,omitempty"`
	// LatencyFactor is how many times as long as the release before the 95th
	// percentile may take; 0 does not look at it.
	LatencyFactor float64 `json:"latency_factor,omitempty"`
	// Restarts is how many ends of its containers, and how many of its
	// instances that stop answering, are borne.
	Restarts int `json:"restarts,omitempty"`
}

// CanaryRule gives a new release to a share of the clients first.
type CanaryRule struct {
	Share    int      `json:"share,omitempty"`    // clients of a hundred; 0: all at once
	Duration Duration `json:"duration,omitempty"` // "5m" by default
}

// The defaults of guards and canaries.
const (
	defaultErrorRate   = 5
	defaultMinRequests = 20
	defaultCanary      = Duration(5 * time.Minute)
)

// Where there is no release to compare with, or nobody asked it for anything
// of late, these are the limits.
const (
	absoluteErrorRate = 10 // answers of a hundred, or the guard's own when that is more
	absoluteLatency   = 5 * time.Second
)

// leastLatency is the difference in latency under which none is too much:
// three times of nothing is nothing.
const leastLatency = 50 * time.Millisecond

// normaliseGuard fills in what a guard or a canary needs, and leaves a spec
// without either as it was.
func (s *StageSpec) normaliseGuard() {
	if s.Canary.Share == 0 {
		s.Canary = CanaryRule{}
	} else {
		s.Canary.Duration = orElse(s.Canary.Duration, defaultCanary)
	}
	if s.Guard.Window == 0 && s.Canary.Share == 0 {
		s.Guard = Guard{}
		return
	}
	s.Guard.ErrorRate = orElse(s.Guard.ErrorRate, defaultErrorRate)
	s.Guard.MinRequests = orElse(s.Guard.MinRequests, defaultMinRequests)
}

func (c *checks) guard(s StageSpec) {
	g := s.Guard
	c.between("spec.guard.window", g.Window, 0, 24*time.Hour)
	c.when(g.Window != 0 && time.Duration(g.Window) < 5*time.Second, "spec.guard.window", "it is 5s at least, or 0s for none")
	if g.Window != 0 || s.Canary.Share != 0 {
		c.when(math.IsNaN(g.ErrorRate) || g.ErrorRate < 0.1 || g.ErrorRate > 100, "spec.guard.error_rate", "it is between 0.1 and 100 of a hundred answers")
		c.when(g.MinRequests < 1 || g.MinRequests > 1_000_000, "spec.guard.min_requests", "it is between 1 and 1000000")
		c.when(g.LatencyFactor != 0 && !(g.LatencyFactor >= 1.1 && g.LatencyFactor <= 1000), "spec.guard.latency_factor", "it is between 1.1 and 1000, or 0 not to look at latency")
		c.when(g.Restarts < 0 || g.Restarts > 1000, "spec.guard.restarts", "it is between 0 and 1000")
	}
	c.when(s.Canary.Share < 0 || s.Canary.Share > 99, "spec.canary.share", "it is between 1 and 99 of a hundred clients, or 0 for none")
	if s.Canary.Share != 0 {
		c.between("spec.canary.duration", s.Canary.Duration, 5*time.Second, 24*time.Hour)
	}
}

// Watched is what was seen of a release since it is watched.
type Watched struct {
	// Spans are what it answered in the last seconds, in longer times, and in
	// all: a release that breaks late must not hide behind its good beginning.
	Spans    []Answers
	Restarts int    // its containers ended
	Silent   int    // its instances stopped answering their probe
	LastFall string // how the last of either came about, for a person
}

// Verdict is what Judge comes to.
type Verdict struct {
	Breach bool
	Reason string // for a person; empty without a breach
}

// Judge decides whether a release does worse than the guard bears. before is
// what the release before it answered in the minutes before the switch, or
// beside a canary meanwhile.
//
// Shares are judged by the lower end of their confidence interval: a limit is
// passed when that is sure, not when three of twenty requests were unlucky.
// For a release that fails every request that is at its twentieth.
func Judge(w Watched, before Seen, g Guard) Verdict {
	if w.Restarts > g.Restarts {
		return breach("its containers ended %s%s", times(w.Restarts), because(w.LastFall))
	}
	if w.Silent > g.Restarts {
		return breach("its instances stopped answering %s%s", times(w.Silent), because(w.LastFall))
	}
	known := before.Requests >= int64(g.MinRequests)
	for _, seen := range w.Spans {
		if seen.Requests() < int64(g.MinRequests) {
			continue
		}
		if v := judgeErrors(seen, before, known, g); v.Breach {
			return v
		}
		if v := judgeLatency(seen, before, known, g); v.Breach {
			return v
		}
	}
	return Verdict{}
}

func judgeErrors(seen Answers, before Seen, known bool, g Guard) Verdict {
	limit := max(g.ErrorRate, absoluteErrorRate) / 100
	if known {
		limit = before.errorRate() + g.ErrorRate/100
	}
	n := seen.Requests()
	if !surelyOver(seen.Errors, n, limit) {
		return Verdict{}
	}
	if known {
		return breach("%d of %d answers were errors (%s), where the release before had %s", seen.Errors, n, percent(seen.ErrorRate()), percent(before.errorRate()))
	}
	return breach("%d of %d answers were errors (%s)", seen.Errors, n, percent(seen.ErrorRate()))
}

// judgeLatency has the 95th percentile over its limit when it is sure that
// more than five of a hundred answers took longer than that.
func judgeLatency(seen Answers, before Seen, known bool, g Guard) Verdict {
	if g.LatencyFactor == 0 {
		return Verdict{}
	}
	limit := absoluteLatency
	if known {
		usual := time.Duration(before.P95 * float64(time.Millisecond))
		limit = max(time.Duration(float64(usual)*g.LatencyFactor), usual+leastLatency)
	}
	if !surelyOver(seen.slower(limit), seen.Requests(), .05) {
		return Verdict{}
	}
	if known {
		return breach("the 95th percentile of the answers' time was %s, where the release before had %s", seen.Within(.95), time.Duration(before.P95*float64(time.Millisecond)))
	}
	return breach("the 95th percentile of the answers' time was %s", seen.Within(.95))
}

// sure is how many standard errors a share must be over its limit. A guard
// looks once a second for minutes; at three it is wrong about once in a
// thousand looks at a release that is just at its limit.
const sure = 3

// surelyOver says that some of n is a share over limit, by the lower end of
// Wilson's score interval. Where the limit is so high that no share could be
// surely over it, all of n is enough.
func surelyOver(some, n int64, limit float64) bool {
	if n <= 0 || float64(some) <= limit*float64(n) {
		return false
	}
	if some >= n {
		return true
	}
	share, of := float64(some)/float64(n), float64(n)
	middle := share + sure*sure/(2*of)
	half := sure * math.Sqrt(share*(1-share)/of+sure*sure/(4*of*of))
	return (middle-half)/(1+sure*sure/of) > limit
}

func breach(format string, args ...any) Verdict {
	return Verdict{Breach: true, Reason: fmt.Sprintf(format, args...)}
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

// percent spells a share as people do: "0 %", "0.4 %", "37 %", with a space
// that no line breaks at.
func percent(share float64) string {
	switch p := share * 100; {
	case p == 0 || p >= 10:
		return fmt.Sprintf("%.0f\u00a0%%", p)
	default:
		return fmt.Sprintf("%.1f\u00a0%%", p)
	}
}
