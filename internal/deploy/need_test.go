package deploy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
)

func TestNeeds_KeepsByCountAndByAge(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	rule := deploy.KeepRule{Releases: 2, For: 10 * 24 * time.Hour}
	use := func(release string, days int, edit func(*deploy.Use)) deploy.Use {
		u := deploy.Use{Release: release, Stage: "prod", Deployed: now.AddDate(0, 0, -days), WasLive: true, Rule: rule}
		if edit != nil {
			edit(&u)
		}
		return u
	}
	needs := deploy.Needs([]deploy.Use{
		use("ancient", 400, nil),
		use("held", 300, func(u *deploy.Use) { u.WasLive, u.Busy = false, true }),
		use("live", 200, func(u *deploy.Use) { u.Live = true }),
		use("old", 100, nil),
		use("third", 60, nil),
		use("failed", 50, func(u *deploy.Use) { u.WasLive = false }),
		use("second", 40, nil),
		use("first", 30, nil),
		use("tried", 9, func(u *deploy.Use) { u.WasLive = false }),
		// Another stage's do not count in this one, and its rule is its own.
		use("theirs", 20, func(u *deploy.Use) { u.Stage = "staging"; u.Rule.Releases = 1 }),
		use("theirs before", 21, func(u *deploy.Use) { u.Stage = "staging"; u.Rule.Releases = 1 }),
	}, now)
	require.Equal(t, map[string]deploy.Need{
		"live": deploy.NeedLive, "held": deploy.NeedDeployment, "first": deploy.NeedRollback, "second": deploy.NeedRollback,
		"tried": deploy.NeedRecent, "third": deploy.NeedNone, "old": deploy.NeedNone, "ancient": deploy.NeedNone, "failed": deploy.NeedNone,
		"theirs": deploy.NeedRollback, "theirs before": deploy.NeedNone,
	}, needs)
}

func TestNeeds_CountsWhatIsRecentAmongThoseKept(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var uses []deploy.Use
	for n := range 5 {
		uses = append(uses, deploy.Use{
			Release: string(rune('a' + n)), Stage: "prod", Deployed: now.Add(-time.Duration(n) * time.Hour), Live: n == 0, WasLive: true,
			Rule: deploy.KeepRule{Releases: 1, For: 150 * time.Minute},
		})
	}
	require.Equal(t, map[string]deploy.Need{
		"a": deploy.NeedLive, "b": deploy.NeedRollback, "c": deploy.NeedRecent, "d": deploy.NeedNone, "e": deploy.NeedNone,
	}, deploy.Needs(uses, now))
}
