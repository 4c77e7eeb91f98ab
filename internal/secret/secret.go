// Package secret has the one type that holds a secret in memory: it prints as
// dots wherever a value may be printed by accident.
//
// Start with [Text]. Sealing secrets for the disk is package vault's work.
package secret

import "log/slog"

const dots = "••••••"

// Text is a secret string. Formatting it with any verb, logging it, or
// encoding it as JSON or text gives dots; only [Text.Reveal] gives the value.
// The zero Text is the empty secret, which prints as nothing.
type Text struct{ value string }

// New makes a Text of a string.
func New(value string) Text { return Text{value} }

// Reveal gives the secret itself. Each call is a place to look at in review.
func (t Text) Reveal() string { return t.value }

// Empty says whether there is nothing to hide.
func (t Text) Empty() bool { return t.value == "" }

// String gives dots.
func (t Text) String() string {
	if t.value == "" {
		return ""
	}
	return dots
}

// GoString gives dots to %#v.
func (t Text) GoString() string { return "secret.Text(" + t.String() + ")" }

// LogValue gives dots to slog.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText gives dots to JSON, YAML and every other encoder.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText takes a secret in.
func (t *Text) UnmarshalText(b []byte) error {
	t.value = string(b)
	return nil
}
