package deploy

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"berth/internal/container"
)

// What is kept of a container that is gone, and of all of them.
const (
	keptLines     = 50_000   // the newest of a container
	keptBytes     = 16 << 20 // of text, of a container
	keptAll       = 1 << 30  // bytes of files
	keepTime      = 15 * time.Second
	sweepLogs     = time.Hour
	logRetention  = 14 * 24 * time.Hour
	keptSuffix    = ".log.gz"
	maxKeptLine   = 64 << 10        // bytes of a line as its container wrote it
	maxJSONLine   = 8 * maxKeptLine // of it in a file, where a byte may become six
	containerPart = 12              // of a container's id, in a file's name
)

// logBook keeps what containers wrote once they are gone: a file for each, in
// one folder, named by instance and container. It is outside the database,
// which logs would fill.
type logBook struct {
	dir   string // nothing is kept when empty
	clock func() time.Time
	size  atomic.Int64 // bytes of files, as the last sweep found them and with what came since
}

var fileSafe = regexp.MustCompile(`^[0-9A-Za-z_-]+$`)

func (b *logBook) path(instance, containerID string) (string, error) {
	if len(containerID) > containerPart {
		containerID = containerID[:containerPart]
	}
	if !fileSafe.MatchString(instance) || !fileSafe.MatchString(containerID) {
		return "", fmt.Errorf("no file can be named by instance %q and container %q", instance, containerID)
	}
	return filepath.Join(b.dir, instance+"."+containerID+keptSuffix), nil
}

// keep writes the newest of lines to the container's file, in place of what is
// there of it. Nothing is written when there are none.
func (b *logBook) keep(instance, containerID string, lines iter.Seq2[container.LogLine, error]) (err error) {
	path, err := b.path(instance, containerID)
	if err != nil {
		return err
	}
	newest := tail{lines: keptLines, bytes: keptBytes}
	var broken error
	for line, err := range lines {
		if err != nil {
			broken = err // what was read until then is worth keeping
			break
		}
		line.Text = strings.ToValidUTF8(line.Text, "\uFFFD") // as whoever reads it gets it
		newest.add(LoggedLine{LogLine: line})
	}
	if newest.len() == 0 {
		return broken
	}
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(b.dir, ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	err = errors.Join(writeLines(file, &newest), file.Close())
	if err != nil {
		return err
	}
	grown := sizeOf(file.Name()) - sizeOf(path)
	if err = os.Rename(file.Name(), path); err == nil {
		b.size.Add(grown)
	}
	return errors.Join(err, broken)
}

// sizeOf gives a file's bytes; 0 when it is not there.
func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

func writeLines(w io.Writer, newest *tail) error {
	packed := gzip.NewWriter(w)
	buffered := bufio.NewWriterSize(packed, 64<<10)
	encoder := json.NewEncoder(buffered)
	encoder.SetEscapeHTML(false)
	for line := range newest.all() {
		if err := encoder.Encode(line.LogLine); err != nil {
			return err
		}
	}
	return errors.Join(buffered.Flush(), packed.Close())
}

// keptLog is one file of the book.
type keptLog struct {
	instance, container string
	path                string
	size                int64
	at                  time.Time // when its container was removed
}

// files lists the book, the oldest first; those of one instance when it is
// named.
func (b *logBook) files(instance string) ([]keptLog, error) {
	if b.dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(b.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []keptLog
	for _, e := range entries {
		name, isLog := strings.CutSuffix(e.Name(), keptSuffix)
		of, id, whole := strings.Cut(name, ".")
		if !isLog || !whole || (instance != "" && of != instance) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // it was removed meanwhile
		}
		list = append(list, keptLog{of, id, filepath.Join(b.dir, e.Name()), info.Size(), info.ModTime()})
	}
	slices.SortFunc(list, func(a, b keptLog) int { return a.at.Compare(b.at) })
	return list, nil
}

// lines reads a file. What keeps it from being read to its end comes after
// what could be.
func (k keptLog) lines() iter.Seq2[container.LogLine, error] {
	return func(yield func(container.LogLine, error) bool) {
		file, err := os.Open(k.path)
		if errors.Is(err, fs.ErrNotExist) {
			return // its time was over
		}
		if err == nil {
			defer file.Close()
			err = readLines(file, func(line container.LogLine) bool { return yield(line, nil) })
		}
		if err != nil && !errors.Is(err, errLeft) {
			yield(container.LogLine{}, fmt.Errorf("read kept log %s: %w", filepath.Base(k.path), err))
		}
	}
}

// errLeft says that a reader wants no more.
var errLeft = errors.New("no more lines are wanted")

// readLines gives the lines that writeLines wrote.
func readLines(from io.Reader, give func(container.LogLine) bool) error {
	packed, err := gzip.NewReader(from)
	if err != nil {
		return err
	}
	scan := bufio.NewScanner(packed)
	scan.Buffer(make([]byte, 0, 64<<10), maxJSONLine)
	for scan.Scan() {
		var line container.LogLine
		if err := json.Unmarshal(scan.Bytes(), &line); err != nil {
			return err
		}
		if !give(line) {
			return errLeft
		}
	}
	return scan.Err()
}

// sweep removes files that are older than before, those of instances that are
// not known any more, and the oldest while all of them are too large.
func (b *logBook) sweep(before time.Time, known func(instances []string) (map[string]bool, error)) error {
	list, err := b.files("")
	if err != nil {
		return err
	}
	names := make([]string, len(list))
	var size int64
	for n, k := range list {
		names[n] = k.instance
		size += k.size
	}
	slices.Sort(names)
	there, err := known(slices.Compact(names))
	if err != nil {
		return err
	}
	var failed []error
	for _, k := range list {
		if k.at.After(before) && there[k.instance] && size <= keptAll {
			continue
		}
		if err := os.Remove(k.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, err)
			continue
		}
		size -= k.size
	}
	b.size.Store(size)
	half, _ := filepath.Glob(filepath.Join(b.dir, ".new-*"))
	for _, path := range half { // of a process that was killed
		if info, err := os.Stat(path); err == nil && b.clock().Sub(info.ModTime()) > sweepLogs {
			_ = os.Remove(path)
		}
	}
	return errors.Join(failed...)
}

