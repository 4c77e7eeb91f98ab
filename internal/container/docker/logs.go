package docker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"strconv"
	"time"

	"github.com/moby/moby/client"

	"berth/internal/container"
)

// Logs gives what a container wrote.
func (e *Engine) Logs(ctx context.Context, id string, o container.LogOptions) iter.Seq2[container.LogLine, error] {
	if most := o.Tail; most > 0 && !o.Follow && e.facts.Load().podman {
		// Podman's own tail mixes up the lines that it wrote in parts. It
		// keeps little enough of a log to read all of it.
		o.Tail = 0
		return newest(most, e.readLogs(ctx, id, o))
	}
	return e.readLogs(ctx, id, o)
}

// newest gives the last most of lines, and the error they end with.
func newest(most int, lines iter.Seq2[container.LogLine, error]) iter.Seq2[container.LogLine, error] {
	return func(yield func(container.LogLine, error) bool) {
		var list []container.LogLine
		var failed error
		for line, err := range lines {
			if err != nil {
				failed = err
				break
			}
			if list = append(list, line); len(list) >= 2*most {
				list = append(list[:0], list[len(list)-most:]...)
			}
		}
		for _, line := range list[max(0, len(list)-most):] {
			if !yield(line, nil) {
				return
			}
		}
		if failed != nil {
			yield(container.LogLine{}, failed)
		}
	}
}

func (e *Engine) readLogs(ctx context.Context, id string, o container.LogOptions) iter.Seq2[container.LogLine, error] {
	return func(yield func(container.LogLine, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		options := client.ContainerLogsOptions{
			ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: o.Follow,
		}
		if o.Tail > 0 {
			options.Tail = strconv.Itoa(o.Tail)
		}
		since := o.Since
		if e.facts.Load().podman {
			since = since.Truncate(time.Second) // as its lines' times are
		}
		if !since.IsZero() {
			// Podman reads a fraction of a second imprecisely: the exact
			// cut is made below.
			options.Since = strconv.FormatInt(since.Unix(), 10)
		}
		stream, err := e.api.ContainerLogs(ctx, id, options)
		if err != nil {
			if ctx.Err() == nil {
				yield(container.LogLine{}, wrap(err, "read the log of container %s", id))
			}
			return
		}
		defer stream.Close()
		reader := logLines{frames: frames{from: stream}}
		for {
			line, err := reader.next()
			if ctx.Err() != nil || errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(container.LogLine{}, wrap(err, "read the log of container %s", id))
				return
			}
			if line.At.Before(since) {
				continue
			}
			if !yield(line, nil) {
				return
			}
		}
	}
}

// maxLogLine bounds a line that is put together, in bytes. A longer one is
// given in pieces.
const maxLogLine = 64 << 10

// logLines puts lines together: engines cut long ones, and Podman also where
// one happens to lie over the end of what it read at a time. A part that more
// comes after has no line feed.
type logLines struct {
	frames frames
	parts  [frameError]struct { // by stream
		line container.LogLine
		open bool
	}
	ended error
}

// next gives the next line; an error once all were given.
func (l *logLines) next() (container.LogLine, error) {
	for l.ended == nil {
		f, err := l.frames.next()
		if err != nil {
			l.ended = err
			break
		}
		line, part := logLine(f), &l.parts[f.stream]
		if part.open {
			part.line.Text += line.Text
		} else {
			part.line = line
		}
		part.open = !bytes.HasSuffix(f.payload, []byte("\n")) && len(part.line.Text) < maxLogLine
		if !part.open {
			return part.line, nil
		}
	}
	for n := range l.parts { // what ended without a line feed
		if part := &l.parts[n]; part.open {
			part.open = false
			return part.line, nil
		}
	}
	return container.LogLine{}, l.ended
}

// logLine reads one line with the time the engine put before it.
func logLine(f frame) container.LogLine {
	line := container.LogLine{Stream: "stdout"}
	if f.stream == frameStderr {
		line.Stream = "stderr"
	}
	text := bytes.TrimSuffix(f.payload, []byte("\n"))
	if at, rest, cut := bytes.Cut(text, []byte(" ")); cut {
		if t, err := time.Parse(time.RFC3339Nano, string(at)); err == nil {
			line.At, text = t.UTC(), rest
		}
	}
	line.Text = string(text)
	return line
}
