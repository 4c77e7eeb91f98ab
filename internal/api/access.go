package api

import (
	"context"
	"net/netip"
	"strings"

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
	Provider    string `json:"provider" doc:"Where they would sign in for it; local is Berth itself"`
	AccessVerdict
}

func personVerdict(p identity.Preview) PersonVerdict {
	v := PersonVerdict{
		Username: p.Person.Username, DisplayName: p.Person.DisplayName, Provider: p.Subject.Provider, AccessVerdict: verdictOf(p.Verdict),
	}
	if p.Person.Disabled && !v.Allowed {
		v.Need, v.Why = identity.NeedNothing.String(), "their account is disabled"
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
		own, err := a.identity.PreviewOf(ctx, gate, visit, callerOf(ctx).actor(), identity.StrengthPasskey)
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

// gateOf readies a policy that somebody wrote.
func gateOf(p identity.Policy) (*identity.Gate, error) {
	p = p.Normalise()
	if err := fault.InvalidFields(p.Check("policy")); err != nil {
		return nil, err
	}
	return identity.NewGate(p)
}

func (a *API) visitOf(method, path, address string) (v identity.Visit, err error) {
	v.Method, v.At = strings.ToUpper(method), a.clock()
	if v.Path, v.Others, err = gateway.Readings(path); err != nil || address == "" {
		return v, err
	}
	if v.Address, err = netip.ParseAddr(address); err != nil {
		return v, fault.InvalidFields([]fault.Field{{Name: "address", Message: "is an address such as 192.168.0.7"}})
	}
	return v, nil
}
