package manifest

import (
	"context"

	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/registry"
	"berth/internal/secret"
	"berth/internal/signin"
	"berth/internal/vault"
)

// State is what a server has.
type State struct {
	Projects       []deploy.SavedProject
	Routes         []deploy.FixedRoute
	Registries     []registry.RegistryAccount
	Providers      []signin.Provider
	Administrators AdministratorList
	SecondFactor   identity.SecondFactorRule
	SignIn         identity.SignInMode
	LeftOut        map[string]identity.LeftOut // who would have no way in left, by provider
	LeftOutByMode  identity.LeftOut            // and by the mode that is wanted
	LeftOutByList  identity.LeftOut            // and by the list of administrators that is wanted
	Slots          map[Slot]int64              // which secrets there are, and their versions
	Values         Values                      // of the slots that the document gives values for
}

// state reads what there is; of no slot the value.
func (s *Service) state(ctx context.Context) (have State, err error) {
	if have.Projects, err = s.deploy.Configuration(ctx); err != nil {
		return have, err
	}
	if have.Routes, err = s.deploy.AllFixedRoutes(ctx); err != nil {
		return have, err
	}
	if have.Registries, err = s.accounts.Accounts(ctx); err != nil {
		return have, err
	}
	if have.Providers, err = s.signin.Providers(ctx); err != nil {
		return have, err
	}
	if have.Administrators, err = s.administratorList(ctx); err != nil {
		return have, err
	}
	if have.SecondFactor, err = s.identity.SecondFactorRule(ctx); err != nil {
		return have, err
	}
	mode, err := s.signin.Mode(ctx)
	if err != nil {
		return have, err
	}
	have.SignIn = mode.SignInMode
	slots, err := s.vault.List(ctx, "")
	have.Slots, have.Values = map[Slot]int64{}, Values{}
	for _, slot := range slots {
		if !vault.Own(slot.Context, slot.Name) {
			have.Slots[Slot{slot.Context, slot.Name}] = slot.Version
		}
	}
	return have, err
}

// values reads the values that a document's are compared with.
func (s *Service) values(ctx context.Context, wanted Values) (Values, error) {
	have := Values{}
	for slot := range wanted {
		value, err := s.value(ctx, slot)
		switch kind := fault.KindOf(err); {
		case err == nil:
			have[slot] = value
		case kind != fault.Missing && kind != fault.NotNow: // else any value is another one
			return nil, err
		}
	}
	return have, nil
}

func (s *Service) value(ctx context.Context, slot Slot) (secret.Text, error) {
	switch slot.Context {
	case registry.SecretContext:
		return s.accounts.Password(ctx, slot.Name)
	case signin.SlotContext:
		return s.signin.ClientSecret(ctx, slot.Name)
	}
	return s.vault.Get(ctx, slot.Context, slot.Name)
}
