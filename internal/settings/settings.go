// Package settings reads how Berth is set up: BERTH_* variables from the
// environment, over a .env file, over defaults, each also as *_FILE.
//
// Start with [Load], which checks everything once and reports every mistake
// together; a *Settings that exists is valid. [Settings.Describe] says what is
// in force and where it came from. What the settings mean is left to the
// packages that take them.
package settings

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"berth/internal/secret"
)

// Settings is how this Berth is set up. All paths are absolute.
type Settings struct {
	BaseURL       *url.URL    // scheme and host only
	SecretKey     secret.Text // empty until [Settings.EnsureSecretKey] when none was given
	DataDir       string
	DatabasePath  string
	Listen        string // host:port of the gateway
	MetricsListen string // host:port; empty for none
	// TrustProxy are the proxies whose word about where a request came from
	// counts; nobody's when empty.
	TrustProxy     []netip.Prefix
	HeaderPrefix   string   // of the headers that tell apps who comes
	HeaderFamilies []string // of those that tell them besides
	ForwardAuth    []string // the kinds of proxies that may ask who may enter
	Engine         string   // "auto" or a socket address
	BindPaths      []string // of the host, that stages may mount
	AdminPassword  secret.Text
	// Admins are those who administer; where it is empty, a slot or everybody's
	// own role says so.
	Admins       []Admin
	AdminContact string // whom those are told to ask who may not
	// SecondFactor is who must have one: nobody, administrators, members (and
	// administrators) or everybody.
	SecondFactor    string
	SessionIdle     time.Duration
	SessionLifetime time.Duration
	IdentityRefresh time.Duration // between two looks at a provider for who is signed in; 0 is never
	SeedFile        string        // a document to set a new server up from; empty for none
	SeedIdentity    secret.Text   // opens what is sealed in it

	LogLevel  slog.Level
	LogFormat LogFormat
	Debug     bool

	ShutdownTimeout time.Duration
	AccessLog       AccessLog
	MaxBodyBytes    int64 // of a request to an app whose stage says nothing; 0 is no limit
	MaxConnections  int   // of clients at one time
	MaxRequests     int   // that one instance of an app serves at one time
	LogRetention    time.Duration
	EventRetention  time.Duration

	JournalRetention  time.Duration // of deployments
	DeliveryRetention time.Duration // of notifications, and of what webhooks were sent
	KeepReleases      int           // per stage, beside the live one
	KeepFor           time.Duration // of an image, since it was deployed
	DiskLow           int64         // free bytes below which a disk is nearly full
	DiskFull          int64         // free bytes below which nothing is deployed

	// Warnings are things that look like mistakes and stop nothing.
	Warnings []string

	// Providers are set up at the start where there are none of their names.
	Providers []Provider

	values         map[string]Value
	files          map[string]string // of variables that were given as one
	providerValues []Value
}

// LogFormat is how log lines are written.
type LogFormat string

// The log formats.
const (
	LogAuto LogFormat = "auto" // text on a terminal, JSON otherwise
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// AccessLog is the share of requests that are logged: 0 none, 1 all.
type AccessLog float64

// Value is one variable as it is in force.
type Value struct {
	Name   string `json:"name"`
	Value  string `json:"value"` // dots for a secret
	Source string `json:"source"`
	Help   string `json:"help"`
}

// Load reads the settings. environ is as os.Environ gives it; dir is the
// working directory, where .env is looked for and relative paths begin.
// The error names every variable that is wrong, what it got and what it takes.
func Load(environ []string, dir string) (*Settings, error) {
	sources, err := readSources(environ, dir)
	if err != nil {
		return nil, err
	}
	s := &Settings{values: map[string]Value{}, files: map[string]string{}}
	var wrong []error
	for _, v := range variables {
		given, err := sources.lookup(v.name)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		if given.value == "" {
			given = found{value: v.fallback(s), source: "default"}
		}
		if given.value != "" {
			err = v.set(s, given.value, dir)
		}
		if err != nil {
			wrong = append(wrong, v.mistake(given, err))
			continue
		}
		s.values[v.name] = v.describe(given)
		if given.file != "" {
			s.files[v.name] = given.file
		}
	}
	wrong = append(wrong, s.findProviders(sources)...)
	wrong = append(wrong, s.checkTogether()...)
	if len(wrong) > 0 {
		return nil, &MistakesError{Mistakes: wrong}
	}
	if err := s.findSecretKey(); err != nil {
		return nil, err
	}
	s.Warnings = append(sources.unknown(), s.exposed()...)
	return s, nil
}

// exposed warns of a sign-in page that other machines reach without TLS: plain
// HTTP is taken because the base URL is on loopback, and the listener is not.
func (s *Settings) exposed() []string {
	host, _, err := net.SplitHostPort(s.Listen)
	if err != nil || s.BaseURL.Scheme != "http" || IsLoopback(host) {
		return nil
	}
	return []string{fmt.Sprintf("BERTH_LISTEN %s takes connections from other machines, and BERTH_BASE_URL %s has no TLS: "+
		"passwords would cross the network in the clear. Listen on 127.0.0.1, or put a proxy with TLS in front and give its https:// address as the base URL",
		s.Listen, s.BaseURL)}
}

// DataDir gives the data folder alone, for those who look for a server that
// runs with it, whatever else is set.
func DataDir(environ []string, dir string) (string, error) {
	sources, err := readSources(environ, dir)
	if err != nil {
		return "", err
	}
	given, err := sources.lookup("DATA_DIR")
	return absolute(cmp.Or(given.value, defaultDataDir), dir), err
}

// checkTogether looks at what no variable shows alone.
func (s *Settings) checkTogether() []error {
	key, right := s.values["SECRET_KEY"]
	if s.BaseURL == nil || s.OnLoopback() || !right || key.Source != "default" {
		return nil
	}
	hint := ""
	if _, err := os.Stat(s.keyFile()); s.DataDir != "" && err == nil {
		hint = "; to go on with one that was generated here: BERTH_SECRET_KEY_FILE=" + s.keyFile()
	}
	return []error{fmt.Errorf("BERTH_SECRET_KEY: is not set, and is required because BERTH_BASE_URL %s is not on loopback; it takes %s%s",
		s.BaseURL, takesKey, hint)}
}

// OnLoopback says whether the base URL can be reached from this machine only.
func (s *Settings) OnLoopback() bool { return IsLoopback(s.BaseURL.Hostname()) }

// SocketPath is the Unix socket of the local command line.
func (s *Settings) SocketPath() string { return filepath.Join(s.DataDir, "berth.sock") }

// Describe lists every variable as it is in force, in the order of the
// documentation.
func (s *Settings) Describe() []Value {
	list := make([]Value, 0, len(variables))
	for _, v := range variables {
		list = append(list, s.values[v.name])
	}
	of := slices.Clone(s.providerValues)
	slices.SortFunc(of, func(a, b Value) int { return strings.Compare(a.Name, b.Name) })
	return append(list, of...)
}

// MistakesError is everything that is wrong with the settings.
type MistakesError struct{ Mistakes []error }

func (e *MistakesError) Error() string {
	lines := make([]string, len(e.Mistakes))
	for i, m := range e.Mistakes {
		lines[i] = "  " + m.Error()
	}
	return "the settings are wrong:\n" + strings.Join(lines, "\n")
}

// Unwrap gives the mistakes one by one.
func (e *MistakesError) Unwrap() []error { return e.Mistakes }
