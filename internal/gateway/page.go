package gateway

import (
	"crypto/sha256"
	_ "embed" // the page and its style
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"berth/internal/deploy"
	"berth/internal/fault"
)

// page is what the gateway itself answers, as a person may read it.
type page struct {
	status  int
	title   string
	detail  string
	code    fault.Kind
	retry   int  // Retry-After in seconds; 0 for none
	refresh bool // a browser asks again by itself

	header http.Header // besides
	links  []link      // where to go from here
	button string      // what a form says; none when empty
	action string      // where it is sent to; to the same address when empty
}

// link leads on from a page.
type link struct{ Text, To string }

// pageFor puts a failure into words.
func (x *exchange) pageFor(err error) page {
	if no, ok := errors.AsType[*refusal](err); ok {
		return x.deny(no)
	}
	if own, ok := errors.AsType[*ownPageError](err); ok {
		return own.page
	}
	switch {
	case errors.Is(err, errSignedOut):
		return page{status: http.StatusUnauthorized, title: "Signed out", detail: "Your session ended while this was under way. Sign in again.", code: fault.Unauthenticated}
	case errors.Is(err, errNotAsked):
		return page{status: http.StatusServiceUnavailable, title: "Unavailable", detail: "It can not be found out who you are at the moment. Try again in a little while.", code: fault.NotNow, retry: 5}
	case errors.Is(err, errBadTarget):
		return page{status: http.StatusBadRequest, title: "Bad request", detail: "The address of this request can be read in more than one way, so it was not passed on.", code: fault.BadInput}
	case errors.Is(err, errMethodCase):
		return page{status: http.StatusBadRequest, title: "Bad request", detail: "The method of this request can be read in more than one way, so it was not passed on. Write it in capitals.", code: fault.BadInput}
	case errors.Is(err, errBadHost):
		return page{status: http.StatusBadRequest, title: "Bad request", detail: "The request does not say which host it is for.", code: fault.BadInput}
	case errors.Is(err, errBadOrigin):
		return page{status: http.StatusBadRequest, title: "Bad request", detail: "The proxy in front of this server does not say clearly where the request comes from, so it was not passed on.", code: fault.BadInput}
	case errors.Is(err, errBadMethod):
		return page{status: http.StatusMethodNotAllowed, title: "Not a proxy", detail: "This server does not open connections to others.", code: fault.BadInput, header: http.Header{"Connection": {"close"}}} // what follows was meant for another
	case errors.Is(err, errNotHere):
		return page{status: http.StatusNotFound, title: "Not here", detail: "Addresses under " + ownPath + "/ are Berth's own, and there is nothing at this one.", code: fault.Missing}
	case errors.Is(err, errNoRoute):
		return page{status: http.StatusNotFound, title: "No such app", detail: "Nothing runs at this address. Check its spelling, or ask whoever runs this server.", code: fault.Missing}
	case errors.Is(err, errElsewhere):
		return page{status: http.StatusNotFound, title: "Not here", detail: "Another server answers at this address; this one only says who may enter. Ask whoever runs it.", code: fault.Missing}
	case errors.Is(err, errLoop):
		return page{status: http.StatusLoopDetected, title: "Going round", detail: "This address leads back to itself, so the request was not passed on. Ask whoever runs this server.", code: fault.NotNow}
	case errors.Is(err, errAtWork):
		return maintenancePage(*x.route.Maintenance)
	case errors.Is(err, errNoInstance) && x.route.starting():
		return page{status: http.StatusServiceUnavailable, title: "Starting", detail: "The app is starting. This page looks again by itself.", code: fault.NotNow, retry: 3, refresh: true}
	case errors.Is(err, errNoInstance):
		return page{status: http.StatusServiceUnavailable, title: "Unavailable", detail: "The app is not running at the moment. Try again in a little while.", code: fault.NotNow, retry: 30}
	case errors.Is(err, errBusy):
		return page{status: http.StatusServiceUnavailable, title: "Busy", detail: "The app serves as many requests as it may at one time. Try again in a moment.", code: fault.NotNow, retry: 2}
	case errors.Is(err, errLimit):
		return page{status: http.StatusServiceUnavailable, title: "Busy", detail: "This server answers as many requests as it may at one time. Try again in a moment.", code: fault.NotNow, retry: 5}
	case errors.Is(err, errShare):
		return page{status: http.StatusServiceUnavailable, title: "Busy", detail: "As many requests as one network may have at one time come from yours. Try again in a moment.", code: fault.NotNow, retry: 5}
	case errors.Is(err, errDrained), errors.Is(err, errOneMoment):
		return page{status: http.StatusServiceUnavailable, title: "Interrupted", detail: "A new version of the app took over while this request was waiting. Try again.", code: fault.NotNow, retry: 1}
	case errors.Is(err, errEnding):
		return page{status: http.StatusServiceUnavailable, title: "Interrupted", detail: "This server stopped while the request was waiting. It may have been done all the same.", code: fault.NotNow, retry: 5}
	case errors.Is(err, errBodyTooLarge):
		return page{status: http.StatusRequestEntityTooLarge, title: "Too large", detail: "What was sent is larger than the " + size(x.body.limit) + " that this app takes.", code: fault.TooLarge}
	case errors.Is(err, errBodyTooSlow):
		return page{status: http.StatusRequestTimeout, title: "Too slow", detail: "The rest of the request did not come in time.", code: fault.BadInput}
	case errors.Is(err, errBodyBroken):
		return page{status: http.StatusBadRequest, title: "Bad request", detail: "The request's body is not complete.", code: fault.BadInput}
	case isTimeout(err), errors.Is(err, errNoAnswerInTime):
		return page{status: http.StatusGatewayTimeout, title: "No answer in time", detail: "The app did not answer in time. It may have done what was asked all the same.", code: fault.NotNow}
	default:
		return page{status: http.StatusBadGateway, title: "No answer", detail: "The app could not be reached, or broke off without an answer.", code: fault.NotNow}
	}
}

