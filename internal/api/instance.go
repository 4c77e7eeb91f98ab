package api

import (
	"context"
	"iter"
	"time"

	"berth/internal/container"
	"berth/internal/deploy"
)

func (a *API) getInstance(ctx context.Context, in *idInput) (*output[deploy.Instance], error) {
	i, err := a.deploy.Instance(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return answer(i), nil
}

func (a *API) instanceStats(ctx context.Context, in *idInput) (*output[container.Stats], error) {
	s, err := a.deploy.InstanceStats(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return answer(s), nil
}

type instanceLogsInput struct {
	ID     string    `path:"id" maxLength:"64"`
	Follow bool      `query:"follow" doc:"Go on with what comes"`
	Tail   int       `query:"tail" minimum:"0" maximum:"10000" default:"500" doc:"Only the last so many lines; 0 is all"`
	Since  time.Time `query:"since" doc:"Only lines from then on"`
}

// End is sent last, when the instance's log has ended.
type End struct {
	At time.Time `json:"at"`
}

var instanceLogMessages = []message{{"line", container.LogLine{}}, {"ping", Ping{}}, {"end", End{}}}

func (a *API) streamInstanceLogs(ctx context.Context, in *instanceLogsInput) (opened, error) {
	if _, err := a.deploy.Instance(ctx, in.ID); err != nil {
		return nil, err
	}
	options := container.LogOptions{Follow: in.Follow, Tail: in.Tail, Since: in.Since}

	return func(ctx context.Context, f *feed) error {
		ended := false
		err := pump(ctx, a, f,
			func(ctx context.Context) iter.Seq2[container.LogLine, error] {
				return func(yield func(container.LogLine, error) bool) {
					for line, err := range a.deploy.InstanceLogs(ctx, in.ID, options) {
						if !yield(line, err) {
							return
						}
					}
					ended = ctx.Err() == nil
				}
			},
			func(l container.LogLine) error { return f.send(-1, "line", l) },
			func() error { return f.send(-1, "ping", Ping{At: a.clock().UTC()}) })
		if err != nil || !ended {
			return err
		}
		if err := f.send(-1, "end", End{At: a.clock().UTC()}); err != nil {
			return err
		}
		return f.flush()
	}, nil
}
