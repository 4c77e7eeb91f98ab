package api

import (
	"context"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"berth/internal/fault"
	"berth/internal/gateway"
	"berth/internal/identity"
)

// AccessVerdict is what a policy says of a request.
type AccessVerdict struct {
	Allowed bool   `json:"allowed"`
	Rule    int    `json:"rule" doc:"The place of the rule that decided, from 1; 0 when none did"`
	Need    string `json:"need" enum:"nothing,sign_in,stronger,fresher" doc:"What would help"`
	Why     string `json:"why" doc:"In words" example:"the rule lets them in"`
}

func verdictOf(v identity.Verdict) AccessVerdict {
	return AccessVerdict{Allowed: v.Allowed, Rule: v.Rule + 1, Need: v.Need.String(), Why: v.Why.String()}
}

// PersonVerdict is what a policy says of a request of one person.
type PersonVerdict struct {
	Username    string `json:"username"`
	DisplayName string `json:"display_name"`
	Provider    string `json:"provider" doc:"Where they would sign in for it; local is Berth itself, and empty is nowhere: they have no way in"`
	AccessVerdict
}

func personVerdict(p identity.Preview) PersonVerdict {
	v := PersonVerdict{
		Username: p.Person.Username, DisplayName: p.Person.DisplayName, Provider: p.Subject.Provider, AccessVerdict: verdictOf(p.Verdict),
	}
	switch {
	case v.Allowed:
	case p.Person.Disabled:
		v.Need, v.Why = identity.NeedNothing.String(), "their account is disabled"
	case !p.WayIn:
		v.Need, v.Why = identity.NeedNothing.String(), "they have no way to sign in"
	}
	return v
}

// AccessPreview is who could see what a policy guards.
type AccessPreview struct {
	Nobody AccessVerdict   `json:"nobody" doc:"What somebody gets who has not signed in"`
	People []PersonVerdict `json:"people" doc:"By username, as if they proved all that is asked; the caller alone, unless an administrator asks"`
	Next   string          `json:"next,omitempty" doc:"The cursor of the next part; absent in the last one"`
}

type previewAccessInput struct {
	Body struct {
		Policy  identity.Policy `json:"policy"`
		Method  string          `json:"method,omitempty" maxLength:"32" default:"GET"`
		Path    string          `json:"path,omitempty" maxLength:"2000" default:"/"`
		Address string          `json:"address,omitempty" maxLength:"64" doc:"Where the request comes from; nowhere that a rule names when absent" example:"192.168.0.7"`
		Cursor  string          `json:"cursor,omitempty" maxLength:"256" doc:"What next of the part before said"`
	}
}

// previewAccess says who could see what. What a provider tells of somebody is
// for administrators, and questions about it would tell: others learn of
// themselves alone.
func (a *API) previewAccess(ctx context.Context, in *previewAccessInput) (*output[AccessPreview], error) {
	b := in.Body
	gate, err := gateOf(b.Policy)
	if err != nil {
		return nil, err
	}
	visit, err := a.visitOf(b.Method, b.Path, b.Address)
	if err != nil {
		return nil, err
	}
	out := AccessPreview{Nobody: verdictOf(gate.Enter(nil, visit)), People: []PersonVerdict{}}
	if !administrates(ctx) {
		own, err := a.identity.PreviewOf(ctx, gate, visit, callerOf(ctx).actor(), identity.Imagined{Strength: identity.StrengthPasskey})
		if err != nil {
			return nil, err
		}
		out.People = append(out.People, personVerdict(own))
		return answer(out), nil
	}
	found, next, err := a.identity.Preview(ctx, gate, visit, b.Cursor, identity.MaxLimit)
	if err != nil {
		return nil, err
	}
	for _, p := range found {
		out.People = append(out.People, personVerdict(p))
	}
	out.Next = next
	return answer(out), nil
}

// AccessExplanation is how the gateway would treat a request.
type AccessExplanation struct {
	AccessVerdict
	As         string           `json:"as,omitempty" doc:"Username; absent for nobody"`
	Provider   string           `json:"provider,omitempty" doc:"Where they would have signed in"`
	Groups     []string         `json:"groups"`
	Project    string           `json:"project,omitempty"`
	Stage      string           `json:"stage,omitempty"`
	Route      string           `json:"route,omitempty" doc:"The route that no stage makes; project and stage are absent then"`
	Hostname   string           `json:"hostname"`
	PathPrefix string           `json:"path_prefix"`
	Rules      []identity.Rule  `json:"rules" doc:"The policy's, in their order"`
	Method     string           `json:"method"`
	Path       string           `json:"path" doc:"What the app is asked for"`
	Headers    []gateway.Header `json:"headers" doc:"By which the app is told who comes; none for who is not let in"`
}

