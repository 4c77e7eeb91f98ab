package settings_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/settings"
)

func TestLoad_ReadsProvidersByTheirNames(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "secret", "hunter2-of-the-client\n")
	s, err := settings.Load([]string{
		"BERTH_PROVIDER_HOME_FORGE_PRESET=forgejo", "BERTH_PROVIDER_HOME_FORGE_ISSUER=https://forge.example.org",
		"BERTH_PROVIDER_HOME_FORGE_CLIENT_ID=berth", "BERTH_PROVIDER_HOME_FORGE_CLIENT_SECRET_FILE=secret",
		"BERTH_PROVIDER_HOME_FORGE_SCOPES=openid profile", "BERTH_PROVIDER_HOME_FORGE_ALLOWED_GROUPS=the crew, guests",
		"BERTH_PROVIDER_HOME_FORGE_CREATE=true", "BERTH_PROVIDER_HOME_FORGE_NEW_ROLE=member", "BERTH_PROVIDER_HOME_FORGE_ORDER=3",
		"BERTH_PROVIDER_HOME_FORGE_NAME_CLAIM=full", "BERTH_PROVIDER_HOME_FORGE_USERNAME_CLAIM=nick", "BERTH_PROVIDER_HOME_FORGE_EMAIL_CLAIM=mail",
		"BERTH_PROVIDER_HOME_FORGE_GROUP_PREFIX=forge/", "BERTH_PROVIDER_HOME_FORGE_TRUST_EMAIL=true", "BERTH_PROVIDER_A_CLIENT_ID=x", "BERTH_PROVIDER_EMPTY_CLIENT_ID=",
		"BERTH_PROVIDER_A_COLOUR=red",
	}, dir)
	require.NoError(t, err)
	require.Len(t, s.Providers, 2)
	home := s.Providers[1]
	require.Equal(t, "home-forge", home.Slug())
	require.Equal(t, "forgejo", home.Preset)
	require.Equal(t, "hunter2-of-the-client", home.ClientSecret.Reveal())
	require.Equal(t, []string{"openid", "profile"}, home.Scopes)
	require.Equal(t, []string{"the crew", "guests"}, home.AllowedGroups)
	require.True(t, home.Create)
	require.Equal(t, 3, home.Order)
	require.Equal(t, []string{"full", "nick", "mail", "forge/"}, []string{home.NameClaim, home.UsernameClaim, home.EmailClaim, home.GroupPrefix})
	require.True(t, home.TrustEmail)
	require.Equal(t, "member", home.NewRole)
	require.Empty(t, s.Providers[0].NewRole, "for the default of all providers")
	require.Len(t, s.Warnings, 1)
	require.Contains(t, s.Warnings[0], "BERTH_PROVIDER_A_COLOUR")

	shown := described(t, s, "BERTH_PROVIDER_HOME_FORGE_CLIENT_SECRET")
	require.Equal(t, "••••••", shown.Value)
	require.Equal(t, "forgejo", described(t, s, "BERTH_PROVIDER_HOME_FORGE_PRESET").Value)

	_, err = settings.Load([]string{"BERTH_PROVIDER_X_ISSUER=https://id.example.org", "BERTH_PROVIDER_X_CREATE=perhaps"}, dir)
	require.ErrorContains(t, err, "BERTH_PROVIDER_X_CLIENT_ID: is not set")
	require.ErrorContains(t, err, `BERTH_PROVIDER_X_CREATE: got "perhaps" from environment; it takes true or false`)
}
