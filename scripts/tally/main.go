// Command tally reads what `go test -json` writes, shows a line for each
// package and everything that failing tests printed, and adds what it counted
// to a file.
//
//	go test -json ./... | go run ./scripts/tally -to counts
//	go run ./scripts/tally -sum counts
//
// A test counts once, and so does each of its subtests; a package that does
// not build counts as one failure.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is a line of `go test -json`, as `go doc test2json` describes it.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build output
	Test        string
	Elapsed     float64 // seconds
	Output      string
	FailedBuild string
}

// counts are how tests ended.
type counts struct{ passed, failed, skipped int }

func (c counts) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", c.passed, c.failed, c.skipped)
}

func main() {
	to := flag.String("to", "", "file to add the counts to")
	sum := flag.String("sum", "", "only sum up a file of counts")
	verbose := flag.Bool("v", false, "show what passing tests print, too")
	flag.Parse()
	code, err := run(*to, *sum, *verbose)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		code = 1
	}
	os.Exit(code)
}

func run(to, sum string, verbose bool) (code int, err error) {
	var c counts
	if sum != "" {
		c, err = read(sum)
		fmt.Println(c)
	} else {
		t := newTally(os.Stdout, verbose)
		if err = t.take(os.Stdin); err == nil && to != "" {
			err = add(to, t.counts)
		}
		c = t.counts
	}
	if c.failed > 0 {
		code = 1
	}
	return code, err
}

// tally counts, and keeps what is printed until it is known who failed.
type tally struct {
	counts
	out     io.Writer
	verbose bool
	printed map[string][]string // by package and test
	failing map[string]bool     // packages with a failed test
}

func newTally(out io.Writer, verbose bool) *tally {
	return &tally{out: out, verbose: verbose, printed: map[string][]string{}, failing: map[string]bool{}}
}

func (t *tally) take(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			t.line(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (t *tally) line(line string) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil {
		fmt.Fprint(t.out, line) // what the go command says outside of JSON
		return
	}
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		t.printed[e.ImportPath] = append(t.printed[e.ImportPath], e.Output)
	case "output":
		t.printed[key] = append(t.printed[key], e.Output)
	case "pass", "fail", "skip":
		t.end(e, key)
	}
}

func (t *tally) end(e event, key string) {
	output := t.printed[key]
	delete(t.printed, key)
	if e.Test == "" {
		t.endPackage(e, output)
		return
	}
	switch e.Action {
	case "pass":
		t.passed++
	case "fail":
		t.failed++
		t.failing[e.Package] = true
	case "skip":
		t.skipped++
	}
	if e.Action == "fail" || e.Action == "skip" || t.verbose {
		fmt.Fprint(t.out, strings.Join(output, ""))
	}
}

func (t *tally) endPackage(e event, output []string) {
	said := strings.Join(output, "")
	switch {
	case e.FailedBuild != "":
		t.failed++
		fmt.Fprintf(t.out, "FAIL    %s does not build\n%s", e.Package, strings.Join(t.printed[e.FailedBuild], ""))
	case e.Action == "fail":
		fmt.Fprintf(t.out, "%sFAIL    %-45s %.1fs\n", said, e.Package, e.Elapsed)
		if !t.failing[e.Package] { // it ended outside of a test
			t.failed++
		}
	case e.Action == "pass":
		fmt.Fprintf(t.out, "ok      %-45s %.1fs\n", e.Package, e.Elapsed)
	}
}

// add appends a line to a file of counts.
func add(path string, c counts) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) //nolint:gosec // the caller names the file
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintln(f, c.passed, c.failed, c.skipped)
	return err
}

// read sums a file of counts up.
func read(path string) (total counts, err error) {
	f, err := os.Open(path) //nolint:gosec // the caller names the file
	if err != nil {
		return total, err
	}
	defer f.Close()
	for {
		var c counts
		_, err := fmt.Fscanln(f, &c.passed, &c.failed, &c.skipped)
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, fmt.Errorf("read %s: %w", path, err)
		}
		total.passed += c.passed
		total.failed += c.failed
		total.skipped += c.skipped
	}
}
