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

func (p *planner) secondFactor() {
	if p.wanted.SecondFactor == nil {
		return
	}
	w, have := p.wanted.SecondFactor.RequiredOf, p.have.SecondFactor
	p.change(true, Change{
		Kind: KindSecondFactor, Name: ruleName, version: have.Version,
		Fields: differences("required_of", have.RequiredOf.String(), w.String()),
	})
	if least := have.Settings; !w.AtLeast(least) {
		p.notes = append(p.notes, fmt.Sprintf("BERTH_SECOND_FACTOR requires a second factor of %s, whatever the file says", least))
	}
}

func (w *writing) secondFactor(ctx context.Context, c Change) error {
	_, err := w.identity.RequireSecondFactorIn(ctx, w.tx, w.by, w.wanted.SecondFactor.RequiredOf, c.version)
	return err
}
