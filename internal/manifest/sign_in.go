package manifest

import (
	"context"
	"fmt"
	"slices"

	"berth/internal/fault"
	"berth/internal/identity"
)

// SignIn is how people sign in.
type SignIn struct {
	Passwords  identity.Passwords `json:"passwords,omitempty"`   // everybody's by default
	StraightTo string             `json:"straight_to,omitempty"` // the sign-in page by default
}

func (in SignIn) whole() identity.SignInMode {
	mode := identity.SignInMode{Passwords: in.Passwords, StraightTo: in.StraightTo}
	if mode.Passwords == "" {
		mode.Passwords = identity.PasswordsOfEverybody
	}
	return mode
}

func (p *planner) signIn() {
	if p.wanted.SignIn == nil {
		return
	}
	w, have := p.wanted.SignIn.whole(), p.have.SignIn
	fields := differences("passwords", have.Passwords.String(), w.Passwords.String(), "straight_to", have.StraightTo, w.StraightTo)
	c := Change{Kind: KindSignIn, Name: modeName, version: have.Version, Fields: fields, leftOut: p.have.LeftOutByMode.People}
	if c.leftOut > 0 {
		p.notes = append(p.notes, "with passwords of administrators alone, "+p.have.LeftOutByMode.InWords())
	}
	p.change(true, c)
}

// astray refuses a document that leads people straight to a provider which its
// own apply removes.
func (p Plan) astray(wanted Wanted, from source) error {
	if wanted.SignIn == nil || !p.removesProvider(wanted.SignIn.StraightTo) {
		return nil
	}
	at := fault.InvalidFields([]fault.Field{{Name: "straight_to", Message: fmt.Sprintf("the provider %q is not in the file, and would be removed", wanted.SignIn.StraightTo)}})
	return fault.InvalidFields(from.flaws([]string{"sign_in"}, "", at))
}

func (p Plan) removesProvider(slug string) bool {
	return slices.ContainsFunc(p.Changes, func(c Change) bool { return c.Kind == KindProvider && c.Action == Remove && c.Name == slug })
}

// leftOutByMode reads who would have no way in left as a document would have
// people sign in.
func (s *Service) leftOutByMode(ctx context.Context, wanted Wanted) (identity.LeftOut, error) {
	if wanted.SignIn == nil {
		return identity.LeftOut{}, nil
	}
	return s.signin.ModeLeavesOut(ctx, wanted.SignIn.whole().Passwords)
}

func (w *writing) signInMode(ctx context.Context, c Change) error {
	mode := w.wanted.SignIn.whole()
	mode.Version = c.version
	left, err := w.identity.LeftOutByPasswords(ctx, w.tx, mode.Passwords)
	if err != nil {
		return err
	}
	_, err = w.signin.SetModeIn(ctx, w.tx, w.by, mode, w.force(c, left))
	return err
}
