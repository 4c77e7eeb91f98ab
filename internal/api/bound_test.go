package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// bound makes an API token that is held to a project and perhaps a stage.
func (s *server) bound(username string, scope identity.Scope, project, stage string) func(*http.Request) {
	s.t.Helper()
	p, err := s.identity.Person(s.t.Context(), username)
	require.NoError(s.t, err)
	text, _, err := s.identity.CreateBoundToken(s.t.Context(), identity.Subject{Person: p, Via: identity.ViaSession},
		&identity.Bounds{Project: project, Stage: stage}, sqlite.NewID(time.Now()), scope, time.Time{})
	require.NoError(s.t, err)
	return bearer(text)
}

func bearer(text secret.Text) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+text.Reveal()) }
}

// place is a stage with a deployment and an instance in it.
type place struct{ project, stage, deployment, instance string }

// places makes shop/prod, shop/staging and blog/prod, each with something in
// it that a token of another might be after.
func (s *server) places() []place {
	s.t.Helper()
	ctx := s.t.Context()
	_, err := s.deploy.CreateStage(ctx, "ana", "shop", "staging", deploy.StageSpec{Hostname: "staging.example.com"})
	require.NoError(s.t, err)
	_, err = s.deploy.CreateProject(ctx, "ana", deploy.Project{Name: "blog", Image: "blog"})
	require.NoError(s.t, err)
	_, err = s.deploy.CreateStage(ctx, "ana", "blog", "prod", deploy.StageSpec{Hostname: "blog.example.com"})
	require.NoError(s.t, err)
	all := []place{{project: "shop", stage: "prod"}, {project: "shop", stage: "staging"}, {project: "blog", stage: "prod"}}
	for i, p := range all {
		d, err := s.deploy.Start(ctx, deploy.StartRequest{Project: p.project, Stage: p.stage, Reference: "1.0.0", Trigger: deploy.TriggerAPI, Actor: "ana"})
		require.NoError(s.t, err)
		all[i].deployment, all[i].instance = d.ID, fmt.Sprint("instance-", i)
		require.NoError(s.t, s.db.Write(ctx, func(tx *sqlite.Tx) error {
			_, err := tx.ExecContext(ctx, `
				INSERT INTO instances (id, deployment_id, ordinal, container_id, address, state, created_at, updated_at)
				VALUES (?, ?, 0, 'c', '127.0.0.1:1', 'ready', 1, 1)`, all[i].instance, d.ID)
			return err
		}))
	}
	return all
}

// boundReach is, once more and by hand, all that a token bound to a stage
// gets: where a route names a stage, a deployment, an instance or an image,
// its own; in a list, what is its own. Every route that is not here, and every
// one that is yet to come, refuses it.
var boundReach = map[string]string{
	"GET /api/session": "oneself", "GET /api/openapi.json": "oneself", "GET /api/apps": "oneself",

	"GET /api/projects": "list", "GET /api/projects/{project}": "list",
	"GET /api/deployments": "list", "GET /api/activity": "list", "GET /api/events": "list",

	"GET /api/projects/{project}/stages/{stage}":                            "own",
	"GET /api/projects/{project}/stages/{stage}/metrics":                    "own",
	"GET /api/projects/{project}/stages/{stage}/usage":                      "own",
	"GET /api/projects/{project}/stages/{stage}/tags":                       "own",
	"GET /api/projects/{project}/stages/{stage}/instances":                  "own",
	"GET /api/projects/{project}/stages/{stage}/logs":                       "own",
	"GET /api/projects/{project}/stages/{stage}/logs/download":              "own",
	"GET /api/instances/{id}/logs/download":                                 "own",
	"GET /api/projects/{project}/stages/{stage}/releases":                   "own",
	"GET /api/projects/{project}/stages/{stage}/releases/{release}/compare": "own",
	"GET /api/projects/{project}/stages/{stage}/promotion":                  "own",
	"POST /api/projects/{project}/stages/{stage}/deployments":               "own",
	"POST /api/projects/{project}/stages/{stage}/redeploy":                  "own",
	"POST /api/projects/{project}/stages/{stage}/rollback":                  "own",
	"POST /api/projects/{project}/stages/{stage}/promote":                   "own",
	"GET /api/projects/{project}/stages/{stage}/jobs":                       "own",
	"POST /api/projects/{project}/stages/{stage}/jobs/{job}/run":            "own",
	"GET /api/projects/{project}/stages/{stage}/job-runs":                   "own",
	"GET /api/projects/{project}/stages/{stage}/job-runs/{run}":             "own",
	"GET /api/projects/{project}/stages/{stage}/job-runs/{run}/log":         "own",
	"POST /api/projects/{project}/stages/{stage}/job-runs/{run}/cancel":     "own",
	"GET /api/deployments/{id}":                                             "own",
	"GET /api/deployments/{id}/log":                                         "own",
	"POST /api/deployments/{id}/cancel":                                     "own",
	"GET /api/instances/{id}":                                               "own",
	"GET /api/instances/{id}/stats":                                         "own",
	"GET /api/instances/{id}/logs":                                          "own",
	"GET /api/images/tags":                                                  "own",
}

