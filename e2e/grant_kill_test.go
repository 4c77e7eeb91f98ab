package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/deploy"
	"berth/internal/identity"
)

// An app asks for a token of who came, which has to be refreshed, and Berth is
// killed with SIGKILL before the provider has taken the refresh token, or after.
func TestGrant_OutlivesAKillAroundTheTokenCallOrAsksForASignIn(t *testing.T) {
	for name, took := range map[string]bool{"before the provider took it": false, "after": true} {
		t.Run(name, func(t *testing.T) {
			var assertion string
			app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { assertion = r.Header.Get("X-Berth-Assertion") }))
			t.Cleanup(app.Close)
			h := &house{}
			h.berth = startHeard(t, noEngine, &h.log)
			l := h.liar("forge")
			l.lifetime = 30 * time.Second // so that it is refreshed at once
			policy := identity.SignedIn()
			policy.Audience, policy.TokensOf = "the app", "forge"
			h.call("POST", "/api/routes", map[string]any{"name": "app", "spec": deploy.FixedSpec{Hostname: "app.localhost", Target: app.URL, Access: &policy}}, nil)
			page := h.appURL("app", "/")
			v := h.visitor()
			require.NotEmpty(t, v.comesBack(v.begin(l)))
			_, r := v.browse(page)
			require.Equal(t, http.StatusOK, r.StatusCode, r.body)

			reached, goOn := make(chan struct{}), make(chan struct{})
			var once sync.Once
			wait := func() { once.Do(func() { close(reached); <-goOn }) }
			if took {
				l.taken = wait
			} else {
				l.taking = wait
			}
			ended := make(chan error, 1)
			go func() {
				answer, err := http.PostForm(h.baseURL()+"/api/token-exchange", exchangeOf(assertion))
				if err == nil {
					_ = answer.Body.Close()
				}
				ended <- err
			}()
			<-reached
			h.kill()
			require.Error(t, <-ended, "who asked was answered by a Berth that was killed")
			close(goOn)
			h.launch()

			asked := l.tokensAsked()
			ask := func() api.ExchangeAnswer {
				answer, err := http.PostForm(h.baseURL()+"/api/token-exchange", exchangeOf(assertion))
				require.NoError(t, err)
				defer answer.Body.Close()
				var said api.ExchangeAnswer
				require.NoError(t, json.NewDecoder(answer.Body).Decode(&said))
				return said
			}
			require.Equal(t, http.StatusOK, v.do("GET", page, nil).StatusCode, "the session outlives it")
			first, second := ask(), ask()
			require.LessOrEqual(t, l.tokensAsked(), asked+2, "it is asked in a loop")
			if took {
				for _, one := range []api.ExchangeAnswer{first, second} {
					require.Equal(t, "invalid_grant", one.Error)
					require.Equal(t, h.baseURL()+"/auth/forge/start", one.SignIn)
				}
				require.NotEqual(t, http.StatusOK, v.do("GET", page, nil).StatusCode, "the session stands on what the provider has ended")
				require.NotEmpty(t, v.comesBack(v.begin(l)))
				_, r = v.browse(page)
				require.Equal(t, http.StatusOK, r.StatusCode, r.body)
				first = ask()
			}
			if !took {
				require.Equal(t, first, second)
			}
			require.Empty(t, first.Error, first.Description)
			require.NotEmpty(t, first.AccessToken)
		})
	}
}

func exchangeOf(assertion string) url.Values {
	return url.Values{
		"grant_type":    {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token": {assertion}, "subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
	}
}
