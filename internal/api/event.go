package api

import (
	"context"
	"iter"
	"strconv"

	"berth/internal/event"
	"berth/internal/identity"
)

// openKinds are the events that members may see, as they may read what these
// tell of. All others, and those yet to be thought of, are for administrators.
var openKinds = []event.Kind{
	"project.created", "project.updated", "project.removed",
	"stage.created", "stage.updated", "stage.removed",
	"stage.paused", "stage.resumed", "stage.missed", "maintenance.begun", "maintenance.ended",
	"deployment.state", "deployment.step", "deployment.warning", event.DeploymentLog,
	"instance.state",
	"job.started", "job.succeeded", "job.failed", "job.canceled", "job.missed",
	"volume.backed_up", "volume.restore_begun", "volume.restored", "volume.restore_failed", "volume.removed",
	"source.failing", "source.recovered",
	"image.pushed", "image.found", "image.removed",
	"webhook.created", "webhook.removed",
	"secret.set", "secret.removed",
}

var eventMessages = []message{{"", event.Event{}}, {"ping", Ping{}}}

// seesAll says whether a subject may see events of every kind.
func seesAll(s identity.Subject) bool {
	return identity.Decide(&s, identity.ActionAdminister, identity.On{}) == nil
}

// visible bounds a filter to what the caller may see.
func (c *caller) visible(f event.Filter) (event.Filter, error) {
	if !seesAll(c.who()) {
		f.Kinds = openKinds
	}
	var err error
	f.Project, f.Stage, err = c.narrow(f.Project, f.Stage)
	return f, err
}

type eventsInput struct {
	Project    string `query:"project" maxLength:"64"`
	Stage      string `query:"stage" maxLength:"64"`
	Deployment string `query:"deployment" maxLength:"64"`
	After      int64  `query:"after" minimum:"-1" default:"-1" doc:"Events above this id; without it, those from now on. Last-Event-ID goes before it."`
	Last       int64  `header:"Last-Event-ID" minimum:"-1" default:"-1" doc:"The id of the last event seen"`
}

func (a *API) streamEvents(ctx context.Context, in *eventsInput) (opened, error) {
	filter, err := callerOf(ctx).visible(event.Filter{Project: in.Project, Stage: in.Stage, Deployment: in.Deployment})
	if err != nil {
		return nil, err
	}
	after := in.Last
	if after < 0 {
		after = in.After
	}
	if after < 0 {
		last, err := a.events.Last(ctx)
		if err != nil {
			return nil, err
		}
		after = last
	}

	return func(ctx context.Context, f *feed) error {
		return pump(ctx, a, f,
			func(ctx context.Context) iter.Seq2[event.Event, error] { return a.events.Follow(ctx, after, filter) },
			func(e event.Event) error {
				after = e.ID
				return f.send(e.ID, string(e.Kind), e)
			},
			// The ping carries the id too: a listener who was cut before the
			// first event still resumes where it began.
			func() error { return f.send(after, "ping", Ping{At: a.clock().UTC()}) })
	}, nil
}

type activityInput struct {
	Page
	Project string `query:"project" maxLength:"64"`
	Stage   string `query:"stage" maxLength:"64"`
}

func (a *API) listActivity(ctx context.Context, in *activityInput) (*listOutput[event.Event], error) {
	before, err := in.id()
	if err != nil {
		return nil, err
	}
	filter, err := callerOf(ctx).visible(event.Filter{
		Project: in.Project, Stage: in.Stage,
		NotKinds: []event.Kind{event.DeploymentLog, "deployment.step"},
	})
	if err != nil {
		return nil, err
	}
	found, err := a.events.Before(ctx, before, filter, in.Limit+1)
	if err != nil {
		return nil, err
	}
	next := ""
	if len(found) > in.Limit {
		found = found[:in.Limit]
		next = strconv.FormatInt(found[in.Limit-1].ID, 10)
	}
	return list(found, next), nil
}
