package gateway

import (
	"hash/fnv"
	"io"

	"berth/internal/network"
)

// forClient gives the canary to the clients in its share, and the route itself
// to all others. Which clients these are is decided by who they are and by the
// canary's deployment, so a client stays with the same release, another canary
// is tried on others, and the app sees no cookie that is not its own.
func (r *route) forClient(x *exchange) *route {
	if r.canary == nil || x.luck(r.canary.Deployment) >= uint64(r.canary.Share) { //nolint:gosec // a share is 1 to 99
		return r
	}
	return r.canary
}

// luck gives a client's number from 0 to 99 under a canary. A client is known
// by its address and what it calls itself; of an IPv6 address the first 64 bits
// count, since the rest changes by itself (RFC 8981).
func (x *exchange) luck(deployment string) uint64 {
	h := fnv.New64a()
	for _, part := range []string{deployment, network.Name(x.from.address), x.r.UserAgent()} {
		_, _ = io.WriteString(h, part)
		_, _ = h.Write([]byte{0})
	}
	// FNV leaves the low bits of texts that differ in their last letters
	// close together; this is the mixing of MurmurHash3.
	n := h.Sum64()
	n ^= n >> 33
	n *= 0xff51afd7ed558ccd
	n ^= n >> 33
	n *= 0xc4ceb9fe1a85ec53
	n ^= n >> 33
	return n % 100
}
