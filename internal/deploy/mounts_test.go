package deploy_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container/docker"
	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

func TestHostPaths_LeadNowhereElse(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	in := func(parts ...string) string { return filepath.Join(append([]string{root}, parts...)...) }
	for _, dir := range []string{"allowed/media/films", "allowed/berth", "allowed-not", "elsewhere", "allowed/run"} {
		require.NoError(t, os.MkdirAll(in(dir), 0o755))
	}
	require.NoError(t, os.WriteFile(in("allowed/berth/berth.db"), nil, 0o600))
	require.NoError(t, os.WriteFile(in("allowed/media/list.txt"), nil, 0o600))
	for link, to := range map[string]string{
		"allowed/out": in("elsewhere"), "allowed/up": "../elsewhere", "allowed/root": "/", "allowed/kernel": "/proc/1",
		"allowed/data": in("allowed/berth"), "allowed/inside": "media/films", "allowed/round": "round", "linked": in("allowed"),
	} {
		require.NoError(t, os.Symlink(to, in(link)))
	}
	socket, err := net.Listen("unix", in("allowed/run/engine.sock"))
	require.NoError(t, err)
	defer socket.Close()

	host := deploy.HostPaths{
		Allowed: []string{in("allowed"), in("linked"), in("not-there"), "/proc"},
		Never:   []string{in("allowed/berth"), in("allowed/run/engine.sock")},
	}
	for source, want := range map[string]string{
		in("allowed/media"):          in("allowed/media"),
		in("allowed/media/list.txt"): in("allowed/media/list.txt"),
		in("allowed/inside"):         in("allowed/media/films"),
		in("linked/media"):           in("allowed/media"),
	} {
		got, err := host.Resolve(source)
		require.NoError(t, err, source)
		require.Equal(t, want, got)
	}
	for source, reason := range map[string]string{
		"":                                "absolute",
		"/":                               "absolute",
		"media":                           "absolute",
		in("allowed") + "/":               "absolute",
		in("allowed") + "/../elsewhere":   "absolute",
		in("allowed") + "/media:/etc":     "absolute",
		in("elsewhere"):                   "in none of the paths",
		in("allowed-not"):                 "in none of the paths",
		in("allowed/out"):                 "a link leads from it",
		in("allowed/up"):                  "a link leads from it",
		in("allowed/root"):                "a link leads from it",
		in("allowed/root/etc"):            "a link leads from it",
		in("allowed/kernel"):              "is never mounted",
		"/proc/1/root":                    "",
		"/proc/self":                      "is never mounted",
		in("allowed/data"):                "is never mounted",
		in("allowed/berth/berth.db"):      "is never mounted",
		in("allowed/run/engine.sock"):     "is never mounted",
		in("allowed/run"):                 "is never mounted", // the socket is in it
		in("allowed"):                     "is never mounted", // the data folder is in it
		in("allowed/round"):               "can't look",
		in("allowed/nothing"):             "sees no such path",
		in("not-there/x"):                 "sees no such path",
		in("allowed/media/list.txt/more"): "can't look",
	} {
		got, err := host.Resolve(source)
		require.Equal(t, fault.BadInput, fault.KindOf(err), "%s gave %q", source, got)
		require.Contains(t, fault.Message(err), reason, source)
		require.Empty(t, got)
	}
	_, err = deploy.HostPaths{}.Resolve(in("allowed/media"))
	require.ErrorContains(t, err, "BERTH_BIND_PATHS", "the fault says how to allow it")
}

func TestCheckStage_NamesEveryMountThatIsWrong(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	s := serviceWith(t, deploy.HostPaths{Allowed: []string{dir}})
	tmpfs := deploy.Mount{Kind: deploy.MountTmpfs, Path: "/cache"}
	for _, c := range []struct {
		field string
		mount deploy.Mount
	}{
		{"kind", deploy.Mount{Kind: "volume", Path: "/a"}},
		{"path", deploy.Mount{Kind: deploy.MountTmpfs, Path: "cache"}},
		{"path", deploy.Mount{Kind: deploy.MountTmpfs, Path: "/"}},
		{"path", deploy.Mount{Kind: deploy.MountTmpfs, Path: "/data"}}, // a volume is there
		{"path", tmpfs}, // another mount is there
		{"size", deploy.Mount{Kind: deploy.MountTmpfs, Path: "/a", Size: -1}},
		{"source", deploy.Mount{Kind: deploy.MountTmpfs, Path: "/a", Source: dir}},
		{"read_only", deploy.Mount{Kind: deploy.MountTmpfs, Path: "/a", ReadOnly: true}},
		{"size", deploy.Mount{Kind: deploy.MountBind, Path: "/a", Source: dir, Size: 1 << 20}},
		{"source", deploy.Mount{Kind: deploy.MountBind, Path: "/a"}},
		{"source", deploy.Mount{Kind: deploy.MountBind, Path: "/a", Source: "/etc"}},
	} {
		spec := deploy.StageSpec{
			Hostname: "shop.test", Volumes: []deploy.Volume{{Name: "data", Path: "/data"}}, Mounts: []deploy.Mount{tmpfs, c.mount},
		}
		_, err := s.CheckStage(t.Context(), "", "", spec, deploy.AllowBinds)
		fields := fault.FieldsOf(err)
		require.Len(t, fields, 1, "%+v: %v", c.mount, err)
		require.Equal(t, "spec.mounts[1]."+c.field, fields[0].Name)
	}
	normal, err := s.CheckStage(t.Context(), "", "", deploy.StageSpec{Hostname: "shop.test", Mounts: []deploy.Mount{tmpfs}})
	require.NoError(t, err)
	require.Equal(t, int64(64<<20), normal.Mounts[0].Size, "memory has a bound when nobody gives one")
	require.Zero(t, tmpfs.Size)
}

