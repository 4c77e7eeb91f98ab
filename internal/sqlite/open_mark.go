package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// ErrInUse is in the chain of the error that refuses a database which another
// process has open.
var ErrInUse = errors.New("is in use by another Berth")

// openMark is the file beside a database that says who has it open. The
// kernel's lock on it is what counts and ends with the process, however that
// ends; the process id in it stays behind when the stop was not clean. The
// file itself is never removed: a lock on a removed file keeps nobody out.
type openMark struct{ file *os.File }

// markOpen takes the lock, and says whether the last process did not come to
// its end.
func markOpen(database string) (mark *openMark, unclean bool, err error) {
	file, err := os.OpenFile(database+"-open", os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the operator's own path
	if err != nil {
		return nil, false, fmt.Errorf("mark the database as open: %w", err)
	}
	mark = &openMark{file}
	unclean, err = mark.take(database)
	if err != nil {
		return nil, false, errors.Join(err, file.Close())
	}
	return mark, unclean, nil
}

func (m *openMark) take(database string) (unclean bool, err error) {
	locked := syscall.Flock(int(m.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	written, err := io.ReadAll(io.LimitReader(m.file, 32))
	if err != nil {
		return false, fmt.Errorf("mark the database as open: %w", err)
	}
	holder := strings.TrimSpace(string(written))
	if errors.Is(locked, syscall.EWOULDBLOCK) {
		return false, fmt.Errorf("database %s %w (process %s): stop that one first, or give this one another data folder", database, ErrInUse, holder)
	}
	if locked != nil {
		return false, fmt.Errorf("lock %s: %w", m.file.Name(), locked)
	}
	if err := m.write(strconv.Itoa(os.Getpid()) + "\n"); err != nil {
		return false, err
	}
	return holder != "", nil
}

// clean says that the stop was one, and lets go.
func (m *openMark) clean() error { return errors.Join(m.write(""), m.file.Close()) }

// leave lets go and leaves the mark, so that the next start checks.
func (m *openMark) leave() error { return m.file.Close() }

func (m *openMark) write(text string) error {
	err := m.file.Truncate(0)
	if err == nil {
		_, err = m.file.WriteAt([]byte(text), 0)
	}
	if err == nil {
		err = m.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("mark the database as open: %w", err)
	}
	return nil
}
