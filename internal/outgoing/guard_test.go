package outgoing_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/outgoing"
)

func TestGuard_LetsNobodyToTheMachinesOwnCredentials(t *testing.T) {
	control := func(inside bool, place string) error {
		return outgoing.NewDialer(inside).ControlContext(t.Context(), "tcp"+map[bool]string{true: "6", false: "4"}[strings.HasPrefix(place, "[")], place, nil)
	}
	for _, place := range []string{"203.0.114.7:443", "[2600:1f18::1]:25", "8.8.8.8:2525"} {
		require.NoError(t, control(false, place), place)
		require.NoError(t, control(true, place), place)
	}
	for _, place := range []string{"127.0.0.1:80", "10.1.2.3:80", "172.20.0.1:443", "192.168.1.1:8080", "100.64.0.1:80", "[::1]:80", "[fd12::1]:80"} {
		require.ErrorContains(t, control(false, place), "an administrator has to give", place)
		require.NoError(t, control(true, place), place)
	}
	for _, place := range []string{
		"169.254.169.254:80", "[fe80::1]:80", "[fe80::a9fe:a9fe]:80", "[::ffff:169.254.169.254]:80", "[fd00:ec2::254]:80", "[fd00:ec2::23]:80",
		"100.100.100.200:80", "168.63.129.16:80", "0.0.0.0:80", "[::]:80", "224.0.0.1:80", "255.255.255.255:80", "[64:ff9b::a9fe:a9fe]:80", "nonsense",
	} {
		for _, inside := range []bool{true, false} {
			err := control(inside, place)
			require.ErrorIs(t, err, outgoing.ErrForbiddenPlace, place)
			require.NotContains(t, err.Error(), "administrator", place)
		}
	}
}
