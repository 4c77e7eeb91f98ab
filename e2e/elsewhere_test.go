package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/identity"
	"berth/internal/needs"
	"berth/internal/registry"
)

// TestElsewhere_PushesGoLiveByPollAndByWebhook has an image in a registry with
// a password, and a stage for each kind of rule.
func TestElsewhere_PushesGoLiveByPollAndByWebhook(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		const username, password = "ina", "ina-password"
		host := needs.Registry(t, username, password)
		b := start(t, e)
		project := projectPrefix(t)
		repository := host + "/" + project
		tagged := func(version string) map[string]string {
			return map[string]string{"exact": "stable", "glob": "main-" + version, "regexp": "r" + version, "semver": "1." + version + ".0"}
		}
		push := func(version string) {
			made := image(t, version)
			for _, tag := range tagged(version) {
				reference, err := name.ParseReference(repository+":"+tag, name.Insecure)
				require.NoError(t, err)
				require.NoError(t, remote.Write(reference, made, remote.WithAuth(&authn.Basic{Username: username, Password: password})))
			}
		}
		push("1")
		b.call("POST", "/api/projects", map[string]any{"name": project, "image": repository}, nil)
		short := deploy.Duration(time.Second)
		for stage, pattern := range map[string]string{"exact": "stable", "glob": "main-*", "regexp": "r[0-9]+", "semver": "^1.0"} {
			b.call("POST", "/api/projects/"+project+"/stages", map[string]any{"name": stage, "spec": deploy.StageSpec{
				Hostname: project + "-" + stage + ".localhost", Tags: deploy.TagRule{Kind: deploy.TagKind(stage), Pattern: pattern}, Port: 8080,
				Probe: deploy.Probe{Path: "/health"}, DrainTimeout: short, StreamDrainTimeout: short, StopTimeout: short, Access: new(identity.Public()),
			}}, nil)
		}
		source := func(state registry.SourceState) func() error {
			return func() error {
				var page struct{ Items []registry.Source }
				if err := b.try("GET", "/api/sources?project="+project, nil, &page); err != nil {
					return err
				}
				if len(page.Items) != 1 || page.Items[0].State != state || len(page.Items[0].Rules) != 4 {
					return fmt.Errorf("%+v", page.Items)
				}
				return nil
			}
		}
		poll := func() { b.call("POST", "/api/sources/poll", map[string]any{"repository": repository}, nil) }
		b.eventually("the registry wants an account", source(registry.SourceFailing))
		b.call("PUT", "/api/registries/"+host, map[string]any{"username": username, "password": password}, nil)
		poll()
		b.eventually("what is there at first is taken note of", source(registry.SourceOK))
		for stage, tag := range tagged("1") {
			var page struct {
				Items []struct {
					Name    string
					Matches bool
				}
			}
			b.call("GET", "/api/projects/"+project+"/stages/"+stage+"/tags", nil, &page)
			require.Len(t, page.Items, 4)
			for _, i := range page.Items {
				require.Equal(t, i.Name == tag, i.Matches, "%s of %s", i.Name, stage)
			}
		}

		live := func(version string, by deploy.Trigger) {
			for stage, tag := range tagged(version) {
				b.eventually(stage+" goes live", func() error {
					var page struct{ Items []deploy.Deployment }
					if err := b.try("GET", "/api/deployments?limit=5&project="+project+"&stage="+stage, nil, &page); err != nil {
						return err
					}
					if !slices.ContainsFunc(page.Items, func(d deploy.Deployment) bool { return d.Reference == tag && d.Trigger == by && d.State == deploy.Live }) {
						return fmt.Errorf("%+v", page.Items)
					}
					return b.answers(project+"-"+stage, version)
				})
			}
		}
		push("2")
		poll()
		live("2", deploy.TriggerPoll)

		var hook struct {
			URL        string
			SecretText string `json:"secret_text"`
		}
		b.call("POST", "/api/hooks", map[string]any{"name": "ci", "source": "generic", "generate_secret": true}, &hook)
		push("3")
		var images []string
		for _, tag := range tagged("3") {
			images = append(images, repository+":"+tag)
		}
		body, err := json.Marshal(map[string]any{"images": images})
		require.NoError(t, err)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, hook.URL, bytes.NewReader(body))
		require.NoError(t, err)
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+hook.SecretText)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusAccepted, response.StatusCode)
		live("3", deploy.TriggerWebhook)
	})
}
