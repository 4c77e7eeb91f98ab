package deploy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
)

func TestDue_PromotesOnceWhatWasHealthyForItsTime(t *testing.T) {
	since := time.Unix(1000, 0)
	good := Prospect{After: time.Minute, Deployment: "d2", Digest: "sha256:2", Live: "sha256:1", HealthySince: since}
	at, ever := Due(good)
	require.True(t, ever)
	require.Equal(t, since.Add(time.Minute), at)
	for name, edit := range map[string]func(*Prospect){
		"nothing is live in the source":       func(p *Prospect) { p.Deployment = "" },
		"it is not healthy":                   func(p *Prospect) { p.HealthySince = time.Time{} },
		"a guard watches it":                  func(p *Prospect) { p.Watched = true },
		"it was promoted before":              func(p *Prospect) { p.Tried = true },
		"somebody's deployment waits or runs": func(p *Prospect) { p.Busy = true },
		"the image is live already":           func(p *Prospect) { p.Live = p.Digest },
	} {
		p := good
		edit(&p)
		_, ever := Due(p)
		require.False(t, ever, name)
	}
	first := good
	first.Live = ""
	_, ever = Due(first)
	require.True(t, ever, "nothing is live in the stage yet")
}

func TestHealth_ProvesTheLongestTimeWithoutABreak(t *testing.T) {
	at := func(minute int) time.Time { return time.Unix(0, 0).UTC().Add(time.Duration(minute) * time.Minute) }
	var h health
	for _, look := range []struct {
		minute         int
		healthy, begun bool
		proven         time.Duration
	}{
		{1, false, true, 0},
		{2, true, true, 0},
		{5, true, true, 3 * time.Minute},
		{6, false, true, 4 * time.Minute},
		{9, true, true, 4 * time.Minute},
		{12, true, true, 4 * time.Minute},
		{20, true, true, 11 * time.Minute},
		// A process begins to look and finds it down: nobody knows for how long.
		{60, false, false, 4 * time.Minute},
		{61, true, true, 4 * time.Minute},
		{70, true, false, 9 * time.Minute},
	} {
		h = h.next(look.healthy, look.begun, at(look.minute))
		require.Equal(t, look.proven, h.proven(at(look.minute)), "minute %d", look.minute)
	}
}

func TestNewest_GoesByVersionElseByWhenTheImageWasCreatedElseByName(t *testing.T) {
	day := func(n int) time.Time { return time.Unix(int64(n)*86400, 0) }
	tags := []TagMade{
		{"1.9.0", day(1)},
		{"1.10.0", day(2)},
		{"1.10.1-rc.1", day(9)},
		{"v1.2.0", day(8)},
		{"2.0.0", day(3)},
		{"main-a", day(4)},
		{"main-b", day(6)},
		{"main-c", day(5)},
		{"same-a", day(7)},
		{"same-b", day(7)},
		{"undated-z", time.Time{}},
		{"undated-a", day(1)},
	}
	for _, c := range []struct {
		kind    TagKind
		pattern string
		want    string
		by      NewestBy
	}{
		{TagSemver, "^1", "1.10.0", NewestByVersion},
		{TagSemver, "^1-0", "1.10.1-rc.1", NewestByVersion},
		{TagSemver, "*", "2.0.0", NewestByVersion},
		{TagGlob, "main-*", "main-b", NewestByCreated},
		{TagRegexp, "main-[ac]", "main-c", NewestByCreated},
		{TagGlob, "1.*", "1.10.1-rc.1", NewestByCreated},
		{TagGlob, "same-*", "same-b", NewestByCreated},
		{TagGlob, "undated-*", "undated-a", NewestByCreated},
		{TagGlob, "*-z", "undated-z", NewestByName},
		{TagExact, "main-a", "main-a", NewestByCreated},
		{TagExact, "nothing", "", ""},
		{TagNone, "", "", ""},
	} {
		newest, by := TagRule{c.kind, c.pattern}.Newest(tags)
		require.Equal(t, c.want, newest, "%s %s", c.kind, c.pattern)
		require.Equal(t, c.by, by, "%s %s", c.kind, c.pattern)
	}
}

func TestPromotable_SaysWhatIsMissing(t *testing.T) {
	now := time.Unix(10_000, 0)
	st := stage{Stage: Stage{Project: "shop", Name: "prod", Spec: StageSpec{PromoteFrom: "staging"}}}
	o := offer{stage: stage{Stage: Stage{Name: "staging"}}, release: release{Release: Release{Reference: "shop:1.4"}}}
	err := promotable(st, o, now)
	require.Equal(t, fault.Clash, fault.KindOf(err))
	require.EqualError(t, err, "1.4 is not live in staging, and shop/prod takes only what is")
	o.live = true
	require.NoError(t, promotable(st, o, now), "without a time, what is live is taken")

	st.Spec.PromoteAfter = Duration(10 * time.Minute)
	require.EqualError(t, promotable(st, o, now), "1.4 is not healthy in staging: shop/prod takes what was healthy there for 10m0s")
	o.health.since = now.Add(-3 * time.Minute)
	require.EqualError(t, promotable(st, o, now), "1.4 has been healthy in staging for 3m0s: shop/prod takes it after 10m0s, in 7m0s")
	require.NoError(t, promotable(st, o, now.Add(7*time.Minute)))
	o.live, o.health = false, health{longest: time.Hour}
	require.NoError(t, promotable(st, o, now), "what was proven may be taken when it is no longer live")
}
