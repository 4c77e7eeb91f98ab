package e2e

import (
	"context"
	"encoding/json"
	"net"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// zitadelRoles is both the scope that asks a Zitadel for the roles of a
// project and the claim that holds them.
const zitadelRoles = "urn:zitadel:iam:org:project:roles"

// zitadelStore is that of the example of Zitadel's library, with what a
// Zitadel knows besides: roles, and where browsers go after a sign-out.
type zitadelStore struct {
	*storage.Storage

	landed string
}

// startZitadel starts a provider that others wrote, Zitadel's library with the
// store and the login page of its example, which knows the server at base. It
// gives a JSON object of what a walk signs in there with.
func startZitadel(t *testing.T, base string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	const client, secret = "berth", "a secret of the client"
	issuer := "http://localhost:" + port
	store := &zitadelStore{
		Storage: storage.NewStorageWithClients(storage.NewUserStore(issuer), map[string]*storage.Client{
			client: storage.WebClient(client, secret, base+"/auth/zitadel/callback"),
		}),
		landed: base + "/sign-in",
	}
	z := httptest.NewUnstartedServer(exampleop.SetupServer(issuer, store, nil, false))
	require.NoError(t, z.Listener.Close())
	z.Listener = listener
	z.Start()
	t.Cleanup(z.Close)
	raw, err := json.Marshal(map[string]string{"issuer": issuer, "client": client, "secret": secret, "username": "test-user2", "password": "verysecure"})
	require.NoError(t, err)
	return string(raw)
}

// GetClientByClientID gives Berth as a client that may ask for roles, and has
// an address for after a sign-out.
func (z *zitadelStore) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	c, err := z.Storage.GetClientByClientID(ctx, id)
	return &zitadelClient{c, z.landed}, err
}

// SetUserinfoFromRequest tells, in the id_token, of roles to who asks for them,
// in the shape that a Zitadel has them.
func (z *zitadelStore) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, token op.IDTokenRequest, scopes []string) error {
	if err := z.Storage.SetUserinfoFromRequest(ctx, info, token, scopes); err != nil {
		return err
	}
	if slices.Contains(scopes, zitadelRoles) {
		info.AppendClaims(zitadelRoles, map[string]any{"crew": map[string]string{"1": "example.localhost"}})
	}
	return nil
}

type zitadelClient struct {
	op.Client

	landed string
}

func (c *zitadelClient) PostLogoutRedirectURIs() []string { return []string{c.landed} }

func (c *zitadelClient) IsScopeAllowed(scope string) bool { return scope == zitadelRoles }