func TestUpdateStage_LeavesPathsOfTheHostToWhomItIsAllowed(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	s := serviceWith(t, deploy.HostPaths{Allowed: []string{dir}})
	ctx := t.Context()
	_, err = s.CreateProject(ctx, "ana", deploy.Project{Name: "shop", Image: "shop"})
	require.NoError(t, err)
	bind := deploy.Mount{Kind: deploy.MountBind, Source: dir, Path: "/media", ReadOnly: true}
	spec := deploy.StageSpec{Hostname: "shop.test", Mounts: []deploy.Mount{bind}}
	refused := func(err error) {
		t.Helper()
		require.Equal(t, fault.BadInput, fault.KindOf(err))
		require.Equal(t, "spec.mounts[0].source", fault.FieldsOf(err)[0].Name)
		require.Contains(t, fault.FieldsOf(err)[0].Message, "administrators")
	}

	_, err = s.CreateStage(ctx, "bo", "shop", "prod", spec)
	refused(err)
	_, err = s.CheckStage(ctx, "shop", "prod", spec)
	refused(err)
	st, err := s.CreateStage(ctx, "ana", "shop", "prod", spec, deploy.AllowBinds)
	require.NoError(t, err)

	spec.Env = map[string]string{"A": "b"}
	st, err = s.UpdateStage(ctx, "bo", "shop", "prod", st.Version, spec)
	require.NoError(t, err, "an editor changes what is beside it")
	writable := bind
	writable.ReadOnly = false
	for _, wider := range []deploy.Mount{writable, {Kind: deploy.MountBind, Source: dir, Path: "/elsewhere", ReadOnly: true}} {
		spec.Mounts = []deploy.Mount{wider}
		_, err = s.UpdateStage(ctx, "bo", "shop", "prod", st.Version, spec)
		refused(err)
	}
	spec.Mounts = nil
	st, err = s.UpdateStage(ctx, "bo", "shop", "prod", st.Version, spec)
	require.NoError(t, err, "an editor takes it away")
	spec.Mounts = []deploy.Mount{bind}
	_, err = s.UpdateStage(ctx, "bo", "shop", "prod", st.Version, spec)
	refused(err)
}

func serviceWith(t *testing.T, host deploy.HostPaths) *deploy.Service {
	t.Helper()
	db := newWorld(t).db
	s, err := deploy.New(deploy.Config{
		DB: db, Events: event.New(event.Config{DB: db}), Runtime: newFakeEngine(t), Router: &fakeRouter{alive: &life{}, routes: map[string]deploy.Route{}},
		Images: loaded{}, Secrets: fakeSecrets{}, HostPaths: host, Log: testLog(t),
	})
	require.NoError(t, err)
	return s
}

// A link that somebody puts in place of the folder, after the settings were
// saved, leads no container out of what is allowed.
func TestService_ResolvesPathsOfTheHostBeforeEachDeployment(t *testing.T) {
	onEachEngine(t, func(t *testing.T, engine *docker.Engine) {
		t.Helper()
		dir := t.TempDir()
		for up := dir; len(up) > len(os.TempDir()); up = filepath.Dir(up) { // a rootless engine reads as somebody else
			require.NoError(t, os.Chmod(up, 0o755))
		}
		for _, name := range []string{"allowed/media", "secret"} {
			require.NoError(t, os.MkdirAll(filepath.Join(dir, name), 0o755))
		}
		media := filepath.Join(dir, "allowed", "media")
		require.NoError(t, os.WriteFile(filepath.Join(media, "says"), []byte("from the host"), 0o644))

		project := "t" + sqlite.NewID(time.Now())[:18]
		images := loaded{"1": loadImage(t, engine, "localhost/"+project+":1", "one")}
		h := openHarbour(t, newWorld(t).db, engine, images, deploy.HostPaths{Allowed: []string{filepath.Join(dir, "allowed")}})
		<-h.Ready()
		_, err := h.CreateProject(t.Context(), "ana", deploy.Project{Name: project, Image: project})
		require.NoError(t, err)
		host := project + ".test"
		_, err = h.CreateStage(t.Context(), "ana", project, "prod", deploy.StageSpec{
			Hostname: host, Env: map[string]string{"READ": "/media/says"},
			Mounts: []deploy.Mount{
				{Kind: deploy.MountBind, Source: media, Path: "/media", ReadOnly: true},
				{Kind: deploy.MountTmpfs, Path: "/cache", Size: 1 << 20},
			},
		}, deploy.AllowBinds)
		require.NoError(t, err)
		first := h.deploys(t, project, "1")
		require.Equal(t, deploy.Live, first.State, first.Error)
		require.Equal(t, []string{"from the host"}, h.says(host))

		require.NoError(t, os.RemoveAll(media))
		require.NoError(t, os.Symlink(filepath.Join(dir, "secret"), media))
		second := h.deploys(t, project, "1")
		require.Equal(t, deploy.Failed, second.State)
		require.Contains(t, second.Error, "a link leads from it")
		_, err = h.RemoveProject(t.Context(), "ana", project)
		require.NoError(t, err)
	})
}
