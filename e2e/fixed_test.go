package e2e

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/identity"
)

// Things that Berth does not run stand behind its sign-in: a server by HTTPS,
// whose certificate this machine's roots vouch for. No engine is needed for it.
func TestFixedRoutes_PutSignInInFrontOfWhatBerthDoesNotRun(t *testing.T) {
	outside := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Seen", strings.Join([]string{r.Host, r.RequestURI, r.Header.Get("X-Berth-User"), r.Header.Get("X-Berth-Context")}, " "))
		if r.Method == http.MethodPost {
			_, _ = io.Copy(w, r.Body)
		}
	}))
	t.Cleanup(outside.Close)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	require.NoError(t, os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: outside.Certificate().Raw}), 0o600))

	h := &house{}
	h.berth = startHeard(t, noEngine, &h.log, "BERTH_LOG_FORMAT=json", "BERTH_ACCESS_LOG=on", "SSL_CERT_FILE="+roots)
	h.person("ana", "member")
	h.person("bo", "member")
	spec := deploy.FixedSpec{Hostname: "nas.localhost", Target: outside.URL, Access: &identity.Policy{Rules: []identity.Rule{{Allow: identity.Who{People: []string{"ana"}}}}}}
	var made deploy.FixedRoute
	h.call("POST", "/api/routes", map[string]any{"name": "nas", "spec": spec}, &made)
	page := h.appURL("nas", "/files?a=b")

	nobody, ana, bo := h.visitor(), h.visitor(), h.visitor()
	require.Equal(t, http.StatusUnauthorized, nobody.do("GET", page, nil).StatusCode)
	ana.signIn("ana", passwordOf("ana"))
	at, r := ana.browse(page)
	require.Equal(t, page, at.String(), "by way of the base host, and back")
	require.Equal(t, http.StatusOK, r.StatusCode, r.body)
	host, err := url.Parse(page)
	require.NoError(t, err)
	require.Equal(t, host.Host+" /files?a=b ana nas", r.Header.Get("X-Seen"))
	require.Equal(t, `"sent"`, ana.do("POST", page, "sent").body)
	bo.signIn("bo", passwordOf("bo"))
	_, r = bo.browse(page)
	require.Equal(t, http.StatusForbidden, r.StatusCode)

	// Another policy counts at once, and a restart keeps all of it.
	made.Spec.Access = &identity.Policy{Rules: []identity.Rule{{Allow: identity.Who{SignedIn: true}}}}
	made.Spec.Host = deploy.HostUpstream
	h.call("PUT", "/api/routes/nas", map[string]any{"version": made.Version, "spec": made.Spec}, &made)
	_, r = bo.browse(page)
	require.Equal(t, strings.TrimPrefix(outside.URL, "https://")+" /files?a=b bo nas", r.Header.Get("X-Seen"))
	h.stop()
	h.launch("BERTH_LOG_FORMAT=json") // and no root vouches for it any more
	r = ana.do("GET", page, nil)
	require.Equal(t, http.StatusBadGateway, r.StatusCode, r.body)
	require.NotContains(t, r.body, "certificate")

	// It leads nobody back to Berth, and to no credentials.
	for target, says := range map[string]string{
		"http://" + h.address:    "is Berth itself",
		h.baseURL():              "is Berth itself",
		"http://169.254.169.254": "does not connect to",
	} {
		made.Spec.Target = target
		err := h.try("PUT", "/api/routes/nas", map[string]any{"version": made.Version, "spec": made.Spec}, nil)
		require.ErrorContains(t, err, says, target)
	}

	h.call("DELETE", "/api/routes/nas", nil, nil)
	require.Equal(t, http.StatusNotFound, ana.do("GET", page, nil).StatusCode)
}
