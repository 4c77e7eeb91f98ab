package deploy

import (
	"context"
	"time"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

// mayTake says why a stage does not take a deployment, by the settings that it
// has now. A stage that promotes takes promotions from its source, its own
// live release again, and what was live in it before.
func (s *Service) mayTake(ctx context.Context, tx *sqlite.Tx, st stage, d deployment) error {
	from := st.Spec.PromoteFrom
	if from == "" {
		return nil
	}
	switch d.Kind {
	case KindRedeploy:
		return nil
	case KindRollback:
		was, err := wasLive(ctx, tx, st.ID, d.Release)
		if err != nil || was {
			return err
		}
		return fault.Conflict("this release was never live in %s/%s, which takes only what is promoted from %s", st.Project, st.Name, from)
	case KindPromote:
		if d.Source.Stage != from {
			return fault.Conflict("this promotion is from %s, and %s/%s takes only what is promoted from %s", d.Source.Stage, st.Project, st.Name, from)
		}
		if d.Approval != ApprovalNone && d.State == Held {
			return s.stillPromotable(ctx, tx, st, d)
		}
		return nil
	case KindDeploy:
	}
	return fault.Conflict("%s/%s takes only what is promoted from %s: \"berth promote %s %s\", or the button", st.Project, st.Name, from, st.Project, st.Name)
}

// stillPromotable says why a promotion that was held may not go on: what was
// live when it was asked for may have turned out bad.
func (s *Service) stillPromotable(ctx context.Context, tx *sqlite.Tx, st stage, d deployment) error {
	source, err := findSource(ctx, tx, st)
	if err != nil {
		return err
	}
	o, err := findOffer(ctx, tx, source, d.Source.Release)
	if err != nil {
		return err
	}
	return promotable(st, o, s.now())
}

// offer is a release of a stage, as those see it that promote from there.
type offer struct {
	stage      stage
	release    release
	deployment string // the one with which it is live, or went live last
	live       bool
	health     health // since: of the live one; longest: of all that it had
}

// promotable says why a stage does not take an offer now.
func promotable(st stage, o offer, now time.Time) error {
	after := time.Duration(st.Spec.PromoteAfter)
	tag, from := tagOf(o.release.Reference), o.stage.Name
	switch {
	case after == 0 && o.live, after > 0 && o.health.proven(now) >= after:
		return nil
	case after == 0:
		return fault.Conflict("%s is not live in %s, and %s/%s takes only what is", tag, from, st.Project, st.Name)
	case o.health.since.IsZero():
		return fault.Conflict("%s is not healthy in %s: %s/%s takes what was healthy there for %s", tag, from, st.Project, st.Name, after)
	}
	so := now.Sub(o.health.since)
	return fault.Conflict("%s has been healthy in %s for %s: %s/%s takes it after %s, in %s",
		tag, from, so.Round(time.Second), st.Project, st.Name, after, (after - so).Round(time.Second))
}

// Prospect is all that Due looks at: a stage that promotes by itself, and what
// is live where it promotes from.
type Prospect struct {
	After      time.Duration
	Deployment string // live in the source; "" when nothing is
	Digest     string // its image
	Live       string // the image that is live in the stage itself; "" when none is
	// HealthySince is since when the source's is healthy without a break; zero
	// while it is not.
	HealthySince time.Time
	// Watched says that a guard watches it, and may take it back.
	Watched bool
	// Tried says that this deployment of the source was promoted before, by
	// whomever and whatever became of it.
	Tried bool
	// Busy says that a deployment of the stage waits or runs: what somebody
	// asked for is not pushed aside. Nor is anything promoted to one that is
	// paused.
	Busy bool
}

// Due decides whether, and when, a release is promoted by itself: once for
// each deployment that went live in the source, when it has been healthy for
// its time.
func Due(p Prospect) (at time.Time, ever bool) {
	if p.Deployment == "" || p.HealthySince.IsZero() || p.Watched || p.Tried || p.Busy || p.Digest == p.Live {
		return time.Time{}, false
	}
	return p.HealthySince.Add(p.After), true
}

// findSource gives the stage that another promotes from.
func findSource(ctx context.Context, tx *sqlite.Tx, st stage) (stage, error) {
	if st.Spec.PromoteFrom == "" {
		return stage{}, fault.Conflict("%s/%s promotes from no stage: say in its settings which one, or deploy a tag", st.Project, st.Name)
	}
	return findStage(ctx, tx, st.Project, st.Spec.PromoteFrom)
}

// liveOffer gives what is live in a stage; fault.Conflict when nothing is.
func liveOffer(ctx context.Context, tx *sqlite.Tx, source stage) (offer, error) {
	nothing := fault.Conflict("nothing is live in %s/%s to promote", source.Project, source.Name)
	if source.LiveDeployment == "" {
		return offer{}, nothing
	}
	live, err := deploymentByID(ctx, tx, source.LiveDeployment)
	if err != nil {
		return offer{}, err
	}
	return findOffer(ctx, tx, source, live.Release)
}

// findOffer gives a release of a stage with all that its deployments prove.
func findOffer(ctx context.Context, tx *sqlite.Tx, source stage, releaseID string) (offer, error) {
	r, err := findRelease(ctx, tx, source, releaseID)
	if err != nil {
		return offer{}, err
	}
	o := offer{stage: source, release: r}
	served, err := servedWith(ctx, tx, source.ID, releaseID)
	for _, d := range served {
		o.deployment = d.ID
		o.health.longest = max(o.health.longest, d.health.longest)
		if d.ID == source.LiveDeployment {
			o.live, o.health.since = true, d.health.since
			return o, err
		}
	}
	return o, err
}

// tagOf gives what tells a project's releases apart: the tag of a reference, or
// its digest as people compare it.
func tagOf(reference string) string {
	tag := referenceIn(reference)
	switch {
	case tag == "":
		return reference
	case digestForm.MatchString(tag):
		return short(tag)
	}
	return tag
}