type explainAccessInput struct {
	Body struct {
		As       string            `json:"as,omitempty" maxLength:"64" doc:"Username; the caller when absent"`
		Nobody   bool              `json:"nobody,omitempty" doc:"As somebody who has not signed in"`
		Method   string            `json:"method,omitempty" maxLength:"32" default:"GET"`
		URL      string            `json:"url" minLength:"1" maxLength:"2000" example:"https://app.example.com/x"`
		Address  string            `json:"address,omitempty" maxLength:"64" doc:"Where the request comes from" example:"192.168.0.7"`
		Strength identity.Strength `json:"strength,omitempty" enum:"second_factor,passkey" doc:"What the sign-in had; one factor alone when absent"`
		Provider string            `json:"provider,omitempty" maxLength:"64" doc:"Where they signed in: a provider's slug, or local; where it leads furthest when absent"`
		Age      identity.Duration `json:"age,omitzero" doc:"How long ago they signed in; just now when absent" example:"30m"`
	}
}

// explainAccess says which rule decides on a request and why: of oneself and
// of nobody, and of others to administrators.
func (a *API) explainAccess(ctx context.Context, in *explainAccessInput) (*output[AccessExplanation], error) {
	b, who := in.Body, callerOf(ctx).who()
	u, err := url.Parse(b.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fault.InvalidFields([]fault.Field{{Name: "url", Message: "is an address such as https://app.example.com/x"}})
	}
	switch {
	case b.Nobody:
		b.As = ""
	case b.As == "" && who.Via == identity.ViaLocal:
		return nil, fault.InvalidFields([]fault.Field{{Name: "as", Message: "is needed: who is on the machine itself is no person"}})
	case b.As == "":
		b.As = who.Person.Username
	case !strings.EqualFold(b.As, who.Person.Username) && !administrates(ctx):
		return nil, fault.Forbidden("only an administrator learns how others are treated")
	}
	sight, err := a.gateway.Sight(b.Method, u)
	if err != nil {
		return nil, err
	}
	sight.Visit.At = a.clock()
	if b.Address != "" {
		if sight.Visit.Address, err = addressOf(b.Address); err != nil {
			return nil, err
		}
	}
	gate, err := identity.NewGate(sight.Route.Access)
	if err != nil {
		return nil, err
	}
	r := sight.Route
	out := AccessExplanation{
		Groups: []string{}, Project: r.Project, Stage: r.Stage, Hostname: r.Hostname, PathPrefix: r.PathPrefix, Rules: notNull(r.Access.Rules),
		Method: sight.Visit.Method, Path: sight.Path, Headers: []gateway.Header{},
	}
	if r.Fixed != nil {
		out.Route = r.Fixed.Name
	}
	if b.As == "" {
		out.AccessVerdict = verdictOf(gate.Enter(nil, sight.Visit))
		return answer(out), nil
	}
	p, err := a.identity.PreviewOf(ctx, gate, sight.Visit, b.As, identity.Imagined{Strength: b.Strength, Provider: b.Provider, Age: time.Duration(b.Age)})
	if err != nil {
		return nil, err
	}
	out.AccessVerdict, out.As, out.Provider = personVerdict(p).AccessVerdict, p.Person.Username, p.Subject.Provider
	out.Groups = notNull(p.Subject.Groups)
	if out.Allowed && p.WayIn {
		out.Headers = notNull(a.gateway.Tells(sight, &p.Subject))
	}
	return answer(out), nil
}

// gateOf readies a policy that somebody wrote.
func gateOf(p identity.Policy) (*identity.Gate, error) {
	p = p.Normalise()
	if err := fault.InvalidFields(p.Check("policy")); err != nil {
		return nil, err
	}
	return identity.NewGate(p)
}

func (a *API) visitOf(method, path, address string) (v identity.Visit, err error) {
	v.Method, v.At, v.OnlyProvider = method, a.clock(), a.identity.OnlyProvider()
	if v.Path, v.Others, err = gateway.Readings(path); err != nil || address == "" {
		return v, err
	}
	v.Address, err = addressOf(address)
	return v, err
}

func addressOf(s string) (netip.Addr, error) {
	address, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, fault.InvalidFields([]fault.Field{{Name: "address", Message: "is an address such as 192.168.0.7"}})
	}
	return address, nil
}
