package gateway

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// spelledAs gives ways to write a header's name that some app reads as it.
func spelledAs(name string) (list []string) {
	for _, other := range []string{"-", "_", ".", "~", "!"} {
		spelled := strings.ReplaceAll(name, "-", other)
		list = append(list, spelled, strings.ToUpper(spelled), strings.ToLower(spelled), http.CanonicalHeaderKey(spelled))
	}
	return list
}

func example(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile("../../packaging/" + path)
	require.NoError(t, err)
	return string(raw)
}

// The examples for nginx and Caddy are run in package e2e; those for Traefik and
// Envoy can not be here, so what their documentation makes of them is looked at.
func TestExamples_TakeAwayWhatAClientMayNotSay(t *testing.T) {
	teller, err := newTeller("", nil)
	require.NoError(t, err)
	names := teller.names()
	require.Len(t, names, 16)

	nginxConf := example(t, "nginx/berth.conf")
	for _, name := range append(names, "Cookie", "Authorization", "X-Original-URL", "X-Original-URI", "X-Rewrite-URL", "Forwarded", "Proxy") {
		require.Contains(t, nginxConf, "proxy_set_header "+name+" ", name)
	}

	var fromTraefik struct {
		HTTP struct {
			Middlewares map[string]struct {
				ForwardAuth struct {
					Address                  string
					TrustForwardHeader       *bool  `yaml:"trustForwardHeader"`
					AuthResponseHeadersRegex string `yaml:"authResponseHeadersRegex"`
				} `yaml:"forwardAuth"`
			}
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(example(t, "traefik/berth.yaml")), &fromTraefik))
	asks := fromTraefik.HTTP.Middlewares["berth-decides"].ForwardAuth
	require.True(t, strings.HasSuffix(asks.Address, authzPath+traefik.String()))
	require.False(t, *asks.TrustForwardHeader)
	taken, err := regexp.Compile(asks.AuthResponseHeadersRegex)
	require.NoError(t, err)
	for _, name := range names {
		for _, spelled := range spelledAs(name) {
			require.True(t, taken.MatchString(spelled), spelled)
		}
	}
	for _, kept := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Accept", "X-Berth", "Content-Type"} {
		require.False(t, taken.MatchString(kept), kept)
	}

	var fromEnvoy any
	envoyYAML := example(t, "envoy/berth.yaml")
	require.NoError(t, yaml.Unmarshal([]byte(envoyYAML), &fromEnvoy))
	for _, name := range append(names, "X-Original-URL", "X-Rewrite-URL", "Forwarded", "Proxy", "X-Real-IP") {
		require.Contains(t, envoyYAML, "- remove: "+strings.ToLower(name)+"\n", name)
	}
	for _, line := range []string{"path_prefix: " + authzPath + envoy.String() + "\n", "failure_mode_allow: false\n", "headers_with_underscores_action: REJECT_REQUEST\n"} {
		require.Contains(t, envoyYAML, line)
	}
}
