package signin

import (
	"context"
	"errors"

	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// StepUpAt is a provider where somebody can prove again who they are.
type StepUpAt struct {
	Slug         string `json:"slug"`
	Label        string `json:"label"`
	SecondFactor bool   `json:"second_factor" doc:"Whether its word counts for a second factor"`
}

// StepUps lists the providers where the subject can prove again who they are:
// those that know them, and can be made to ask anew. Where somebody has a
// second factor here, only one that is trusted to ask for one does.
func (s *Service) StepUps(ctx context.Context, subject identity.Subject) ([]StepUpAt, error) {
	known, err := s.identity.Identities(ctx, subject.Person.ID)
	if err != nil {
		return nil, err
	}
	all, err := s.Providers(ctx)
	if err != nil {
		return nil, err
	}
	at := []StepUpAt{}
	for _, p := range all {
		if !p.Enabled || !p.asksAnew() || subject.Person.SecondFactor && !p.TrustFactor {
			continue
		}
		for _, one := range known {
			if one.Provider == p.Slug {
				at = append(at, StepUpAt{Slug: p.Slug, Label: p.Label, SecondFactor: p.TrustFactor})
				break
			}
		}
	}
	return at, nil
}

// asksAnew says whether a provider has a way to be told so: GitHub has none.
func (p Provider) asksAnew() bool { return p.Preset.protocol() == protocolOIDC }

// stepUp strengthens the session that left, by what the provider has just
// proved of its person.
func (s *Service) stepUp(ctx context.Context, subject identity.Subject, ext identity.External, want identity.Strength, keep func(*sqlite.Tx, string) error) (secret.Text, error) {
	token, err := s.identity.StrengthenExternal(ctx, subject, ext, want, keep)
	switch {
	case errors.Is(err, identity.ErrUnknownIdentity), errors.Is(err, identity.ErrLinkedElsewhere):
		return secret.Text{}, refused(ReasonAnother, nil)
	case errors.Is(err, identity.ErrTooWeak):
		return secret.Text{}, refused(ReasonWeaker, nil)
	}
	return token, err
}
