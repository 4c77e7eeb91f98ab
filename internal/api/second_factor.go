package api

import (
	"context"

	"berth/internal/identity"
)

func (a *API) getSecondFactorRule(ctx context.Context, _ *struct{}) (*output[identity.SecondFactorRule], error) {
	rule, err := a.identity.SecondFactorRule(ctx)
	if err != nil {
		return nil, err
	}
	return answer(rule), nil
}

type secondFactorRuleInput struct {
	Body struct {
		RequiredOf identity.Requirement `json:"required_of" enum:"nobody,administrators,members,everybody"`
		Version    int64                `json:"version" minimum:"0" doc:"The version that was seen; 409 when it has moved"`
	}
}

// setSecondFactorRule is for who has just proved who they are: whoever takes
// over a session takes the rule away first.
func (a *API) setSecondFactorRule(ctx context.Context, in *secondFactorRuleInput) (*output[identity.SecondFactorRule], error) {
	s := callerOf(ctx).who()
	if s.Via == identity.ViaSession {
		if err := a.factors.Fresh(s); err != nil {
			return nil, err
		}
	}
	rule, err := a.identity.RequireSecondFactor(ctx, s, in.Body.RequiredOf, in.Body.Version)
	if err != nil {
		return nil, err
	}
	return answer(rule), nil
}
