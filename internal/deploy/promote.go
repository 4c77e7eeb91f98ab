package deploy

import (
	"context"
	"time"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

// PromoteRequest asks for a promotion.
type PromoteRequest struct {
	Project string
	Stage   string // the one that promotes from another
	Release string // of the source: the live one, or one that was proven there
	// Seen is the release that whoever asks saw live in the source; Release
	// when empty.
	Seen    string
	Trigger Trigger
	Actor   string
}

// Promote asks for a deployment of the image of a release in the stage that
// this one promotes from, by its digest, with this stage's own configuration.
// fault.Conflict when another release than the one seen is live there by now,
// and when the release is not one that this stage takes.
func (s *Service) Promote(ctx context.Context, r PromoteRequest) (Deployment, error) {
	return s.ask(ctx, r.Project, r.Stage, func(tx *sqlite.Tx, st stage) (deployment, error) {
		source, err := findSource(ctx, tx, st)
		if err != nil {
			return deployment{}, err
		}
		live, err := liveOffer(ctx, tx, source)
		if err != nil {
			return deployment{}, err
		}
		if orElse(r.Seen, r.Release) != live.release.ID {
			return deployment{}, fault.Conflict("%s has moved on: %s (%s) is live there now; look at what it is, and promote again",
				source.Name, tagOf(live.release.Reference), short(live.release.Digest))
		}
		o, err := findOffer(ctx, tx, source, r.Release)
		if err != nil {
			return deployment{}, err
		}
		if err := promotable(st, o, s.now()); err != nil {
			return deployment{}, err
		}
		return s.promotion(ctx, tx, st, o, r.Trigger, r.Actor)
	})
}

// promotion makes the deployment that takes an offer into a stage. Its release
// is stored with it: what was asked for stays, whatever becomes of the source.
func (s *Service) promotion(ctx context.Context, tx *sqlite.Tx, st stage, o offer, t Trigger, actor string) (deployment, error) {
	now := s.now()
	taken := release{
		Release: Release{
			ID: sqlite.NewID(now), Reference: o.release.Reference, Digest: o.release.Digest, Spec: st.Spec, CreatedAt: now,
		},
		stageID: st.ID, repository: o.release.repository, imageID: o.release.imageID, imageCreated: o.release.imageCreated,
	}
	var err error
	if taken.SpecHash, err = st.Spec.hash(); err != nil {
		return deployment{}, err
	}
	id, err := saveRelease(ctx, tx, taken)
	if err != nil {
		return deployment{}, err
	}
	d := deployment{Deployment: Deployment{
		Kind: KindPromote, Reference: referenceIn(o.release.Reference), Release: id, Digest: o.release.Digest, Trigger: t, Actor: actor,
		Source: &Source{Stage: o.stage.Name, Deployment: o.deployment, Release: o.release.ID},
	}}
	switch {
	case !st.Spec.PromoteApproval:
	case t == TriggerPromote:
		d.Approval = ApprovalAny // nobody asked for it
	default:
		d.Approval = ApprovalOther
	}
	return d, nil
}

// Promotion is what a stage that promotes could take now.
type Promotion struct {
	From     string   `json:"from"` // the source stage
	After    Duration `json:"after"`
	Auto     bool     `json:"auto"`
	Approval bool     `json:"approval"`
	// Live is what is live in the source, nil when nothing is.
	Live *Release `json:"live,omitempty"`
	// Release is the one that this is about: the live one, or the one asked for.
	Release *Release `json:"release,omitempty"`
	// HealthySince is since when the live one is healthy without a break;
	// absent while it is not.
	HealthySince time.Time `json:"healthy_since,omitzero"`
	// Refused says why Release can't be promoted now; empty when it can.
	Refused string `json:"refused,omitempty"`
	// ReadyAt is when it can be, if it stays healthy.
	ReadyAt time.Time `json:"ready_at,omitzero"`
	// DueAt is when Berth promotes the live one by itself; absent when it won't.
	DueAt time.Time `json:"due_at,omitzero"`
	// Changes are what it would change of what is live in the stage.
	Changes []Change `json:"changes"`
	// Differs are the variables that the two stages give different values:
	// from the source's release, to this stage's own.
	Differs []Change `json:"differs"`
	// Earlier are releases of the source that are no longer live and were
	// healthy for their time; always none where no time is set.
	Earlier []Release `json:"earlier"`
}

// maxEarlier bounds the earlier releases that a promotion offers.
const maxEarlier = 20

// Promotion says what a promotion to a stage would be: of the source's live
// release, or of the one that releaseID names. fault.Conflict when the stage
// promotes from none.
func (s *Service) Promotion(ctx context.Context, project, stageName, releaseID string) (p Promotion, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		st, err := findStage(ctx, tx, project, stageName)
		if err != nil {
			return err
		}
		source, err := findSource(ctx, tx, st)
		if err != nil {
			return err
		}
		p = Promotion{
			From: source.Name, After: st.Spec.PromoteAfter, Auto: st.Spec.AutoPromote, Approval: st.Spec.PromoteApproval,
			Changes: []Change{}, Differs: []Change{}, Earlier: []Release{},
		}
		live, err := liveOffer(ctx, tx, source)
		if fault.KindOf(err) == fault.Clash {
			p.Refused = fault.Message(err)
			return nil
		}
		if err != nil {
			return err
		}
		o := live
		if releaseID != "" && releaseID != live.release.ID {
			if o, err = findOffer(ctx, tx, source, releaseID); err != nil {
				return err
			}
		}
		p.fill(st, live, o, s.now())
		if err := p.compare(ctx, tx, st, o); err != nil {
			return err
		}
		if p.Earlier, err = earlierProven(ctx, tx, st, source); err != nil || !p.Auto {
			return err
		}
		prospect, err := findProspect(ctx, tx, st)
		if at, ever := Due(prospect); ever {
			p.DueAt = at
		}
		return err
	})
	return p, err
}

// fill says what may be promoted, and when.
func (p *Promotion) fill(st stage, live, o offer, now time.Time) {
	there := live.release.Release
	there.Live, there.Available = true, true
	asked := o.release.Release
	asked.Live = o.live
	p.Live, p.Release, p.HealthySince = &there, &asked, live.health.since
	if err := promotable(st, o, now); err != nil {
		p.Refused = fault.Message(err)
		if !o.health.since.IsZero() {
			p.ReadyAt = o.health.since.Add(time.Duration(st.Spec.PromoteAfter))
		}
	}
}

// compare says what would change, and what stays different.
func (p *Promotion) compare(ctx context.Context, tx *sqlite.Tx, st stage, o offer) error {
	now, err := servedBy(ctx, tx, st.ID)
	if err != nil {
		return err
	}
	var was release
	if now != nil {
		was = now.release
	}
	p.Changes = compareReleases(was, release{Release: Release{Reference: o.release.Reference, Digest: o.release.Digest, Spec: st.Spec}})
	p.Differs = compareVariables(o.release.Spec, st.Spec)
	return nil
}

// earlierProven lists the releases that a stage takes though they are no
// longer live.
func earlierProven(ctx context.Context, tx *sqlite.Tx, st, source stage) ([]Release, error) {
	list := []Release{}
	if st.Spec.PromoteAfter == 0 {
		return list, nil
	}
	ids, err := provenReleases(ctx, tx, source, time.Duration(st.Spec.PromoteAfter), maxEarlier)
	if err != nil {
		return nil, err
	}
	found, err := releasesByID(ctx, tx, ids)
	for _, id := range ids {
		list = append(list, found[id].Release)
	}
	return list, err
}
