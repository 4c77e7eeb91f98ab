package identity

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLimits_RememberNoMoreThanTheyMay(t *testing.T) {
	l := newLimits()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range maxLimited + 500 {
		l.begin(fmt.Sprint("account", i), fmt.Sprint("address", i), false, now)
	}
	require.Len(t, l.pairs, maxLimited)
	require.Len(t, l.accounts, maxLimited)
	require.Len(t, l.addresses, maxLimited)
	l.sweep(now.Add(time.Hour))
	require.Empty(t, l.pairs)
	require.Empty(t, l.accounts)
	require.Empty(t, l.addresses)
}

func TestLimits_ForgiveNothingWhenTheClockIsSetBack(t *testing.T) {
	l := newLimits()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for range pairTries {
		_, wait := l.begin("ana", "192.0.2.1", false, now)
		require.Zero(t, wait)
	}
	_, wait := l.begin("ana", "192.0.2.1", false, now.Add(-24*time.Hour))
	require.Positive(t, wait)
}

func TestAttempt_ThatCouldNotBeMadeCostsNothing(t *testing.T) {
	l := newLimits()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for range 1000 {
		a, wait := l.begin("ana", "192.0.2.1", false, now)
		require.Zero(t, wait)
		a.undo()
	}
}

func TestCache_IsBounded(t *testing.T) {
	c := newCache(maxCached)
	for i := range maxCached + 100 {
		c.put(digest{byte(i), byte(i >> 8), byte(i >> 16)}, newCached(), 0)
	}
	require.Len(t, c.entries, maxCached)
}

func TestCache_KeepsNothingThatWasReadBeforeARevocation(t *testing.T) {
	c := newCache(maxCached)
	_, epoch := c.get(digest{1})
	c.drop("", func(*Subject) bool { return false })
	c.put(digest{1}, newCached(), epoch)
	entry, _ := c.get(digest{1})
	require.Nil(t, entry)
}
