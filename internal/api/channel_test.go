package api_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/notify"
)

func TestChannels_OfAProjectAreItsMembersAndOfAllOfBerthTheAdministrators(t *testing.T) {
	s := newServer(t)
	body := func(name, project, address string) string {
		return fmt.Sprintf(`{"name": %q, "service": "ntfy", "project": %q, "kinds": ["deployment.live"], "address": %q}`, name, project, address)
	}
	const outside, inside = "https://ntfy.sh/sEcReT", "http://127.0.0.1:1/sEcReT"

	require.Equal(t, 403, s.do(member, "POST", "/api/channels", body("all", "", outside)).StatusCode)
	require.Equal(t, 201, s.do(admin, "POST", "/api/channels", body("all", "", inside)).StatusCode)
	require.Equal(t, 201, s.do(member, "POST", "/api/channels", body("shop", "shop", outside)).StatusCode)
	plain := s.do(member, "POST", "/api/channels", body("shop-2", "shop", inside))
	require.Equal(t, 422, plain.StatusCode)
	require.Contains(t, plain.body, "ask an administrator")
	require.NotContains(t, plain.body, "sEcReT")

	for _, c := range []struct {
		who, method, path, body string
		status                  int
	}{
		{member, "PATCH", "/api/channels/all", `{"version": 1, "enabled": false}`, 403},
		{member, "DELETE", "/api/channels/all", "", 403},
		{member, "POST", "/api/channels/all/test", "", 403},
		{memberRead, "GET", "/api/channels/all", "", 200},
		{memberRead, "GET", "/api/notifications", "", 200},
		{adminDeploy, "POST", "/api/channels", body("x", "shop", outside), 403},
		{member, "PATCH", "/api/channels/shop", `{"version": 1, "enabled": false}`, 200},
		{member, "PATCH", "/api/channels/shop", `{"version": 1, "enabled": true}`, 409},
		{member, "POST", "/api/channels", body("shop", "shop", outside), 409},
		{member, "POST", "/api/channels", body("other", "nothing", outside), 422},
		{member, "POST", "/api/channels", `{"name": "Bad Name", "service": "ntfy", "project": "shop", "kinds": ["disk.low"]}`, 422},
		{member, "DELETE", "/api/channels/shop", "", 204},
		{member, "DELETE", "/api/channels/shop", "", 404},
	} {
		got := s.do(c.who, c.method, c.path, c.body)
		require.Equal(t, c.status, got.StatusCode, "%s %s %s: %s", c.who, c.method, c.path, got.body)
		require.NotContains(t, got.body, "sEcReT")
	}
}

// An address in a private network is good for those who gave it: a member who
// gives one by a name gets no further.
func TestChannels_OfMembersDoNotReachPrivateNetworks(t *testing.T) {
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("reached") }))
	defer inside.Close()
	s := newServer(t)
	_, port, _ := strings.Cut(strings.TrimPrefix(inside.URL, "https://"), ":")
	made := s.do(member, "POST", "/api/channels", fmt.Sprintf(
		`{"name": "home", "service": "webhook", "project": "shop", "kinds": ["deployment.live"], "address": "https://localhost:%s/"}`, port))
	require.Equal(t, 201, made.StatusCode, made.body)
	var d notify.Delivery
	s.do(member, "POST", "/api/channels/home/test", "").decode(t, &d)
	require.Equal(t, notify.Failed, d.State)
	require.Contains(t, d.Error, "it is in a private network, for which an administrator has to give the address")
}

func TestChannels_NeverShowTheirAddressAndTheSigningSecretOnce(t *testing.T) {
	s := newServer(t)
	var made api.SavedChannel
	s.do(admin, "POST", "/api/channels",
		`{"name": "hook", "service": "webhook", "kinds": ["deployment.live"], "address": "https://127.0.0.1:1/hook?key=sEcReT"}`).decode(t, &made)
	require.True(t, strings.HasPrefix(made.SigningSecret, "whsec_"))
	require.Equal(t, "127.0.0.1:1", made.Hint)
	tested := s.do(admin, "POST", "/api/channels/hook/test", "")
	require.Equal(t, 200, tested.StatusCode)
	require.Contains(t, tested.body, "connection refused")

	var said strings.Builder
	said.WriteString(tested.body)
	for _, path := range []string{"/api/channels", "/api/channels/hook", "/api/notifications", "/api/activity", "/api/secrets"} {
		got := s.do(admin, "GET", path, "")
		require.Equal(t, 200, got.StatusCode, path)
		said.WriteString(got.body)
	}
	require.NotContains(t, said.String(), "sEcReT")
	require.NotContains(t, said.String(), made.SigningSecret)

	// Nor by way of a stage's variable, nor is it set but with the channel.
	slot := strings.ReplaceAll(notify.SlotContext, "/", "%2F")
	require.Equal(t, 403, s.do(admin, "PUT", "/api/secrets/"+slot+"/"+made.ID, `{"value": "x"}`).StatusCode)
	require.Equal(t, 403, s.do(admin, "DELETE", "/api/secrets/"+slot+"/"+made.ID, "").StatusCode)
	checked := s.do(admin, "POST", "/api/projects/shop/stages", fmt.Sprintf(
		`{"name": "spy", "spec": {"hostname": "spy.example.com", "tags": {"kind": "none"}, "secrets": {"X": {"context": %q, "name": %q}}}}`, notify.SlotContext, made.ID))
	require.Equal(t, 422, checked.StatusCode)
	require.Contains(t, checked.body, "these slots are for Berth alone")
	listed := s.do(admin, "GET", "/api/secrets", "")
	require.NotContains(t, listed.body, notify.SlotContext)
}
