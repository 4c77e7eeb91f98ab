package registry_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/needs"
	"berth/internal/registry"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// slots keeps passwords in memory, in the place of the vault.
type slots struct{ values sync.Map }

func (s *slots) Get(_ context.Context, slotContext, name string) (secret.Text, error) {
	v, ok := s.values.Load(slotContext + "/" + name)
	if !ok {
		return secret.Text{}, fault.NotFound("no secret %q", name)
	}
	return v.(secret.Text), nil
}

func (s *slots) SetIn(_ context.Context, _ *sqlite.Tx, _, slotContext, name string, value secret.Text) error {
	s.values.Store(slotContext+"/"+name, value)
	return nil
}

func (s *slots) RemoveIn(_ context.Context, _ *sqlite.Tx, _, slotContext, name string) error {
	s.values.Delete(slotContext + "/" + name)
	return nil
}

func (b *berth) resolver() *registry.Resolver {
	return registry.NewResolver(registry.ResolverConfig{
		Registry: b.Registry, DB: b.db, Events: b.events, Secrets: &slots{}, Clock: b.clock.Now,
		Engine: func() (string, string, secret.Text) {
			return "127.0.0.1:1234", "engine", secret.New("engine-password")
		},
	})
}

// platforms pushes an index for amd64, arm v6, arm v7 and arm64, with an
// attestation among them.
func (b *berth) platforms(repository, tag string) map[string]v1.Image {
	b.t.Helper()
	images := map[string]v1.Image{}
	index := mutate.IndexMediaType(empty.Index, ociIndex)
	add := func(os, arch, variant string) {
		image := platformImage(b.t, os, arch, variant)
		images[strings.TrimSuffix(os+"/"+arch+"/"+variant, "/")] = image
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: os, Architecture: arch, Variant: variant}}})
	}
	add("unknown", "unknown", "")
	add("linux", "arm", "v6")
	add("linux", "arm", "v7")
	add("linux", "amd64", "")
	add("linux", "arm64", "v8")
	add("linux", "amd64", "v3")
	require.NoError(b.t, remote.WriteIndex(b.repository(repository).Tag(tag), index, remote.WithAuth(ana)))
	return images
}

// TestResolve_AnswersTheSameInsideAndOutside asks for the same images from
// storage and over the network.
func TestResolve_AnswersTheSameInsideAndOutside(t *testing.T) {
	b := newBerth(t)
	images := b.platforms("team/shop", "1.4")
	r := b.resolver()
	require.NoError(t, r.SetAccount(t.Context(), "ana", nil, registry.RegistryAccount{Host: b.host, Username: "bob"}, secret.New("bob-password")))

	for where, repository := range map[string]string{"inside": "team/shop", "outside": b.host + "/team/shop"} {
		t.Run(where, func(t *testing.T) {
			for _, c := range []struct {
				machine registry.Platform
				want    string
			}{
				{registry.Platform{OS: "linux", Arch: "amd64"}, "linux/amd64"},
				{registry.Platform{OS: "linux", Arch: "x86_64"}, "linux/amd64"},
				{registry.Platform{OS: "linux", Arch: "amd64", Variant: "v2"}, "linux/amd64"},
				{registry.Platform{OS: "linux", Arch: "amd64", Variant: "v4"}, "linux/amd64/v3"},
				{registry.Platform{OS: "linux", Arch: "arm64"}, "linux/arm64/v8"},
				{registry.Platform{OS: "linux", Arch: "aarch64", Variant: "v8"}, "linux/arm64/v8"},
				{registry.Platform{OS: "linux", Arch: "arm"}, "linux/arm/v7"},
				{registry.Platform{OS: "linux", Arch: "arm", Variant: "v8"}, "linux/arm/v7"},
				{registry.Platform{OS: "linux", Arch: "arm", Variant: "v6"}, "linux/arm/v6"},
			} {
				got, err := r.Resolve(t.Context(), repository, "1.4", c.machine)
				require.NoError(t, err, c.machine)
				image := images[c.want]
				config, err := image.ConfigName()
				require.NoError(t, err)
				require.Equal(t, digestOf(t, image), got.Digest, c.machine)
				require.Equal(t, config.String(), got.ConfigDigest)
				require.Equal(t, repository+":1.4", got.Reference)
				require.Equal(t, []int{443, 8080}, got.ExposedPorts)
				require.Equal(t, compressed(t, image), got.Size)

				again, err := r.Resolve(t.Context(), repository, got.Digest, c.machine)
				require.NoError(t, err)
				require.Equal(t, got.Digest, again.Digest)
				require.Equal(t, repository+"@"+got.Digest, again.Reference)
			}
			_, err := r.Resolve(t.Context(), repository, "1.4", registry.Platform{OS: "linux", Arch: "s390x"})
			require.Equal(t, fault.BadInput, fault.KindOf(err))
			require.Contains(t, fault.Message(err), "no image for linux/s390x; there are images for linux/arm/v6, linux/arm/v7, linux/amd64, linux/arm64, linux/amd64/v3")

			_, err = r.Resolve(t.Context(), repository, "2", registry.Platform{OS: "linux", Arch: "amd64"})
			require.Equal(t, fault.Missing, fault.KindOf(err))
			require.Contains(t, fault.Message(err), `has no tag "2"; some that it has: 1.4`)
			_, err = r.Resolve(t.Context(), repository, "sha256:"+strings.Repeat("a", 64), registry.Platform{OS: "linux", Arch: "amd64"})
			require.Equal(t, fault.Missing, fault.KindOf(err))
			_, err = r.Resolve(t.Context(), repository+"-none", "1", registry.Platform{OS: "linux", Arch: "amd64"})
			require.Equal(t, fault.Missing, fault.KindOf(err))
			_, err = r.Resolve(t.Context(), repository, "-bad", registry.Platform{OS: "linux", Arch: "amd64"})
			require.Equal(t, fault.BadInput, fault.KindOf(err))
		})
	}
}

