package signin

import (
	"cmp"
	"context"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/settings"
)

// Seed adds the providers that the settings name and that are not there yet.
// Those that are there stay as people have made them since.
func (s *Service) Seed(ctx context.Context, named []settings.Provider) error {
	for _, given := range named {
		_, err := s.Provider(ctx, given.Slug())
		if err == nil {
			continue
		}
		if fault.KindOf(err) != fault.Missing {
			return err
		}
		var prefix *string
		if given.GroupPrefix != "" {
			prefix = &given.GroupPrefix
		}
		_, err = s.Create(ctx, "berth", NewProvider{
			Slug: given.Slug(), Preset: Preset(cmp.Or(given.Preset, string(OIDC))), Label: given.Label, Order: given.Order, Enabled: true,
			Issuer: given.Issuer, ClientID: given.ClientID, ClientSecret: given.ClientSecret, Scopes: given.Scopes,
			Claims: ClaimMap{Username: given.UsernameClaim, Name: given.NameClaim, Email: given.EmailClaim, Groups: given.GroupsClaim, Admin: given.Admin},
			Create: given.Create, NewRole: identity.Role(given.NewRole), AllowedDomains: given.AllowedDomains, AllowedGroups: given.AllowedGroups, GroupPrefix: prefix, SignOut: given.SignOut, TrustFactor: given.TrustFactor, TrustEmail: given.TrustEmail,
		})
		if err != nil {
			return fault.Invalid("BERTH_PROVIDER_%s_*: %s", given.Name, fault.Message(err)).Because(err)
		}
		s.log.InfoContext(ctx, "provider set up from the settings", "provider", given.Slug())
	}
	return nil
}
