package manifest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/manifest"
	"berth/internal/registry"
	"berth/internal/secret"
)

const shop = `
berth: 1
projects:
  shop:
    image: shop
    description: Where we sell
    stages:
      prod:
        hostname: shop.example.com
        promote_from: staging
        promote_after: 10m
      staging:
        hostname: staging.shop.example.com
        tags: {kind: glob, pattern: main-*}
        env: {LOG_LEVEL: debug, PORT: 8080, RATIO: 1.10, DEBUG: true}
        secrets:
          DATABASE_URL: {context: shop, name: DATABASE_URL}
        volumes:
          - {name: files, path: /var/files}
        probe: {path: /up, interval: 5s}
        cpus: 0.5
        memory: 0x10000000
`

func TestApply_MakesWhatTheDocumentSaysAndThenChangesNothing(t *testing.T) {
	s := newServer(t)

	result := s.apply(shop)

	require.Equal(t, []string{"create project shop", "create stage shop/prod", "create stage shop/staging"}, lines(result.Applied),
		"a stage is saved after the one that it promotes from, wherever it stands")
	staging, err := s.deploy.Stage(t.Context(), "shop", "staging")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"LOG_LEVEL": "debug", "PORT": "8080", "RATIO": "1.10", "DEBUG": "true"}, staging.Spec.Env,
		"a variable is the text that is written")
	require.Equal(t, int64(256<<20), staging.Spec.Memory)
	require.JSONEq(t, `{"created":3,"updated":0,"removed":0}`, s.newest(manifest.Applied))
	require.Equal(t, []string{"the secret shop/DATABASE_URL is not set, and shop/staging can't be deployed without it"}, result.Plan.Notes)

	last, err := s.events.Last(t.Context())
	require.NoError(t, err)
	require.Empty(t, s.apply(shop).Applied)
	after, err := s.events.Last(t.Context())
	require.NoError(t, err)
	require.Equal(t, last, after, "nothing has happened")
}

func TestPlan_KeepsNothing(t *testing.T) {
	s := newServer(t)
	before, err := s.events.Last(t.Context())
	require.NoError(t, err)

	require.Len(t, s.plan(shop).Changes, 3)

	have, err := s.deploy.Configuration(t.Context())
	require.NoError(t, err)
	require.Empty(t, have)
	after, err := s.events.Last(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after)
}

func TestApply_RefusesAPlanThatIsOld(t *testing.T) {
	s := newServer(t)
	s.apply(shop)
	wanted := `
berth: 1
projects:
  shop: {image: shop, description: Where we sell, stages: {staging: {hostname: new.example.com, tags: {kind: none}}}}
`
	plan := s.plan(wanted)
	st, err := s.deploy.Stage(t.Context(), "shop", "staging")
	require.NoError(t, err)
	st.Spec.Replicas = 3
	_, err = s.deploy.UpdateStage(t.Context(), "bo", "shop", "staging", st.Version, st.Spec)
	require.NoError(t, err)

	r := s.request(wanted)
	r.Fingerprint = plan.Fingerprint
	_, err = s.Apply(t.Context(), "ana", r)

	require.Equal(t, fault.Clash, fault.KindOf(err), err)
	st, err = s.deploy.Stage(t.Context(), "shop", "staging")
	require.NoError(t, err)
	require.Equal(t, "staging.shop.example.com", st.Spec.Hostname, "nothing was applied")
	require.Equal(t, 3, st.Spec.Replicas)

	r.Fingerprint = s.plan(wanted).Fingerprint
	_, err = s.Apply(t.Context(), "ana", r)
	require.NoError(t, err, "the new plan was seen")
}

func TestApply_SavesAllOrNothing(t *testing.T) {
	s := newServer(t)

	_, err := s.Apply(t.Context(), "ana", s.request(`berth: 1
projects:
  good: {image: good, stages: {prod: {hostname: good.example.com}}}
  bad:
    image: "Not an image"
    stages:
      prod: {hostname: bad.example.com}
      other:
        hostname: berth.test
        probe:
          path: nowhere
  worse:
    image: worse
    stages:
      one: {hostname: good.example.com}
      two:
        hostname: two.example.com
        volumes:
          - {name: files, path: files}
`))

	require.Equal(t, fault.BadInput, fault.KindOf(err))
	var said []string
	for _, f := range fault.FieldsOf(err) {
		said = append(said, f.Name+" "+f.Message)
	}
	require.Len(t, said, 5, "%q", said)
	require.Contains(t, said[0], "projects.bad.image line 5, column 12: it is a repository")
	require.Equal(t, "projects.bad.stages.other.hostname line 9, column 19: berth.test is Berth's own", said[1])
	require.Contains(t, said[2], "projects.bad.stages.other.probe.path line 11, column 17: it is a path")
	require.Equal(t, "projects.worse.stages.one.hostname line 15, column 23: good.example.com/ is the address of good/prod", said[3])
	require.Contains(t, said[4], "projects.worse.stages.two.volumes[0].path line 19, column 33: it is an absolute path")
	have, err := s.deploy.Configuration(t.Context())
	require.NoError(t, err)
	require.Empty(t, have)
}

func TestApply_GivesAnAddressFromOneStageToAnother(t *testing.T) {
	s := newServer(t)
	s.apply(`{berth: 1, projects: {a: {image: a, stages: {x: {hostname: one.example.com}, y: {hostname: two.example.com}}}}}`)

	s.apply(`{berth: 1, projects: {a: {image: a, stages: {x: {hostname: two.example.com}, y: {hostname: three.example.com}}}}}`)

	x, err := s.deploy.Stage(t.Context(), "a", "x")
	require.NoError(t, err)
	require.Equal(t, "two.example.com", x.Spec.Hostname)
}

