package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/settings"
)

// globals are the flags that every subcommand takes.
type globals struct {
	URL     string `name:"url" env:"BERTH_URL" placeholder:"URL" help:"Server to talk to."`
	Token   string `name:"token" env:"BERTH_TOKEN" placeholder:"TOKEN" help:"API token for --url."`
	DataDir string `name:"data-dir" env:"BERTH_DATA_DIR" type:"path" placeholder:"DIR" help:"Data folder of the server on this machine."`
	JSON    bool   `name:"json" help:"Print JSON."`
}

// environ is the environment with the flags put over it, for the settings.
func (g *globals) environ(p *process) []string {
	if g.DataDir == "" {
		return p.environ
	}
	return append(slices.Clip(p.environ), "BERTH_DATA_DIR="+g.DataDir)
}

// socket is the local server's socket: by --data-dir, by the settings of this
// folder, or by their default.
func (g *globals) socket(p *process) string {
	dir, err := os.Getwd()
	if err != nil {
		dir = "."
	}
	data, err := settings.DataDir(g.environ(p), dir)
	if err != nil {
		data = filepath.Join(dir, "data")
	}
	return filepath.Join(data, "berth.sock")
}

// connect finds the server to talk to. It does not ask whether it is there.
func connect(g *globals, p *process) (*client, error) {
	switch {
	case g.URL != "":
		token := secret.New(g.Token)
		if token.Empty() {
			kept, err := readCredentials(p)
			if err != nil {
				return nil, err
			}
			token = kept.of(g.URL).Token
		}
		return connectRemote(g.URL, token)
	case g.Token != "":
		return nil, fault.Invalid("a token needs the server it is for: give --url, or set BERTH_URL")
	case g.DataDir != "":
		return connectLocal(g.socket(p)), nil
	}
	kept, err := readCredentials(p)
	if err != nil {
		return nil, err
	}
	if kept.Current != "" {
		return connectRemote(kept.Current, kept.of(kept.Current).Token)
	}
	path := g.socket(p)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Unavailable("no server is known: start one here with \"berth serve\", name its data folder with --data-dir, or sign in to one with \"berth login\" (looked for %s)", path)
	}
	return connectLocal(path), nil
}

// connectRemote talks to a server by its URL.
func connectRemote(raw string, token secret.Text) (*client, error) {
	base, err := serverURL(raw)
	if err != nil {
		return nil, err
	}
	return &client{base: base, token: token, http: &http.Client{Transport: newTransport(nil), CheckRedirect: staysThere}}, nil
}

// staysThere refuses to be led to another server, or to this one in the clear:
// a password, a token or a device's code would be sent along.
func staysThere(r *http.Request, before []*http.Request) error {
	if u, first := r.URL, before[0].URL; u.Scheme != first.Scheme || u.Host != first.Host {
		return fmt.Errorf("it leads on to %s, which nobody asked for", &url.URL{Scheme: u.Scheme, Host: u.Host})
	}
	if len(before) >= 10 {
		return errors.New("it leads on without an end")
	}
	return nil
}

// connectLocal talks to the server on this machine as its administrator.
func connectLocal(socket string) *client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return &client{
		base: &url.URL{Scheme: "http", Host: "berth.local"}, socket: socket,
		http: &http.Client{Transport: newTransport(dial)},
	}
}

func newTransport(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // the standard library's own
	if dial != nil {
		t.DialContext, t.Proxy = dial, nil
	}
	t.ResponseHeaderTimeout = time.Minute
	return t
}

// serverURL checks a server's address. A token must not cross a network in
// the clear.
func serverURL(raw string) (*url.URL, error) {
	if !strings.Contains(raw, "://") {
		raw = "https://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fault.Invalid("%q is not the URL of a server, such as https://berth.example.com", raw)
	}
	if u.Scheme == "http" && !settings.IsLoopback(u.Hostname()) {
		return nil, fault.Invalid("%s is plain HTTP: a password or token would cross the network in the clear; use https", raw)
	}
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}, nil
}
