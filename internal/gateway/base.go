package gateway

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// serveBase has Base answer, and logs how it did.
func (x *exchange) serveBase(ctx context.Context) {
	x.r.Header["X-Request-Id"] = []string{x.id}
	x.r.RemoteAddr = net.JoinHostPort(x.from.address, "0") // whom its limits are for
	x.w.Header()["X-Request-Id"] = []string{x.id}
	if x.r.ProtoMajor == 1 && (len(x.r.TransferEncoding) > 0 || x.method == http.MethodConnect) {
		// As for apps ([exchange.begin]): where such a request ends, a proxy in
		// front may have read otherwise.
		x.w.Header()["Connection"] = []string{"close"}
	}
	if !x.g.accessLog.takes() {
		x.g.base.ServeHTTP(x.w, x.r)
		return
	}
	if x.r.Body != nil && x.r.Body != http.NoBody {
		x.r.Body = &readBody{x.r.Body, x}
	}
	whole := false
	defer func() {
		switch {
		case x.status != 0:
		case whole:
			x.status = http.StatusOK // what net/http answers for Base
		default:
			x.status = statusGone
		}
		x.logAccess(ctx, pathOf(x.r.Pattern), time.Since(x.started))
	}()
	x.g.base.ServeHTTP(&writtenAnswer{x.w, x}, x.r)
	whole = true
}

// pathOf leaves out the method of a pattern, which the log has already.
func pathOf(pattern string) string {
	if _, path, ok := strings.Cut(pattern, " "); ok {
		return path
	}
	return pattern
}

// readBody counts what Base reads of a request.
type readBody struct {
	io.ReadCloser
	x *exchange
}

func (b *readBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.x.body.read.Add(int64(n))
	return n, err
}

// writtenAnswer counts what Base answers.
type writtenAnswer struct {
	http.ResponseWriter
	x *exchange
}

// Unwrap is for http.ResponseController.
func (w *writtenAnswer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *writtenAnswer) WriteHeader(status int) {
	w.begin(status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *writtenAnswer) Write(p []byte) (int, error) {
	w.begin(http.StatusOK)
	n, err := w.ResponseWriter.Write(p)
	w.x.sent += int64(n)
	return n, err
}

// ReadFrom keeps a blob's way from its file to the connection short.
func (w *writtenAnswer) ReadFrom(r io.Reader) (int64, error) {
	w.begin(http.StatusOK)
	n, err := io.Copy(w.ResponseWriter, r)
	w.x.sent += n
	return n, err
}

func (w *writtenAnswer) begin(status int) {
	if w.x.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.x.status = status
	}
}
