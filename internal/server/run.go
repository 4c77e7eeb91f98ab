package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// readyWait is how long the public listener holds connections back while
	// routes of live releases are put up again.
	readyWait = 10 * time.Second
	// endWait is what the small listeners get to end their requests, or what is
	// left of the stop's time when that is less.
	endWait = 5 * time.Second
)

// Run serves until ctx ends or a part fails, and then stops: running
// deployments finish, streams end at an event boundary, requests finish, all
// of that in one [window]; the upkeep writes down what it holds, and the store
// closes last.
func (s *Server) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, s.close()) }()

	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	// Each layer has a context that outlives the one above.
	still := context.WithoutCancel(ctx)
	taking, endTaking := context.WithCancel(still)
	defer endTaking()
	pulling, endPulling := context.WithCancel(still)
	defer endPulling()
	keeping, endKeeping := context.WithCancel(still)
	defer endKeeping()

	keepers := &crew{fail: fail}
	keepers.run("engine", func() error { return s.engine.Run(keeping) })
	keepers.run("identity", func() error { return s.identity.Run(keeping) })
	keepers.run("factors", func() error { return s.factors.Run(keeping) })
	keepers.run("sign-in", func() error { return s.signin.Run(keeping) })
	keepers.run("keys", func() error { return s.keys.Run(keeping) })
	keepers.run("registry", func() error { return s.registry.Run(keeping) })
	keepers.run("gateway", func() error { return s.gateway.Run(keeping) })
	keepers.run("notifications", func() error { return s.notifier.Run(keeping) })
	keepers.run("webhooks", func() error { return s.webhooks.Run(keeping) })
	keepers.run("disk", func() error { return s.watchDisk(keeping) })
	keepers.run("administrators", func() error { return s.watchAdmins(keeping) })
	keepers.run("retention", func() error { return s.prune(keeping) })

	servers := &crew{fail: fail}
	servers.run("internal listener", func() error { return s.serve(pulling, s.internal, s.internalHandler) })
	servers.run("local socket", func() error { return s.serve(taking, s.local, s.localMux()) })
	if s.metrics != nil {
		servers.run("metrics listener", func() error { return s.serve(taking, s.metrics, s.metricsMux()) })
	}
	servers.run("gateway", func() error {
		// No engine is needed for it: what Berth does not run is served without.
		if err := s.deploy.Announce(ctx); err != nil {
			return err
		}
		s.awaitRoutes(ctx)
		s.log.InfoContext(ctx, "serving", "address", s.public.Addr().String(), "base_url", s.settings.BaseURL.String())
		return s.gateway.Serve(taking, s.public)
	})

	deployers := &crew{fail: fail}
	deployers.run("deployments", func() error {
		s.engine.await(ctx)
		return s.deploy.Run(ctx)
	})
	deployers.run("watching", func() error { return s.watcher.Run(ctx) })

	<-ctx.Done()
	s.log.InfoContext(still, "stopping", "within", s.settings.ShutdownTimeout.String())
	s.stop.open()
	s.stop.await(deployers)
	s.api.EndStreams()
	endTaking()
	deployers.wait()
	endPulling() // by the engine, for deployments
	servers.wait()
	endKeeping()
	keepers.wait()
	s.log.InfoContext(still, "stopped")
	return errors.Join(deployers.failed, servers.failed, keepers.failed)
}

// awaitRoutes waits until the routes of what was live are up again, so that a
// request that comes during a start waits a moment rather than finding no app.
func (s *Server) awaitRoutes(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	if !s.engine.await(ctx) {
		return
	}
	select {
	case <-s.deploy.Ready():
	case <-ctx.Done():
	}
}

// crew is goroutines that are waited for together. The first that ends with
// an error ends the server.
type crew struct {
	fail   context.CancelCauseFunc
	group  sync.WaitGroup
	mu     sync.Mutex
	failed error
}

func (c *crew) run(name string, f func() error) {
	c.group.Go(func() {
		err := f()
		if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, http.ErrServerClosed) {
			return
		}
		err = fmt.Errorf("%s: %w", name, err)
		c.mu.Lock()
		c.failed = errors.Join(c.failed, err)
		c.mu.Unlock()
		c.fail(err)
	})
}

func (c *crew) wait() { c.group.Wait() }

// ended gives a channel that closes when all have ended.
func (c *crew) ended() <-chan struct{} {
	over := make(chan struct{})
	go func() {
		c.group.Wait()
		close(over)
	}()
	return over
}

// serve answers on l until ctx ends, then lets requests finish.
func (s *Server) serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(endWait, s.stop.left()))
	defer cancel()
	if server.Shutdown(ending) != nil {
		_ = server.Close() // what has not ended by now is cut
	}
	return <-ended
}