func TestBoundToken_GetsOfEveryRouteWhatIsItsOwn(t *testing.T) {
	s := newServer(t)
	all := s.places()
	s.engine.logs = func(func(container.LogLine, error) bool) {}
	mine := all[0]
	// The bounds hold an administrator's token as well as a member's.
	for _, username := range []string{"ana", "bo"} {
		as := s.bound(username, identity.ScopeDeploy, mine.project, mine.stage)
		for _, o := range operations(t) {
			for _, at := range all {
				id := at.deployment
				if strings.HasPrefix(o.path, "/api/instances") {
					id = at.instance
				}
				path := strings.NewReplacer("{project}", at.project, "{stage}", at.stage, "{id}", id).Replace(o.path)
				path = parameter.ReplaceAllString(path, "none")
				if o.path == "/api/images/tags" {
					path += "?tag=1&repository=" + at.project
					if o.method == http.MethodGet {
						path = o.path + "?repository=" + at.project
					}
				}
				body := ""
				if o.method != http.MethodGet && o.method != http.MethodDelete {
					body = `{}`
				}
				got := s.do(nobody, o.method, path, body, as)

				what := boundReach[o.method+" "+o.path]
				if o.rule == "public" {
					what = "open"
				}
				own := at == mine
				if o.path == "/api/images/tags" || what == "list" {
					own = at.project == mine.project
				}
				if what == "list" && !strings.Contains(o.path, "{") {
					own = true
				}
				refused := what == "" || !own && what != "oneself" && what != "open"
				if o.rule == "end token" {
					refused = true // itself alone: TestRemoveToken_LetsATokenEndItself
				}
				require.Equal(t, refused, got.StatusCode == http.StatusForbidden, "%s %s at %v: %d %s", o.method, path, at, got.StatusCode, got.body)
				require.Less(t, got.StatusCode, 500, "%s %s: %s", o.method, path, got.body)
				if refused {
					require.NotContains(t, got.body, at.deployment)
				}
			}
		}
	}
}

func TestBoundToken_SeesInListsOnlyItsOwn(t *testing.T) {
	s := newServer(t)
	all := s.places()
	for _, c := range []struct {
		project, stage string
		sees           []place
	}{
		{"shop", "prod", all[:1]},
		{"shop", "", all[:2]},
		{"blog", "prod", all[2:]},
	} {
		as := s.bound("ana", identity.ScopeDeploy, c.project, c.stage)
		for _, path := range []string{
			"/api/projects", "/api/projects/" + c.project, "/api/deployments", "/api/activity",
			"/api/projects?cursor=a", "/api/deployments?project=" + c.project, "/api/activity?project=" + c.project,
		} {
			got := s.do(nobody, http.MethodGet, path, "", as)
			require.Equal(t, http.StatusOK, got.StatusCode, got.body)
			for _, p := range all {
				seen := false
				for _, own := range c.sees {
					seen = seen || own == p
				}
				require.Equal(t, seen, strings.Contains(got.body, p.deployment), "%s as %s/%s: %v", path, c.project, c.stage, p)
			}
			require.NotContains(t, got.body, "hunter2")
		}
		for _, query := range []string{"project=shop&stage=staging", "project=blog", "project=nothing", "stage=none"} {
			own := c.stage == "" && query == "project=shop&stage=staging" || c.stage == "" && query == "stage=none" || c.project == "blog" && query == "project=blog"
			for _, path := range []string{"/api/deployments?", "/api/activity?", "/api/events?"} {
				got := s.do(nobody, http.MethodGet, path+query, "", as)
				require.Equal(t, own, got.StatusCode == http.StatusOK, "%s%s as %s/%s: %d", path, query, c.project, c.stage, got.StatusCode)
			}
		}
	}
}

