package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"berth/internal/deploy"
)

// TestExamplesForCI_AreWhatTheirReadersTake reads each pipeline as YAML, each of
// its scripts by a shell, and each call of berth in it by berth.
func TestExamplesForCI_AreWhatTheirReadersTake(t *testing.T) {
	pipelines, err := filepath.Glob("../../examples/ci/*.yml")
	require.NoError(t, err)
	require.Len(t, pipelines, 3)
	deployed := 0
	for _, path := range pipelines {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		var pipeline map[string]any
		require.NoError(t, yaml.Unmarshal(raw, &pipeline), path)
		scripts := scriptsIn(pipeline)
		require.NotEmpty(t, scripts, path)
		for _, script := range scripts {
			shell := exec.CommandContext(t.Context(), "sh", "-n")
			shell.Stdin = strings.NewReader(script)
			said, err := shell.CombinedOutput()
			require.NoError(t, err, "%s: %s\n%s", path, said, script)
			for line := range strings.Lines(script) {
				_, call, found := strings.Cut(strings.TrimSpace(line), "./berth ")
				if !found {
					continue
				}
				// It is understood, and fails for want of a server.
				s := runCommand(t.Context(), "", []string{"BERTH_URL=http://127.0.0.1:1", "BERTH_TOKEN=berth_x"}, strings.Fields(call)...)
				require.Equal(t, exitNotNow, s.code, "%s: berth %s\n%s", path, call, s.err)
				deployed++
			}
			deployed += strings.Count(script, "deploy.sh shop prod")
		}
	}
	require.Equal(t, len(pipelines), deployed, "each deploys")
}

// scriptsIn gives what a pipeline has run: what stands under run, script and
// before_script.
func scriptsIn(v any) (scripts []string) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			switch key {
			case "run", "script", "before_script":
				scripts = append(scripts, lines(value)...)
			default:
				scripts = append(scripts, scriptsIn(value)...)
			}
		}
	case []any:
		for _, item := range v {
			scripts = append(scripts, scriptsIn(item)...)
		}
	}
	return scripts
}

func lines(v any) []string {
	if text, ok := v.(string); ok {
		return []string{text}
	}
	var list []string
	if items, ok := v.([]any); ok {
		for _, item := range items {
			list = append(list, lines(item)...)
		}
	}
	return list
}

// TestDeployScript_WaitsForWhatMayGiveTheStageBack has deploy.sh ask a server
// that answers with one state of a deployment after the other.
func TestDeployScript_WaitsForWhatMayGiveTheStageBack(t *testing.T) {
	at := func(state deploy.State, guard deploy.StepState) deploy.Deployment {
		return deploy.Deployment{ID: "06h", State: state, Steps: []deploy.Step{{Name: deploy.SwitchRoute, State: deploy.StepDone}, {Name: deploy.GuardStep, State: guard}}}
	}
	command := func(state deploy.State, after deploy.StepState) deploy.Deployment {
		d := at(state, deploy.StepDone)
		d.Steps = append(d.Steps, deploy.Step{Name: deploy.AfterStep, State: after})
		return d
	}
	for name, test := range map[string]struct {
		states []deploy.Deployment
		code   int
	}{
		"let go":         {[]deploy.Deployment{at(deploy.Live, deploy.StepPending), at(deploy.Live, deploy.StepRunning), at(deploy.Live, deploy.StepDone)}, 0},
		"given back":     {[]deploy.Deployment{at(deploy.Running, deploy.StepPending), at(deploy.Live, deploy.StepRunning), at(deploy.Reverted, deploy.StepFailed)}, 10},
		"command ended":  {[]deploy.Deployment{at(deploy.Live, deploy.StepRunning), command(deploy.Live, deploy.StepRunning), command(deploy.Live, deploy.StepDone)}, 0},
		"command failed": {[]deploy.Deployment{command(deploy.Live, deploy.StepRunning), command(deploy.Reverted, deploy.StepFailed)}, 10},
		"no guard":       {[]deploy.Deployment{{ID: "06h", State: deploy.Live, Steps: []deploy.Step{{Name: deploy.SwitchRoute, State: deploy.StepDone}}}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			mux := http.NewServeMux()
			mux.HandleFunc("POST /api/projects/shop/stages/prod/deployments", func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusAccepted)
				_ = json.NewEncoder(w).Encode(at(deploy.Waiting, deploy.StepPending))
			})
			mux.HandleFunc("GET /api/deployments/06h", func(w http.ResponseWriter, _ *http.Request) {
				_ = json.NewEncoder(w).Encode(test.states[min(asked, len(test.states)-1)])
				asked++
			})
			server := httptest.NewServer(mux)
			defer server.Close()
			script := exec.CommandContext(t.Context(), "sh", "../../examples/ci/deploy.sh", "shop", "prod", "1")
			script.Env = append(os.Environ(), "BERTH_URL="+server.URL, "BERTH_TOKEN=berth_x")
			said, err := script.CombinedOutput()
			var exit *exec.ExitError
			if test.code == 0 {
				require.NoError(t, err, string(said))
			} else {
				require.ErrorAs(t, err, &exit, string(said))
				require.Equal(t, test.code, exit.ExitCode(), string(said))
			}
			require.Equal(t, len(test.states), asked)
		})
	}
}
