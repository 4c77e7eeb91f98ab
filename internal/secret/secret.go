// Package secret has the one type that holds a secret in memory: it prints as
// dots wherever a value may be printed by accident.
//
// Start with [Text]. Sealing secrets for the disk is package vault's work.
package secret

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

const dots = "••••••"

// Text is a secret string. Formatting it with any verb, logging it, or
// encoding it as JSON or text gives dots; only [Text.Reveal] gives the value.
// The zero Text is the empty secret, which prints as nothing. Compare two with
// [Text.Equal]: == asks only whether they are one and the same.
type Text struct {
	// A pointer, because fmt calls no methods on what stands in another
	// struct's unexported field: it prints what it finds there, and of a
	// pointer it prints the address.
	value *string
}

// New makes a Text of a string.
func New(value string) Text {
	if value == "" {
		return Text{}
	}
	return Text{&value}
}

// Reveal gives the secret itself. Each call is a place to look at in review.
func (t Text) Reveal() string {
	if t.value == nil {
		return ""
	}
	return *t.value
}

// Empty says whether there is nothing to hide.
func (t Text) Empty() bool { return t.value == nil }

// Equal says whether both hold the same, in a time that depends on nothing
// but their lengths.
func (t Text) Equal(other Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(other.Reveal())) == 1
}

// String gives dots.
func (t Text) String() string {
	if t.Empty() {
		return ""
	}
	return dots
}

// Format gives dots to every verb, also to those that would look inside.
func (t Text) Format(f fmt.State, verb rune) {
	said := t.String()
	if verb == 'v' && f.Flag('#') {
		said = "secret.Text(" + said + ")"
	}
	_, _ = io.WriteString(f, said)
}

// LogValue gives dots to slog.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText gives dots to JSON, YAML and every other encoder.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText takes a secret in.
func (t *Text) UnmarshalText(b []byte) error {
	*t = New(string(b))
	return nil
}
