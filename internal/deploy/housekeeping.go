package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"berth/internal/container"
	"berth/internal/event"
	"berth/internal/sqlite"
)

const (
	houseFirst = 10 * time.Minute // after the start, when there is much to do
	houseEvery = time.Hour
	// houseTime bounds one round.
	houseTime = 30 * time.Minute
	// unpulledFor is how long a pull that came to no end is remembered.
	unpulledFor = 7 * 24 * time.Hour
)

// keepHouseLater keeps house now and then, until ctx ends.
func (s *Service) keepHouseLater(ctx context.Context) {
	for wait := houseFirst; pause(ctx, wait, nil); wait = houseEvery {
		round, stop := context.WithTimeout(ctx, houseTime)
		_, err := s.KeepHouse(round, "")
		if err == nil {
			err = s.forgetOld(round)
		}
		stop()
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "house not kept; trying again later", "error", err)
		}
	}
}

// eventImageRemoved tells of an image that the engine had because Berth pulled
// it. What goes from the built-in registry is told by the registry.
const eventImageRemoved event.Kind = "engine_image.removed"

// imageRemoval is the data of such an event.
type imageRemoval struct {
	Repository string `json:"repository"`
	Digest     string `json:"digest"`
	Image      string `json:"image"`
	Size       int64  `json:"size"`
}

// KeepHouse removes the images that nothing needs and gives what it looked at:
// what is left without a reason to stay is gone.
func (s *Service) KeepHouse(ctx context.Context, actor string) (Leftovers, error) {
	actor = cmp.Or(actor, "berth")
	found, err := s.Leftovers(ctx)
	if err != nil {
		return found, err
	}
	for n := range found.Items {
		l := &found.Items[n]
		if l.Stays != "" {
			continue
		}
		if l.Place == PlaceRegistry {
			err = s.removeFromShelf(ctx, actor, l)
		} else {
			err = s.removeFromEngine(ctx, actor, l)
		}
		if err != nil {
			return found, err
		}
	}
	return found, nil
}

func (s *Service) removeFromShelf(ctx context.Context, actor string, l *Leftover) error {
	defer s.pickUnless(ctx, l)()
	if l.Stays != "" || s.needAgain(ctx, l) {
		return nil
	}
	gone, err := s.shelf.RemoveUnnamed(ctx, actor, l.Repository, l.Digest)
	if err == nil && !gone {
		l.Stays = "it has a tag again"
	}
	if gone {
		s.outcomes.images.WithLabelValues(string(PlaceRegistry)).Inc()
	}
	return err
}

// removeFromEngine removes an image unless it was needed since it was looked
// at: no deployment can choose an image while this does.
func (s *Service) removeFromEngine(ctx context.Context, actor string, l *Leftover) error {
	defer s.pickUnless(ctx, l)()
	if l.Stays != "" || s.needAgain(ctx, l) {
		return nil
	}
	err := s.runtime.RemoveImage(ctx, l.Image)
	if errors.Is(err, container.ErrConflict) {
		l.Stays = "the container engine says that it is used"
		return nil
	}
	if err != nil && !errors.Is(err, container.ErrNotFound) {
		return engineAway(err)
	}
	s.log.InfoContext(ctx, "image removed", "repository", l.Repository, "digest", l.Digest, "bytes", l.Size)
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if err := forgetPulled(ctx, tx, l.Image); err != nil {
			return err
		}
		tx.OnCommit(s.outcomes.images.WithLabelValues(string(PlaceEngine)).Inc)
		return s.events.Append(ctx, tx, event.Event{Kind: eventImageRemoved, Actor: actor},
			imageRemoval{Repository: l.Repository, Digest: l.Digest, Image: l.Image, Size: l.Size})
	})
}

// pickWait is how long keeping house waits for deployments that are choosing
// their image. None waits for keeping house longer than one removal takes.
const (
	pickWait  = 5 * time.Second
	pickAgain = 20 * time.Millisecond
)

// pickUnless keeps deployments from choosing an image until it is called, or
// says that one is at it.
func (s *Service) pickUnless(ctx context.Context, l *Leftover) (done func()) {
	for range int(pickWait / pickAgain) {
		if s.picking.TryLock() {
			return s.picking.Unlock
		}
		if !pause(ctx, pickAgain, nil) {
			break
		}
	}
	l.Stays = "deployments begin just now"
	return func() {}
}

// needAgain says whether a release has come to need an image.
func (s *Service) needAgain(ctx context.Context, l *Leftover) bool {
	var needed map[string]bool
	err := s.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
		needed, err = s.neededImages(ctx, tx)
		return err
	})
	switch {
	case err != nil:
		l.Stays = "the database does not say whether it is needed"
	case l.neededIn(needed):
		l.Stays = "a release needs it by now"
	}
	return l.Stays != ""
}

// forgetStep is how many deployments one transaction removes.
const forgetStep = 200

// forgetOld removes deployments that are older than the journal is kept, with
// their steps and instances, and releases that none is left of. What a stage
// may roll back to, or was once live by, stays. It does so in steps, between
// which others write.
func (s *Service) forgetOld(ctx context.Context) error {
	before := s.clock().Add(-s.journalFor)
	var uses []Use
	err := s.db.Write(ctx, func(tx *sqlite.Tx) (err error) {
		if err := forgetUnpulled(ctx, tx, s.clock().Add(-unpulledFor)); err != nil {
			return err
		}
		uses, err = usesOf(ctx, tx, s.keepRule)
		return err
	})
	if err != nil {
		return fmt.Errorf("find old deployments: %w", err)
	}
	needs, gone := Needs(uses, s.clock()), int64(0)
	for _, u := range uses {
		if needs[u.Release] != NeedNone || !u.Deployed.Before(before) {
			continue
		}
		err := s.db.Write(ctx, func(tx *sqlite.Tx) error { return forgetRelease(ctx, tx, u.Release, before) })
		if err != nil {
			return fmt.Errorf("forget release %s: %w", u.Release, err)
		}
	}
	for step := int64(forgetStep); step == forgetStep; gone += step {
		err := s.db.Write(ctx, func(tx *sqlite.Tx) (err error) {
			step, err = forgetDeployments(ctx, tx, before, forgetStep)
			return err
		})
		if err != nil {
			return fmt.Errorf("forget old deployments: %w", err)
		}
	}
	if gone > 0 {
		s.log.InfoContext(ctx, "old deployments removed", "deployments", gone)
	}
	return nil
}