func compressed(t *testing.T, image v1.Image) int64 {
	t.Helper()
	m, err := image.Manifest()
	require.NoError(t, err)
	size := m.Config.Size
	for _, l := range m.Layers {
		size += l.Size
	}
	return size
}

func TestResolve_OfASingleImageLooksAtItsConfiguration(t *testing.T) {
	b := newBerth(t)
	b.push("shop", "latest", platformImage(t, "linux", "arm64", ""))
	r := b.resolver()

	got, err := r.Resolve(t.Context(), "shop", "", registry.Platform{OS: "linux", Arch: "arm64"})
	require.NoError(t, err)
	require.Equal(t, "shop:latest", got.Reference)
	_, err = r.Resolve(t.Context(), "shop", "latest", registry.Platform{OS: "linux", Arch: "amd64"})
	require.ErrorContains(t, err, "shop:latest has no image for linux/amd64; there are images for linux/arm64")
}

func TestResolve_RefusesWhatCanNotBeRun(t *testing.T) {
	b := newBerth(t)
	chart := b.blob("chart", []byte("{}"))
	b.manifest("chart", "1", map[string]any{"config": descriptor("application/vnd.cncf.helm.config.v1+json", chart, 2)})
	_, err := b.resolver().Resolve(t.Context(), "chart", "1", registry.Platform{OS: "linux", Arch: "amd64"})
	require.Equal(t, fault.BadInput, fault.KindOf(err))
	require.Contains(t, fault.Message(err), "helm")
}

// knowing is a resolver of somebody who has an account for a registry, which is
// on this machine.
func (b *berth) knowing(host string) *registry.Resolver {
	b.t.Helper()
	r := b.resolver()
	require.NoError(b.t, r.SetAccount(b.t.Context(), "ana", nil, registry.RegistryAccount{Host: host, Insecure: true}, secret.Text{}))
	return r
}

