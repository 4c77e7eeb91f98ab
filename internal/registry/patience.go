package registry

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// sendSlice is how much of a file is sent under one deadline, in bytes: a
// client may be as slow as to take that in the patience there is with it.
const sendSlice = 4 << 20

// patience is how long the other side may let a connection stand still before
// it is given up.
type patience time.Duration

func (p patience) deadline() time.Time { return time.Now().Add(time.Duration(p)) }

// body is a request's body that must keep coming, however long it is.
func (p patience) body(w http.ResponseWriter, body io.ReadCloser) io.ReadCloser {
	return &patientBody{ReadCloser: body, control: http.NewResponseController(w), patience: p}
}

// writer is an answer that must keep being taken, however long it is.
func (p patience) writer(w http.ResponseWriter) http.ResponseWriter {
	return &patientWriter{ResponseWriter: w, control: http.NewResponseController(w), patience: p}
}

type patientBody struct {
	io.ReadCloser
	control  *http.ResponseController
	patience patience
}

func (b *patientBody) Read(p []byte) (int, error) {
	// Where the connection knows no deadlines, the server's own hold.
	_ = b.control.SetReadDeadline(b.patience.deadline())
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{}) // an expired one would end the request
	}
	return n, err
}

// patientWriter lets files go to the socket without passing through memory, as
// the writer it wraps does.
type patientWriter struct {
	http.ResponseWriter
	control  *http.ResponseController
	patience patience
}

// Unwrap lets http.ResponseController through.
func (w *patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *patientWriter) Write(p []byte) (int, error) {
	_ = w.control.SetWriteDeadline(w.patience.deadline())
	return w.ResponseWriter.Write(p)
}

// ReadFrom sends in slices, each by sendfile where src is a file: that takes
// the file itself, or one limit around it, so the limit is taken off and put
// on anew.
func (w *patientWriter) ReadFrom(src io.Reader) (sent int64, err error) {
	left := int64(-1)
	limited, isLimited := src.(*io.LimitedReader)
	if isLimited {
		src, left = limited.R, limited.N
		defer func() { limited.N -= sent }()
	}
	for left != 0 {
		slice := int64(sendSlice)
		if left > 0 {
			slice = min(slice, left)
		}
		_ = w.control.SetWriteDeadline(w.patience.deadline())
		n, err := io.CopyN(w.ResponseWriter, src, slice)
		sent += n
		if left > 0 {
			left -= n
		}
		if errors.Is(err, io.EOF) {
			return sent, nil
		}
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}
