package docker

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestUsage_IsCoresSinceTheReadingBefore(t *testing.T) {
	u := usage{last: map[string]reading{}}
	at := time.Unix(1_000, 0)
	second := uint64(time.Second)
	require.Zero(t, u.since("a", at, 10*second), "nothing is known before the first reading")
	require.InDelta(t, 1.5, u.since("a", at.Add(2*time.Second), 13*second), 1e-9)
	require.InDelta(t, 1.5, u.since("a", at.Add(2*time.Second+shortestSpan/2), 14*second), 1e-9, "too close to say more")
	require.InDelta(t, 0.5, u.since("a", at.Add(4*time.Second), 14*second), 1e-9)
	require.Zero(t, u.since("a", at.Add(6*time.Second), second), "it was restarted")
	u.forget("a")
	require.Zero(t, u.since("a", at.Add(8*time.Second), 100*second))
}

func TestUsage_DropsReadingsNobodyAsksFor(t *testing.T) {
	u := usage{last: map[string]reading{}}
	at := time.Unix(1_000, 0)
	for i := range 100 {
		u.since(strconv.Itoa(i), at, 1)
	}
	u.since("new", at.Add(2*keepReading), 1)
	require.Len(t, u.last, 1)
}
