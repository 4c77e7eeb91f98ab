// Command app is the program in the image that containertest runs: each
// subcommand shows one thing that an engine must do for a container.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		serve()
		return
	}
	rest := os.Args[2:]
	switch os.Args[1] {
	case "serve":
		serve()
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		time.Sleep(time.Hour)
	case "exit":
		code, _ := strconv.Atoi(rest[0])
		os.Exit(code)
	case "lines":
		lines(rest[0])
	case "long":
		fmt.Println(strings.Repeat("x", 40<<10))
	case "count":
		count()
	case "eat":
		eat()
	case "copy":
		_, _ = io.Copy(os.Stdout, os.Stdin)
	case "both":
		fmt.Println("to stdout")
		fmt.Fprintln(os.Stderr, "to stderr")
	case "env":
		fmt.Print(os.Getenv(rest[0]))
	case "where":
		dir, _ := os.Getwd()
		fmt.Print(dir, " ", os.Getuid())
	case "read":
		read(rest)
	case "terminal":
		terminal()
	}
}

// serve answers on port 8080 until SIGTERM, and then exits with 0.
func serve() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		host, _ := os.Hostname()
		fmt.Fprintf(w, "hello from %s, args %q", host, os.Args[1:])
	})
	http.HandleFunc("/env", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, os.Getenv(r.FormValue("name")))
	})
	http.HandleFunc("GET /file", func(w http.ResponseWriter, r *http.Request) {
		content, err := os.ReadFile(r.FormValue("path"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		_, _ = w.Write(content)
	})
	http.HandleFunc("PUT /file", func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		if err := os.WriteFile(r.FormValue("path"), content, 0o600); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
		}
	})
	http.HandleFunc("/fetch", func(w http.ResponseWriter, r *http.Request) {
		answer, err := http.Get(r.FormValue("url"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		_, _ = io.Copy(w, answer.Body)
	})
	http.HandleFunc("/burn", func(http.ResponseWriter, *http.Request) {
		for end := used() + 500*time.Millisecond; used() < end; {
		}
	})
	http.HandleFunc("/say", func(_ http.ResponseWriter, r *http.Request) { fmt.Println(r.FormValue("line")) })
	listener, err := net.Listen("tcp", ":8080")
	if err != nil {
		panic(err)
	}
	fmt.Println("ready")
	go func() { _ = http.Serve(listener, nil) }()
	<-ctx.Done()
	fmt.Println("bye")
}

// used is the CPU time that this program has used.
func used() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// lines writes to both streams.
func lines(number string) {
	n, _ := strconv.Atoi(number)
	for i := 1; i <= n; i++ {
		fmt.Println("stdout", i)
		fmt.Fprintln(os.Stderr, "stderr", i)
	}
}

// count writes a line now and then for as long as it is let.
func count() {
	for i := 1; ; i++ {
		fmt.Println("line", i)
		time.Sleep(50 * time.Millisecond)
	}
}

// eat takes memory until it is killed for it.
func eat() {
	var held [][]byte
	for {
		block := make([]byte, 4<<20)
		for i := range block {
			block[i] = 1
		}
		held = append(held, block)
		time.Sleep(time.Millisecond)
		if len(held) > 1024 {
			fmt.Println("was let")
			return
		}
	}
}

// read prints the first file that is there.
func read(paths []string) {
	for _, path := range paths {
		if content, err := os.ReadFile(path); err == nil {
			fmt.Print(strings.TrimSpace(string(content)))
			return
		}
	}
	fmt.Print("none of them")
}

// terminal reads lines and answers each with the terminal's size.
func terminal() {
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		columns, rows := size()
		fmt.Printf("%s: %d columns, %d rows\n", input.Text(), columns, rows)
	}
}
