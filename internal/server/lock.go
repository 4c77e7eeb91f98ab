package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"berth/internal/fault"
)

// lockDir makes the data folder this process's alone for as long as it lives:
// the kernel takes the lock back however the process ends.
func lockDir(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.Unavailable("the data folder %s can not be made: %v; BERTH_DATA_DIR names another", dir, err).Because(err)
	}
	path := filepath.Join(dir, "berth.lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // below the operator's data folder
	if err != nil {
		return nil, fault.Unavailable("the data folder %s can not be written: %v; BERTH_DATA_DIR names another", dir, err).Because(err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		holder, _ := io.ReadAll(io.LimitReader(f, 32))
		_ = f.Close()
		return nil, fault.Conflict("another berth (process %s) runs with the data folder %s: stop it, or set BERTH_DATA_DIR to another folder",
			strings.TrimSpace(string(holder)), dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	// For the message above; the lock itself is the kernel's.
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintln(f, os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", path, err), f.Close())
	}
	return f.Close, nil
}