// TestResolve_AsksPrivateNetworksOnlyWhereAnAccountIs: a member names images,
// and reaches nothing with Berth that they can't reach themselves.
func TestResolve_AsksPrivateNetworksOnlyWhereAnAccountIs(t *testing.T) {
	b := newBerth(t)
	asked, led := make(chan string, 100), make(chan string, 100)
	inside := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { led <- req.URL.Path }))
	defer inside.Close()
	own := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked <- req.URL.Path
		if req.URL.Path != "/v2/" {
			http.Redirect(w, req, inside.URL+"/admin", http.StatusTemporaryRedirect)
		}
	}))
	defer own.Close()
	host, machine := strings.TrimPrefix(own.URL, "http://"), registry.Platform{OS: "linux", Arch: "amd64"}
	for _, image := range []string{host + "/shop", "169.254.169.254/shop", "[::1]:1/shop", "10.0.0.1:5000/shop"} {
		_, err := b.resolver().Resolve(t.Context(), image, "1", machine)
		require.Error(t, err, image)
	}
	_, err := b.resolver().Resolve(t.Context(), host+"/shop", "1", machine)
	require.Equal(t, fault.Denied, fault.KindOf(err))
	require.Contains(t, fault.Message(err), "private network")
	require.Empty(t, asked)

	_, err = b.knowing(host).Resolve(t.Context(), host+"/shop", "1", machine)
	require.Error(t, err)
	require.NotEmpty(t, asked)
	require.Empty(t, led, "a registry with an account leads nowhere else")
}

func TestResolve_SaysWhatIsWrongWithAnotherRegistry(t *testing.T) {
	b := newBerth(t)
	image, err := random.Image(100, 1)
	require.NoError(t, err)
	b.push("shop", "1", image)
	r := b.resolver()
	machine := registry.Platform{OS: "linux", Arch: "amd64"}
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	defer broken.Close()
	nobody := needs.Address(t)

	_, err = b.knowing(b.host).Resolve(t.Context(), b.host+"/shop", "1", machine)
	require.Equal(t, fault.Denied, fault.KindOf(err), "nobody gets in unnamed")
	require.Contains(t, fault.Message(err), "an administrator can add an account")

	require.NoError(t, r.SetAccount(t.Context(), "ana", nil, registry.RegistryAccount{Host: b.host, Username: "ana"}, secret.New("mistaken")))
	_, err = r.Resolve(t.Context(), b.host+"/shop", "1", machine)
	require.Equal(t, fault.Denied, fault.KindOf(err))
	require.Contains(t, fault.Message(err), "does not accept the account")
	require.NotContains(t, err.Error(), "mistaken", "no password in any error")

	_, err = b.knowing(strings.TrimPrefix(broken.URL, "http://")).Resolve(t.Context(), strings.TrimPrefix(broken.URL, "http://")+"/shop", "1", machine)
	require.Equal(t, fault.NotNow, fault.KindOf(err))
	require.Contains(t, fault.Message(err), "status 418")

	_, err = b.knowing(nobody).Resolve(t.Context(), nobody+"/shop", "1", machine)
	require.Equal(t, fault.NotNow, fault.KindOf(err))
	require.Contains(t, fault.Message(err), "can't be reached")

	secure := httptest.NewTLSServer(b.Handler())
	defer secure.Close()
	_, err = b.knowing(strings.TrimPrefix(secure.URL, "https://")).Resolve(t.Context(), strings.TrimPrefix(secure.URL, "https://")+"/shop", "1", machine)
	require.Equal(t, fault.NotNow, fault.KindOf(err), "an unknown certificate is not trusted: %v", err)
}

func TestPull_TellsTheEngineWhereAndHow(t *testing.T) {
	b := newBerth(t)
	r := b.resolver()
	d := "sha256:" + strings.Repeat("a", 64)
	require.NoError(t, r.SetAccount(t.Context(), "ana", nil, registry.RegistryAccount{Host: "ghcr.io", Username: "ana"}, secret.New("s3cret")))

	own, err := r.Pull(t.Context(), "team/shop", d)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:1234/team/shop@"+d, own.Reference)
	require.True(t, own.PlainHTTP)
	require.Equal(t, "engine-password", own.Password.Reveal())

	private, err := r.Pull(t.Context(), "ghcr.io/ana/shop", d)
	require.NoError(t, err)
	require.Equal(t, "ghcr.io/ana/shop@"+d, private.Reference)
	require.False(t, private.PlainHTTP)
	require.Equal(t, "s3cret", private.Password.Reveal())

	public, err := r.Pull(t.Context(), "docker.io/nginx", d)
	require.NoError(t, err)
	require.Equal(t, "docker.io/library/nginx@"+d, public.Reference)
	require.Empty(t, public.Username)
}

