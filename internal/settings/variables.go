package settings

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"berth/internal/secret"
)

// variable is one line of the table: a name, its default, what it takes and
// how it is set. set may count on the variables above its own.
type variable struct {
	name     string // without BERTH_
	help     string
	takes    string
	fallback func(*Settings) string
	secret   bool
	set      func(s *Settings, value, dir string) error
}

const defaultDataDir = "./data"

const takesKey = "at least 32 characters, such as `openssl rand -hex 32` gives"

// variables are all that Berth reads, in the order in which people meet them.
var variables = []variable{
	{
		name: "LISTEN", help: "address that apps, dashboard, API and registry are served on",
		takes: "host:port, such as 127.0.0.1:8080 or :8080", fallback: always("127.0.0.1:8080"),
		set: func(s *Settings, v, _ string) (err error) { s.Listen, err = parseAddress(v); return err },
	},
	{
		name: "BASE_URL", help: "where browsers reach the dashboard",
		takes: "https://host, or http://host on loopback, without a path", fallback: baseURLFor,
		set: func(s *Settings, v, _ string) (err error) { s.BaseURL, err = parseBaseURL(v); return err },
	},
	{
		name: "TRUST_PROXY", help: "proxies in front whose word about where a request came from counts (X-Forwarded-For and such)",
		takes: "addresses and networks, such as 127.0.0.1, 10.0.0.0/8, ::1", fallback: always(""),
		set: func(s *Settings, v, _ string) (err error) { s.TrustProxy, err = parseNetworks(v); return err },
	},
	{
		name: "FORWARD_AUTH", help: "proxies that ask who may enter, and serve apps themselves (forward-auth)",
		takes: "nginx, traefik, caddy, envoy, with commas between", fallback: always(""),
		set: func(s *Settings, v, _ string) (err error) {
			s.ForwardAuth, err = parseNames(v, "nginx", "traefik", "caddy", "envoy")
			return err
		},
	},
	{
		name: "IDENTITY_HEADER_PREFIX", help: "begins the headers that tell apps who is signed in",
		takes: "letters, digits and dashes, with a dash at the end, such as X-Hero-", fallback: always("X-Berth-"),
		set: func(s *Settings, v, _ string) error {
			if !headerPrefix.MatchString(v) {
				return errors.New("is none")
			}
			s.HeaderPrefix = v
			return nil
		},
	},
	{
		name: "IDENTITY_HEADERS", help: "headers of other gateways that tell apps the same besides",
		takes: "remote-user, x-forwarded-user, or both with a comma between", fallback: always(""),
		set: func(s *Settings, v, _ string) (err error) {
			s.HeaderFamilies, err = parseNames(v, "remote-user", "x-forwarded-user")
			return err
		},
	},
	{
		name: "DATA_DIR", help: "folder of everything Berth keeps",
		takes: "a path", fallback: always(defaultDataDir),
		set: func(s *Settings, v, dir string) error { s.DataDir = absolute(v, dir); return nil },
	},
	{
		name: "DATABASE_URL", help: "the database file",
		takes:    "sqlite:////absolute/path.db or sqlite:///./relative.db",
		fallback: func(s *Settings) string { return "sqlite:///" + filepath.Join(s.DataDir, "berth.db") },
		set: func(s *Settings, v, dir string) (err error) {
			s.DatabasePath, err = parseDatabaseURL(v, dir)
			return err
		},
	},
	{
		name: "SECRET_KEY", help: "seals stored secrets; losing it loses them", takes: takesKey,
		fallback: always(""), secret: true,
		set: func(s *Settings, v, _ string) error {
			if n := len([]rune(v)); n < 32 {
				return fmt.Errorf("has %d characters", n)
			}
			s.SecretKey = secret.New(v)
			return nil
		},
	},
	{
		name: "ADMIN_PASSWORD", help: "makes the administrator \"admin\" at the first start; without it a set-up link is printed",
		takes: "10 characters to 72 bytes, as every password", fallback: always(""), secret: true,
		set: func(s *Settings, v, _ string) (err error) { s.AdminPassword, err = parsePassword(v); return err },
	},
	{
		name: "ADMINS", help: "who administers, and nobody else does; without it the secret ADMINS in the context berth says so, and where there is none, everybody's role",
		takes: takesAdmins, fallback: always(""),
		set: func(s *Settings, v, _ string) (err error) { s.Admins, err = ParseAdmins(v); return err },
	},
	{
		name: "ADMIN_CONTACT", help: "whom those are told to ask who may not do what they want to",
		takes: "a few words, such as ops@example.org", fallback: always("an administrator of this Berth"),
		set: func(s *Settings, v, _ string) (err error) { s.AdminContact, err = parseContact(v); return err },
	},
	{
		name: "SECOND_FACTOR", help: "who must have a second factor, a passkey or codes from an app, to sign in with",
		takes: "nobody, administrators, members (and administrators) or everybody", fallback: always("nobody"),
		set: func(s *Settings, v, _ string) error {
			return oneOf(v, map[string]string{"nobody": "nobody", "administrators": "administrators", "members": "members", "everybody": "everybody"}, &s.SecondFactor)
		},
	},
	{
		name: "SESSION_IDLE", help: "how long a session lasts unused",
		takes: "a duration of 1m or more, such as 12h or 7d", fallback: always("7d"),
		set: func(s *Settings, v, _ string) (err error) {
			s.SessionIdle, err = parseDuration(v, leastSession)
			return err
		},
	},
	{
		name: "SESSION_LIFETIME", help: "how long a session lasts at most",
		takes: "a duration of 1m or more, such as 24h or 30d", fallback: always("30d"),
		set: func(s *Settings, v, _ string) (err error) {
			s.SessionLifetime, err = parseDuration(v, leastSession)
			return err
		},
	},
	{
		name: "IDENTITY_REFRESH", help: "how often providers are asked about those who are signed in by them",
		takes: "a duration from 1m to 12h, such as 15m; 0s for never", fallback: always("15m"),
		set: func(s *Settings, v, _ string) (err error) {
			s.IdentityRefresh, err = parseRefresh(v)
			return err
		},
	},
	{
		name: "SEED_FILE", help: "configuration that a new server is set up from, as berth export gives it; once there are projects it is ignored",
		takes: "the path of a YAML file", fallback: always(""),
		set: func(s *Settings, v, dir string) error { s.SeedFile = absolute(v, dir); return nil },
	},
	{
		name: "SEED_IDENTITY", help: "private key of age that opens what is sealed in BERTH_SEED_FILE",
		takes: "what age-keygen writes, with a line AGE-SECRET-KEY-1…", fallback: always(""), secret: true,
		set: func(s *Settings, v, _ string) error {
			if !strings.Contains(v, "AGE-SECRET-KEY-") {
				return errors.New("has no private key in it")
			}
			s.SeedIdentity = secret.New(v)
			return nil
		},
	},
	{
		name: "ENGINE", help: "the container engine",
		takes: "auto, or the address of a Docker or Podman socket, such as unix:///run/podman/podman.sock", fallback: always("auto"),
		set: func(s *Settings, v, _ string) (err error) { s.Engine, err = parseEngine(v); return err },
	},
	{
		name: "BIND_PATHS", help: "folders of this machine that administrators may mount into stages, with what is below them",
		takes: "absolute paths below /, with commas between them, such as /srv/media,/mnt/photos", fallback: always(""),
		set: func(s *Settings, v, _ string) (err error) { s.BindPaths, err = parsePaths(v); return err },
	},
	{
		name: "METRICS_LISTEN", help: "address of a listener that serves /metrics alone, without signing in",
		takes: "host:port", fallback: always(""),
		set: func(s *Settings, v, _ string) (err error) { s.MetricsListen, err = parseAddress(v); return err },
	},
	{
		name: "DEBUG", help: "log everything, as BERTH_LOG_LEVEL=debug does",
		takes: "true or false", fallback: always("false"),
		set: func(s *Settings, v, _ string) (err error) { s.Debug, err = strconv.ParseBool(v); return err },
	},
	{
		name: "LOG_LEVEL", help: "least important lines that are logged",
		takes: "debug, info, warn or error",
		fallback: func(s *Settings) string {
			if s.Debug {
				return "debug"
			}
			return "info"
		},
		set: func(s *Settings, v, _ string) error { return oneOf(v, logLevels, &s.LogLevel) },
	},
	{
		name: "LOG_FORMAT", help: "form of log lines; auto is text on a terminal and JSON otherwise",
		takes: "auto, text or json", fallback: always("auto"),
		set: func(s *Settings, v, _ string) error {
			return oneOf(v, map[string]LogFormat{"auto": LogAuto, "text": LogText, "json": LogJSON}, &s.LogFormat)
		},
	},
	{
		name: "ACCESS_LOG", help: "which requests are logged",
		takes: "on, off, or a share between 0 and 1", fallback: always("on"),
		set: func(s *Settings, v, _ string) (err error) { s.AccessLog, err = parseAccessLog(v); return err },
	},
	{
		name: "MAX_BODY", help: "largest request body to an app whose stage says nothing",
		takes: "bytes, or a size such as 100MiB; 0 for no limit", fallback: always("1GiB"),
		set: func(s *Settings, v, _ string) (err error) { s.MaxBodyBytes, err = ParseSize(v); return err },
	},
	{
		name: "MAX_CONNECTIONS", help: "how many connections clients may hold at one time, and requests have under way; one address a fourth",
		takes: "a number from 16 to 1000000", fallback: always("8192"),
		set: func(s *Settings, v, _ string) (err error) {
			s.MaxConnections, err = parseCount(v, 16, 1_000_000)
			return err
		},
	},
	{
		name: "MAX_REQUESTS", help: "how many requests, with WebSockets and streams, one instance of an app gets at one time",
		takes: "a number from 1 to 1000000", fallback: always("2500"),
		set: func(s *Settings, v, _ string) (err error) {
			s.MaxRequests, err = parseCount(v, 1, 1_000_000)
			return err
		},
	},
	{
		name: "SHUTDOWN_TIMEOUT", help: "what running deployments and requests get together to finish when Berth stops",
		takes: "a duration such as 30s or 2m; 0s for none", fallback: always("30s"),
		set: func(s *Settings, v, _ string) (err error) {
			s.ShutdownTimeout, err = parseDuration(v, 0)
			return err
		},
	},
	{
		name: "LOG_RETENTION", help: "how long the log lines of deployments, and of instances whose container is gone, are kept",
		takes: "a duration of 1h or more, such as 14d", fallback: always("14d"),
		set: func(s *Settings, v, _ string) (err error) {
			s.LogRetention, err = parseDuration(v, leastRetention)
			return err
		},
	},
	{
		name: "EVENT_RETENTION", help: "how long all other events are kept",
		takes: "a duration of 1h or more, such as 365d", fallback: always("365d"),
		set: func(s *Settings, v, _ string) (err error) {
			s.EventRetention, err = parseDuration(v, leastRetention)
			return err
		},
	},
	{
		name: "JOURNAL_RETENTION", help: "how long deployments that are over are kept, with their steps",
		takes: "a duration of 1h or more, such as 365d", fallback: always("365d"),
		set: func(s *Settings, v, _ string) (err error) {
			s.JournalRetention, err = parseDuration(v, leastRetention)
			return err
		},
	},
	{
		name: "DELIVERY_RETENTION", help: "how long is kept what was sent to channels, and what webhooks were sent",
		takes: "a duration of 1h or more, such as 90d", fallback: always("90d"),
		set: func(s *Settings, v, _ string) (err error) {
			s.DeliveryRetention, err = parseDuration(v, leastRetention)
			return err
		},
	},
	{
		name: "KEEP_RELEASES", help: "how many earlier releases of a stage keep their image, to roll back to",
		takes: "a number from 1 to 1000", fallback: always("10"),
		set: func(s *Settings, v, _ string) (err error) { s.KeepReleases, err = parseCount(v, 1, 1000); return err },
	},
	{
		name: "KEEP_FOR", help: "how long an image is kept at least, since it was deployed last",
		takes: "a duration such as 30d; 0s for no time", fallback: always("30d"),
		set: func(s *Settings, v, _ string) (err error) { s.KeepFor, err = parseDuration(v, 0); return err },
	},
	{
		name: "DISK_LOW", help: "with less free room than this a disk counts as nearly full",
		takes: "bytes, or a size such as 10GiB; a tenth of the disk counts where that is less", fallback: always("10GiB"),
		set: func(s *Settings, v, _ string) (err error) { s.DiskLow, err = ParseSize(v); return err },
	},
	{
		name: "DISK_FULL", help: "with less free room than this nothing is deployed",
		takes: "bytes, or a size such as 1GiB, less than BERTH_DISK_LOW; a hundredth of the disk counts where that is less; 0 for no limit", fallback: always("1GiB"),
		set: func(s *Settings, v, _ string) (err error) {
			if s.DiskFull, err = ParseSize(v); err == nil && s.DiskFull > s.DiskLow {
				err = fmt.Errorf("is more than BERTH_DISK_LOW, %d", s.DiskLow)
			}
			return err
		},
	},
}

