package registry

import (
	"fmt"
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

func TestCompare_TellsNewsFromWhatIsKnown(t *testing.T) {
	glob := Rule{Name: "glob 1*", Match: func(tag string) bool { return tag[0] == '1' }}
	exact := Rule{Name: "exact 2", Tag: "2"}
	before := map[string]known{"1": {digest: "a"}, "1.0": {}, "2": {digest: "a"}}
	for name, c := range map[string]struct {
		tag      string
		seen     answered
		baseline []string
		hinted   bool
		by       string
	}{
		"the same digest":                        {"1", answered{digest: "a"}, []string{"glob 1*"}, false, ""},
		"the same digest, hinted at":             {"1", answered{digest: "a"}, []string{"glob 1*"}, true, ""},
		"another digest":                         {"1", answered{digest: "b"}, []string{"glob 1*"}, false, ByPoll},
		"another digest, hinted at":              {"1", answered{digest: "b"}, []string{"glob 1*"}, true, ByWebhook},
		"unchanged, says the registry":           {"1", answered{same: true}, []string{"glob 1*"}, true, ""},
		"gone":                                   {"1", answered{gone: true}, []string{"glob 1*"}, true, ""},
		"a new tag":                              {"1.1", answered{digest: "b"}, []string{"glob 1*"}, false, ByPoll},
		"a new tag of a new rule":                {"1.1", answered{digest: "b"}, nil, false, ""},
		"a new tag of a new rule, hinted at":     {"1.1", answered{digest: "b"}, nil, true, ByWebhook},
		"the digest of a name that was known":    {"1.0", answered{digest: "b"}, []string{"glob 1*"}, false, ""},
		"a moved tag of a new rule":              {"2", answered{digest: "b"}, []string{"glob 1*"}, false, ""},
		"a tag that no rule takes":               {"3", answered{digest: "b"}, []string{"glob 1*", "exact 2"}, false, ""},
		"a tag that no rule takes, if hinted at": {"3", answered{digest: "b"}, []string{"glob 1*", "exact 2"}, true, ""},
	} {
		found := compare(map[string]answered{c.tag: c.seen}, before, []Rule{glob, exact}, c.baseline, map[string]bool{c.tag: c.hinted})
		if c.by == "" {
			require.Empty(t, found, name)
			continue
		}
		_, known := before[c.tag]
		require.Equal(t, []Found{{Tag: c.tag, Digest: c.seen.digest, By: c.by, New: !known}}, found, name)
	}
}

func TestPick_LooksAtAllKnownTagsAgainInTurn(t *testing.T) {
	before, listed := map[string]known{}, []string{}
	for n := range 25 {
		tag := fmt.Sprintf("1.%d.0", n)
		before[tag], listed = known{digest: "a"}, append(listed, tag)
	}
	all := []Rule{{Name: "glob *", Match: func(string) bool { return true }}}
	asked, turn := map[string]bool{}, ""
	for range 3 {
		var c picked
		c, turn = pick(listed, before, all, all, nil, turn)
		require.Len(t, c.ask, mostAgain)
		for _, tag := range c.ask {
			asked[tag] = true
		}
	}
	require.Len(t, asked, 25)
}

func TestPick_LeavesNewTagsUnknownThatItDoesNotLookUp(t *testing.T) {
	glob := Rule{Name: "glob 1*", Match: func(tag string) bool { return tag[0] == '1' }}
	added := Rule{Name: "glob *", Match: func(string) bool { return true }}
	listed := []string{}
	for n := range 60 {
		listed = append(listed, fmt.Sprintf("1.%d.0", n), fmt.Sprintf("0.%d.0", n))
	}
	c, _ := pick(listed, nil, []Rule{glob}, []Rule{glob}, nil, "")
	require.Len(t, c.ask, mostNew)
	require.Empty(t, c.note)
	require.True(t, c.rest)

	c, _ = pick(listed, nil, []Rule{glob, added}, []Rule{glob}, nil, "")
	require.Len(t, c.ask, mostFirst)
	require.Len(t, c.note, 60, "what only the new rule takes is taken note of")
	require.True(t, c.rest, "what the old one takes is news yet")

	c, _ = pick(listed, nil, []Rule{glob}, nil, nil, "")
	require.Len(t, c.note, 10)
	require.False(t, c.rest)
}

func TestPick_IsNotHeldUpByTagsThatAreListedAndNotThere(t *testing.T) {
	all := []Rule{{Name: "glob *", Match: func(string) bool { return true }}}
	listed, absent := []string{"a"}, map[string]bool{}
	for n := range 2 * mostNew {
		tag := fmt.Sprintf("1.%d.0", n)
		listed, absent[tag] = append(listed, tag), true
	}
	c, _ := pick(listed, nil, all, all, absent, "")
	require.Equal(t, "a", c.ask[0])
	require.False(t, c.rest)
}