func TestAccounts_AreSetListedAndRemoved(t *testing.T) {
	b := newBerth(t)
	r := b.resolver()
	set := func(host, username string, insecure bool, password string) error {
		return r.SetAccount(t.Context(), "ana", nil, registry.RegistryAccount{Host: host, Username: username, Insecure: insecure}, secret.New(password))
	}
	require.NoError(t, set("GHCR.io", "ana", false, "one"))
	require.NoError(t, set("ghcr.io", "ana", true, ""), "the password stays when none is given")
	require.NoError(t, set("registry.lan:5000", "", true, ""))
	require.ErrorContains(t, set("ghcr.io", "bob", false, ""), "password")
	require.ErrorContains(t, set("registry.lan", "", false, ""), "username")
	for _, host := range []string{"", "ghcr", "ghcr.io/ana", "https://ghcr.io", "a b.c", "x.y:z"} {
		require.Equal(t, fault.BadInput, fault.KindOf(set(host, "ana", false, "one")), host)
	}

	list, err := r.Accounts(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, "ghcr.io", list[0].Host)
	require.True(t, list[0].Insecure)

	require.NoError(t, r.RemoveAccount(t.Context(), "ana", "ghcr.io"))
	require.Equal(t, fault.Missing, fault.KindOf(r.RemoveAccount(t.Context(), "ana", "ghcr.io")))
	found, err := b.events.Since(t.Context(), 0, event.Filter{Kinds: []event.Kind{registry.AccountSet, registry.AccountGone}}, 10)
	require.NoError(t, err)
	require.Len(t, found, 4)
	require.JSONEq(t, `{"host":"ghcr.io"}`, string(found[3].Data))
}

func TestSetAccount_RefusesAVersionThatItsAuthorDidNotSee(t *testing.T) {
	b := newBerth(t)
	r := b.resolver()
	set := func(seen int64, password string) error {
		return r.SetAccount(t.Context(), "ana", &seen, registry.RegistryAccount{Host: "ghcr.io", Username: "ana"}, secret.New(password))
	}
	require.Equal(t, fault.Clash, fault.KindOf(set(1, "seen where there is none")))
	require.NoError(t, set(0, "one"))
	require.Equal(t, fault.Clash, fault.KindOf(set(0, "not seen")))
	require.NoError(t, set(1, "two"))
	require.Equal(t, fault.Clash, fault.KindOf(set(1, "late")))

	list, err := r.Accounts(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, list[0].Version)
	pull, err := r.Pull(t.Context(), "ghcr.io/ana/shop", "sha256:"+strings.Repeat("a", 64))
	require.NoError(t, err)
	require.Equal(t, "two", pull.Password.Reveal(), "a password goes the way of its account")
}

// TestResolve_FollowsNoRegistryIntoPlainHTTP has a registry on this machine
// send its client on to one that is not, unencrypted.
func TestResolve_FollowsNoRegistryIntoPlainHTTP(t *testing.T) {
	b := newBerth(t)
	sent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/v2/" {
			return
		}
		http.Redirect(w, req, (&url.URL{Scheme: "http", Host: "registry.example.org", Path: req.URL.Path}).String(), http.StatusTemporaryRedirect)
	}))
	defer sent.Close()
	_, err := b.knowing(strings.TrimPrefix(sent.URL, "http://")).Resolve(t.Context(), strings.TrimPrefix(sent.URL, "http://")+"/shop", "1", registry.Platform{OS: "linux", Arch: "amd64"})
	require.Equal(t, fault.NotNow, fault.KindOf(err))
	require.Contains(t, fault.Message(err), "plain HTTP")
}

func TestResolve_BoundsWhatARegistrySends(t *testing.T) {
	b := newBerth(t)
	flood := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/v2/" {
			return
		}
		w.Header().Set("Content-Type", ociManifest)
		chunk := make([]byte, 1<<20)
		for range 64 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	defer flood.Close()
	_, err := b.knowing(strings.TrimPrefix(flood.URL, "http://")).Resolve(t.Context(), strings.TrimPrefix(flood.URL, "http://")+"/shop", "1", registry.Platform{OS: "linux", Arch: "amd64"})
	require.Equal(t, fault.NotNow, fault.KindOf(err))
	require.Contains(t, fault.Message(err), "16777216 bytes")
}

func TestResolution_IsSpelledInSnakeCase(t *testing.T) {
	raw, err := json.Marshal(registry.Resolution{})
	require.NoError(t, err)
	require.Contains(t, string(raw), `"config_digest"`)
}
