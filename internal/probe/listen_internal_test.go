package probe

import (
	"net"
	"os/exec"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/needs"
)

func TestListen_TakesAPortThatConnectionsComeTo(t *testing.T) {
	l, err := Listen(t.Context())
	require.NoError(t, err)
	defer l.Close()
	go func() { _, _ = net.Dial("tcp", l.Addr().String()) }()
	in, err := l.Accept()
	require.NoError(t, err, "it goes on listening, with no deadline")
	require.NoError(t, in.Close())
}

// A rule such as an engine leaves behind takes the port elsewhere.
func TestReaches_SeesAForwardingRuleThatWasLeftBehind(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	elsewhere, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer elsewhere.Close()
	rule := []string{
		"OUTPUT", "-p", "tcp", "-d", "127.0.0.1", "--dport", strconv.Itoa(l.Addr().(*net.TCPAddr).Port),
		"-j", "REDIRECT", "--to-ports", strconv.Itoa(elsewhere.Addr().(*net.TCPAddr).Port),
	}
	needs.Program(t, "iptables")
	if out, err := exec.Command("iptables", append([]string{"-w", "-t", "nat", "-I"}, rule...)...).CombinedOutput(); err != nil {
		t.Skipf("no rule can be made here: %v: %s", err, out)
	}
	defer func() {
		require.NoError(t, exec.Command("iptables", append([]string{"-w", "-t", "nat", "-D"}, rule...)...).Run())
	}()
	require.Error(t, reaches(t.Context(), l.(*net.TCPListener)))
}
