package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"berth/internal/cookie"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
)

// visitor is who came with a request, as far as it can be told.
type visitor struct {
	subject *identity.Subject // nil is nobody
	guest   identity.Guest    // of a session or an API token
	jwt     *bearer           // of a token of another issuer
	refused error             // why something that was shown proves nobody
}

// now is who it is by now; nil is nobody.
func (v *visitor) now() *identity.Subject {
	if v.subject == nil || v.jwt != nil {
		return v.subject
	}
	return v.guest.Now()
}

// refusal is a visit that the gate does not allow.
type refusal struct {
	verdict identity.Verdict
	rule    identity.Rule // that decided; the zero one when none did
	visitor visitor
}

func (r *refusal) Error() string { return "not let in: " + r.verdict.Why.String() }

var (
	errSignedOut = errors.New("who came with the request is signed out")
	errNotAsked  = errors.New("it can not be found out who came with the request")
)

// enter decides whether the request may go on to a route, and has it end when
// whom it was allowed is no longer who they were.
func (x *exchange) enter(ctx context.Context, to *route) error {
	for range 3 {
		who := x.g.visitorOf(ctx, x.r, x.host, to)
		visit := x.visit(identity.On{Project: to.Project, Stage: to.Stage})
		verdict := to.gate.Enter(who.subject, visit)
		x.decision = decisionOf(verdict)
		if !verdict.Allowed {
			x.shard.decided(x.decision)
			return x.refuse(to, who, verdict)
		}
		x.mu.Lock()
		x.gate, x.on, x.visitor = to.gate, visit.On, who
		x.mu.Unlock()
		if !x.watch(who) || visit.OnlyProvider != x.onlyProvider() {
			continue // it ended, or another provider came, just now
		}
		x.shard.decided(x.decision)
		return nil
	}
	return errSignedOut
}

// refuse gives why a request does not go on to a route.
func (x *exchange) refuse(to *route, who visitor, verdict identity.Verdict) error {
	no := &refusal{verdict: verdict, visitor: who}
	x.refused = no
	if x.decision == turnedAway {
		x.g.refused.note(x, to, no)
	}
	switch {
	case verdict.Why == identity.WhyAmbiguous:
		return errBadTarget
	case verdict.Why == identity.WhyMethodCase:
		return errMethodCase
	case who.refused != nil && fault.KindOf(who.refused) != fault.Unauthenticated:
		return errors.Join(errNotAsked, who.refused)
	}
	if verdict.Rule >= 0 {
		no.rule = to.Access.Rules[verdict.Rule]
	}
	return no
}

// watch has the request cut when the proof that its visitor came with ends.
func (x *exchange) watch(who visitor) bool {
	if x.g.identity != nil {
		x.g.identity.Unwatch(&x.watched)
	}
	x.expiry.stop()
	switch {
	case who.subject == nil:
		return true
	case who.jwt != nil:
		return x.expiry.start(who.jwt.expires.Sub(x.g.clock()), func() { x.cut(errSignedOut) })
	default:
		return x.g.identity.Watch(&x.watched, who.guest, func() { x.cut(errSignedOut) }, x.lookAgain)
	}
}

// unwatch lets go of what watch took.
func (x *exchange) unwatch() {
	if x.g.identity != nil {
		x.g.identity.Unwatch(&x.watched)
	}
	x.expiry.stop()
}

// enteredBy gives the gate that let the request in.
func (x *exchange) enteredBy() *identity.Gate {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.gate
}

