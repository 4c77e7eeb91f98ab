package api

import (
	"context"

	"berth/internal/deploy"
)

type pauseStageInput struct {
	StagePath
	Body struct {
		Reason string `json:"reason,omitempty" maxLength:"300" doc:"Why, for the others" example:"holidays"`
	}
}

func (a *API) pauseStage(ctx context.Context, in *pauseStageInput) (*output[deploy.Stage], error) {
	s, err := a.deploy.Pause(ctx, callerOf(ctx).actor(), in.Project, in.Stage, in.Body.Reason)
	if err != nil {
		return nil, err
	}
	return answer(s), nil
}

func (a *API) resumeStage(ctx context.Context, in *StagePath) (*output[deploy.Stage], error) {
	s, err := a.deploy.Resume(ctx, callerOf(ctx).actor(), in.Project, in.Stage)
	if err != nil {
		return nil, err
	}
	return answer(s), nil
}

type maintenanceInput struct {
	StagePath
	Body struct {
		On         bool            `json:"on"`
		Message    string          `json:"message,omitempty" maxLength:"300" doc:"What visitors read; a sentence of Berth's own when empty"`
		RetryAfter deploy.Duration `json:"retry_after,omitempty" doc:"When they are told to come back; 1m by default"`
	}
}

func (a *API) setMaintenance(ctx context.Context, in *maintenanceInput) (*output[deploy.Stage], error) {
	actor := callerOf(ctx).actor()
	var s deploy.Stage
	var err error
	if in.Body.On {
		s, err = a.deploy.BeginMaintenance(ctx, actor, in.Project, in.Stage, deploy.Maintenance{Message: in.Body.Message, RetryAfter: in.Body.RetryAfter})
	} else {
		s, err = a.deploy.EndMaintenance(ctx, actor, in.Project, in.Stage)
	}
	if err != nil {
		return nil, err
	}
	return answer(s), nil
}
