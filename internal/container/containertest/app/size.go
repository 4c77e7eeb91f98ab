package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// size gives the terminal's size; zeros when there is no terminal.
func size() (columns, rows int) {
	s, err := unix.IoctlGetWinsize(int(os.Stdin.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(s.Col), int(s.Row)
}
