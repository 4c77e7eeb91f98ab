package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"syscall"

	"cuelabs.dev/go/oci/ociregistry"

	"berth/internal/fault"
)

// refusal is an error in the words of the distribution specification, with
// the status it is answered with.
type refusal struct {
	status  int
	code    string
	message string
}

func refuse(status int, code, message string) error {
	return &refusal{status: status, code: code, message: message}
}

func refusef(status int, code, format string, args ...any) error {
	return refuse(status, code, fmt.Sprintf(format, args...))
}

// Error, Code and Detail make it an ociregistry.Error.
func (e *refusal) Error() string           { return e.message }
func (e *refusal) Code() string            { return e.code }
func (e *refusal) Detail() json.RawMessage { return nil }

// answer turns any error into what a client may read: a refusal as it is, an
// error of the protocol's server likewise, a fault by its kind. internal says
// that it is none of these, so that the log is where the reason belongs.
func answer(err error) (status int, body []byte, internal bool) {
	var r *refusal
	var f *fault.Error
	switch {
	case errors.As(err, &r):
	case errors.As(err, &f):
		status, code := codeOf(f.Kind)
		r, internal = &refusal{status, code, f.Message}, f.Kind == fault.Internal
	case errors.As(err, new(ociregistry.Error)), errors.As(err, new(ociregistry.HTTPError)):
		body, status = ociregistry.MarshalError(err)
		return status, body, false
	case errors.Is(err, syscall.ENOSPC):
		r, internal = &refusal{http.StatusInsufficientStorage, "UNKNOWN", "the registry's disk is full"}, true
	default:
		r, internal = &refusal{http.StatusInternalServerError, "UNKNOWN", fault.Message(err)}, true
	}
	return r.status, r.wire(), internal
}

// codeOf gives the OCI error that comes nearest to a kind of fault.
func codeOf(k fault.Kind) (status int, code string) {
	switch k {
	case fault.BadInput:
		return http.StatusBadRequest, "UNSUPPORTED"
	case fault.Unauthenticated:
		return http.StatusUnauthorized, "UNAUTHORIZED"
	case fault.Denied, fault.NotProved:
		return http.StatusForbidden, "DENIED"
	case fault.Missing:
		return http.StatusNotFound, "NAME_UNKNOWN"
	case fault.Clash:
		return http.StatusConflict, "DENIED"
	case fault.TooLarge:
		return http.StatusRequestEntityTooLarge, "SIZE_INVALID"
	case fault.TooOften:
		return http.StatusTooManyRequests, "TOOMANYREQUESTS"
	case fault.NotNow:
		return http.StatusServiceUnavailable, "UNKNOWN"
	case fault.Internal:
	}
	return http.StatusInternalServerError, "UNKNOWN"
}

// wire gives the refusal as a client reads it.
func (e *refusal) wire() []byte {
	body, _ := json.Marshal(ociregistry.WireErrors{Errors: []ociregistry.WireError{{Code_: e.code, Message: e.message}}})
	return body
}
