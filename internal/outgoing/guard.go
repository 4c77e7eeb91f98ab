// Package outgoing connects to addresses that people gave: it looks at what a
// name turned into at the moment of connecting, so that nobody reaches with
// Berth what gives out a machine's credentials, or a private network that is
// not theirs to reach.
//
// Start with [NewDialer]. What is sent, and how much of an answer is read,
// belongs to those who dial.
package outgoing

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// never are addresses that hand out a machine's credentials to whoever asks,
// outside of the link-local ones, which are never allowed either.
var never = []netip.Prefix{
	netip.MustParsePrefix("fd00:ec2::/32"),      // Amazon
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure
}

// Networks that are somebody's own. Addresses in them are for those who are
// administrators: a self-hoster's ntfy runs at home, but a member must not
// reach with Berth what they can't reach themselves.
var (
	own4 = []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("100.64.0.0/10"),
	}
	own6 = []netip.Prefix{netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("fc00::/7")}
)

// ErrForbiddenPlace is in the chain of the error of a connection that the
// guard did not allow.
var ErrForbiddenPlace = errors.New("is an address that Berth does not connect to")

// NewDialer connects to public addresses, and inside also to private ones. It
// looks at the address that a name has turned into, at the moment of
// connecting: nothing can change it in between.
func NewDialer(inside bool) *net.Dialer {
	guardian := newGuardian(inside)
	return &net.Dialer{
		Timeout: 10 * time.Second,
		ControlContext: func(_ context.Context, network, place string, raw syscall.RawConn) error {
			to, err := netip.ParseAddrPort(place)
			if err != nil {
				return fmt.Errorf("%s %w", place, ErrForbiddenPlace)
			}
			if err := Look(to.Addr(), inside); err != nil {
				return err
			}
			if guardian.Safe(network, place, raw) != nil {
				return fmt.Errorf("%s %w", place, ErrForbiddenPlace)
			}
			return nil
		},
	}
}

// Look says why [NewDialer] would not connect to an address; nil when it would.
func Look(at netip.Addr, inside bool) error {
	for _, p := range never {
		if p.Contains(at.Unmap()) {
			return fmt.Errorf("%s %w: it gives out credentials", at, ErrForbiddenPlace)
		}
	}
	switch {
	case newGuardian(inside).SafeAddr(at) == nil:
		return nil
	case !inside && newGuardian(true).SafeAddr(at) == nil:
		return fmt.Errorf("%s %w: it is in a private network, for which an administrator has to give the address", at, ErrForbiddenPlace)
	}
	return fmt.Errorf("%s %w", at, ErrForbiddenPlace)
}

func newGuardian(inside bool) *ssrf.Guardian {
	options := []ssrf.Option{ssrf.WithAnyPort()}
	if inside {
		options = append(options, ssrf.WithAllowedV4Prefixes(own4...), ssrf.WithAllowedV6Prefixes(own6...))
	}
	return ssrf.New(options...)
}
