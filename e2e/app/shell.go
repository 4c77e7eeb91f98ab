package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"
)

// shell is what /bin/sh is in the image: it knows a few words, so that a
// person, or a test, can look in.
func shell(args []string) int {
	if len(args) == 2 && args[0] == "-c" {
		code, _ := do(args[1])
		return code
	}
	prompt := ""
	if term.IsTerminal(0) {
		prompt = "$ "
	}
	last := 0
	lines := bufio.NewScanner(os.Stdin)
	for fmt.Print(prompt); lines.Scan(); fmt.Print(prompt) {
		code, over := do(strings.TrimSpace(lines.Text()))
		if last = code; over {
			return code
		}
	}
	return last
}

func do(line string) (code int, over bool) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "":
	case "echo":
		fmt.Println(rest)
	case "warn":
		fmt.Fprintln(os.Stderr, rest)
	case "env":
		fmt.Println(os.Getenv(rest))
	case "size":
		columns, rows, err := term.GetSize(0)
		fmt.Println(columns, rows, err == nil)
	case "exit":
		code, _ = strconv.Atoi(rest)
		return code, true
	default:
		fmt.Fprintf(os.Stderr, "sh: %s: not found\n", word)
		return 127, false
	}
	return 0, false
}
