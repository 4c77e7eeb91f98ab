package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// markOpen leaves a file beside the database for as long as it is open, and
// says whether one was left by a process that did not come to its end.
func markOpen(path string) (unclean bool, err error) {
	f, err := os.OpenFile(path+"-open", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("mark the database as open: %w", err)
	}
	return false, f.Close()
}

func markClosed(path string) error {
	if err := os.Remove(path + "-open"); err != nil {
		return fmt.Errorf("mark the database as closed: %w", err)
	}
	return nil
}
