package e2e

import (
	"bytes"
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/identity"
	"berth/internal/needs"
	"berth/internal/selftest"
)

// TestPerimeter attacks the built binary from outside, with real apps behind
// it, by what hit other gateways and identity servers. Those checks that do no
// harm are [selftest.Checks]; the others need people, or a provider that lies,
// and are here.
//
// With BERTH_PERIMETER_REPORT it prints a table of all checks, and measures
// times as well, which takes longer: that is `make perimeter`.
func TestPerimeter(t *testing.T) {
	h := newHouse(t)
	checks := append(selftest.Checks(), h.checks()...)
	names := map[string]bool{}
	var results []selftest.Result
	for _, c := range checks {
		require.False(t, names[c.Name], "two checks are named %s", c.Name)
		names[c.Name] = true
		t.Run(c.Name, func(t *testing.T) {
			was := h.t
			h.t = t
			defer func() { h.t = was }()
			selftest.Run(t.Context(), h.target(), []selftest.Check{c}, func(r selftest.Result) {
				results = append(results, r)
				require.Equal(t, selftest.Held, r.Outcome, "%s (%s)\n%s", r.Prevents, r.Lacks, strings.Join(r.Problems, "\n"))
				require.Empty(t, r.Partly, "not all of it was checked")
			})
		})
	}
	if os.Getenv("BERTH_PERIMETER_REPORT") != "" {
		selftest.WriteTable(os.Stdout, results)
	}
}

// The hosts of the house's apps, and who is in it.
const (
	publicApp  = "perimeter-public"
	guardedApp = "perimeter-guarded"
	crew       = "crew"
)

// house is a server with an app for everybody, and one for people who have
// signed in: below /public for everybody, /crew for a group, /admin for
// administrators.
type house struct {
	*berth
	log  transcript // all that the server printed
	saw  transcript // all that it answered
	ana  *visitor   // a member, signed in
	root *visitor   // an administrator, signed in
	key  string     // an API token of ana's

	mu      sync.Mutex
	secrets []string // what must be nowhere
	passing []string // what a browser carries in addresses, and must be nowhere else
	last    int      // of the addresses that visitors come from
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{}
	h.berth = startHeard(t, noEngine, &h.log, "BERTH_LOG_LEVEL=debug", "BERTH_LOG_FORMAT=json", "BERTH_ACCESS_LOG=on")
	h.keep(adminPassword)
	h.serve(publicApp, identity.Public())
	h.serve(guardedApp, guardedPolicy())
	h.liar("door") // a way to sign in, for the checks that look for one
	h.person("ana", "member")
	h.person("bo", "member")
	h.ana, h.root = h.visitor(), h.visitor()
	h.ana.signIn("ana", passwordOf("ana"))
	h.root.signIn("admin", adminPassword)
	h.ana.enters("/pages")
	h.root.enters("/admin")
	h.key = h.ana.token()
	return h
}

// serve starts an app and routes a host of its name to it.
func (h *house) serve(name string, access identity.Policy) {
	h.t.Helper()
	address := needs.Address(h.t)
	app := exec.Command(appFile)
	app.Env = []string{"APP_LISTEN=" + address, "APP_REPORT=yes", "APP_VERSION=" + strings.TrimPrefix(name, "perimeter-")}
	require.NoError(h.t, app.Start())
	h.t.Cleanup(func() {
		_ = app.Process.Kill()
		_ = app.Wait()
	})
	h.eventually("the app answers", func() error {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	h.call("POST", "/api/routes", map[string]any{"name": name, "spec": deploy.FixedSpec{Hostname: name + ".localhost", Target: "http://" + address, Access: &access}}, nil)
}

func guardedPolicy() identity.Policy {
	return identity.Policy{
		Audience: "https://guarded.example",
		Rules: []identity.Rule{
			{Paths: []string{"/public"}, Allow: identity.Who{Public: true}},
			{Paths: []string{"/admin"}, Allow: identity.Who{Administrators: true}},
			{Paths: []string{"/crew"}, Allow: identity.Who{Groups: []string{crew}}},
			{Paths: []string{"/writes"}, Methods: []string{"DELETE", "PUT"}, Allow: identity.Who{Administrators: true}},
			{Allow: identity.Who{SignedIn: true}},
		},
	}
}

// target is what the checks know of the house.
func (h *house) target() selftest.Target {
	base, err := url.Parse(h.baseURL())
	require.NoError(h.t, err)
	return selftest.Target{
		Base: base, Guarded: guardedApp + ".localhost", Open: []string{"/public"}, Public: publicApp + ".localhost",
		Echo: true, Session: h.ana.cookie(guardedApp), Token: h.key, Saw: func(answer []byte) { _, _ = h.saw.Write(answer) },
	}
}

// checks are those that need people, or change something.
func (h *house) checks() []selftest.Check {
	list := []selftest.Check{
		h.cookiesOfApps(), h.fixation(), h.stolenTicket(), h.halfSignIn(), h.methodOverride(),
		h.enumeration(), h.lockOutEvasion(), h.lockOutOfOthers(), h.staleClaims(), h.inheritance(),
		h.stateReplay(), h.codeInjection(), h.mixUp(), h.tokenSubstitution(), h.forgedLogout(),
		h.passwordsAroundTheMode(), h.straightSomewhere(), h.deviceCodes(), h.deviceGuesses(),
	}
	if os.Getenv("BERTH_PERIMETER_REPORT") != "" {
		list = append(list, h.enumerationByTime())
	}
	return append(list, h.secretsAnywhere()) // last: it looks at all that came before
}

// person makes somebody.
func (h *house) person(name, role string) {
	h.t.Helper()
	h.call("POST", "/api/people", map[string]any{"username": name, "password": passwordOf(name), "role": role}, nil)
	h.keep(passwordOf(name))
}

func passwordOf(name string) string { return "the password of " + name + " is long" }

// keep remembers a text that must stand in no answer and no log.
func (h *house) keep(secret string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.secrets = append(h.secrets, secret)
}

// keepPassing is keep for what goes through a browser's addresses.
func (h *house) keepPassing(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.passing = append(h.passing, text)
}

// transcript keeps all that is written to it, up to 256 MiB.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text.Len()+len(p) > 256<<20 {
		return 0, errors.New("more than 256 MiB were said")
	}
	return s.text.Write(p)
}

// holds says where a text stands, with what is around it; "" for nowhere.
func (s *transcript) holds(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := bytes.Index(s.text.Bytes(), []byte(text))
	if at < 0 {
		return ""
	}
	return string(s.text.Bytes()[max(0, at-200):min(s.text.Len(), at+len(text)+50)])
}
