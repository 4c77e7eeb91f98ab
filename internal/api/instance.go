package api

import (
	"bufio"
	"context"
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"berth/internal/container"
	"berth/internal/deploy"
	"berth/internal/fault"
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

func (a *API) stageInstances(ctx context.Context, in *StagePath) (*listOutput[deploy.SeenInstance], error) {
	found, err := a.deploy.StageInstances(ctx, in.Project, in.Stage)
	if err != nil {
		return nil, err
	}
	return list(found, ""), nil
}

// LogsQuery chooses lines of a log.
type LogsQuery struct {
	Since  time.Time `query:"since" doc:"Only lines from then on"`
	Until  time.Time `query:"until" doc:"Only lines before then; not with follow"`
	Search string    `query:"search" maxLength:"256" doc:"Only lines with this text, without regard to case"`
	Regexp bool      `query:"regexp" doc:"The search is a regular expression (RE2)"`
}

// LogsFollow chooses how many of them, and whether to go on.
type LogsFollow struct {
	Follow bool `query:"follow" doc:"Go on with what comes"`
	Tail   int  `query:"tail" minimum:"0" maximum:"50000" default:"500" doc:"Only the newest lines that match; 0 is all"`
}

func (q LogsQuery) query(f LogsFollow) (deploy.LogQuery, error) {
	made := deploy.LogQuery{Since: q.Since, Until: q.Until, Search: q.Search, Regexp: q.Regexp, Tail: f.Tail, Follow: f.Follow}
	return made, made.Check()
}

type instanceLogsInput struct {
	ID string `path:"id" maxLength:"64"`
	LogsQuery
	LogsFollow
}

type stageLogsInput struct {
	StagePath
	Previous bool `query:"previous" doc:"Also of instances that are gone"`
	LogsQuery
	LogsFollow
}

// End is sent last, when the log has ended.
type End struct {
	At time.Time `json:"at"`
}

type lines = iter.Seq2[deploy.LoggedLine, error]

var logMessages = []message{{"line", deploy.LoggedLine{}}, {"ping", Ping{}}, {"end", End{}}}

func (a *API) streamInstanceLogs(ctx context.Context, in *instanceLogsInput) (opened, error) {
	if _, err := a.deploy.Instance(ctx, in.ID); err != nil {
		return nil, err
	}
	q, err := in.query(in.LogsFollow)
	if err != nil {
		return nil, err
	}
	return a.streamLines(func(ctx context.Context) lines { return a.deploy.InstanceLogs(ctx, in.ID, q) }), nil
}

func (a *API) streamStageLogs(ctx context.Context, in *stageLogsInput) (opened, error) {
	if _, err := a.deploy.Stage(ctx, in.Project, in.Stage); err != nil {
		return nil, err
	}
	q, err := in.query(in.LogsFollow)
	if err != nil {
		return nil, err
	}
	return a.streamLines(func(ctx context.Context) lines {
		return a.deploy.StageLogs(ctx, in.Project, in.Stage, in.Previous, q)
	}), nil
}

func (a *API) streamLines(source func(context.Context) lines) opened {
	return func(ctx context.Context, f *feed) error {
		ended := false
		err := pump(ctx, a, f,
			func(ctx context.Context) lines {
				return func(yield func(deploy.LoggedLine, error) bool) {
					for line, err := range source(ctx) {
						if !yield(line, err) {
							return
						}
					}
					ended = ctx.Err() == nil
				}
			},
			func(l deploy.LoggedLine) error { return f.send(-1, "line", l) },
			func() error { return f.send(-1, "ping", Ping{At: a.clock().UTC()}) })
		if err != nil || !ended {
			return err
		}
		if err := f.send(-1, "end", End{At: a.clock().UTC()}); err != nil {
			return err
		}
		return f.flush()
	}
}

type downloadInstanceLogsInput struct {
	ID string `path:"id" maxLength:"64"`
	LogsQuery
}

type downloadStageLogsInput struct {
	StagePath
	Previous bool `query:"previous" doc:"Also of instances that are gone"`
	LogsQuery
}

func (a *API) downloadInstanceLogs(ctx context.Context, in *downloadInstanceLogsInput) (*huma.StreamResponse, error) {
	i, err := a.deploy.Instance(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	q, err := in.query(LogsFollow{})
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%s-%s-%d.log", i.Project, i.Stage, i.Ordinal+1)
	return a.download(ctx, name, a.deploy.InstanceLogs(ctx, in.ID, q), false)
}

func (a *API) downloadStageLogs(ctx context.Context, in *downloadStageLogsInput) (*huma.StreamResponse, error) {
	if _, err := a.deploy.Stage(ctx, in.Project, in.Stage); err != nil {
		return nil, err
	}
	q, err := in.query(LogsFollow{})
	if err != nil {
		return nil, err
	}
	return a.download(ctx, in.Project+"-"+in.Stage+".log", a.deploy.StageLogs(ctx, in.Project, in.Stage, in.Previous, q), true)
}

// download answers with lines as a file. What goes wrong before the first of
// them is a problem like everywhere; after it, the answer is cut off.
func (a *API) download(ctx context.Context, name string, from lines, named bool) (*huma.StreamResponse, error) {
	c := callerOf(ctx)
	leave, err := a.streams.enter(c.subject.Person.ID)
	if err != nil {
		return nil, err
	}
	next, stop := iter.Pull2(from)
	line, err, more := next()
	if err != nil {
		stop()
		leave()
		return nil, err
	}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		defer leave()
		defer stop()
		held, release := a.identity.Hold(ctx, c.who())
		defer release()
		_, w := humago.Unwrap(h)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
		control := http.NewResponseController(w)
		out := bufio.NewWriterSize(w, 64<<10)
		for n := 0; more && err == nil; n++ {
			if n%1000 == 0 {
				_ = control.SetWriteDeadline(time.Now().Add(writeTimeout)) // a writer without deadlines waits
			}
			if named {
				fmt.Fprintf(out, "%d ", line.Ordinal+1)
			}
			if _, failed := fmt.Fprintf(out, "%s %s %s\n", line.At.UTC().Format(time.RFC3339Nano), line.Stream, line.Text); failed != nil {
				return // the client is away
			}
			line, err, more = next()
			if err == nil {
				err = held.Err()
			}
		}
		if err != nil {
			a.log.WarnContext(ctx, "log not given whole", "error", fault.Message(err))
			panic(http.ErrAbortHandler) // so that it is not taken for the whole
		}
		if out.Flush() == nil {
			_ = control.Flush()
		}
		_ = control.SetWriteDeadline(time.Time{})
	}}, nil
}

// asText says in the API's document that a route answers with a text file.
func asText(r route) route {
	plain := r.register
	r.register = func(h huma.API, o huma.Operation) {
		o.Responses = map[string]*huma.Response{"200": {
			Description: "A line each: time, stream, text; of a stage with the instance's number first",
			Content:     map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}},
		}}
		plain(h, o)
	}
	return r
}
