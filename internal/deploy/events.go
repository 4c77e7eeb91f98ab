package deploy

import (
	"context"
	"encoding/json"

	"berth/internal/event"
	"berth/internal/sqlite"
)

// The kinds of events that deploy writes.
const (
	eventProjectCreated event.Kind = "project.created"
	eventProjectUpdated event.Kind = "project.updated"
	eventProjectRemoved event.Kind = "project.removed"
	eventStageCreated   event.Kind = "stage.created"
	eventStageUpdated   event.Kind = "stage.updated"
	eventStageRemoved   event.Kind = "stage.removed"
	eventRouteCreated   event.Kind = "route.created"  // data: routeData
	eventRouteUpdated   event.Kind = "route.updated"  // data: routeData
	eventRouteRemoved   event.Kind = "route.removed"  // data: routeData
	eventAccessChanged  event.Kind = "access.changed" // data: accessData
	eventDeployment     event.Kind = "deployment.state"
	eventStep           event.Kind = "deployment.step"
	eventInstance       event.Kind = "instance.state"
	eventWarning        event.Kind = "deployment.warning" // it is live, and something is wrong with it
	eventExecStarted    event.Kind = "exec.started"
	eventExecEnded      event.Kind = "exec.ended"
)

// deploymentData is the data of a deployment.state event.
type deploymentData struct {
	State      State    `json:"state"`
	Kind       Kind     `json:"kind"`
	Trigger    Trigger  `json:"trigger"`
	Generation int64    `json:"generation"`
	Reference  string   `json:"reference"`
	Error      string   `json:"error,omitempty"`
	FailedStep StepName `json:"failed_step,omitempty"`
	Digest     string   `json:"digest,omitempty"`
	Source     *Source  `json:"source,omitempty"`      // of a promotion
	Approval   Approval `json:"approval,omitempty"`    // whose word it needs, or needed
	ApprovedBy string   `json:"approved_by,omitempty"` // who gave it
	CanceledBy string   `json:"canceled_by,omitempty"` // who asked for its end
}

// instanceData is the data of an instance.state event.
type instanceData struct {
	State     InstanceState `json:"state"`
	Detail    string        `json:"detail,omitempty"`
	Ordinal   int           `json:"ordinal"`
	Container string        `json:"container,omitempty"`
}

// The streams of a deployment's log.
const (
	streamBerth = "berth"
	streamPull  = "pull"
)

// logData is the data of a deployment.log event.
type logData struct {
	Step   StepName `json:"step"`
	Stream string   `json:"stream"` // "berth", "pull", "stdout" or "stderr"
	Text   string   `json:"text"`
}

// logLineOf reads a deployment.log event.
func logLineOf(e event.Event) (l logData, ok bool) {
	return l, json.Unmarshal(e.Data, &l) == nil
}

func (s *Service) emitDeployment(ctx context.Context, tx *sqlite.Tx, d deployment) error {
	tx.OnCommit(s.promoteSoon)
	tx.OnCommit(func() { s.outcomes.count(d, s.clock()) })
	return s.events.Append(ctx, tx, event.Event{
		Kind: eventDeployment, Actor: d.Actor, Project: d.Project, Stage: d.Stage, Deployment: d.ID,
	}, deploymentData{
		State: d.State, Kind: d.Kind, Trigger: d.Trigger, Generation: d.Generation, Reference: d.Reference,
		Error: d.Error, FailedStep: d.FailedStep, Digest: d.Digest,
		Source: d.Source, Approval: d.Approval, ApprovedBy: d.ApprovedBy, CanceledBy: d.canceledBy,
	})
}

// saveInstance stores what changed of an instance, with its event.
func (s *Service) saveInstance(ctx context.Context, tx *sqlite.Tx, i Instance) error {
	i.UpdatedAt = s.clock()
	if err := updateInstance(ctx, tx, i); err != nil {
		return err
	}
	if err := s.noteHealth(ctx, tx, i.Deployment); err != nil {
		return err
	}
	return s.events.Append(ctx, tx, event.Event{
		Kind: eventInstance, Actor: "berth", Project: i.Project, Stage: i.Stage, Deployment: i.Deployment, Instance: i.ID,
	}, instanceData{i.State, i.Detail, i.Ordinal, i.Container})
}
