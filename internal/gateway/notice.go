package gateway

import (
	"bytes"
	"cmp"
	"html/template"
	"net/http"
	"strconv"

	"berth/internal/identity"
)

// Notice is a page on the base host that is not the dashboard's: it needs no
// script, and looks as the gateway's own pages do.
type Notice struct {
	Status   int
	Title    string
	Detail   string
	Action   string // where Button is sent to
	Button   string // none when empty
	Link     string // a path to go on to, none when empty, with what LinkText says
	LinkText string
}

// Write answers with the page.
func (n Notice) Write(w http.ResponseWriter, r *http.Request) {
	p := page{status: n.Status, title: n.Title, detail: n.Detail, button: n.Button, action: n.Action}
	if n.Link != "" {
		p.links = []link{{n.LinkText, n.Link}}
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", p.policyOf())
	// The form's address has to be told: a POST without an origin is refused.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Content-Type", "text/html; charset=utf-8")
	text := p.html("")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(n.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(text) // the client is away
	}
}

// html is the page as browsers show it.
func (p *page) html(requestID string) []byte {
	var b bytes.Buffer
	_ = pageTemplate.Execute(&b, map[string]any{
		"Title": p.title, "Status": p.status, "Detail": p.detail, "RequestID": requestID, "Links": p.links, "Button": p.button, "Action": p.action,
		"Style": template.CSS(pageCSS), //nolint:gosec // our own file
	})
	return b.Bytes()
}

// Known is how somebody is told who they are signed in as: their names, and at
// which provider.
func Known(s *identity.Subject) string {
	if provider := cmp.Or(s.Provider, identity.ProviderLocal); provider != identity.ProviderLocal {
		return nameOf(s) + ", by " + provider
	}
	return nameOf(s) + ", with an account of this Berth"
}
