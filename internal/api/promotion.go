package api

import (
	"context"

	"berth/internal/deploy"
)

type getPromotionInput struct {
	StagePath
	Release string `query:"release" maxLength:"64" doc:"An earlier release of the source, by its id; the live one when empty"`
}

func (a *API) getPromotion(ctx context.Context, in *getPromotionInput) (*output[deploy.Promotion], error) {
	p, err := a.deploy.Promotion(ctx, in.Project, in.Stage, in.Release)
	if err != nil {
		return nil, err
	}
	return answer(p), nil
}

type promoteInput struct {
	StagePath
	Body struct {
		Release string `json:"release" minLength:"1" maxLength:"64" doc:"The release of the source, by its id"`
		Seen    string `json:"seen,omitempty" maxLength:"64" doc:"The release that was seen live in the source, where an earlier one is promoted; 409 when another is live there by now"`
	}
}

func (a *API) promote(ctx context.Context, in *promoteInput) (*started, error) {
	c := callerOf(ctx)
	return accepted(a.deploy.Promote(ctx, deploy.PromoteRequest{
		Project: in.Project, Stage: in.Stage, Release: in.Body.Release, Seen: in.Body.Seen,
		Trigger: triggerOf(c.who()), Actor: c.actor(),
	}))
}

func (a *API) approveDeployment(ctx context.Context, in *idInput) (*started, error) {
	return accepted(a.deploy.Approve(ctx, callerOf(ctx).actor(), in.ID))
}
