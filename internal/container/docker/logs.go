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
		reader := frames{from: stream}
		for {
			f, err := reader.next()
			if ctx.Err() != nil || errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(container.LogLine{}, wrap(err, "read the log of container %s", id))
				return
			}
			line := logLine(f)
			if line.At.Before(since) {
				continue
			}
			if !yield(line, nil) {
				return
			}
		}
	}
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