// headerPrefix is two letters at the least, so that no app's every header is
// taken for an identity header.
var headerPrefix = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{1,38}-$`)

var logLevels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

func always(value string) func(*Settings) string { return func(*Settings) string { return value } }

// baseURLFor follows the port of LISTEN, so that one variable moves Berth to
// another port of this machine.
func baseURLFor(s *Settings) string {
	u := url.URL{Scheme: "http", Host: "localhost"}
	if _, port, err := net.SplitHostPort(s.Listen); err == nil && port != "80" {
		u.Host = net.JoinHostPort("localhost", port)
	}
	return u.String()
}

func absolute(path, dir string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

// oneOf sets to by a word, in any case.
func oneOf[T any](value string, words map[string]T, to *T) error {
	v, ok := words[strings.ToLower(value)]
	if !ok {
		return errors.New("is none of them")
	}
	*to = v
	return nil
}

// mistake says what the variable got and what it takes, without showing a
// secret.
func (v variable) mistake(got found, err error) error {
	shown := strconv.Quote(got.value)
	if v.secret {
		shown = secret.New(got.value).String()
	}
	return fmt.Errorf("BERTH_%s: got %s from %s; it takes %s: the value %w", v.name, shown, got.source, v.takes, plain(err))
}

// plain takes what strconv wraps around a reason off it.
func plain(err error) error {
	if e, ok := errors.AsType[*strconv.NumError](err); ok {
		if errors.Is(e.Err, strconv.ErrSyntax) {
			return errors.New("is neither")
		}
		return e.Err
	}
	return err
}

func (v variable) describe(got found) Value {
	shown := got.value
	if v.secret {
		shown = secret.New(got.value).String()
	}
	return Value{Name: "BERTH_" + v.name, Value: shown, Source: got.source, Help: v.help}
}
