package network_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/network"
)

func TestName_IsOneForAllThatOneClientMayHave(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::": "2001:db8:1:2::/64",
		"2001:db8:1:3::1": "2001:db8:1:3::/64", "fe80::1%eth0": "fe80::/64", "::1": "::/64", "": "", "local": "local", "192.0.2.7:80": "192.0.2.7:80",
	} {
		require.Equal(t, want, network.Name(address), address)
	}
	require.Equal(t, netip.MustParsePrefix("192.0.2.7/32"), network.Of(netip.MustParseAddr("::ffff:192.0.2.7")))
	require.Equal(t, netip.Prefix{}, network.Of(netip.Addr{}))
}

func TestSite_IsOneForAllThatOneCustomerMayHave(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1::/48", "2001:db8:1:ffff::1": "2001:db8:1::/48",
		"2001:db8:2::1": "2001:db8:2::/48", "": "", "local": "local",
	} {
		require.Equal(t, want, network.Site(address), address)
	}
}
