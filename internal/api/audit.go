package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"berth/internal/event"
)

// AuditFilter chooses audit events; those of every category when it is empty.
type AuditFilter struct {
	Category []event.Category `query:"category" maxItems:"20" doc:"What they are about; several, with commas between"`
	Kind     []event.Kind     `query:"kind" maxItems:"20" maxLength:"64" doc:"Such as signin.failed; also kinds of no category"`
	Actor    string           `query:"actor" maxLength:"64" doc:"Who did it: a username, or what acted"`
	Person   string           `query:"person" maxLength:"64" doc:"Who did it or whom it was done to, by username"`
	Project  string           `query:"project" maxLength:"64"`
	Since    time.Time        `query:"since" doc:"From then on"`
	Until    time.Time        `query:"until" doc:"Before then"`
	Text     string           `query:"text" maxLength:"200" doc:"What is in it somewhere, in any case"`
}

func (f AuditFilter) filter() event.Filter {
	categories := f.Category
	if len(categories) == 0 && len(f.Kind) == 0 {
		categories = event.Categories
	}
	return event.Filter{
		Categories: categories, Kinds: f.Kind, NotKinds: []event.Kind{event.DeploymentLog},
		Actor: f.Actor, Person: f.Person, Project: f.Project, From: f.Since, Until: f.Until, Text: f.Text,
	}
}

type listAuditInput struct {
	Page
	AuditFilter
}

func (a *API) listAudit(ctx context.Context, in *listAuditInput) (*listOutput[event.Record], error) {
	before, err := in.id()
	if err != nil {
		return nil, err
	}
	found, err := a.events.Records(ctx, before, in.filter(), in.Limit+1)
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

const jsonLines = "application/jsonl"

// exported makes the line of the table that gives the audit as JSON lines.
func exported(a *API, pattern string, r rule, id, summary string) route {
	line := on(a, pattern, r, id, summary, a.exportAudit)
	plain := line.register
	line.register = func(h huma.API, o huma.Operation) {
		o.Responses = map[string]*huma.Response{"200": {
			Description: "One event a line, oldest first",
			Content: map[string]*huma.MediaType{jsonLines: {
				Schema: h.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[event.Record](), true, ""),
			}},
		}}
		o.Errors = []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests}
		plain(h, o)
	}
	return line
}

func (a *API) exportAudit(ctx context.Context, in *AuditFilter) (*huma.StreamResponse, error) {
	c := callerOf(ctx)
	leave, err := a.streams.enter(c.subject.Person.ID)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		defer leave()
		held, release := a.identity.Hold(ctx, c.who())
		defer release()
		_, w := humago.Unwrap(h)
		w.Header().Set("Content-Type", jsonLines)
		w.Header().Set("Content-Disposition", `attachment; filename="berth-audit.jsonl"`)
		control, lines := http.NewResponseController(w), json.NewEncoder(w)
		lines.SetEscapeHTML(false)
		for r, err := range a.events.Export(held, in.filter()) {
			if err == nil {
				_ = control.SetWriteDeadline(time.Now().Add(writeTimeout)) // a writer without deadlines waits
				err = lines.Encode(r)
			}
			if err != nil {
				if ctx.Err() == nil {
					a.log.WarnContext(ctx, "export of the audit ended early", "error", err)
				}
				panic(http.ErrAbortHandler) // a part must not look like all
			}
		}
	}}, nil
}

type verifyAuditInput struct {
	Since string `query:"since" maxLength:"100" doc:"A head that was noted before: say also whether the chain is still the one of then"`
}

func (a *API) verifyAudit(ctx context.Context, in *verifyAuditInput) (*output[event.Verification], error) {
	since, err := event.ParseHead(in.Since)
	if err != nil {
		return nil, err
	}
	v, err := a.events.Verify(ctx, since)
	if err != nil {
		return nil, err
	}
	return answer(v), nil
}
