package signin

import (
	"context"
	"errors"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/sqlite"
)

// Reason says in one word why a browser that came back was not let in. The
// sign-in page has a sentence for each.
type Reason string

// The reasons.
const (
	ReasonExpired   Reason = "expired"    // the way back was not begun in this browser, was used already, or took too long
	ReasonOff       Reason = "off"        // the provider is switched off
	ReasonChanged   Reason = "changed"    // the provider was changed meanwhile
	ReasonAway      Reason = "away"       // the provider does not answer
	ReasonCancelled Reason = "cancelled"  // at the provider, by the person
	ReasonDeclined  Reason = "declined"   // by the provider
	ReasonMixUp     Reason = "mix_up"     // another issuer answers than was asked
	ReasonInvalid   Reason = "invalid"    // the answer does not prove what it has to
	ReasonDomain    Reason = "domain"     // the e-mail address is not of an allowed domain, or not verified
	ReasonGroup     Reason = "group"      // in none of the allowed groups
	ReasonUnknown   Reason = "unknown"    // Berth does not know them, and may not make them
	ReasonNotSetUp  Reason = "not_set_up" // there is nobody yet: a provider makes no first administrator
	ReasonDisabled  Reason = "disabled"   // Berth knows them, and their account is disabled
	ReasonTaken     Reason = "taken"      // the identity to link is somebody else's
	ReasonOther     Reason = "other"      // somebody else is signed in by now than who began
	ReasonStale     Reason = "stale"      // the provider did not ask anew, as linking and proving again need
	ReasonAnother   Reason = "another"    // who proved it is not who is signed in
	ReasonWeaker    Reason = "weaker"     // the provider proves less than was asked for
)

// Reasons are all of them.
var Reasons = []Reason{
	ReasonExpired, ReasonOff, ReasonChanged, ReasonAway, ReasonCancelled, ReasonDeclined, ReasonMixUp, ReasonInvalid,
	ReasonDomain, ReasonGroup, ReasonUnknown, ReasonNotSetUp, ReasonDisabled, ReasonTaken, ReasonOther, ReasonStale, ReasonAnother, ReasonWeaker,
}

func (r Reason) String() string { return string(r) }

// said is a reason where a sentence is needed and no page has one.
func (r Reason) said() string {
	switch r {
	case ReasonExpired:
		return "this sign-in was not begun in this browser, was used already, or took too long: begin again"
	case ReasonOff:
		return "this provider is switched off"
	case ReasonChanged:
		return "the provider was changed meanwhile: begin again"
	case ReasonAway:
		return "the provider does not answer; try again later"
	case ReasonCancelled:
		return "the sign-in was cancelled"
	case ReasonDeclined:
		return "the provider declined"
	case ReasonMixUp:
		return "another provider answered than was asked"
	case ReasonInvalid:
		return "what the provider answered does not prove who you are"
	case ReasonDomain:
		return "only verified e-mail addresses of certain domains may come in"
	case ReasonGroup:
		return "only members of certain groups may come in"
	case ReasonUnknown:
		return "Berth does not know you: ask an administrator"
	case ReasonNotSetUp:
		return "Berth is not set up yet: its first administrator is made with the set-up link"
	case ReasonDisabled:
		return "your account is disabled"
	case ReasonTaken:
		return "this identity is somebody else's already"
	case ReasonOther:
		return "somebody else is signed in by now: begin again"
	case ReasonStale:
		return "the provider did not ask you to sign in anew: sign out there first"
	case ReasonAnother:
		return "somebody else signed in at the provider than is signed in here"
	case ReasonWeaker:
		return "the provider did not say that it asked for a second factor"
	}
	return "it did not work"
}

// RefusedError says that nobody came in, and why.
type RefusedError struct {
	Reason Reason
	cause  error
}

// Error is for logs.
func (e *RefusedError) Error() string {
	if e.cause == nil {
		return e.Reason.said()
	}
	return e.Reason.said() + ": " + trouble(e.cause)
}

// Unwrap gives the fault that a person may read, and the cause.
func (e *RefusedError) Unwrap() []error {
	kind := fault.Forbidden("%s", e.Reason.said())
	if e.Reason == ReasonAway {
		kind = fault.Unavailable("%s", e.Reason.said())
	}
	if e.cause == nil {
		return []error{kind}
	}
	return []error{kind, e.cause}
}

func refused(r Reason, cause error) error { return &RefusedError{Reason: r, cause: cause} }

// ReasonOf finds why somebody was refused; false when err is of another kind.
func ReasonOf(err error) (Reason, bool) {
	if e, ok := errors.AsType[*RefusedError](err); ok {
		return e.Reason, true
	}
	return "", false
}

// Refusal is the data of signin.refused. It names somebody only where the
// provider has said, beyond doubt, who they are there.
type Refusal struct {
	Provider   string `json:"provider"`
	Reason     Reason `json:"reason"`
	Username   string `json:"username,omitempty"` // as the provider has it
	ExternalID string `json:"external_id,omitempty"`
	Address    string `json:"address,omitempty"`
}

// tell writes down that somebody was refused. Only what began here is: nobody
// fills the log with states that they made up.
func (s *Service) tell(ctx context.Context, p Provider, err error, ext identity.External, from identity.Origin) {
	reason, is := ReasonOf(err)
	if !is {
		return
	}
	s.log.InfoContext(ctx, "sign-in refused", "provider", p.Slug, "reason", reason.String(), "error", err)
	err = s.db.Write(context.WithoutCancel(ctx), func(tx *sqlite.Tx) error {
		return s.events.Append(ctx, tx, event.Event{Kind: Refused, Actor: "anonymous", At: s.now()}, Refusal{
			Provider: p.Slug, Reason: reason, Username: shortened(ext.Username, 100), ExternalID: shortened(ext.ExternalID, 200), Address: from.Host(),
		})
	})
	if err != nil {
		s.log.ErrorContext(ctx, "refused sign-in not written down", "provider", p.Slug, "error", err)
	}
}
