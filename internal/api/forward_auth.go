package api

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"berth/internal/fault"
	"berth/packaging"
)

// ProxyExample is a configuration by which another proxy serves an app and asks
// Berth who may enter.
type ProxyExample struct {
	Proxy   string   `json:"proxy"`
	File    string   `json:"file" doc:"What the file is called" example:"berth.conf"`
	Text    string   `json:"text"`
	Trusted []string `json:"trusted" doc:"The networks of BERTH_TRUST_PROXY: from elsewhere nobody is answered"`
	Asks    bool     `json:"asks" doc:"Whether BERTH_FORWARD_AUTH names this kind of proxy: no other is answered"`
	Known   bool     `json:"known" doc:"Whether Berth has a policy for the host"`
}

type proxyExampleInput struct {
	Proxy string `path:"proxy" enum:"nginx,caddy,traefik,envoy"`
	Host  string `query:"host" required:"true" minLength:"1" maxLength:"253" doc:"The app's" example:"app.example.com"`
	App   string `query:"app" default:"127.0.0.1:9000" maxLength:"260" doc:"Where the proxy reaches the app"`
}

// proxyExample gives an example for a host. What is asked for goes into a
// configuration, so nothing but a host and an address may stand in it.
func (a *API) proxyExample(_ context.Context, in *proxyExampleInput) (*output[ProxyExample], error) {
	host, known := a.gateway.Serves(in.Host)
	if host == "" || strings.HasPrefix(host, "[") {
		return nil, fault.InvalidFields([]fault.Field{{Name: "host", Message: "is a hostname such as app.example.com"}})
	}
	if !addressWithPort(in.App) {
		return nil, fault.InvalidFields([]fault.Field{{Name: "app", Message: "is an address with a port, such as 127.0.0.1:9000"}})
	}
	file, text, err := packaging.Example(in.Proxy, packaging.Places{Base: a.baseURL.Hostname(), Host: host, Berth: a.reachedAt(), App: in.App})
	if err != nil {
		return nil, err
	}
	out := ProxyExample{Proxy: in.Proxy, File: file, Text: text, Trusted: []string{}, Asks: a.gateway.Asks(in.Proxy), Known: known}
	for _, network := range a.gateway.Trusts() {
		out.Trusted = append(out.Trusted, network.String())
	}
	return answer(out), nil
}

func addressWithPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	at, err := netip.ParseAddr(host)
	if err != nil || at.Zone() != "" { // a zone may be any text
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// reachedAt is where a proxy on this machine reaches Berth.
func (a *API) reachedAt() string {
	for _, s := range a.settings {
		if s.Name != "BERTH_LISTEN" {
			continue
		}
		if host, port, err := net.SplitHostPort(s.Value); err == nil {
			if at, err := netip.ParseAddr(host); err == nil && !at.IsUnspecified() {
				return s.Value
			}
			return net.JoinHostPort("127.0.0.1", port)
		}
	}
	return "127.0.0.1:8080"
}
