package gateway

import (
	"net/http"

	"berth/internal/deploy"
)

// upstream is the way to one instance: by HTTP/1.1, or by HTTP/2.
// One of the two is set.
type upstream struct {
	http1 *pool
	http2 *http.Transport
}

func newUpstream(to deploy.Endpoint, p deploy.Protocol, by *edge) upstream {
	if p == deploy.H2C {
		return upstream{http2: newHTTP2(to, by)}
	}
	return upstream{http1: newPool(to, by)}
}

// close closes the connections not in use now, and the others after their use.
func (u upstream) close() {
	if u.http2 != nil {
		u.http2.CloseIdleConnections()
		return
	}
	u.http1.close()
}
