package docker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// maxFrame bounds one frame of a stream, in bytes. Engines write at most one
// log line's part, or a read's worth of an exec's output, into each.
const maxFrame = 1 << 20

// frame is one piece of what a process without a terminal wrote.
type frame struct {
	stream  byte
	payload []byte // valid until the next frame is read
}

// The streams of a frame.
const (
	frameStdout byte = 1
	frameStderr byte = 2
	frameError  byte = 3 // the engine speaking, not the process
)

// frames reads the engines' multiplexed stream: each frame has a header of
// eight bytes, the stream in the first and the payload's size in the last four.
type frames struct {
	from   io.Reader
	header [8]byte
	buffer []byte
}

// next gives the next frame; io.EOF at the end.
func (f *frames) next() (frame, error) {
	if _, err := io.ReadFull(f.from, f.header[:]); err != nil {
		return frame{}, err
	}
	stream, size := f.header[0], binary.BigEndian.Uint32(f.header[4:])
	if stream > frameError {
		return frame{}, fmt.Errorf("the engine's stream has a frame of unknown kind %d", stream)
	}
	if size > maxFrame {
		return frame{}, fmt.Errorf("the engine's stream has a frame of %d bytes", size)
	}
	if int(size) > cap(f.buffer) {
		f.buffer = make([]byte, size)
	}
	payload := f.buffer[:size]
	if _, err := io.ReadFull(f.from, payload); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return frame{}, err
	}
	if stream == frameError {
		return frame{}, errors.New(string(payload))
	}
	return frame{stream, payload}, nil
}
