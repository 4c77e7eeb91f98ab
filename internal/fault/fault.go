// Package fault is an error that a person may read: a kind, a message that is
// safe to show, and the cause behind it, which is not.
//
// Start with [Invalid] and its siblings to make one, and with [KindOf] and
// [Message] to read one. What becomes of a kind is the edge's business: the
// API turns it into an HTTP status, the command into an exit code.
package fault

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind says what sort of trouble an error is. The zero Kind is Internal: an
// error nobody has put into words is nobody's to read.
type Kind int

// The kinds, from the one that says least.
const (
	Internal        Kind = iota // something broke; the cause is in the log
	BadInput                    // the request is wrong and can be mended
	Unauthenticated             // nobody is signed in
	Denied                      // somebody is, and may not
	Missing                     // no such thing
	Clash                       // it was changed, taken or is in use
	TooLarge                    // over a stated limit
	TooOften                    // over a rate limit; try later
	NotNow                      // a part it needs is away; try later
	NotProved                   // somebody is signed in, and must prove again, or better, who they are
)

func (k Kind) String() string {
	switch k {
	case Internal:
		return "internal"
	case BadInput:
		return "invalid"
	case Unauthenticated:
		return "unauthenticated"
	case Denied:
		return "forbidden"
	case Missing:
		return "not_found"
	case Clash:
		return "conflict"
	case TooLarge:
		return "too_large"
	case TooOften:
		return "too_many_requests"
	case NotNow:
		return "unavailable"
	case NotProved:
		return "step_up"
	}
	return "internal"
}

// Field is one thing wrong with one named field of the input. Name is the
// path to it as the API spells it, such as "spec.probe.path".
type Field struct {
	Name    string `json:"name"`
	Message string `json:"message"`
}

// Error is a message over a hidden cause.
type Error struct {
	Kind    Kind
	Message string
	Fields  []Field // set only for BadInput and Denied
	// RetryAfter is how long to wait before it may go better; 0 says nothing.
	RetryAfter time.Duration
	// Unmeant is of a Clash that is done all the same for who says that it is meant.
	Unmeant bool
	cause   error
}

// Error gives the message, and the cause for those who read logs.
func (e *Error) Error() string {
	if e.cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.cause.Error()
}

// Unwrap gives the hidden cause.
func (e *Error) Unwrap() error { return e.cause }

// Because returns a copy of e with the cause that a log may show and a person
// may not.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// After returns a copy of e that says how long to wait. The edge tells it on
// as Retry-After (RFC 9110, section 10.2.3).
func (e *Error) After(wait time.Duration) *Error {
	c := *e
	c.RetryAfter = wait
	return &c
}

// Invalid says that the input is wrong, and what would be right.
func Invalid(format string, args ...any) *Error { return newError(BadInput, format, args...) }

// InvalidFields says which fields are wrong. It returns nil (as an error)
// when there are none, so that a validator can end with it.
func InvalidFields(fields []Field) error {
	return ofFields(BadInput, fields)
}

// ForbiddenFields is InvalidFields for what the one signed in may not set.
func ForbiddenFields(fields []Field) error { return ofFields(Denied, fields) }

func ofFields(kind Kind, fields []Field) error {
	if len(fields) == 0 {
		return nil
	}
	said := make([]string, len(fields))
	for i, f := range fields {
		said[i] = f.Name + ": " + f.Message
	}
	return &Error{Kind: kind, Message: strings.Join(said, "; "), Fields: fields}
}

// SignIn says that nobody is signed in.
func SignIn(format string, args ...any) *Error { return newError(Unauthenticated, format, args...) }

// Forbidden says that the one signed in may not.
func Forbidden(format string, args ...any) *Error { return newError(Denied, format, args...) }

// ProveAgain says that the one signed in must prove again who they are.
func ProveAgain(format string, args ...any) *Error { return newError(NotProved, format, args...) }

// NotFound says that there is no such thing.
func NotFound(format string, args ...any) *Error { return newError(Missing, format, args...) }

// Conflict says that it was changed meanwhile, is taken, or is in use.
func Conflict(format string, args ...any) *Error { return newError(Clash, format, args...) }

// Unmeant is Conflict for a change whose harm was not said to be meant: what was
// asked takes "force" for that, and so does the command.
func Unmeant(format string, args ...any) *Error {
	e := newError(Clash, format, args...)
	e.Unmeant = true
	return e
}

// Large says which limit was passed.
func Large(format string, args ...any) *Error { return newError(TooLarge, format, args...) }

// Often says that the caller must wait.
func Often(format string, args ...any) *Error { return newError(TooOften, format, args...) }

// Unavailable says which part is away.
func Unavailable(format string, args ...any) *Error { return newError(NotNow, format, args...) }

// newError is variadic so that vet checks the formats of all who call it.
func newError(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Message: fmt.Sprintf(format, args...)}
}

// KindOf finds the kind of the first fault in err's chain; Internal when there
// is none.
func KindOf(err error) Kind {
	if f, ok := errors.AsType[*Error](err); ok {
		return f.Kind
	}
	return Internal
}

// Message gives what a person may read of err: the fault's message, or a
// sentence that gives nothing away.
func Message(err error) string {
	if f, ok := errors.AsType[*Error](err); ok {
		return f.Message
	}
	return "something went wrong inside Berth; its log has the reason"
}

// FieldsOf gives the fields that the first fault in err's chain names.
func FieldsOf(err error) []Field {
	if f, ok := errors.AsType[*Error](err); ok {
		return f.Fields
	}
	return nil
}

// IsUnmeant says whether the first fault in err's chain is one of [Unmeant].
func IsUnmeant(err error) bool {
	f, ok := errors.AsType[*Error](err)
	return ok && f.Unmeant
}

// RetryAfter gives how long the first fault in err's chain asks to wait; 0
// when it does not say.
func RetryAfter(err error) time.Duration {
	if f, ok := errors.AsType[*Error](err); ok {
		return f.RetryAfter
	}
	return 0
}
