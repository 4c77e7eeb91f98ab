// Command gateway runs Berth's gateway alone, for scripts/bench-gateway.sh:
// one route to the backend at "app.test", and as many others as are asked for,
// with metrics, people and limits as berth serve has them by default.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sync/errgroup"

	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/gateway"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	backend := flag.String("backend", "", "address of the app")
	routes := flag.Int("routes", 1, "how many routes there are")
	flag.Parse()
	if err := run(*listen, *backend, *routes); err != nil {
		fmt.Fprintln(os.Stderr, "bench gateway:", err)
		os.Exit(1)
	}
}

func run(listen, backend string, routes int) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	return serve(ctx, l, backend, routes)
}

// serve runs the gateway on l until ctx ends. Everybody may enter.
func serve(ctx context.Context, l net.Listener, backend string, routes int) (err error) {
	dir, err := os.MkdirTemp("", "berth-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	db, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, "berth.db")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }() //nolint:contextcheck // it ends with ctx, and closes afterwards

	table := gateway.NewTable(gateway.TableConfig{})
	for i := range routes {
		host := "app.test"
		if i > 0 {
			host = fmt.Sprintf("app-%d.test", i)
		}
		err := table.Switch(ctx, deploy.Route{
			StageID: strconv.Itoa(i), Project: fmt.Sprint("project-", i), Stage: "prod", Hostname: host, Deployment: "d",
			Instances: []deploy.Endpoint{{Instance: "i", Address: backend}}, Access: identity.Public(),
		})
		if err != nil {
			return err
		}
	}
	//nolint:contextcheck // it reads one row, at once
	people, err := identity.New(identity.Config{DB: db, Events: event.New(event.Config{DB: db, Key: secret.New("of a benchmark, which has no secrets")})})
	if err != nil {
		return err
	}
	g, err := gateway.New(gateway.Config{
		Table: table, DB: db, Identity: people, MaxConnections: 8192, MaxRequests: 2500, Base: http.NotFoundHandler(), IsBase: func(host string) bool { return host == "localhost" },
		BaseURL: &url.URL{Scheme: "http", Host: "localhost"},
	})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.Serve(ctx, l) })
	group.Go(func() error { return g.Run(ctx) })
	return group.Wait()
}