func TestApply_RemovesOnlyWhenAskedAndOnlyFromSectionsThatAreThere(t *testing.T) {
	s := newServer(t)
	s.apply(shop + `
  blog: {image: blog, stages: {prod: {hostname: blog.example.com}}}
registries:
  plain.example.com: {insecure: true}
`)
	less := `{berth: 1, projects: {shop: {image: shop, description: Where we sell, stages: {}}}}`

	kept := s.apply(less)
	require.Empty(t, kept.Applied)
	require.Equal(t, []string{"remove stage shop/prod", "remove stage shop/staging", "remove project blog"}, lines(kept.Plan.Left))

	noStages := s.request(`{berth: 1, projects: {shop: {image: shop, description: Where we sell}, blog: {image: blog}}}`)
	noStages.Prune = true
	plan, err := s.Plan(t.Context(), noStages)
	require.NoError(t, err)
	require.Empty(t, plan.Changes, "a project without the section of stages keeps its own")

	pruning := s.request(less)
	pruning.Prune = true
	result, err := s.Apply(t.Context(), "ana", pruning)
	require.NoError(t, err)
	require.Empty(t, result.Failed, "a stage goes after the one that promotes from it")
	require.ElementsMatch(t, []string{"remove stage shop/prod", "remove stage shop/staging", "remove project blog"}, lines(result.Applied))
	require.Equal(t, []string{"berth_shop_staging_files"}, result.Plan.Changes[1].KeptVolumes)
	have, err := s.deploy.Configuration(t.Context())
	require.NoError(t, err)
	require.Len(t, have, 1)
	require.Empty(t, have[0].Stages)
	accounts, err := s.accounts.Accounts(t.Context())
	require.NoError(t, err)
	require.Len(t, accounts, 1, "the document has no section of registries")

	none := s.request(`{berth: 1, registries: {}}`)
	none.Prune = true
	result, err = s.Apply(t.Context(), "ana", none)
	require.NoError(t, err)
	require.Equal(t, []string{"remove registry plain.example.com"}, lines(result.Applied))
}

func TestApply_TellsOfARemovalThatFailed(t *testing.T) {
	s := newServer(t)
	s.apply(shop)
	r := s.request(`{berth: 1, projects: {shop: {image: shop, description: Where we sell, stages: {prod: {hostname: shop.example.com, promote_from: staging, promote_after: 10m}}}}}`)
	r.Prune = true

	result, err := s.Apply(t.Context(), "ana", r)

	require.NoError(t, err)
	require.Equal(t, []manifest.Failure{{
		Action: manifest.Remove, Kind: manifest.KindStage, Name: "shop/staging",
		Reason: "prod promotes from shop/staging: change that first",
	}}, result.Failed)
	require.Empty(t, result.Applied)
}

func TestApply_LeavesRegistriesToAdministrators(t *testing.T) {
	s := newServer(t)
	_, err := s.Apply(t.Context(), "bo", manifest.Request{Document: []byte(`{berth: 1, registries: {}}`)})
	require.Equal(t, fault.Denied, fault.KindOf(err))

	s.apply("{berth: 1, registries: {plain.example.com: {insecure: true}}}")
	doc, err := s.Export(t.Context(), manifest.Scope{})
	require.NoError(t, err)
	require.Nil(t, doc.Registries)
}

func TestApply_TakesAPasswordFromAStoredSecret(t *testing.T) {
	s := newServer(t)
	document := `{berth: 1, registries: {ghcr.io: {username: ana, poll_interval: 10m, password: {context: infra, name: GHCR}}}}`
	_, err := s.Plan(t.Context(), s.request(document))
	require.ErrorContains(t, err, `there is no secret "GHCR" in "infra"`)

	s.set("infra", "GHCR", "first")
	result := s.apply(document)
	require.Equal(t, deploy.Change{Field: "password", To: "••••••"}, result.Applied[0].Fields[2])
	s.hasPassword("first")
	require.Empty(t, s.apply(document).Applied)

	s.set("infra", "GHCR", "second")
	result = s.apply(document)
	require.Equal(t, []deploy.Change{{Field: "password", From: "••••••", To: "••••••"}}, result.Applied[0].Fields)
	s.hasPassword("second")
	require.Empty(t, s.apply(s.export()).Applied, "an export names no password, and keeps the one there is")
	s.hasPassword("second")
}

func TestApply_ReadsNoSlotThatIsBerthsOwn(t *testing.T) {
	s := newServer(t)
	require.NoError(t, s.accounts.SetAccount(t.Context(), "ana", nil, registryAccount("ghcr.io"), secret.New("hidden")))
	for _, document := range []string{
		`{berth: 1, registries: {other.example.com: {username: bo, password: {context: registry, name: ghcr.io}}}}`,
		`{berth: 1, registries: {other.example.com: {username: bo, password: {context: berth/notify, name: x}}}}`,
		`{berth: 1, secrets: {registry: {ghcr.io: {}}}}`,
		`{berth: 1, secrets: {berth/notify: {x: {}}}}`,
	} {
		_, err := s.Plan(t.Context(), s.request(document))
		require.Equal(t, fault.BadInput, fault.KindOf(err), document)
	}
	require.NotContains(t, s.export(), "hidden")
}

func (s *server) set(slotContext, name, value string) {
	s.t.Helper()
	_, err := s.vault.Set(s.t.Context(), "ana", slotContext, name, secret.New(value))
	require.NoError(s.t, err)
}

func (s *server) hasPassword(want string) {
	s.t.Helper()
	got, err := s.accounts.Password(s.t.Context(), "ghcr.io")
	require.NoError(s.t, err)
	require.Equal(s.t, want, got.Reveal())
}

func registryAccount(host string) registry.RegistryAccount {
	return registry.RegistryAccount{Host: host, Username: "ana"}
}
