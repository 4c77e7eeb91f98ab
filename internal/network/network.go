// Package network says what counts as one network wherever clients are limited
// or told apart by their address: at the gateway, at sign-in, at webhooks.
//
// Start with [Of], or with [Name] where the address is text.
package network

import "net/netip"

// Of gives what one client may have addresses of: one of IPv4, also when it is
// written in IPv6, and the /64 of IPv6 that one subscriber gets (RFC 6177). Of
// what is no address it gives the zero Prefix.
func Of(address netip.Addr) netip.Prefix { return within(address, 64) }

// Site writes what one customer may have many networks of: one address of IPv4,
// and the /48 of IPv6 that is the most an end site gets (RFC 6177). What is no
// address is a site of its own.
func Site(address string) string { return name(address, 48) }

// Name writes the network of an address: an address of IPv4 as it is, one of
// IPv6 as its prefix. What is no address is a network of its own.
func Name(address string) string { return name(address, 64) }

// within gives the network of so many bits, which only count in IPv6.
func within(address netip.Addr, bits int) netip.Prefix {
	address = address.Unmap().WithZone("")
	if address.Is4() {
		bits = 32
	}
	p, _ := address.Prefix(bits)
	return p
}

func name(address string, bits int) string {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	p := within(addr, bits)
	if p.Addr().Is4() {
		return p.Addr().String()
	}
	return p.String()
}
