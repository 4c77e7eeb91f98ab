package registry

import (
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	// patience is how long the other side may let a connection stand still
	// before it is given up.
	patience = time.Minute
	// sendSlice is how much is sent under one deadline, in bytes: a client
	// may take as slow a pace as sendSlice in patience.
	sendSlice = 4 << 20
)

// patientBody is a request's body that must keep coming, however long it is.
type patientBody struct {
	io.ReadCloser
	control *http.ResponseController
}

func newPatientBody(w http.ResponseWriter, body io.ReadCloser) io.ReadCloser {
	return &patientBody{ReadCloser: body, control: http.NewResponseController(w)}
}

func (b *patientBody) Read(p []byte) (int, error) {
	// Where the connection knows no deadlines, the server's own hold.
	_ = b.control.SetReadDeadline(time.Now().Add(patience))
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{}) // an expired one would end the request
	}
	return n, err
}

// patientWriter is an answer that must keep being taken, however long it is.
// Files still go to the socket without passing through memory.
type patientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

func newPatientWriter(w http.ResponseWriter) *patientWriter {
	return &patientWriter{ResponseWriter: w, control: http.NewResponseController(w)}
}

// Unwrap lets http.ResponseController through.
func (w *patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *patientWriter) Write(p []byte) (int, error) {
	_ = w.control.SetWriteDeadline(time.Now().Add(patience))
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
		_ = w.control.SetWriteDeadline(time.Now().Add(patience))
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