// tail holds the newest lines, bounded by their number and their bytes; 0 is
// no bound.
type tail struct {
	lines, bytes int
	list         []LoggedLine
	first, size  int
}

func (t *tail) add(line LoggedLine) {
	t.list = append(t.list, line)
	t.size += len(line.Text)
	for (t.lines > 0 && t.len() > t.lines) || (t.bytes > 0 && t.size > t.bytes && t.len() > 1) {
		t.size -= len(t.list[t.first].Text)
		t.list[t.first] = LoggedLine{}
		t.first++
	}
	if t.first > 1024 && t.first > len(t.list)/2 {
		t.list = append(t.list[:0:0], t.list[t.first:]...)
		t.first = 0
	}
}

func (t *tail) len() int { return len(t.list) - t.first }

func (t *tail) all() iter.Seq[LoggedLine] { return slices.Values(t.list[t.first:]) }

// removeContainer removes a container, and keeps what it wrote. A log that can't be
// read keeps nothing from its end.
func (s *Service) removeContainer(ctx context.Context, c container.Container) error {
	if instance := c.Labels[labelInstance]; instance != "" && s.logs.dir != "" && c.State != container.StateCreated {
		reading, stop := context.WithTimeout(ctx, keepTime)
		err := s.logs.keep(instance, c.ID, s.runtime.Logs(reading, c.ID, container.LogOptions{Tail: keptLines}))
		stop()
		if err != nil && ctx.Err() == nil && !errors.Is(err, container.ErrNotFound) {
			s.log.WarnContext(ctx, "log of a container that goes not kept whole", "container", c.Name, "instance", instance, "error", err)
		}
	}
	return s.runtime.Remove(ctx, c.ID)
}

// sweepLogs removes kept logs whose time is over, until ctx ends.
func (s *Service) sweepLogs(ctx context.Context) {
	for {
		err := s.logs.sweep(s.clock().Add(-s.logRetention), func(list []string) (map[string]bool, error) { return s.knownInstances(ctx, list) })
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "old logs of instances not removed", "error", err)
		}
		if !pause(ctx, sweepLogs, nil) {
			return
		}
	}
}
