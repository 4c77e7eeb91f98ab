package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"berth/internal/event"
	"berth/internal/registry"
	"berth/internal/sqlite"
)

// pushed is what deploy reads of the data of an event that tells of a new
// image: a push to the built-in registry, or one found in another.
type pushed struct {
	Repository string `json:"repository"`
	Tag        string `json:"tag"`
	Digest     string `json:"digest"`
	By         string `json:"by"` // what found it; "" of a push
	// Of what was found: whether its tag is new, and when its image was made,
	// if that is known.
	New     bool      `json:"new"`
	Created time.Time `json:"created"`
	// Of a push by somebody who is held to a project or stage: that.
	Project string `json:"project"`
	Stage   string `json:"stage"`
}

// reaches says whether whoever pushed may have the stage deployed.
func (p pushed) reaches(st stage) bool {
	return p.Project == "" || p.Project == st.Project && (p.Stage == "" || p.Stage == st.Name)
}

func (p pushed) trigger() Trigger {
	switch p.By {
	case registry.ByWebhook:
		return TriggerWebhook
	case registry.ByPoll:
		return TriggerPoll
	}
	return TriggerPush
}

// followPushes asks for the deployments that pushes call for, each push once,
// from where an earlier process stopped, until ctx ends.
func (s *Service) followPushes(ctx context.Context) {
	retry := firstRetry
	for ctx.Err() == nil {
		err := s.takePushes(ctx)
		if ctx.Err() != nil {
			return
		}
		s.log.ErrorContext(ctx, "pushes not followed; trying again", "error", err)
		if !pause(ctx, retry, nil) {
			return
		}
		retry = min(2*retry, longestRetry)
	}
}

func (s *Service) takePushes(ctx context.Context) error {
	var after int64
	err := s.db.Read(ctx, func(tx *sqlite.Tx) error {
		at, err := mark(ctx, tx, markPushes)
		if err == nil && at != "" {
			after, err = strconv.ParseInt(at, 10, 64)
		}
		return err
	})
	if err != nil {
		return err
	}
	for e, err := range s.events.Follow(ctx, after, event.Filter{Kinds: []event.Kind{registry.Pushed, registry.ImageFound}}) {
		if err == nil {
			err = s.takePush(ctx, e)
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// takePush asks for what one push calls for, and remembers that it did, in
// one transaction.
func (s *Service) takePush(ctx context.Context, e event.Event) error {
	var p pushed
	if err := json.Unmarshal(e.Data, &p); err != nil {
		return fmt.Errorf("read event %d: %w", e.ID, err)
	}
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if err := setMark(ctx, tx, markPushes, strconv.FormatInt(e.ID, 10)); err != nil || p.Tag == "" {
			return err
		}
		stages, err := stagesOfImage(ctx, tx, p.Repository)
		if err != nil {
			return err
		}
		for _, st := range stages {
			if !p.reaches(st) || st.Spec.PromoteFrom != "" || !st.Spec.Tags.Match(p.Tag) {
				continue
			}
			has, err := currentTag(ctx, tx, st.ID)
			if err != nil {
				return err
			}
			if st.Spec.Tags.passesOver(p, has) {
				s.log.InfoContext(ctx, "image is older than what the stage has", "project", st.Project, "stage", st.Name, "tag", p.Tag, "has", has.Name)
				continue
			}
			d := deployment{Deployment: Deployment{Kind: KindDeploy, Reference: p.Tag, Trigger: p.trigger(), Actor: e.Actor}, imageCreated: p.Created}
			if st.Paused != nil {
				if err := s.missed(ctx, tx, st, d); err != nil {
					return err
				}
				continue
			}
			if st.Spec.Approve {
				d.Approval, d.Digest = ApprovalAny, p.Digest
			}
			if _, err := s.request(ctx, tx, st, d); err != nil {
				return err
			}
		}
		return nil
	})
}
