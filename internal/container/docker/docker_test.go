package docker_test

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"berth/internal/container"
	"berth/internal/container/containertest"
	"berth/internal/container/docker"
	"berth/internal/fault"
	"berth/internal/needs"
)

func open(t *testing.T, socket string) *docker.Engine {
	t.Helper()
	engine, err := docker.Open(t.Context(), docker.Config{Socket: socket})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, engine.Close()) })
	return engine
}

func TestEngine_BehavesAsPromised(t *testing.T) {
	for _, name := range needs.EngineNames {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // no two share an engine
			socket := needs.Engine(t, name)
			api, err := client.New(client.WithHost(socket))
			require.NoError(t, err)
			t.Cleanup(func() { _ = api.Close() })
			engine := &checked{Engine: open(t, socket), api: api, t: t}
			containertest.Run(t, engine)
			require.Positive(t, engine.checks)
		})
	}
}

// checked looks whether a container that is made has the health check that it
// was to have, which no call of container.Runtime tells.
type checked struct {
	*docker.Engine

	api    *client.Client
	t      *testing.T
	checks int
}

func (c *checked) Create(ctx context.Context, s container.Spec) (string, error) {
	id, err := c.Engine.Create(ctx, s)
	if err != nil || s.Health == nil {
		return id, err
	}
	c.checks++
	said, err := c.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return id, err
	}
	if check := said.Container.Config.Healthcheck; assert.NotNil(c.t, check, "it has no health check") {
		assert.Equal(c.t, append([]string{"CMD"}, s.Health.Command...), check.Test)
		assert.Equal(c.t, []any{s.Health.Interval, s.Health.Timeout, s.Health.Retries}, []any{check.Interval, check.Timeout, check.Retries})
	}
	return id, nil
}

func TestEngine_SurvivesTheEnginesRestart(t *testing.T) {
	for _, name := range needs.EngineNames {
		t.Run(name, func(t *testing.T) {
			socket := needs.Engine(t, name)
			front := filepath.Join(t.TempDir(), "s")
			stop := forward(t, "unix", front, socket)
			engine := open(t, front)
			_, err := engine.Info(t.Context())
			require.NoError(t, err)

			events := make(chan error, 1)
			stream := engine.Events(t.Context(), map[string]string{"berth.nobody": "here"})
			var following sync.WaitGroup
			defer following.Wait()
			following.Go(func() {
				var last error
				for _, err := range stream {
					last = err
				}
				events <- last
			})
			stop()
			require.ErrorIs(t, <-events, container.ErrUnavailable)
			_, err = engine.List(t.Context(), nil)
			require.ErrorIs(t, err, container.ErrUnavailable)

			forward(t, "unix", front, socket)
			_, err = engine.List(t.Context(), nil)
			require.NoError(t, err)
		})
	}
}

func TestOpen_TakesEveryFormOfAddress(t *testing.T) {
	for _, name := range needs.EngineNames {
		t.Run(name, func(t *testing.T) {
			socket := needs.Engine(t, name)
			path := strings.TrimPrefix(socket, "unix://")
			listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			require.NoError(t, err)
			address := listener.Addr().String()
			require.NoError(t, listener.Close())
			forward(t, "tcp", address, socket)
			for _, form := range []string{path, "unix://" + path, "tcp://" + address} {
				info, err := open(t, form).Info(t.Context())
				require.NoError(t, err)
				require.True(t, strings.HasSuffix(info.Socket, form), info.Socket)
			}
			t.Setenv("DOCKER_HOST", socket)
			for _, found := range []string{"", "auto"} {
				info, err := open(t, found).Info(t.Context())
				require.NoError(t, err)
				require.Equal(t, "unix://"+path, info.Socket)
			}
		})
	}
}

func TestOpen_SaysWhereNoEngineAnswers(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "none.sock")
	_, err := docker.Open(t.Context(), docker.Config{Socket: nowhere})
	require.Equal(t, fault.NotNow, fault.KindOf(err))
	require.Contains(t, fault.Message(err), nowhere)
	require.ErrorIs(t, err, container.ErrUnavailable)
}

func TestOpen_RefusesWhatIsNoAddress(t *testing.T) {
	for _, address := range []string{"docker", "unix://", "http://127.0.0.1:1"} {
		_, err := docker.Open(t.Context(), docker.Config{Socket: address})
		require.Error(t, err, address)
	}
}

func TestFind_LooksWhereEnginesListen(t *testing.T) {
	t.Setenv("DOCKER_HOST", "tcp://10.0.0.1:2375")
	t.Setenv("XDG_RUNTIME_DIR", "/run/of-ana")
	found := docker.Find()
	require.Equal(t, []string{
		"tcp://10.0.0.1:2375",
		"unix:///var/run/docker.sock",
		"unix:///run/podman/podman.sock",
		"unix:///run/of-ana/podman/podman.sock",
		"unix:///run/of-ana/docker.sock",
	}, found[:5])

	t.Setenv("DOCKER_HOST", "unix:///var/run/docker.sock")
	t.Setenv("XDG_RUNTIME_DIR", "")
	found = docker.Find()
	require.Equal(t, []string{"unix:///var/run/docker.sock", "unix:///run/podman/podman.sock"}, found[:2])
}

// forward listens on an address and passes all connections on to a socket,
// until stop, which breaks them, or the test's end.
func forward(t *testing.T, network, address, socket string) (stop func()) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), network, address)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := (&net.Dialer{}).DialContext(ctx, "unix", strings.TrimPrefix(socket, "unix://"))
			if err != nil {
				_ = in.Close()
				continue
			}
			cut := context.AfterFunc(ctx, func() { _, _ = in.Close(), out.Close() })
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				work.Go(func() {
					defer cut()
					_, _ = io.Copy(way[0], way[1])
					_, _ = way[0].Close(), way[1].Close()
				})
			}
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		_ = listener.Close()
		work.Wait()
	})
	t.Cleanup(stop)
	return stop
}