// TestBoundToken_StreamsOnlyItsOwnEvents asks for all of them, in each way
// there is to ask.
func TestBoundToken_StreamsOnlyItsOwnEvents(t *testing.T) {
	s := newServer(t)
	all := s.places()
	as := s.bound("ana", identity.ScopeDeploy, "shop", "prod")
	for _, c := range []struct {
		name, path string
		change     func(*http.Request)
	}{
		{"from the first event on", "/api/events?after=0", func(*http.Request) {}},
		{"by Last-Event-ID", "/api/events", lastEventID(0)},
		{"by both", "/api/events?after=5", lastEventID(0)},
		{"its own, spelled out", "/api/events?after=0&project=shop&stage=prod", func(*http.Request) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := s.listen(c.path, as, c.change)
			require.Equal(t, http.StatusOK, l.StatusCode)
			mark := sqlite.NewID(time.Now())
			s.happen("project.updated", "", map[string]string{"the": "last", "mark": mark})
			for {
				e, ok := l.next()
				require.True(t, ok)
				if e.name == "ping" {
					continue
				}
				require.Contains(t, e.data, `"project":"shop","stage":"prod"`)
				require.NotContains(t, e.data, all[1].deployment)
				if strings.Contains(e.data, mark) {
					break
				}
			}
			l.cut()
		})
	}
	l := s.listen("/api/events?after=0&deployment="+all[2].deployment, as)
	s.happen("project.updated", all[2].deployment, map[string]string{"it": "says that deployment, and is of shop/prod"})
	for {
		e, ok := l.next()
		require.True(t, ok)
		if e.name != "ping" {
			require.Contains(t, e.data, `"project":"shop"`, "another's deployment by its id gives nothing of another")
			break
		}
	}
}

func TestBoundToken_EndsWithWhatItIsBoundTo(t *testing.T) {
	s := newServer(t)
	s.places()
	prod, staging := s.bound("bo", identity.ScopeDeploy, "shop", "prod"), s.bound("bo", identity.ScopeDeploy, "shop", "staging")
	whole, other := s.bound("bo", identity.ScopeRead, "shop", ""), s.bound("bo", identity.ScopeDeploy, "blog", "prod")
	works := func(as func(*http.Request)) bool {
		return s.do(nobody, http.MethodGet, "/api/session", "", as).StatusCode == http.StatusOK
	}
	stream := s.listen("/api/events", prod)
	_, ok := stream.next()
	require.True(t, ok)

	_, err := s.deploy.RemoveStage(t.Context(), "ana", "shop", "prod")
	require.NoError(t, err)
	for ok {
		_, ok = stream.next()
	}
	require.Equal(t, []bool{false, true, true, true}, []bool{works(prod), works(staging), works(whole), works(other)})
	_, err = s.deploy.CreateStage(t.Context(), "ana", "shop", "prod", deploy.StageSpec{Hostname: "shop.example.com"})
	require.NoError(t, err)
	require.False(t, works(prod), "another of the same name does not bring it back")

	_, err = s.deploy.RemoveProject(t.Context(), "ana", "shop")
	require.NoError(t, err)
	require.Equal(t, []bool{false, false, true}, []bool{works(staging), works(whole), works(other)})

	removed, err := s.events.Since(t.Context(), 0, event.Filter{Kinds: []event.Kind{identity.TokenRemoved}}, 10)
	require.NoError(t, err)
	require.Len(t, removed, 3)
	require.Equal(t, "ana", removed[0].Actor)
	require.Contains(t, string(removed[0].Data), `"bounds":{"project":"shop","stage":"prod"},"why":"removed with shop/prod"`)
}

// registryToken asks for a bearer token for the registry.
func (s *server) registryToken(username string, as func(*http.Request), scopes string) (reply, string) {
	r, err := http.NewRequest(http.MethodGet, s.URL, nil)
	require.NoError(s.t, err)
	as(r)
	password := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	got := s.do(nobody, http.MethodGet, "/v2/token?"+url.Values{"scope": {scopes}}.Encode(), "",
		func(r *http.Request) { r.SetBasicAuth(username, password) })
	_, token, _ := strings.Cut(got.body, `"token":"`)
	token, _, _ = strings.Cut(token, `"`)
	return got, token
}

