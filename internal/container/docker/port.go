package docker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// portSpan is how many ports below those of outgoing connections hostPort
// chooses from.
const portSpan = 10_000

// hostPort chooses the port of this machine at which a container is to be
// reached; "" leaves it to the engine.
//
// Left to themselves, engines choose among the ports that the machine also
// gives to outgoing connections, of which a busy gateway has many: Podman when
// the container is made, so that a connection may have the port by the start,
// and Docker at each start, which fails when one has. Below those ports only a
// program that listens is in the way.
func (e *Engine) hostPort(ctx context.Context) string {
	if !strings.HasPrefix(e.socket, "unix://") { // another machine's ports are not known
		return ""
	}
	above := outgoingPorts()
	if above <= portSpan+1024 {
		return ""
	}
	for range 50 {
		port := uint16(above - 1 - rand.IntN(portSpan)) //nolint:gosec // in range, and any will do
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", netip.AddrPortFrom(loopback, port).String())
		if err == nil && listener.Close() == nil {
			return strconv.Itoa(int(port))
		}
	}
	return ""
}

// outgoingPorts gives the first port that the machine uses for outgoing
// connections; 0 when it does not say.
func outgoingPorts() int {
	said, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0
	}
	var first, last int
	if _, err := fmt.Sscan(string(said), &first, &last); err != nil {
		return 0
	}
	return first
}
