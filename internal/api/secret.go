package api

import (
	"context"
	"slices"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/notify"
	"berth/internal/registry"
	"berth/internal/secret"
	"berth/internal/vault"
	"berth/internal/webhook"
)

// notOfBerth refuses the slots that are set with what they belong to, by those
// who may set that.
func notOfBerth(slotContext string) error {
	switch slotContext {
	case registry.SecretContext:
		return fault.Forbidden("the secrets of registry accounts are set with the account")
	case notify.SlotContext:
		return fault.Forbidden("the addresses of notification channels are set with the channel")
	case webhook.SlotContext:
		return fault.Forbidden("the secrets of webhooks are set with the webhook")
	}
	if vault.Inner(slotContext) {
		return fault.Forbidden("the secrets of %q are Berth's own", slotContext)
	}
	return nil
}

type listSecretsInput struct {
	Context string `query:"context" maxLength:"128" doc:"Only those of this context"`
	Page
}

func (a *API) listSecrets(ctx context.Context, in *listSecretsInput) (*listOutput[vault.Slot], error) {
	found, err := a.vault.List(ctx, in.Context)
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(s vault.Slot) bool { return notOfBerth(s.Context) != nil })
	return part(found, in.Page, func(s vault.Slot) string { return s.Context + " " + s.Name }), nil
}

// SlotPath names a slot in a path.
type SlotPath struct {
	Context string `path:"context" maxLength:"128"`
	Name    string `path:"name" maxLength:"128"`
}

// maySetSlot keeps the list of those who administer to them, and has them
// prove again who they are.
func (a *API) maySetSlot(ctx context.Context, in SlotPath) error {
	if !vault.IsAdmins(in.Context, in.Name) {
		return nil
	}
	subject := callerOf(ctx).who()
	if err := identity.Decide(&subject, identity.ActionAdminister, identity.On{}); err != nil {
		return err
	}
	return a.provesAgain(ctx)
}

type setSecretInput struct {
	SlotPath
	Body struct {
		Value   secret.Text `json:"value" maxLength:"65536"`
		Version *int64      `json:"version,omitempty" minimum:"0" doc:"The version that was seen, 0 for a secret that is not there; 409 when it has moved. Without it, whatever is there is replaced."`
	}
}

func (a *API) setSecret(ctx context.Context, in *setSecretInput) (*output[vault.Slot], error) {
	if err := notOfBerth(in.Context); err != nil {
		return nil, err
	}
	if err := a.maySetSlot(ctx, in.SlotPath); err != nil {
		return nil, err
	}
	slot, err := a.vault.Replace(ctx, callerOf(ctx).actor(), in.Context, in.Name, in.Body.Version, in.Body.Value)
	if err != nil {
		return nil, err
	}
	return answer(slot), nil
}

// ShownSecret is a secret with its value.
type ShownSecret struct {
	vault.Slot
	Value string `json:"value"`
}

// showSecret gives a value to an administrator who has just proved who they
// are, or who is on the machine itself.
func (a *API) showSecret(ctx context.Context, in *SlotPath) (*output[ShownSecret], error) {
	if err := notOfBerth(in.Context); err != nil {
		return nil, err
	}
	if err := a.provesAgain(ctx); err != nil {
		return nil, err
	}
	slot, value, err := a.vault.Show(ctx, callerOf(ctx).actor(), in.Context, in.Name)
	if err != nil {
		return nil, err
	}
	return answer(ShownSecret{slot, value.Reveal()}), nil
}

func (a *API) removeSecret(ctx context.Context, in *SlotPath) (*struct{}, error) {
	if err := notOfBerth(in.Context); err != nil {
		return nil, err
	}
	if err := a.maySetSlot(ctx, *in); err != nil {
		return nil, err
	}
	return nil, a.vault.Remove(ctx, callerOf(ctx).actor(), in.Context, in.Name)
}
