package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/needs"
)

// The hosts that the examples in packaging/ are written for.
const (
	frontBase = "berth.example.com"
	frontApp  = "app.example.com"
)

// front is a Berth behind another proxy, which serves an app that is not
// Berth's and asks who may enter it. The proxy runs the example in packaging/,
// with other addresses.
type front struct {
	*berth
	proxy string // its address
	app   *upstream
	last  int // of the addresses that guests come from
}

// newFront starts all three. begin starts the proxy in a folder, at an address,
// with what to put in the place of the example's addresses.
func newFront(t *testing.T, begin func(t *testing.T, dir, address string, put *strings.Replacer)) *front {
	t.Helper()
	f := &front{proxy: needs.Address(t), app: newUpstream(t)}
	f.berth = startHeard(t, noEngine, nil, "BERTH_BASE_URL="+f.url(frontBase, ""), "BERTH_TRUST_PROXY=127.0.0.1", "BERTH_FORWARD_AUTH=nginx,traefik,caddy,envoy", "BERTH_ACCESS_LOG=on", "BERTH_SECRET_KEY="+strings.Repeat("k", 64))
	begin(t, t.TempDir(), f.proxy, strings.NewReplacer("127.0.0.1:8080", f.address, "127.0.0.1:9000", f.app.Listener.Addr().String()))
	f.eventually("the proxy answers", func() error {
		response, err := f.guest().client.Get(f.url(frontBase, "/health"))
		if err != nil {
			return err
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status)
		}
		return nil
	})
	return f
}

// url gives an address at the proxy.
func (f *front) url(host, path string) string {
	return "https://" + host + ":" + f.port() + path
}

func (f *front) port() string { return f.proxy[strings.LastIndexByte(f.proxy, ':')+1:] }

// program starts one, and ends it with the test. What it wrote is told where
// that failed.
func program(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	var output bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &output, &output
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		ended := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		ended.Stop()
		if t.Failed() {
			t.Logf("%s wrote:\n%s", name, output.String())
		}
	})
}

// nginxFront runs packaging/nginx/berth.conf.
func nginxFront(t *testing.T, dir, address string, put *strings.Replacer) {
	t.Helper()
	needs.Program(t, "nginx")
	example, err := os.ReadFile("../packaging/nginx/berth.conf")
	require.NoError(t, err)
	certificate, key := certificateIn(t, dir)
	text := strings.NewReplacer("listen 443", "listen "+address, "/etc/ssl/berth/fullchain.pem", certificate, "/etc/ssl/berth/privkey.pem", key).Replace(put.Replace(string(example)))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "berth.conf"), []byte(text), 0o600))
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n" // or it may not read the folder
	}
	main := user + `daemon off;
worker_processes 1;
pid ` + dir + `/pid;
error_log stderr warn;
events { }
http {
	access_log off;
	client_body_temp_path ` + dir + `/body;
	proxy_temp_path ` + dir + `/proxy;
	fastcgi_temp_path ` + dir + `/fastcgi;
	uwsgi_temp_path ` + dir + `/uwsgi;
	scgi_temp_path ` + dir + `/scgi;
	include ` + dir + `/berth.conf;
}
`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(main), 0o600))
	program(t, nil, "nginx", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr")
}

// caddyFront runs packaging/caddy/Caddyfile.
func caddyFront(t *testing.T, dir, address string, put *strings.Replacer) {
	t.Helper()
	needs.Program(t, "caddy")
	example, err := os.ReadFile("../packaging/caddy/Caddyfile")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "example"), []byte(put.Replace(string(example))), 0o600))
	host, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	main := fmt.Sprintf("{\n\tadmin off\n\tlocal_certs\n\tskip_install_trust\n\tauto_https disable_redirects\n\thttps_port %s\n\tdefault_bind %s\n}\nimport %s/example\n", port, host, dir)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "Caddyfile"), []byte(main), 0o600))
	home := []string{"HOME=" + dir, "XDG_DATA_HOME=" + dir + "/data", "XDG_CONFIG_HOME=" + dir + "/config"}
	program(t, home, "caddy", "run", "--adapter", "caddyfile", "--config", filepath.Join(dir, "Caddyfile"))
}

// certificateIn writes a certificate for both hosts, which nobody vouches for.
func certificateIn(t *testing.T, dir string) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: frontBase}, DNSNames: []string{frontBase, frontApp},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	raw, err := x509.MarshalECPrivateKey(private)
	require.NoError(t, err)
	certificate, key = filepath.Join(dir, "fullchain.pem"), filepath.Join(dir, "privkey.pem")
	require.NoError(t, os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw}), 0o600))
	return certificate, key
}

