package api

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"berth/internal/fault"
)

// Problem is every error that the API answers with, as RFC 9457 has it.
//
//nolint:errname // RFC 9457's own word, and the one that clients see
type Problem struct {
	Type   string `json:"type" format:"uri-reference" doc:"Always about:blank: code says which problem it is" example:"about:blank"`
	Title  string `json:"title" doc:"The status in words" example:"Conflict"`
	Status int    `json:"status" doc:"The HTTP status" example:"409"`
	Detail string `json:"detail" doc:"What is wrong, for a person" example:"the project was changed meanwhile: load it again"`
	Code   string `json:"code" enum:"internal,invalid,unauthenticated,forbidden,not_found,conflict,too_large,too_many_requests,unavailable,step_up" doc:"What is wrong, for a program"`
	Errors []Flaw `json:"errors,omitempty" doc:"Which fields are wrong"`
	// Unmeant is of a conflict.
	Unmeant bool `json:"unmeant,omitempty" doc:"Of a conflict: it is done all the same with force, by who means it"`

	header http.Header
}

// Flaw is one wrong field of a request.
type Flaw struct {
	Location string `json:"location" doc:"Path to the field" example:"body.spec.probe.path"`
	Message  string `json:"message" example:"must begin with a slash"`
}

// Error gives what a person may read.
func (p *Problem) Error() string { return p.Detail }

// GetStatus is how huma asks for the status.
//
//revive:disable-next-line:get-return // huma's name
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders is how huma asks for headers.
//
//revive:disable-next-line:get-return // huma's name
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType is how huma asks for the media type: RFC 9457 section 3.
func (*Problem) ContentType(string) string { return "application/problem+json" }

// retryAfter is what a caller that came too often, or while a part is away,
// is asked to wait when the fault does not say.
const retryAfter = 30 // seconds

// statusOf is the one place where a kind of fault becomes an HTTP status.
func statusOf(k fault.Kind) int {
	switch k {
	case fault.BadInput:
		return http.StatusUnprocessableEntity
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Denied, fault.NotProved:
		return http.StatusForbidden
	case fault.Missing:
		return http.StatusNotFound
	case fault.Clash:
		return http.StatusConflict
	case fault.TooLarge:
		return http.StatusRequestEntityTooLarge
	case fault.TooOften:
		return http.StatusTooManyRequests
	case fault.NotNow:
		return http.StatusServiceUnavailable
	case fault.Internal:
		return http.StatusInternalServerError
	}
	return http.StatusInternalServerError
}

// kindOf is statusOf the other way, for the statuses that huma makes itself.
func kindOf(status int) fault.Kind {
	switch {
	case status == http.StatusUnauthorized:
		return fault.Unauthenticated
	case status == http.StatusForbidden:
		return fault.Denied
	case status == http.StatusNotFound:
		return fault.Missing
	case status == http.StatusConflict:
		return fault.Clash
	case status == http.StatusRequestEntityTooLarge:
		return fault.TooLarge
	case status == http.StatusTooManyRequests:
		return fault.TooOften
	case status == http.StatusServiceUnavailable:
		return fault.NotNow
	case status >= http.StatusInternalServerError:
		return fault.Internal
	}
	return fault.BadInput
}

// problemOf puts an error into the words that may be read.
func problemOf(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	kind := fault.KindOf(err)
	p := newProblem(statusOf(kind), kind, fault.Message(err))
	for _, f := range fault.FieldsOf(err) {
		p.Errors = append(p.Errors, Flaw{Location: "body." + f.Name, Message: f.Message})
	}
	p.Unmeant = fault.IsUnmeant(err)
	switch kind {
	case fault.TooOften, fault.NotNow:
		wait := retryAfter
		if said := fault.RetryAfter(err); said > 0 {
			wait = int(math.Ceil(said.Seconds()))
		}
		p.header.Set("Retry-After", strconv.Itoa(wait)) // RFC 9110 section 10.2.3
	case fault.Unauthenticated:
		p.header.Set("WWW-Authenticate", `Bearer realm="berth"`) // RFC 9110 section 15.5.2 asks for one
	case fault.Internal, fault.BadInput, fault.Denied, fault.NotProved, fault.Missing, fault.Clash, fault.TooLarge:
	}
	return p
}

func newProblem(status int, kind fault.Kind, detail string) *Problem {
	return &Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status,
		Detail: detail, Code: kind.String(), header: http.Header{},
	}
}

// problemFromHuma is how huma says what it found wrong with a request. It
// leaves out the values, which may be secrets.
func problemFromHuma(status int, message string, errs ...error) huma.StatusError {
	p := newProblem(status, kindOf(status), message)
	said := make([]string, 0, len(errs))
	for _, err := range errs {
		f := Flaw{Location: "body"}
		if d, ok := errors.AsType[*huma.ErrorDetail](err); ok {
			f.Message = d.Message
			if d.Location != "" {
				f.Location = d.Location
			}
		} else if err != nil {
			f.Message = err.Error()
		}
		p.Errors = append(p.Errors, f)
		said = append(said, f.Location+": "+f.Message)
	}
	if len(said) > 0 {
		p.Detail = strings.Join(said, "; ")
	}
	return p
}

// huma asks for errors through package variables, so they are set once, for
// the process, before any API is made.
func init() {
	huma.NewError = problemFromHuma
	huma.NewErrorWithContext = func(_ huma.Context, status int, message string, errs ...error) huma.StatusError {
		return problemFromHuma(status, message, errs...)
	}
	huma.DefaultArrayNullable = false // a list is never null in the contract
}

// report logs what broke inside Berth, once, and gives what may be read of it.
func (a *API) report(ctx context.Context, err error) *Problem {
	p := problemOf(err)
	switch {
	case ctx.Err() != nil: // nobody waits for the answer
	case p.Status == http.StatusInternalServerError:
		a.log.ErrorContext(ctx, "request failed", "error", err)
	case p.Status == http.StatusServiceUnavailable:
		a.log.WarnContext(ctx, "request could not be served", "error", err)
	default:
		a.log.DebugContext(ctx, "request refused", "status", p.Status, "error", err)
	}
	return p
}
