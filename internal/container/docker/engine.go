// Package docker drives Docker (20.10 and later) and Podman (4.3 and later),
// rootful and rootless, over the Docker API, and is one implementation of
// container.Runtime.
//
// Start with [Open]. What the two engines do differently is dealt with where
// the call is made: each file has one noun of the API, and what only Podman's
// own API can do goes through libpod.go. Errors get their meaning in errors.go.
package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moby/moby/client"

	"berth/internal/container"
	"berth/internal/fault"
)

// answerTime bounds how long a socket may take to answer when an engine is
// looked for.
const answerTime = 15 * time.Second

// Config says which engine to drive.
type Config struct {
	// Socket is the engine's address: a path, unix:///path or tcp://host:port.
	// Empty or "auto" takes the first of [Find] that answers.
	Socket string
	Log    *slog.Logger // nil: the default logger
}

// Engine is a Docker or Podman engine. Its methods are those of
// container.Runtime and may be called from many goroutines. It survives a
// restart of the engine: calls fail with container.ErrUnavailable meanwhile.
type Engine struct {
	api    *client.Client
	raw    *http.Client // the same socket, for what the client has no call for
	socket string
	facts  atomic.Pointer[facts]
	usage  usage

	networks sync.Mutex // held while EnsureNetwork looks and makes
}

var _ container.Runtime = (*Engine)(nil)

// Open finds the engine and asks it what it is. Its error is a fault that says
// what was tried and what to do.
func Open(ctx context.Context, c Config) (*Engine, error) {
	log := cmp.Or(c.Log, slog.Default())
	if c.Socket != "" && c.Socket != "auto" {
		e, err := open(ctx, c.Socket)
		if err != nil {
			return nil, fault.Unavailable("no container engine answers on %s", c.Socket).Because(err)
		}
		return e, nil
	}
	tried := Find()
	var last error
	for _, socket := range tried {
		e, err := open(ctx, socket)
		if err == nil {
			return e, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			log.WarnContext(ctx, "container engine does not answer", "socket", socket, "error", err)
		}
		last = err
	}
	return nil, fault.Unavailable("no container engine answers on %s: start Docker or Podman, or set BERTH_ENGINE to its socket",
		strings.Join(tried, ", ")).Because(last)
}

func open(ctx context.Context, socket string) (*Engine, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	options := []client.Opt{client.WithUserAgent("berth")}
	if strings.HasPrefix(socket, "tcp://") {
		options = append(options, client.WithTLSClientConfigFromEnv())
	}
	socket = normalise(socket)
	api, err := client.New(append(options, client.WithHost(socket))...)
	if err != nil {
		return nil, fmt.Errorf("engine address %q: %w", socket, err)
	}
	dial := api.Dialer()
	e := &Engine{
		api: api,
		raw: &http.Client{Transport: &http.Transport{
			DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
			MaxIdleConns:    4,
			IdleConnTimeout: 30 * time.Second,
		}},
		socket: socket,
		usage:  usage{last: map[string]reading{}},
	}
	if err := e.learn(ctx); err != nil {
		_ = e.Close()
		return nil, err
	}
	return e, nil
}

// Close closes the connections. The engine goes on.
func (e *Engine) Close() error {
	e.raw.CloseIdleConnections()
	return e.api.Close()
}

// Info says which engine this is.
func (e *Engine) Info(ctx context.Context) (container.Info, error) {
	if err := e.learn(ctx); err != nil {
		return container.Info{}, err
	}
	info := e.facts.Load().info
	info.Lacks, info.Warnings = slices.Clone(info.Lacks), slices.Clone(info.Warnings)
	return info, nil
}
