package gateway

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"berth/internal/identity"
)

// AccessLogMode is the share of requests that are logged, from 0 (none) to
// 1 (all). A logged request is one line with its path and without its query,
// which is where secrets are.
type AccessLogMode float64

// The ends of the scale.
const (
	AccessLogOff AccessLogMode = 0
	AccessLogOn  AccessLogMode = 1
)

// takes says whether one request is logged.
func (m AccessLogMode) takes() bool {
	return m >= 1 || m > 0 && rand.Float64() < float64(m) //nolint:gosec // a sample
}

// logAccess writes the request's line.
func (x *exchange) logAccess(ctx context.Context, path string, took time.Duration) {
	said := []any{
		"method", x.r.Method, "host", x.host, "path", path, "protocol", x.r.Proto, "address", x.from.address,
		"status", x.status, "bytes_in", x.body.read.Load(), "bytes_out", x.sent,
		"duration_ms", float64(took.Microseconds()) / 1000,
	}
	if no := x.refused; no != nil {
		said = append(said, "rule", no.verdict.Rule+1, "why", no.verdict.Why.String())
	}
	x.g.log.LogAttrs(ctx, slog.LevelInfo, "request", slog.Group("", x.attrs(said...)...))
}

// whoCame is who came with the request, let in or not; nil is nobody.
func (x *exchange) whoCame() *identity.Subject {
	if x.refused != nil {
		return x.refused.visitor.subject
	}
	return x.visitor.subject
}

// attrs puts before more what a log line about the request says of it.
func (x *exchange) attrs(more ...any) []any {
	list := []any{"request_id", x.id}
	switch {
	case x.route == nil:
	case x.route.Fixed != nil:
		list = append(list, "route", x.route.Fixed.Name)
	default:
		list = append(list, "project", x.route.Project, "stage", x.route.Stage,
			"tag", x.route.Reference, "deployment", x.route.Deployment)
	}
	if x.asked != nil {
		list = append(list, "asked_by", x.asked.String())
	}
	if who := x.whoCame(); who != nil && who.Person.Username != "" {
		list = append(list, "person", who.Person.Username)
	}
	if in := x.claim.in; in != nil {
		list = append(list, "instance", in.Instance)
	}
	return append(list, more...)
}
