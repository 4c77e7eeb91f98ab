package api

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"berth/internal/deploy"
	"berth/internal/fault"
)

const (
	tarType = "application/x-tar"
	// archiveIdle is how long one side of a transfer may be silent.
	archiveIdle = 2 * time.Minute
)

// VolumePath names a volume in a path.
type VolumePath struct {
	Volume string `path:"volume" maxLength:"200" doc:"The engine's name for it"`
}

func (a *API) listVolumes(ctx context.Context, _ *struct{}) (*listOutput[deploy.VolumeStatus], error) {
	found, err := a.deploy.Volumes(ctx)
	if err != nil {
		return nil, err
	}
	return list(found, ""), nil
}

func (a *API) getVolume(ctx context.Context, in *VolumePath) (*output[deploy.VolumeStatus], error) {
	v, err := a.deploy.Volume(ctx, in.Volume)
	if err != nil {
		return nil, err
	}
	return answer(v), nil
}

type removeVolumeInput struct {
	VolumePath
	Confirm string `query:"confirm" maxLength:"200" doc:"The volume's name again: what is in it is lost"`
}

func (a *API) removeVolume(ctx context.Context, in *removeVolumeInput) (*struct{}, error) {
	return nil, a.deploy.RemoveVolume(ctx, callerOf(ctx).actor(), in.Volume, in.Confirm)
}

// backUpVolume checks what can be refused; then the answer has begun, and an
// error only cuts it off.
func (a *API) backUpVolume(ctx context.Context, in *VolumePath) (func(context.Context, http.ResponseWriter) error, error) {
	v, err := a.deploy.Volume(ctx, in.Volume)
	if err != nil {
		return nil, err
	}
	actor := callerOf(ctx).actor()
	return func(ctx context.Context, w http.ResponseWriter) error {
		w.Header().Set("Content-Type", tarType)
		w.Header().Set("Content-Disposition", `attachment; filename="`+v.Name+`.tar"`)
		return a.deploy.BackUpVolume(ctx, actor, v.Name, &patientWriter{w, http.NewResponseController(w)})
	}, nil
}

// patientWriter gives each write its own time.
type patientWriter struct {
	io.Writer
	control *http.ResponseController
}

func (p *patientWriter) Write(b []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(archiveIdle)) // a writer without deadlines waits
	return p.Writer.Write(b)
}

// download makes a line of the table of a handler that answers with a file of
// any length.
func download[I any](a *API, pattern string, r rule, id, summary string,
	handle func(context.Context, *I) (func(context.Context, http.ResponseWriter) error, error),
) route {
	line := on(a, pattern, r, id, summary, func(ctx context.Context, in *I) (*huma.StreamResponse, error) {
		write, err := handle(ctx, in)
		if err != nil {
			return nil, err
		}
		c := callerOf(ctx)
		return &huma.StreamResponse{Body: func(h huma.Context) {
			held, release := a.identity.Hold(ctx, c.who())
			defer release()
			_, w := humago.Unwrap(h)
			if err := write(held, w); err != nil {
				a.log.WarnContext(ctx, "download ended early", "operation", id, "error", err)
				panic(http.ErrAbortHandler) // whoever reads it must see that it is not whole
			}
		}}, nil
	})
	plain := line.register
	line.register = func(h huma.API, o huma.Operation) {
		o.Responses = map[string]*huma.Response{"200": {Description: "The file", Content: binary()}}
		o.Errors = []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusServiceUnavailable}
		plain(h, o)
	}
	return line
}

func binary() map[string]*huma.MediaType {
	return map[string]*huma.MediaType{tarType: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}
}

// upload makes a line of the table of a handler that takes a body of any
// length, as it comes.
func upload[I, O any](a *API, pattern string, r rule, id, summary string, handle func(context.Context, *I) (*O, error)) route {
	line := on(a, pattern, r, id, summary, handle)
	plain := line.register
	line.register = func(h huma.API, o huma.Operation) {
		o.RequestBody = &huma.RequestBody{Required: true, Content: binary()}
		plain(h, o)
	}
	return line
}

type restoreVolumeInput struct {
	VolumePath
	Confirm string `query:"confirm" maxLength:"200" doc:"The volume's name again, when there is something in it: it is replaced"`
	Force   bool   `query:"force" doc:"End the instances that use it meanwhile"`
	body    body
}

// body is a request's, read by the handler.
type body struct {
	io.Reader
	control *http.ResponseController
	held    context.Context //nolint:containedctx // of whose request it is; nil before that is held
}

// hold has it end as soon as its sender may not go on.
func (b *body) hold(held context.Context) (stop func() bool) {
	b.held = held
	return context.AfterFunc(held, func() {
		if b.control != nil {
			_ = b.control.SetReadDeadline(time.Unix(1, 0))
		}
	})
}

func (b *body) Read(into []byte) (int, error) {
	if b.control != nil {
		_ = b.control.SetReadDeadline(time.Now().Add(archiveIdle)) // a connection without deadlines waits
	}
	// Asked after that: what ends in between sets the deadline anew.
	if b.held != nil && b.held.Err() != nil {
		return 0, fault.SignIn("whoever sends this may not go on: the session ended, or the token or the role is gone")
	}
	return b.Reader.Read(into)
}

// Resolve takes the body before the handler runs.
func (in *restoreVolumeInput) Resolve(h huma.Context) []error {
	_, w := humago.Unwrap(h)
	in.body = body{Reader: h.BodyReader(), control: http.NewResponseController(w)}
	return nil
}

func (a *API) restoreVolume(ctx context.Context, in *restoreVolumeInput) (*output[deploy.VolumeStatus], error) {
	c := callerOf(ctx)
	held, release := a.identity.Hold(ctx, c.who())
	defer release()
	defer in.body.hold(held)()
	v, err := a.deploy.RestoreVolume(ctx, c.actor(), in.Volume, &in.body, deploy.Restore{Confirm: in.Confirm, Force: in.Force})
	if err != nil {
		return nil, err
	}
	return answer(v), nil
}
