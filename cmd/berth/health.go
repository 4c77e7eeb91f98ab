package main

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"time"

	"berth/internal/fault"
	"berth/internal/secret"
)

type healthCommand struct {
	Timeout time.Duration `default:"5s" help:"How long to wait for the answer."`
}

// Help tells what it is for.
func (*healthCommand) Help() string {
	return "Asks the server at --url, or the one that the settings of this folder describe, at the address it listens on: fit for a container's health check."
}

// Run asks for /health.
func (cmd *healthCommand) Run(ctx context.Context, g *globals, o *output, p *process) error {
	c, err := cmd.client(g, p)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cmd.Timeout)
	defer cancel()
	var health struct {
		Status  string `json:"status"`
		Version string `json:"version"`
	}
	if err := c.get(ctx, "/health", &health); err != nil {
		if ctx.Err() != nil {
			return fault.Unavailable("%s did not answer within %s", c.where(), cmd.Timeout).Because(err)
		}
		return err
	}
	return o.result(health, func() { o.printf("%s (%s)\n", health.Status, health.Version) })
}

// client talks to the gateway itself rather than to the socket, so that what
// is healthy is what people reach. Health needs no token.
func (*healthCommand) client(g *globals, p *process) (*client, error) {
	if g.URL != "" {
		return connectRemote(g.URL, secret.Text{})
	}
	s, err := loadSettings(g, p)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return nil, fault.Invalid("BERTH_LISTEN: %v", err)
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "localhost"
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	}
	return &client{
		base: &url.URL{Scheme: "http", Host: s.BaseURL.Host},
		http: &http.Client{Transport: newTransport(dial)},
	}, nil
}
