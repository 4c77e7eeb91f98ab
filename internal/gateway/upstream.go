package gateway

import (
	"net/http"

	"berth/internal/deploy"
)

// upstream is the way to one instance.
type upstream struct {
	transport *http.Transport
}

func newUpstream(_ string, _ deploy.Protocol) upstream {
	return upstream{&http.Transport{MaxIdleConnsPerHost: 64}}
}

func (u upstream) closeIdle() { u.transport.CloseIdleConnections() }