// upstream is the app behind the proxy. It keeps what it was asked.
type upstream struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		u.mu.Lock()
		u.seen = append(u.seen, r.Clone(context.WithoutCancel(r.Context())))
		u.mu.Unlock()
		if strings.EqualFold(r.Header.Get("Connection"), "upgrade") && r.Header.Get("Upgrade") == "echo" {
			conn, lines, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			line, _ := lines.ReadString('\n')
			_, _ = io.WriteString(conn, line)
			return
		}
		_, _ = fmt.Fprintf(w, "the app says %s", body)
	}))
	t.Cleanup(u.Close)
	return u
}

// took gives what reached the app since it was last asked.
func (u *upstream) took() []*http.Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	seen := u.seen
	u.seen = nil
	return seen
}

// guest is a browser, or a program, at an address of its own. It follows nothing
// by itself.
type guest struct {
	f      *front
	from   string
	client *http.Client
	dial   func(ctx context.Context) (net.Conn, error)
}

func (f *front) guest() *guest {
	f.last++
	g := &guest{f: f, from: fmt.Sprintf("127.8.0.%d", f.last)}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(g.from)}}
	g.dial = func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", f.proxy) }
	jar, err := cookiejar.New(nil)
	require.NoError(f.t, err)
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return g.dial(ctx) },
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2: true,
	}
	f.t.Cleanup(transport.CloseIdleConnections)
	g.client = &http.Client{Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return g
}

// do sends a request with more lines of its head.
func (g *guest) do(method, address, body string, lines ...string) *reply {
	g.f.t.Helper()
	request, err := http.NewRequestWithContext(g.f.t.Context(), method, address, strings.NewReader(body))
	require.NoError(g.f.t, err)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		request.Header[name] = append(request.Header[name], value)
	}
	response, err := g.client.Do(request)
	require.NoError(g.f.t, err)
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	require.NoError(g.f.t, err)
	return &reply{response, string(raw)}
}

// asks asks the app for a path, as a program does.
func (g *guest) asks(path string, lines ...string) *reply {
	g.f.t.Helper()
	return g.do("GET", g.f.url(frontApp, path), "", lines...)
}

var pageLines = []string{"Accept: text/html", "Sec-Fetch-Mode: navigate"}

// browse goes to a page and on to where it is led.
func (g *guest) browse(address string) (at *url.URL, last *reply) {
	g.f.t.Helper()
	at, err := url.Parse(address)
	require.NoError(g.f.t, err)
	for range 10 {
		last = g.do("GET", at.String(), "", pageLines...)
		if last.to() == "" {
			return at, last
		}
		at, err = at.Parse(last.to())
		require.NoError(g.f.t, err)
	}
	require.Fail(g.f.t, "led on and on", at.String())
	return nil, nil
}

func (g *guest) signIn(name, password string) {
	g.f.t.Helper()
	body, err := json.Marshal(map[string]any{"username": name, "password": password})
	require.NoError(g.f.t, err)
	r := g.do("POST", g.f.url(frontBase, "/api/session"), string(body), "Content-Type: application/json")
	require.Equal(g.f.t, http.StatusOK, r.StatusCode, r.body)
}

// raw sends a request to the app's host as it is written, over HTTP/1.1, and
// gives the status; 0 where the proxy closed without one.
func (g *guest) raw(request string) (status int, body string) {
	g.f.t.Helper()
	c := g.secure()
	defer c.Close()
	_, err := io.WriteString(c, request)
	require.NoError(g.f.t, err)
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, ""
	}
	defer response.Body.Close()
	all, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(all)
}

func (g *guest) secure() net.Conn {
	g.f.t.Helper()
	plain, err := g.dial(g.f.t.Context())
	require.NoError(g.f.t, err)
	c := tls.Client(plain, &tls.Config{InsecureSkipVerify: true, ServerName: frontApp, NextProtos: []string{"http/1.1"}})
	require.NoError(g.f.t, c.SetDeadline(time.Now().Add(20*time.Second)))
	return c
}

// cookies gives those that the guest has for the app's host, as a line.
func (g *guest) cookies() string {
	at, err := url.Parse(g.f.url(frontApp, "/"))
	require.NoError(g.f.t, err)
	var pairs []string
	for _, c := range g.client.Jar.Cookies(at) {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return strings.Join(pairs, "; ")
}