// maintenancePage says what who set it wants said.
func maintenancePage(m deploy.Maintenance) page {
	retry := max(int(time.Duration(m.RetryAfter)/time.Second), 1)
	detail := m.Message
	if detail == "" {
		detail = "This app is being worked on and will be back soon."
	}
	return page{status: http.StatusServiceUnavailable, title: "Maintenance", detail: detail, code: fault.NotNow, retry: retry, refresh: true}
}

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

var (
	pageTemplate = template.Must(template.New("page").Parse(pageHTML))
	pageStyle    = func() string {
		sum := sha256.Sum256([]byte(pageCSS))
		return base64.StdEncoding.EncodeToString(sum[:])
	}()
)

// policyOf allows a page its style, and its form where it has one.
func (p *page) policyOf() string {
	to := "'none'"
	if p.button != "" {
		to = "'self'"
	}
	return "default-src 'none'; style-src 'sha256-" + pageStyle + "'; base-uri 'none'; form-action " + to + "; frame-ancestors 'none'"
}

// show answers with a page: in gRPC's way to gRPC, in HTML to who asks for
// it, as a problem (RFC 9457) to everybody else.
func (x *exchange) show(p page) {
	h := x.w.Header()
	clear(h)
	if x.grpc {
		h.Set("Content-Type", "application/grpc")
		h.Set("Grpc-Status", grpcCode(p.code))
		h.Set("Grpc-Message", p.title)
		x.begin(http.StatusOK)
		return
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", p.policyOf())
	h.Set("Referrer-Policy", "no-referrer")
	maps.Copy(h, p.header)
	if p.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retry))
	}
	var text []byte
	if wantsHTML(x.r.Header["Accept"]) {
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Vary", "Accept")
		if p.refresh {
			h.Set("Refresh", strconv.Itoa(p.retry))
		}
		text = p.html(x.id)
	} else {
		h.Set("Content-Type", "application/problem+json")
		text, _ = json.Marshal(map[string]any{
			"type": "about:blank", "title": p.title, "status": p.status, "detail": p.detail,
			"code": p.code.String(), "request_id": x.id,
		})
	}
	h.Set("Content-Length", strconv.Itoa(len(text)))
	x.begin(p.status)
	if x.method != http.MethodHead {
		n, _ := x.w.Write(text) //nolint:gosec // escaped by the template, or as JSON
		x.sent = int64(n)
	}
}

// wantsHTML says whether Accept asks for HTML by name, as browsers do.
func wantsHTML(accept []string) bool {
	for _, line := range accept {
		for part := range strings.SplitSeq(line, ",") {
			kind, parameters, _ := strings.Cut(part, ";")
			switch strings.TrimSpace(strings.ToLower(kind)) {
			case "text/html", "application/xhtml+xml":
				return strings.ReplaceAll(parameters, " ", "") != "q=0"
			}
		}
	}
	return false
}

// grpcCode gives the status that gRPC has for a kind of failure.
func grpcCode(k fault.Kind) string {
	switch k {
	case fault.Missing:
		return "5" // NOT_FOUND
	case fault.TooLarge, fault.TooOften:
		return "8" // RESOURCE_EXHAUSTED
	case fault.BadInput, fault.Clash:
		return "3" // INVALID_ARGUMENT
	case fault.Unauthenticated:
		return "16" // UNAUTHENTICATED
	case fault.Denied, fault.NotProved:
		return "7" // PERMISSION_DENIED
	case fault.NotNow, fault.Internal:
		return "14" // UNAVAILABLE
	}
	return "14"
}

// size writes bytes for people.
func size(n int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	unit := 0
	for ; n >= 1024 && n%1024 == 0 && unit < len(units)-1; unit++ {
		n /= 1024
	}
	return strconv.FormatInt(n, 10) + " " + units[unit]
}
