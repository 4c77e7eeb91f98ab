package manifest

import (
	"context"
	"fmt"

	"berth/internal/identity"
)

// SecondFactor is who must have a second factor.
type SecondFactor struct {
	RequiredOf identity.Requirement `json:"required_of,omitempty"`
}

// Prover says whether somebody proved just now who they are; a fault of kind
// NotProved asks for it.
type Prover interface {
	Fresh(subject identity.Subject) error
}

func (p *planner) secondFactor() {
	if p.wanted.SecondFactor == nil {
		return
	}
	w, have := p.wanted.SecondFactor.RequiredOf, p.have.SecondFactor
	p.change(true, Change{
		Kind: KindSecondFactor, Name: ruleName, version: have.Version,
		Fields: differences("required_of", have.RequiredOf.String(), w.String()),
	})
	if least := have.Settings; least != identity.RequireOfNobody && w != identity.RequireOfEverybody && least != w {
		p.notes = append(p.notes, fmt.Sprintf("BERTH_SECOND_FACTOR requires a second factor of %s, whatever the file says", least))
	}
}

func (w *writing) secondFactor(ctx context.Context, c Change) error {
	_, err := w.identity.RequireSecondFactorIn(ctx, w.tx, w.by, w.wanted.SecondFactor.RequiredOf, c.version)
	return err
}

// proved refuses a plan that changes who must have a second factor, how people
// sign in, or who administers, by a session whose owner did not just prove who
// they are: whoever takes over a session would take the rule away first.
func (s *Service) proved(plan Plan, by identity.Subject) error {
	if by.Via != identity.ViaSession {
		return nil
	}
	for _, c := range plan.Changes {
		if c.Kind == KindSecondFactor || c.Kind == KindSignIn || c.Kind == KindAdministrators {
			return s.prover.Fresh(by)
		}
	}
	return nil
}
