// Package packaging holds the examples for other proxies that ask Berth who may
// enter (docs/forward-auth.md), and gives them for one app with [Example].
package packaging

import (
	"embed"
	"strings"

	"berth/internal/fault"
)

//go:embed nginx/berth.conf caddy/Caddyfile traefik/berth.yaml envoy/berth.yaml
var files embed.FS

// The files, by the proxy that reads them.
var examples = map[string]string{
	"nginx": "nginx/berth.conf", "caddy": "caddy/Caddyfile", "traefik": "traefik/berth.yaml", "envoy": "envoy/berth.yaml",
}

// Places are what stands in an example in the place of its own names.
type Places struct {
	Base  string // Berth's own host
	Host  string // the app's
	Berth string // where the proxy reaches Berth, such as 127.0.0.1:8080
	App   string // and the app
}

// Example gives a proxy's example, and the name of its file. It fails with a
// NotFound fault for a proxy that there is none for. What is put into it must be
// a host, or an address with a port: it is configuration.
func Example(proxy string, put Places) (file, text string, err error) {
	file, ok := examples[proxy]
	if !ok {
		return "", "", fault.NotFound("there is no example for %q: there are nginx, caddy, traefik and envoy", proxy)
	}
	raw, err := files.ReadFile(file)
	if err != nil {
		return "", "", err
	}
	_, name, _ := strings.Cut(file, "/")
	return name, strings.NewReplacer(
		"berth.example.com", put.Base, "app.example.com", put.Host, "127.0.0.1:8080", put.Berth, "127.0.0.1:9000", put.App,
		envoyAddress("8080"), envoyAddressOf(put.Berth), envoyAddress("9000"), envoyAddressOf(put.App),
	).Replace(string(raw)), nil
}

// Envoy has address and port apart.

func envoyAddress(port string) string { return "{address: 127.0.0.1, port_value: " + port + "}" }

func envoyAddressOf(place string) string {
	at := strings.LastIndexByte(place, ':')
	return "{address: " + strings.Trim(place[:max(at, 0)], "[]") + ", port_value: " + place[at+1:] + "}"
}
