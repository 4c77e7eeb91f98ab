// Command app is the program that the end-to-end tests deploy: a small web
// server that says which version it is, answers slowly, takes uploads, streams,
// and misbehaves when its environment asks for it.
package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

var version = os.Getenv("APP_VERSION")

func main() {
	if filepath.Base(os.Args[0]) == "sh" {
		os.Exit(shell(os.Args[1:]))
	}
	os.Exit(run())
}

func run() int {
	if len(os.Args) > 1 {
		return command(os.Args[1])
	}
	fmt.Println("app version", version, "starts")
	if reason := os.Getenv("APP_CRASH"); reason != "" {
		fmt.Fprintln(os.Stderr, "fatal:", reason)
		return 3
	}
	if wait, err := time.ParseDuration(os.Getenv("APP_START_DELAY")); err == nil {
		time.Sleep(wait)
	}

	held := make(chan struct{})
	begin := sync.OnceFunc(func() { close(held) })
	if os.Getenv("APP_HELD") == "" {
		begin()
	}
	began := time.Now()
	failsAfter, err := time.ParseDuration(os.Getenv("APP_FAIL_AFTER"))
	fails := func() bool { return err == nil && time.Since(began) > failsAfter }
	slowAfter, notSlow := time.ParseDuration(os.Getenv("APP_SLOW_AFTER"))
	slows := func() bool { return notSlow == nil && time.Since(began) > slowAfter }
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { answer(w, "") })
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { health(w, held) })
	mux.HandleFunc("POST /begin", func(http.ResponseWriter, *http.Request) { begin() })
	mux.HandleFunc("GET /slow", slow)
	mux.HandleFunc("POST /echo", echo)
	mux.HandleFunc("GET /events", events)
	mux.HandleFunc("GET /ws", socket)
	mux.HandleFunc("GET /env", func(w http.ResponseWriter, r *http.Request) { answer(w, os.Getenv(r.URL.Query().Get("name"))) })
	mux.HandleFunc("GET /file", file)
	mux.HandleFunc("POST /lines", lines)
	mux.HandleFunc("POST /exit", func(http.ResponseWriter, *http.Request) { os.Exit(7) })

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	server := &http.Server{Addr: cmp.Or(os.Getenv("APP_LISTEN"), ":8080"), Handler: slowing(failing(mux, fails), slows), ReadHeaderTimeout: 10 * time.Second}
	listen := server.ListenAndServe
	if os.Getenv("APP_REPORT") != "" {
		listen = func() error { return reportOn(server) }
	}
	if idle, err := time.ParseDuration(os.Getenv("APP_IDLE_TIMEOUT")); err == nil {
		server.IdleTimeout = idle
	}
	go func() {
		<-ctx.Done()
		fmt.Println("app version", version, "stops")
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(ending)
	}()
	if err := listen(); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// failing answers 500 in place of everything but the health check, once it is
// time to: an app whose bug shows only under use.
func failing(mux http.Handler, now func() bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" && now() {
			w.Header().Set("X-App-Version", version)
			http.Error(w, "broken", http.StatusInternalServerError)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// slowing takes half a second more for everything but the health check, once it
// is time to.
func slowing(next http.Handler, now func() bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" && now() {
			time.Sleep(500 * time.Millisecond)
		}
		next.ServeHTTP(w, r)
	})
}

// command is what the app does when it is told to do one thing.
func command(name string) int {
	fmt.Println("version", version, "runs", name, "with", os.Getenv("APP_MODE"))
	switch name {
	case "fail":
		fmt.Fprintln(os.Stderr, "fatal: told to fail")
		return 3
	case "wait":
		time.Sleep(time.Hour) // until somebody ends it
	}
	return 0
}

// file answers with what is in a file of the volume.
func file(w http.ResponseWriter, r *http.Request) {
	content, err := fs.ReadFile(os.DirFS("/data"), r.URL.Query().Get("name"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	answer(w, string(content))
}

// answer writes "version text".
func answer(w http.ResponseWriter, text string) {
	w.Header().Set("X-App-Version", version)
	fmt.Fprintf(w, "%s %s\n", version, text) //nolint:gosec // a test says what it wants said, in plain text
}

// health is bad until the app is told to begin, where it is held, and always
// where its environment asks for that.
func health(w http.ResponseWriter, held <-chan struct{}) {
	select {
	case <-held:
	default:
		http.Error(w, "held", http.StatusServiceUnavailable)
		return
	}
	if os.Getenv("APP_UNHEALTHY") != "" {
		fmt.Fprintln(os.Stderr, "health: the database is not there")
		http.Error(w, "not healthy", http.StatusInternalServerError)
		return
	}
	answer(w, "healthy")
}

func slow(w http.ResponseWriter, r *http.Request) {
	ms, err := strconv.Atoi(r.URL.Query().Get("ms"))
	if err != nil {
		ms = 2000
	}
	time.Sleep(time.Duration(ms) * time.Millisecond)
	answer(w, "slow")
}

func echo(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	if _, err := io.Copy(sum, r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer(w, hex.EncodeToString(sum.Sum(nil)))
}

// lines writes n lines to the log.
func lines(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil {
		n = 10
	}
	out := bufio.NewWriter(os.Stdout)
	for i := range n {
		level := "\x1b[32mINFO\x1b[0m"
		if i%1000 == 999 {
			level = "\x1b[31mERROR\x1b[0m"
		}
		fmt.Fprintf(out, "%s line %d of the harbour's log\n", level, i+1)
	}
	_ = out.Flush()
	answer(w, "written")
}

// events sends n ticks, one every 100 ms.
func events(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil {
		n = 10
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-App-Version", version)
	flush := http.NewResponseController(w)
	for i := range n {
		fmt.Fprintf(w, "id: %d\ndata: %s\n\n", i, version)
		if flush.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// socket echoes until the other side closes.
func socket(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-App-Version", version)
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	for {
		kind, data, err := c.Read(r.Context())
		if err != nil {
			return
		}
		if err := c.Write(r.Context(), kind, data); err != nil {
			return
		}
	}
}