func TestBoundToken_ReachesOneRepositoryOfTheRegistry(t *testing.T) {
	s := newServer(t)
	s.places()
	as := s.bound("ana", identity.ScopeDeploy, "shop", "staging")
	got, token := s.registryToken("ana", as, "repository:shop:pull,push,delete,* repository:blog:pull,push repository:new:push registry:catalog:*")
	require.Contains(t, got.body, `"scope":"repository:shop:pull,push"`)
	r, err := http.NewRequest(http.MethodGet, s.URL, nil)
	require.NoError(t, err)
	as(r)
	basic := func(req *http.Request) {
		req.SetBasicAuth("ana", strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	}
	digest := "sha256:" + strings.Repeat("a", 64)
	for _, by := range []func(*http.Request){basic, bearer(secret.New(token))} {
		for _, c := range []struct {
			method, path string
			status       int
		}{
			{http.MethodGet, "/v2/", 200},
			{http.MethodGet, "/v2/shop/tags/list", 404},
			{http.MethodPost, "/v2/shop/blobs/uploads/", 202},
			{http.MethodPost, "/v2/shop/blobs/uploads/?from=blog&mount=" + digest, 202}, // no mount, an upload
			{http.MethodGet, "/v2/_catalog", 403},
			{http.MethodGet, "/v2/blog/tags/list", 403},
			{http.MethodGet, "/v2/blog/manifests/1", 403},
			{http.MethodGet, "/v2/blog/blobs/" + digest, 403},
			{http.MethodPost, "/v2/blog/blobs/uploads/", 403},
			{http.MethodPost, "/v2/blog/blobs/uploads/?from=shop&mount=" + digest, 403},
			{http.MethodPost, "/v2/shop/more/blobs/uploads/", 403},
			{http.MethodPut, "/v2/blog/manifests/1", 403},
			{http.MethodDelete, "/v2/shop/manifests/1", 403},
			{http.MethodDelete, "/v2/blog/manifests/1", 403},
		} {
			got := s.do(nobody, c.method, c.path, "", by)
			require.Equal(t, c.status, got.StatusCode, "%s %s: %s", c.method, c.path, got.body)
		}
	}

	// Another image from then on: the token follows its project.
	p, err := s.deploy.Project(t.Context(), "shop")
	require.NoError(t, err)
	image := "boutique"
	_, err = s.deploy.UpdateProject(t.Context(), "ana", "shop", p.Version, deploy.ProjectEdit{Image: &image})
	require.NoError(t, err)
	require.Equal(t, http.StatusForbidden, s.do(nobody, http.MethodPost, "/v2/shop/blobs/uploads/", "", basic).StatusCode)
	require.Equal(t, http.StatusAccepted, s.do(nobody, http.MethodPost, "/v2/boutique/blobs/uploads/", "", basic).StatusCode)
	// One at another registry: none here.
	p, err = s.deploy.Project(t.Context(), "shop")
	require.NoError(t, err)
	image = "ghcr.io/ana/shop"
	_, err = s.deploy.UpdateProject(t.Context(), "ana", "shop", p.Version, deploy.ProjectEdit{Image: &image})
	require.NoError(t, err)
	for _, name := range []string{"shop", "boutique", "ana/shop"} {
		require.Equal(t, http.StatusForbidden, s.do(nobody, http.MethodPost, "/v2/"+name+"/blobs/uploads/", "", basic).StatusCode)
	}
}

func TestCreateToken_BindsToWhatThereIs(t *testing.T) {
	s := newServer(t)
	for _, c := range []struct {
		body   string
		status int
		says   string
	}{
		{`{"name":"a","scope":"deploy","bounds":{"project":"shop","stage":"prod"}}`, 201, `"bounds":{"project":"shop","stage":"prod"}`},
		{`{"name":"b","scope":"read","bounds":{"project":"shop"}}`, 201, `"bounds":{"project":"shop"}`},
		{`{"name":"c","scope":"deploy"}`, 201, `"scope":"deploy"`},
		{`{"name":"d","scope":"admin","bounds":{"project":"shop"}}`, 422, "is read or deploy"},
		{`{"name":"e","scope":"deploy","bounds":{"project":"nothing"}}`, 422, "bounds.project"},
		{`{"name":"f","scope":"deploy","bounds":{"project":"shop","stage":"dev"}}`, 422, "names no stage of shop"},
		{`{"name":"g","scope":"deploy","bounds":{"stage":"prod"}}`, 422, "project"},
		{`{"name":"h","scope":"deploy","bounds":{}}`, 422, "project"},
	} {
		got := s.do(member, http.MethodPost, "/api/account/tokens", c.body)
		require.Equal(t, c.status, got.StatusCode, got.body)
		require.Contains(t, got.body, c.says)
	}
	require.Contains(t, s.do(member, http.MethodGet, "/api/account/tokens", "").body, `"bounds":{"project":"shop","stage":"prod"}`)
}
