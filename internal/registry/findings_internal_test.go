package registry

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNextPoll_GrowsWithFailuresAndNeverComesBeforeItIsAskedTo(t *testing.T) {
	const usual = 5 * time.Minute
	for _, c := range []struct {
		interval time.Duration
		failures int
		limited  bool
		asked    time.Duration
		random   float64
		want     time.Duration
	}{
		{interval: usual, random: 0.5, want: usual},
		{interval: usual, random: 0, want: usual * 9 / 10},
		{interval: usual, failures: 1, random: 0.5, want: 10 * time.Minute},
		{interval: usual, failures: 100, random: 0.5, want: time.Hour},
		{interval: longestInterval, failures: 100, random: 0.5, want: longestInterval},
		{interval: 0, limited: true, random: 0, want: time.Minute},
		{interval: usual, failures: 1, limited: true, asked: 2 * time.Hour, random: 0, want: 2 * time.Hour},
	} {
		require.Equal(t, c.want, nextPoll(c.interval, c.failures, c.limited, c.asked, c.random), "%+v", c)
	}
}

func TestRetryAfter_ReadsSecondsAndDatesAndIsBounded(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	for said, want := range map[string]time.Duration{
		"120": 2 * time.Minute, " 5 ": 5 * time.Second, "": 0, "soon": 0, "-1": 0,
		"Sun, 22 Nov 2026 08:10:00 GMT": 10 * time.Minute, "Sun, 22 Nov 2026 07:10:00 GMT": 0,
		"99999999999": longestRetryAfter, "Sun, 22 Nov 2099 08:10:00 GMT": longestRetryAfter,
	} {
		require.Equal(t, want, retryAfter(said, now), said)
	}
}
