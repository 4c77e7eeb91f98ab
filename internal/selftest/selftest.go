// Package selftest attacks a Berth from outside, over sockets of its own, with
// what hit other gateways and identity servers. Each [Check] is named after
// what it prevents, and carries the advisories that it learnt from.
//
// Start with [Recognise], [Run] and [Checks]. Those checks are harmless to a
// server that people use: they make no account, sign nobody in, guess only at
// names that nobody has and, with a Pace, put no load on it. What needs
// accounts, or a provider that lies, is checked by the end-to-end tests, which
// bring further checks and run them with the same Run.
package selftest

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// Target is the Berth that is attacked, and what is known of it. Only Base is
// needed; a check that lacks something is left out and says so.
type Target struct {
	Base *url.URL // the base host
	// Guarded is the hostname of an app that nobody may enter without signing in.
	Guarded string
	// Closed is a path at Guarded that nobody may enter without signing in; by
	// default "/admin".
	Closed string
	// Open are paths at Guarded that everybody may enter all the same.
	Open []string
	// Public is the hostname of an app that everybody may enter.
	Public string
	// Echo says that both apps answer with the bytes of the request as they
	// got it, under "X-App-Report: yes", with "X-App-Version" telling the two
	// apart: "public" and "guarded".
	Echo bool
	// Session is the cookie, "name=value", of a member who may enter "/" at
	// Guarded; with Echo, but nothing below Closed.
	Session string
	// Token is an API token with the scope read.
	Token string
	// Pace holds back the messages; nil for none.
	Pace *rate.Limiter
	// Roots are the authorities that a server under TLS is believed by; nil for
	// the machine's. No server is attacked whose certificate is not good.
	Roots *x509.CertPool
	// Saw is told everything that the server answers; may be nil.
	Saw func(answer []byte)
}

// Needs is what of a [Target] a check needs.
type Needs int

// What may be needed.
const (
	NeedsGuarded Needs = 1 << iota
	NeedsPublic
	NeedsEcho
	NeedsSession
	NeedsToken
)

// missing gives those needs that a target does not meet, and names them.
func (n Needs) missing(t *Target) (missing Needs, names string) {
	var lacks []string
	for _, one := range []struct {
		need Needs
		has  bool
		name string
	}{
		{NeedsGuarded, t.Guarded != "", "an app that asks for signing in"},
		{NeedsPublic, t.Public != "", "an app for everybody"},
		{NeedsEcho, t.Echo, "apps that report what they are sent"},
		{NeedsSession, t.Session != "", "somebody who is signed in"},
		{NeedsToken, t.Token != "", "an API token"},
	} {
		if n&one.need != 0 && !one.has {
			missing |= one.need
			lacks = append(lacks, one.name)
		}
	}
	return missing, strings.Join(lacks, ", ")
}

// Check is one sort of attack.
type Check struct {
	Name     string // what it prevents, in lower case with dashes
	Prevents string // the same in a sentence
	// Advisories are those it learnt from; empty when none was found.
	Advisories []string
	Needs      Needs
	Attack     func(ctx context.Context, t *Try)
}

// Outcome says how a check ended.
type Outcome int

// The outcomes.
const (
	NotRun Outcome = iota // something that it needs is not there, or it did not come to its end
	Held                  // every attack came to nothing
	Broken                // one went through
)

func (o Outcome) String() string {
	switch o {
	case NotRun:
		return "not run"
	case Held:
		return "held"
	case Broken:
		return "BROKEN"
	}
	return "unknown"
}

// MarshalText writes it for programs: "not_run", "held" or "broken".
func (o Outcome) MarshalText() ([]byte, error) {
	return []byte(strings.ReplaceAll(strings.ToLower(o.String()), " ", "_")), nil
}

// UnmarshalText reads what MarshalText wrote.
func (o *Outcome) UnmarshalText(text []byte) error {
	for _, one := range []Outcome{NotRun, Held, Broken} {
		if written, _ := one.MarshalText(); string(written) == string(text) {
			*o = one
			return nil
		}
	}
	return fmt.Errorf("no outcome is called %q", text)
}

// Result is what became of one check.
type Result struct {
	Name       string   `json:"name"`
	Prevents   string   `json:"prevents"`
	Advisories []string `json:"advisories"`
	Outcome    Outcome  `json:"outcome"`
	Sent       int      `json:"sent"`               // messages
	Missing    Needs    `json:"-"`                  // what of Needs was not there
	Lacks      string   `json:"lacks,omitempty"`    // why it did not run, or not to its end
	Problems   []string `json:"problems,omitempty"` // what was sent and what came back
	Partly     []string `json:"partly,omitempty"`   // what of it could not be checked
}

// Learnt gives the advisories in one line.
func (r *Result) Learnt() string {
	if len(r.Advisories) == 0 {
		return "no advisory found"
	}
	return strings.Join(r.Advisories, ", ")
}

// checkTimeout bounds one check, also at a slow pace.
const checkTimeout = 10 * time.Minute

// Run makes the checks one after the other, and gives each result as soon as
// it is there. When ctx ends, those that are left are given as not run.
func Run(ctx context.Context, target Target, checks []Check, each func(Result)) {
	if target.Closed == "" {
		target.Closed = "/admin"
	}
	for _, c := range checks {
		each(run(ctx, target, c))
	}
}

func run(ctx context.Context, target Target, c Check) Result {
	r := Result{Name: c.Name, Prevents: c.Prevents, Advisories: append([]string{}, c.Advisories...)}
	if r.Missing, r.Lacks = c.Needs.missing(&target); r.Lacks != "" {
		return r
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	t := &Try{Target: target, over: ctx.Err}
	if ctx.Err() == nil {
		c.Attack(ctx, t)
	}
	r.Sent, r.Problems, r.Partly = t.sent, t.problems, t.partly
	switch {
	case len(r.Problems) > 0:
		r.Outcome = Broken
	case ctx.Err() != nil:
		r.Lacks = fmt.Sprintf("its end: %v", ctx.Err())
	case t.unmade != "":
		r.Lacks = "an answer to all that was sent: " + t.unmade
	case r.Sent == 0:
		r.Lacks = strings.Join(r.Partly, ", ")
		r.Partly = nil
	default:
		r.Outcome = Held
	}
	return r
}

// Checks are those that do no harm to a server that people use.
func Checks() []Check {
	return []Check{
		identityHeaders, identityTrailers, connectionHeader, forwardedHeaders, forwardAuthForgery, healthAgents,
		pathConfusion, pathAtBase, hostConfusion, requestSmuggling, http2Spellings,
		openRedirects, forgedCookies, cookieAttributes, forgedTokens, forgedAnswers, closedAPI, crossSite, framing, sharedCaches, reflection,
		guessing,
	}
}
