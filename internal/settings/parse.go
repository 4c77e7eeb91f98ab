package settings

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"berth/internal/secret"
)

// leastRetention keeps a slip of the pen ("14" seconds for days) from
// emptying the log.
const leastRetention = time.Hour

// Providers are asked no more often than this, and less than what they told is
// good for.
const (
	leastRefresh = time.Minute
	mostRefresh  = 12 * time.Hour
)

func parseRefresh(v string) (time.Duration, error) {
	d, err := parseDuration(v, 0)
	switch {
	case err != nil || d == 0:
		return 0, err
	case d < leastRefresh:
		return 0, fmt.Errorf("is less than %s", leastRefresh)
	case d > mostRefresh:
		return 0, fmt.Errorf("is more than %s", mostRefresh)
	}
	return d, nil
}

// leastSession is the shortest that somebody can work in.
const leastSession = time.Minute

func parseBaseURL(v string) (*url.URL, error) {
	u, err := url.Parse(v)
	if err != nil || u.Host == "" {
		return nil, errors.New("is not a URL with a host")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("is neither http nor https")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/"):
		return nil, errors.New("has more than scheme, host and port")
	case u.Hostname() == "":
		return nil, errors.New("has no host")
	case u.Scheme == "http" && !IsLoopback(u.Hostname()):
		return nil, errors.New("is plain HTTP and not on loopback, where sign-in would not be safe")
	}
	if port := u.Port(); port != "" {
		if err := checkPort(port); err != nil {
			return nil, err
		}
	}
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}, nil
}

// IsLoopback says whether a host is this machine. Names under "localhost" are,
// by RFC 6761, section 6.3.
func IsLoopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

func parseAddress(v string) (string, error) {
	host, port, err := net.SplitHostPort(v)
	if err != nil {
		return "", errors.New("is not host:port")
	}
	if strings.ContainsAny(host, "/ \t") {
		return "", errors.New("has a host that is none")
	}
	if err := checkPort(port); err != nil {
		return "", err
	}
	return v, nil
}

func checkPort(port string) error {
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("port %q is not between 1 and 65535", port)
	}
	return nil
}

// parseNetworks reads addresses and networks with commas or spaces between.
func parseNetworks(v string) (networks []netip.Prefix, err error) {
	for part := range strings.FieldsFuncSeq(v, func(c rune) bool { return c == ',' || c == ' ' }) {
		network, err := netip.ParsePrefix(part)
		if address, bad := netip.ParseAddr(part); err != nil && bad == nil {
			address = address.Unmap().WithZone("")
			network, err = netip.PrefixFrom(address, address.BitLen()), nil
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("has %q, which is neither an address nor a network", part)
		case network.Bits() == 0:
			return nil, fmt.Errorf("has %q, which is everybody", part)
		case network.Addr() != network.Masked().Addr():
			return nil, fmt.Errorf("has %q; the network of that address is %s", part, network.Masked())
		}
		networks = append(networks, network)
	}
	return networks, nil
}

// parseNames takes those of the names given that stand in v, in any case.
func parseNames(v string, known ...string) (names []string, err error) {
	for name := range strings.FieldsFuncSeq(strings.ToLower(v), func(c rune) bool { return c == ',' || c == ' ' }) {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("has %q", name)
		}
		names = append(names, name)
	}
	return names, nil
}

// parseDatabaseURL takes SQLAlchemy's form: three slashes begin a relative
// path, four an absolute one.
func parseDatabaseURL(v, dir string) (string, error) {
	path, ok := strings.CutPrefix(v, "sqlite:///")
	if !ok {
		return "", errors.New("does not begin with sqlite:///")
	}
	if strings.ContainsAny(path, "?#") {
		return "", errors.New("has more than a path")
	}
	if path == "" || strings.HasSuffix(path, "/") {
		return "", errors.New("names no file")
	}
	return absolute(path, dir), nil
}

func parseEngine(v string) (string, error) {
	if v == "auto" {
		return v, nil
	}
	if filepath.IsAbs(v) {
		return "unix://" + v, nil
	}
	u, err := url.Parse(v)
	switch {
	case err != nil:
		return "", errors.New("is not an address")
	case u.Scheme == "unix" && u.Host == "" && strings.HasPrefix(u.Path, "/"):
		return v, nil
	case u.Scheme == "tcp" && u.Host != "" && u.Path == "":
		return v, nil
	}
	return "", errors.New("is neither auto nor a socket")
}

func parsePaths(v string) (paths []string, err error) {
	for p := range strings.SplitSeq(v, ",") {
		if p = strings.TrimSpace(p); p == "" {
			continue
		}
		if p = filepath.Clean(p); !filepath.IsAbs(p) || p == "/" {
			return nil, fmt.Errorf("has %q, which is no absolute path below /", p)
		}
		paths = append(paths, p)
	}
	return paths, nil
}

func parseAccessLog(v string) (AccessLog, error) {
	switch strings.ToLower(v) {
	case "on", "true":
		return 1, nil
	case "off", "false":
		return 0, nil
	}
	share, err := strconv.ParseFloat(v, 64)
	if err != nil || math.IsNaN(share) || share < 0 || share > 1 {
		return 0, errors.New("is none of them")
	}
	return AccessLog(share), nil
}

// What a password may be long; the rest that identity asks of one depends on
// whose it is.
const (
	leastPassword = 10 // characters
	mostPassword  = 72 // bytes
)

func parsePassword(v string) (secret.Text, error) {
	if n := utf8.RuneCountInString(v); n < leastPassword {
		return secret.Text{}, fmt.Errorf("has %d characters", n)
	}
	if len(v) > mostPassword {
		return secret.Text{}, fmt.Errorf("has %d bytes", len(v))
	}
	return secret.New(v), nil
}

var sizeUnits = []struct {
	suffix string
	bytes  float64
}{
	{"kib", 1 << 10},
	{"mib", 1 << 20},
	{"gib", 1 << 30},
	{"tib", 1 << 40},
	{"kb", 1e3},
	{"mb", 1e6},
	{"gb", 1e9},
	{"tb", 1e12},
	{"k", 1 << 10},
	{"m", 1 << 20},
	{"g", 1 << 30},
	{"t", 1 << 40},
	{"b", 1},
}

// ParseSize reads bytes, or a size such as "100MiB" or "1.5 GB".
func ParseSize(v string) (int64, error) {
	number, unit := strings.ToLower(strings.TrimSpace(v)), 1.0
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(number, u.suffix); ok {
			number, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(n) || n < 0 || n*unit >= math.MaxInt64 {
		return 0, errors.New("is not a size")
	}
	return int64(n * unit), nil
}

// parseCount takes whole numbers from least to most.
func parseCount(v string, least, most int) (int, error) {
	n, err := strconv.Atoi(v)
	switch {
	case err != nil:
		return 0, errors.New("is not a number")
	case n < least || n > most:
		return 0, fmt.Errorf("is not between %d and %d", least, most)
	}
	return n, nil
}

// parseDuration takes what time.ParseDuration takes, and whole days as "14d".
func parseDuration(v string, least time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(v)
	if days, ok := strings.CutSuffix(v, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * 24 * time.Hour
	}
	switch {
	case err != nil:
		return 0, errors.New("is not a duration")
	case d < least:
		return 0, fmt.Errorf("is less than %s", least)
	}
	return d, nil
}
