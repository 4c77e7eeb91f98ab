package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"berth/internal/fault"
	"berth/internal/secret"
)

// confirm asks before something that can not be undone. Without a terminal it
// takes no silence for a yes.
func (p *process) confirm(yes bool, what string) error {
	if yes {
		return nil
	}
	if _, ok := p.terminal(); !ok {
		return fault.Invalid("%s Give --yes to go on.", what)
	}
	fmt.Fprintf(p.stderr, "%s Go on? [y/N] ", what)
	answer, err := bufio.NewReader(p.stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return fault.Invalid("nothing was done")
	}
	return nil
}

// meant does what the server may want said to be meant. Whoever sits at the
// terminal is asked then, and it is done with force.
func (p *process) meant(force bool, do func(force bool) error) error {
	err := do(force)
	if _, asked := p.terminal(); !asked || !fault.IsUnmeant(err) {
		return err
	}
	if err := p.confirm(false, fault.Message(err)+"."); err != nil {
		return err
	}
	return do(true)
}

// terminal gives stdin when a person sits at it.
func (p *process) terminal() (*os.File, bool) {
	f, ok := p.stdin.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// maxSecret bounds a secret that is read from stdin.
const maxSecret = 1 << 20

// askPasswordAndCode asks for a password. Without a terminal there may be a
// code in the line below it, as nothing is asked for there later.
func (p *process) askPasswordAndCode(prompt string) (password, code secret.Text, err error) {
	given, err := p.askSecret(prompt)
	if _, ok := p.terminal(); ok || err != nil {
		return given, secret.Text{}, err
	}
	first, second, _ := strings.Cut(given.Reveal(), "\n")
	return secret.New(strings.TrimSuffix(first, "\r")), secret.New(strings.TrimSpace(second)), nil
}

// askSecret reads a secret without showing it: from the terminal, or all of
// stdin without its last line end when that is a pipe.
func (p *process) askSecret(prompt string) (secret.Text, error) {
	if f, ok := p.terminal(); ok {
		fmt.Fprintf(p.stderr, "%s: ", prompt)
		raw, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(p.stderr)
		if err != nil {
			return secret.Text{}, fmt.Errorf("read from the terminal: %w", err)
		}
		return secret.New(string(raw)), nil
	}
	raw, err := io.ReadAll(io.LimitReader(p.stdin, maxSecret+1))
	switch {
	case err != nil:
		return secret.Text{}, fmt.Errorf("read from stdin: %w", err)
	case len(raw) > maxSecret:
		return secret.Text{}, fault.Large("stdin has more than %d bytes", maxSecret)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
	if text == "" {
		return secret.Text{}, fault.Invalid("%s: nothing was given on stdin", prompt)
	}
	return secret.New(text), nil
}
