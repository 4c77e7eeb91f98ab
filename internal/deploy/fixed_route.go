package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"berth/internal/identity"
	"berth/internal/outgoing"
)

// FixedRoute is a route that no stage makes: to a fixed address, where
// something runs that Berth does not, or to nothing, where another proxy
// forwards and asks Berth who may enter.
type FixedRoute struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Spec      FixedSpec `json:"spec"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Version   int64     `json:"version"`
	// Beside is there where one is made, changed or shown.
	Beside []StageBeside `json:"beside,omitempty" doc:"The stages at the same hostname: who enters their paths, they say. Lists leave it out"`
}

// StageBeside is a path of a fixed route's host that is a stage's.
type StageBeside struct {
	Project    string `json:"project"`
	Stage      string `json:"stage"`
	PathPrefix string `json:"path_prefix"`
}

// FixedSpec is everything a person sets of a fixed route. The zero value of
// each optional field is its default, which Normalise fills in.
type FixedSpec struct {
	Hostname   string `json:"hostname"`
	PathPrefix string `json:"path_prefix,omitempty"` // "/" by default
	// StripPrefix takes the path prefix off before the target sees the request.
	StripPrefix bool `json:"strip_prefix,omitempty"`
	// Target is where requests go: "http://" or "https://", a host and where it
	// is not the scheme's own a port. Without one another proxy forwards them.
	Target string `json:"target,omitempty"`
	// Host is whose name the target is asked by.
	Host HostSent `json:"host,omitempty"` // "public" by default
	// Protocol is what the target speaks.
	Protocol TargetProtocol `json:"protocol,omitempty"` // "http1" by default
	// RequestTimeout bounds the wait for the target's response headers.
	RequestTimeout Duration `json:"request_timeout,omitempty"` // "60s" by default
	MaxBodyBytes   int64    `json:"max_body_bytes,omitempty"`  // 0: the gateway's own limit
	// Disabled routes are not served; their address stays theirs.
	Disabled bool `json:"disabled,omitempty"`
	// Access is who may enter; nobody when it is absent.
	Access *identity.Policy `json:"access,omitempty"`
}

// HostSent is the Host header that a target gets.
type HostSent string

// What a Host header says.
const (
	HostPublic   HostSent = "public"   // the name that the client asked for, as apps get it
	HostUpstream HostSent = "upstream" // the target's own
)

// TargetProtocol is what the target of a fixed route speaks.
type TargetProtocol string

// The protocols of targets.
const (
	TargetHTTP1 TargetProtocol = "http1"
	// TargetHTTP2 is what gRPC needs. By "https://" it is agreed on with TLS
	// (RFC 7301), by "http://" spoken from the first byte (RFC 9113 section 3.3).
	TargetHTTP2 TargetProtocol = "http2"
)

// Normalise gives the spec with its defaults filled in and its spelling made
// one. It is the same when applied twice.
func (s FixedSpec) Normalise() FixedSpec {
	s.Hostname = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(s.Hostname)), ".")
	s.PathPrefix = "/" + strings.Trim(strings.TrimSpace(s.PathPrefix), "/")
	s.Target = strings.TrimSpace(s.Target)
	if to, err := parseTarget(s.Target); err == nil {
		s.Target = to.String()
	}
	s.Host = orElse(s.Host, HostPublic)
	s.Protocol = orElse(s.Protocol, TargetHTTP1)
	s.RequestTimeout = orElse(s.RequestTimeout, Duration(60*time.Second))
	access := identity.Policy{Rules: []identity.Rule{}}
	if s.Access != nil {
		access = s.Access.Normalise()
	}
	s.Access = &access
	return s
}

// Canonical gives the spec as the bytes that are stored and compared.
func (s FixedSpec) Canonical() ([]byte, error) { return json.Marshal(s) }

// Differences gives the fields that differ from s to another configuration, as
// they are saved, by their paths in the API.
func (s FixedSpec) Differences(to FixedSpec) []Change {
	before, after := map[string]string{}, map[string]string{}
	flattenSpec(before, s.Normalise())
	flattenSpec(after, to.Normalise())
	return differing(before, after)
}

// access gives who may enter.
func (s FixedSpec) access() identity.Policy {
	if s.Access == nil {
		return identity.Policy{}
	}
	return *s.Access
}

// fixedTarget is a target, taken apart.
type fixedTarget struct {
	tls  bool
	host string // lower case; an IPv6 address without brackets
	port string
}

// ownPort is the port that the scheme stands for.
func (t fixedTarget) ownPort() string {
	if t.tls {
		return "443"
	}
	return "80"
}

// String writes the target in its one spelling.
func (t fixedTarget) String() string {
	scheme := "http://"
	if t.tls {
		scheme = "https://"
	}
	return scheme + t.authority()
}

// authority is the target's host and, where it is not the scheme's own, port:
// what its own Host header says.
func (t fixedTarget) authority() string {
	switch {
	case t.port != t.ownPort():
		return t.address()
	case strings.Contains(t.host, ":"):
		return "[" + t.host + "]"
	}
	return t.host
}

// address gives where to connect to.
func (t fixedTarget) address() string { return net.JoinHostPort(t.host, t.port) }

// parseTarget takes a target apart; its errors are for who wrote it.
func parseTarget(s string) (t fixedTarget, err error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return t, fmt.Errorf("it is an address such as %q or %q", "http://192.168.0.7:8123", "https://nas.example.com")
	case u.User != nil:
		return t, errors.New("it names no user: what the target asks of its visitors they give themselves")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return t, errors.New("it ends after the host or the port: paths are passed on as they come")
	}
	t.tls, t.host = u.Scheme == "https", strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if trouble := targetTrouble(t.host); trouble != "" {
		return t, errors.New(trouble)
	}
	t.port = t.ownPort()
	if port := u.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return t, errors.New("a port is between 1 and 65535")
		}
		t.port = strconv.FormatUint(n, 10)
	}
	return t, nil
}

// targetTrouble says what is wrong with a target's host. What a name turns
// into is looked at when it is connected to.
func targetTrouble(host string) string {
	if at, err := netip.ParseAddr(host); err == nil {
		if err := outgoing.Look(at, true); err != nil {
			return err.Error()
		}
		return ""
	}
	// Names of containers have underscores.
	return hostnameTrouble(strings.ReplaceAll(host, "_", "-"))
}

// fixed names every field of a normalised spec that is wrong.
func (c *checks) fixed(s FixedSpec, reserved map[string]bool, own func(netip.AddrPort) bool) {
	if trouble := hostnameTrouble(s.Hostname); trouble != "" {
		c.add("spec.hostname", "%s", trouble)
	}
	c.when(reserved[s.Hostname], "spec.hostname", "%s is Berth's own", s.Hostname)
	c.prefix(s.PathPrefix)
	c.when(s.Host != HostPublic && s.Host != HostUpstream, "spec.host", "it is %q or %q", HostPublic, HostUpstream)
	c.when(s.Protocol != TargetHTTP1 && s.Protocol != TargetHTTP2, "spec.protocol", "it is %q or %q", TargetHTTP1, TargetHTTP2)
	c.between("spec.request_timeout", s.RequestTimeout, time.Millisecond, time.Hour)
	c.when(s.MaxBodyBytes < 0 || s.MaxBodyBytes > maxBytes, "spec.max_body_bytes", "it is 0 (the gateway's own limit) or a number of bytes")
	*c = append(*c, s.access().Check("spec.access")...)
	if s.Target == "" {
		c.when(s.Host == HostUpstream, "spec.host", "without a target there is no name of its own")
		c.when(s.Protocol == TargetHTTP2, "spec.protocol", "without a target nothing is spoken to it")
		return
	}
	to, err := parseTarget(s.Target)
	if err != nil {
		c.add("spec.target", "%s", err)
		return
	}
	c.when(leadsBack(to, reserved, own), "spec.target", "%s is Berth itself: requests would go round", s.Target)
}

// leadsBack says that a target is plainly Berth itself: its base host, or an
// address that it listens at. Names that turn into one are found at connecting,
// ways round by other proxies in the request.
func leadsBack(t fixedTarget, reserved map[string]bool, own func(netip.AddrPort) bool) bool {
	if t.host == "localhost" {
		t.host = "127.0.0.1"
	}
	if at, err := netip.ParseAddrPort(t.address()); err == nil {
		return own != nil && own(at)
	}
	return reserved[t.host]
}
