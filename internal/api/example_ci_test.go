package api_test

import (
	"bytes"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/identity"
	"berth/internal/needs"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// TestExampleForCI_DeploysAndWaits runs examples/ci/deploy.sh with the curl
// and jq of this machine and a token that is bound to one stage, and moves
// the deployment on as a worker does.
func TestExampleForCI_DeploysAndWaits(t *testing.T) {
	needs.Program(t, "curl", "jq")
	s := newServer(t)
	p, err := s.identity.Person(t.Context(), "bo")
	require.NoError(t, err)
	text, _, err := s.identity.CreateBoundToken(t.Context(), identity.Subject{Person: p, Via: identity.ViaSession},
		&identity.Bounds{Project: "shop", Stage: "prod"}, "ci", identity.ScopeDeploy, time.Time{})
	require.NoError(t, err)
	run := func(url string, token secret.Text, args ...string) (string, int) {
		c := exec.CommandContext(t.Context(), "../../examples/ci/deploy.sh", args...)
		c.Env = append(c.Environ(), "BERTH_URL="+url, "BERTH_TOKEN="+token.Reveal(), "DEPLOY_TIMEOUT=20")
		var out bytes.Buffer
		c.Stdout, c.Stderr = &out, &out
		_ = c.Run() // its code tells
		require.NotContains(t, out.String(), text.Reveal())
		return out.String(), c.ProcessState.ExitCode()
	}
	for _, c := range []struct {
		state deploy.State
		code  int
	}{{deploy.Live, 0}, {deploy.Replaced, 0}, {deploy.Failed, 10}, {deploy.Canceled, 10}, {deploy.Reverted, 10}} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for t.Context().Err() == nil {
				moved := false
				if err := s.db.Write(t.Context(), func(tx *sqlite.Tx) error {
					r, err := tx.ExecContext(t.Context(), "UPDATE deployments SET state = ?, error = 'as the test has it' WHERE state = 'waiting'", string(c.state))
					if err == nil {
						n, _ := r.RowsAffected()
						moved = n > 0
					}
					if moved && c.state == deploy.Live {
						_, err = tx.ExecContext(t.Context(), "UPDATE stages SET live_deployment = (SELECT id FROM deployments WHERE state = 'live')")
					}
					return err
				}); err != nil || moved {
					return
				}
				time.Sleep(5 * time.Millisecond) // until the script has asked
			}
		}()
		out, code := run(s.URL, text, "shop", "prod", "1.0.0")
		require.Equal(t, c.code, code, out)
		require.Contains(t, out, string(c.state))
		<-done
	}
	for _, c := range []struct {
		url   string
		token secret.Text
		args  []string
		code  int
		says  string
	}{
		{s.URL, text, []string{"shop", "staging", "1.0.0"}, 4, "shop/prod alone"},
		{s.URL, text, []string{"blog", "prod", "1.0.0"}, 4, "shop/prod alone"},
		{s.URL, text, []string{"shop", "prod/../../blog", "1.0.0"}, 4, "shop/prod alone"},
		{s.URL, text, []string{"shop", "prod", "no tag"}, 2, "tag"},
		{s.URL, secret.New("berth_wrong"), []string{"shop", "prod", "1.0.0"}, 3, "token"},
		{"http://127.0.0.1:1", text, []string{"shop", "prod", "1.0.0"}, 9, "does not answer"},
		{s.URL, text, []string{"shop"}, 2, "want PROJECT STAGE TAG"},
	} {
		out, code := run(c.url, c.token, c.args...)
		require.Equal(t, c.code, code, out)
		require.Contains(t, out, c.says)
	}
}
