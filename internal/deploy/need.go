package deploy

import (
	"cmp"
	"slices"
	"time"
)

// KeepRule says which releases of a stage keep their image, besides the one
// that is live and those that a deployment is at.
type KeepRule struct {
	// Releases is how many that were live before are kept, to roll back to;
	// 10 when 0.
	Releases int
	// For keeps those that were deployed within that time; 30 days when 0.
	For time.Duration
}

const (
	keepReleases = 10
	keepFor      = 30 * 24 * time.Hour
)

// Need is what the image of a release is needed for.
type Need string

// What there is to need one for, the strongest first.
const (
	NeedLive       Need = "live"       // it is what the stage serves
	NeedDeployment Need = "deployment" // a deployment is at it, or waits for approval
	NeedRollback   Need = "rollback"   // it is one of those kept to roll back to
	NeedRecent     Need = "recent"     // it was deployed not long ago
	NeedNone       Need = ""
)

// Use is a release and what it was used for.
type Use struct {
	Release    string
	Stage      string // its id
	Repository string
	Digest     string
	Image      string    // the engine's id; empty when it never had it
	Deployed   time.Time // last
	Live       bool
	WasLive    bool
	Busy       bool // a deployment of it is not at its end, or promotes it
	Rule       KeepRule
}

// Needs says what each release is needed for.
func Needs(uses []Use, now time.Time) map[string]Need {
	list := slices.Clone(uses)
	slices.SortFunc(list, func(a, b Use) int {
		return cmp.Or(cmp.Compare(a.Stage, b.Stage), b.Deployed.Compare(a.Deployed), cmp.Compare(b.Release, a.Release))
	})
	needs := make(map[string]Need, len(list))
	stage, kept := "", 0
	for _, u := range list {
		if u.Stage != stage {
			stage, kept = u.Stage, 0
		}
		switch {
		case u.Live:
			needs[u.Release] = NeedLive
		case u.WasLive && kept < u.Rule.Releases:
			kept++
			needs[u.Release] = NeedRollback
		case now.Sub(u.Deployed) < u.Rule.For:
			needs[u.Release] = NeedRecent
		default:
			needs[u.Release] = NeedNone
		}
		if u.Busy && !u.Live {
			needs[u.Release] = NeedDeployment
		}
	}
	return needs
}