// reenter decides anew when a route has another policy, and cuts the request
// when it would not be let in any more.
func (x *exchange) reenter(to *route) {
	x.mu.Lock()
	before, on, who := x.gate, x.on, x.visitor
	x.mu.Unlock()
	if before == to.gate {
		return
	}
	if !to.gate.Enter(who.now(), x.visit(on)).Allowed {
		x.cut(errSignedOut)
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.gate == before {
		x.gate = to.gate
	}
}

// lookAgain decides anew whom a provider's word let in, and cuts the request
// when that does not count any more. That a sign-in grows old ends nothing that
// is open.
func (x *exchange) lookAgain() {
	x.mu.Lock()
	gate, on, who := x.gate, x.on, x.visitor
	x.mu.Unlock()
	if v := gate.Enter(who.now(), x.visit(on)); !v.Allowed && v.Why != identity.WhyTooLongAgo {
		x.cut(errSignedOut)
	}
}

func (x *exchange) visit(on identity.On) identity.Visit {
	v := identity.Visit{Method: x.r.Method, Path: x.path.path, At: x.g.clock(), On: on, OnlyProvider: x.onlyProvider()}
	v.Address, _ = netip.ParseAddr(x.from.address)
	v.Others = x.path.others()
	return v
}

func (x *exchange) onlyProvider() string { return x.g.onlyProvider() }

// onlyProvider is whose the claims are that name no provider.
func (g *Gateway) onlyProvider() string {
	if g.identity == nil {
		return ""
	}
	return g.identity.OnlyProvider()
}

// visitorOf finds out who sends a request to a host: by an API token, by a
// token of an issuer that the route names, else by the host's own cookie.
func (g *Gateway) visitorOf(ctx context.Context, r *http.Request, host string, to *route) (who visitor) {
	if g.identity == nil {
		return visitor{}
	}
	if said := r.Header["Authorization"]; len(said) == 1 {
		scheme, token, _ := strings.Cut(said[0], " ")
		token = strings.TrimSpace(token)
		switch {
		case !strings.EqualFold(scheme, "Bearer"): // the app's own affair
		case identity.LooksLikeToken(token):
			return visited(g.identity.GuestByToken(ctx, secret.New(token)))
		case len(to.issuers) > 0 && g.bearers != nil:
			if b, err := g.bearers.verify(ctx, to.issuers, token); b != nil || err != nil {
				if err != nil {
					return visitor{refused: err}
				}
				return visitor{subject: &b.subject, jwt: b}
			}
		}
	}
	if token, ok := g.own.cookies.Read(r.Header, cookie.Session); ok {
		return visited(g.identity.ByHostSession(ctx, host, secret.New(token)))
	}
	return visitor{}
}

func visited(guest identity.Guest, err error) visitor {
	if err != nil {
		return visitor{refused: err}
	}
	return visitor{subject: guest.Subject(), guest: guest}
}

// decision is how a visit was decided, as it is counted.
type decision int

const (
	letIn    decision = iota // somebody
	letInAll                 // whoever it was
	toSignIn
	toStepUp
	turnedAway
	decisions = iota
)

func (d decision) String() string {
	switch d {
	case letIn:
		return "allowed"
	case letInAll:
		return "public"
	case toSignIn:
		return "sign_in"
	case toStepUp:
		return "step_up"
	case turnedAway:
		return "refused"
	}
	return "unknown"
}

func decisionOf(v identity.Verdict) decision {
	switch {
	case v.Allowed && v.Why == identity.WhyPublic:
		return letInAll
	case v.Allowed:
		return letIn
	case v.Need == identity.NeedSignIn:
		return toSignIn
	case v.Need == identity.NeedStronger, v.Need == identity.NeedFresher:
		return toStepUp
	}
	return turnedAway
}

// navigates says that a browser asks for a page to show: only then is it of
// use to lead it elsewhere. API clients and a page's own requests, which say
// so, never are.
func navigates(r *http.Request) bool {
	h := r.Header
	if r.Method != http.MethodGet || h["Authorization"] != nil || h["X-Requested-With"] != nil ||
		h["Upgrade"] != nil || hasToken(h["Connection"], "upgrade") || !wantsHTML(h["Accept"]) {
		return false
	}
	mode := h.Get("Sec-Fetch-Mode")
	return mode == "" || mode == "navigate"
}

// deny answers a visit that was not allowed.
func (x *exchange) deny(no *refusal) page {
	v, subject := no.verdict, no.visitor.subject
	switch v.Need {
	case identity.NeedSignIn, identity.NeedStronger, identity.NeedFresher:
		if navigates(x.r) && !x.grpc {
			return x.leadToBase(no)
		}
		return x.challenge(no)
	case identity.NeedNothing:
	}
	p := page{
		status: http.StatusForbidden, title: "No access", code: fault.Denied,
		detail: "You may not see this. Ask " + x.g.contact + " if you think you should.",
	}
	if subject != nil && subject.Via == identity.ViaSession {
		p.detail = fmt.Sprintf("You are signed in as %s, and may not see %s. Ask %s if you think you should.",
			Known(subject), x.host+x.path.path, x.g.contact)
		p.links = []link{{"Sign out, or sign in as somebody else", ownPath + "/sign-out"}}
	}
	return p
}

// challenge is what everybody who is no browser at a page gets.
func (x *exchange) challenge(no *refusal) page {
	p := page{
		status: http.StatusUnauthorized, title: "Sign in", code: fault.Unauthenticated, detail: "Sign in first.",
		header: http.Header{"Www-Authenticate": {`Bearer realm="berth"`}}, // RFC 9110 section 15.5.2
	}
	switch {
	case no.verdict.Need != identity.NeedSignIn:
		p.title, p.detail = "Sign in again", "What was asked for needs a stronger or fresher sign-in: open it in a browser."
		p.header["Www-Authenticate"] = []string{`Bearer realm="berth", error="insufficient_user_authentication"`} // RFC 9470
	case no.visitor.refused != nil:
		p.detail = fault.Message(no.visitor.refused)
		p.header["Www-Authenticate"] = []string{`Bearer realm="berth", error="invalid_token"`} // RFC 6750 section 3.1
	}
	if x.r.Header["Authorization"] == nil {
		p.links = []link{{"Sign in", ownPath + "/sign-in"}}
	}
	return p
}

func nameOf(s *identity.Subject) string {
	if s.Person.DisplayName != "" && s.Person.DisplayName != s.Person.Username {
		return s.Person.DisplayName + " (" + s.Person.Username + ")"
	}
	return s.Person.Username
}
