// Command hello is a tiny app to try Berth with: a page that says which
// version and which instance answered, and keeps saying it while the release
// behind it is replaced.
//
// It serves / (the page), /api (the same as JSON), /stream (server-sent
// events, one a second) and /health.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// version is what this was built as: -ldflags "-X main.version=1.0".
var version = "development"

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Parse(pageSource))

// hello is what is known of this instance.
type hello struct {
	Version  string `json:"version"`
	Instance string `json:"instance"` // the container's hostname
	Greeting string `json:"greeting"`
	Requests int64  `json:"requests"` // since the start
	Uptime   string `json:"uptime"`
}

// app counts and answers.
type app struct {
	instance string
	greeting string
	started  time.Time
	requests atomic.Int64
	stopping <-chan struct{}
}

func main() {
	if err := serve(); err != nil {
		slog.Error("can not serve", "error", err)
		os.Exit(1)
	}
}

func serve() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))

	a := &app{greeting: "Hello from Berth", started: time.Now(), stopping: ctx.Done()}
	if greeting := os.Getenv("GREETING"); greeting != "" {
		a.greeting = greeting
	}
	a.instance, _ = os.Hostname() // an empty name is shown as such

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.page)
	mux.HandleFunc("GET /api", a.api)
	mux.HandleFunc("GET /stream", a.stream)
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	server := &http.Server{Addr: ":8080", Handler: mux, ReadHeaderTimeout: 10 * time.Second}

	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	log.InfoContext(ctx, "hello", "version", version, "instance", a.instance)
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	log.InfoContext(ctx, "goodbye", "requests", a.requests.Load())
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(ending); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func (a *app) now() hello {
	return hello{
		Version: version, Instance: a.instance, Greeting: a.greeting,
		Requests: a.requests.Load(), Uptime: time.Since(a.started).Round(time.Second).String(),
	}
}

func (a *app) page(w http.ResponseWriter, _ *http.Request) {
	a.requests.Add(1)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = page.Execute(w, a.now()) // the client is away
}

func (a *app) api(w http.ResponseWriter, _ *http.Request) {
	a.requests.Add(1)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a.now()) // the client is away
}

// stream sends one event a second until the client leaves or the app stops.
func (a *app) stream(w http.ResponseWriter, r *http.Request) {
	a.requests.Add(1)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		data, err := json.Marshal(a.now())
		if err != nil {
			return
		}
		fmt.Fprintf(w, "retry: 500\ndata: %s\n\n", data)
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-a.stopping:
			return
		case <-tick.C:
		}
	}
}
