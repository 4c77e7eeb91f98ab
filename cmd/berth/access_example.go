package main

import (
	"context"
	"net/url"
	"strings"

	"berth/internal/api"
)

type accessForwardAuth struct {
	Proxy string `arg:"" enum:"nginx,caddy,traefik,envoy" help:"nginx, caddy, traefik or envoy."`
	Host  string `required:"" placeholder:"HOST" help:"The app's host."`
	App   string `default:"127.0.0.1:9000" placeholder:"ADDRESS" help:"Where the proxy reaches the app."`
}

// Run prints a configuration, and what is still to do beside it.
func (cmd *accessForwardAuth) Run(ctx context.Context, c *client, o *output) error {
	var e api.ProxyExample
	query := url.Values{"host": {cmd.Host}, "app": {cmd.App}}
	if err := c.get(ctx, "/api/access/forward-auth/"+cmd.Proxy+"?"+query.Encode(), &e); err != nil {
		return err
	}
	return o.result(e, func() {
		o.printf("%s", e.Text)
		if !e.Asks {
			o.note("BERTH_FORWARD_AUTH does not name %s yet, so it is not answered.", e.Proxy)
		}
		if len(e.Trusted) == 0 {
			o.note("BERTH_TRUST_PROXY names no proxy yet, so nobody is answered: name the address that this one connects from.")
		} else {
			o.note("Only proxies at %s are answered (BERTH_TRUST_PROXY).", strings.Join(e.Trusted, ", "))
		}
		if !e.Known {
			o.note("Berth has no policy for %s yet, so everybody is refused there.", cmd.Host)
		}
	})
}
