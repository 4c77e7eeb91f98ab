// Package web holds the built dashboard and serves it from memory.
//
// Start with [Handler]. The sources beside this file are SvelteKit's; building
// them fills build/, which is embedded. Before the first build the handler
// says so. What the dashboard shows comes from package api.
package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed all:build
var build embed.FS

// Handler serves the dashboard that this binary was built with.
func Handler() (http.Handler, error) {
	files, err := fs.Sub(build, "build")
	if err != nil {
		return nil, err
	}
	return Serve(files)
}

// Serve reads a build and serves it from memory: compressed as built, hashed
// files immutable, each page under a policy that lets in only what the build
// holds. A path that is no file gets the shell, which routes in the browser.
func Serve(files fs.FS) (http.Handler, error) {
	assets, err := load(files)
	if err != nil {
		return nil, fmt.Errorf("read the built dashboard: %w", err)
	}
	return &dashboard{assets: assets, policy: policyOf(assets)}, nil
}

// shell is the page that every route of the dashboard begins with.
const shell = "/index.html"

type dashboard struct {
	assets map[string]*asset
	policy string // Content-Security-Policy
}

// asset is one file of the build with the compressed forms beside it.
type asset struct {
	raw, brotli, gzip []byte
	mediaType         string
	digest            string
	immutable         bool
}

func load(files fs.FS) (map[string]*asset, error) {
	assets := map[string]*asset{}
	return assets, fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(path.Base(name), ".") ||
			path.Ext(name) == ".br" || path.Ext(name) == ".gz" {
			return err
		}
		a := &asset{immutable: strings.HasPrefix(name, "_app/immutable/"), mediaType: mediaTypeOf(name)}
		if a.raw, err = fs.ReadFile(files, name); err != nil {
			return err
		}
		a.brotli, _ = fs.ReadFile(files, name+".br") // nil when it was not worth it
		a.gzip, _ = fs.ReadFile(files, name+".gz")
		sum := sha256.Sum256(a.raw)
		a.digest = hex.EncodeToString(sum[:12])
		assets["/"+name] = a
		return nil
	})
}

// mediaTypeOf does not ask the machine's own table for what a dashboard is
// made of: they differ.
func mediaTypeOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".json":
		return "application/json"
	case ".svg":
		return "image/svg+xml"
	case ".woff2":
		return "font/woff2"
	case ".webmanifest":
		return "application/manifest+json"
	case ".txt":
		return "text/plain; charset=utf-8"
	}
	if known := mime.TypeByExtension(path.Ext(name)); known != "" {
		return known
	}
	return "application/octet-stream"
}

func (d *dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", d.policy)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	if d.assets[shell] == nil {
		http.Error(w, "the dashboard is not built: run make build", http.StatusServiceUnavailable)
		return
	}
	name := path.Clean("/" + r.URL.Path)
	a, ok := d.assets[name]
	if !ok {
		// A missing file is a 404, never the shell: an old tab that asks for
		// a chunk of the build before must not get a page for a script.
		// A dot deeper down is a name's: /people/ana.smith is a page.
		if strings.HasPrefix(name, "/_app/") || path.Ext(name) != "" && path.Dir(name) == "/" {
			http.NotFound(w, r)
			return
		}
		a = d.assets[shell]
	}
	a.serve(w, r)
}

func (a *asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.mediaType)
	h.Set("Cache-Control", "no-cache") // ask each time, by ETag
	if a.immutable {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body, coding := a.coded(r.Header.Get("Accept-Encoding"))
	if a.brotli != nil || a.gzip != nil {
		h.Add("Vary", "Accept-Encoding")
	}
	tag := `"` + a.digest + `"`
	if coding != "" {
		h.Set("Content-Encoding", coding)
		tag = `"` + a.digest + "-" + coding + `"` // RFC 9110 section 8.8.3.3: one tag for each coding
	}
	h.Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the client is away
	}
}

// coded gives the smallest form that the client takes.
func (a *asset) coded(accepted string) (body []byte, coding string) {
	switch {
	case a.brotli != nil && takes(accepted, "br"):
		return a.brotli, "br"
	case a.gzip != nil && takes(accepted, "gzip"):
		return a.gzip, "gzip"
	}
	return a.raw, ""
}

// takes reads Accept-Encoding: RFC 9110 section 12.5.3.
func takes(accepted, coding string) bool {
	for part := range strings.SplitSeq(accepted, ",") {
		name, weight, _ := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(name), coding) {
			continue
		}
		_, q, weighted := strings.Cut(strings.ReplaceAll(weight, " ", ""), "=")
		value, err := strconv.ParseFloat(q, 64)
		return !weighted || (err == nil && value > 0)
	}
	return false
}
