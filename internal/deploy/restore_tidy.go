package deploy

import (
	"context"
	"errors"
	"slices"

	"berth/internal/container"
	"berth/internal/sqlite"
)

// brokenRestore is why a restore came to nothing that no process works on any more.
const brokenRestore = "Berth ended while the backup arrived; nothing was changed"

// giveUp says why a restore came to nothing, and removes what arrived of it.
func (s *Service) giveUp(ctx context.Context, v keptVolume, c volumeCopy, why error) {
	err := s.db.Write(ctx, func(tx *sqlite.Tx) error { return s.breakOff(ctx, tx, v, c, faultText(why)) })
	if err != nil {
		s.log.WarnContext(ctx, "restore that failed not written down; that is done later", "volume", v.name, "error", err)
		return
	}
	s.tidyOne(ctx, v.name)
}

// breakOff has what arrived of a restore be removed.
func (s *Service) breakOff(ctx context.Context, tx *sqlite.Tx, v keptVolume, c volumeCopy, reason string) error {
	moved, err := moveCopy(ctx, tx, c, copyArriving, copyLeft)
	if err != nil || !moved {
		return err
	}
	return s.emitVolume(ctx, tx, eventVolumeRestoreFailed, c.actor, v, reason)
}

// tidyVolumes removes what restores left, now and then, until ctx ends.
func (s *Service) tidyVolumes(ctx context.Context) {
	select {
	case <-s.ready: // the containers of an earlier process's restores are gone
	case <-ctx.Done():
		return
	}
	for {
		if err := s.tidy(ctx, ""); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "volumes that restores left not removed; trying again later", "error", err)
		}
		if !pause(ctx, houseEvery, nil) {
			return
		}
	}
}

// tidyOne removes what restores of one volume left.
func (s *Service) tidyOne(ctx context.Context, volume string) {
	if err := s.tidy(ctx, volume); err != nil {
		s.log.WarnContext(ctx, "volumes that restores left not removed; trying again later", "volume", volume, "error", err)
	}
}

// tidy writes down which restores were broken off by the end of their process,
// and removes what they and others left; of one volume, or of all when it is
// "".
func (s *Service) tidy(ctx context.Context, volume string) error {
	known, err := s.copies(ctx, volume)
	if err != nil || !slices.ContainsFunc(known, func(c volumeCopy) bool { return c.state != copyCurrent }) {
		return err
	}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if known, err = copiesOf(ctx, tx, volume); err != nil {
			return err
		}
		for n, c := range known {
			// One that is under way is among those as long as its row is such.
			if c.state != copyArriving || s.archives.has(c.restore) {
				continue
			}
			v := keptVolume{name: c.volume, engine: container.Volume{Labels: map[string]string{labelProject: c.project, labelStage: c.stage}}}
			if err := s.breakOff(ctx, tx, v, c, brokenRestore); err != nil {
				return err
			}
			known[n].state = copyLeft
		}
		return nil
	})
	if err != nil {
		return err
	}
	var failed []error
	for _, c := range known {
		if c.state == copyLeft {
			failed = append(failed, s.removeLeft(ctx, c, known.current(c.volume)))
		}
	}
	return errors.Join(failed...)
}

// removeLeft removes one of the engine's volumes that a restore left. Without
// the current one it stays: then the database may be older than what the
// engine has, and mistake one that has the data for it.
func (s *Service) removeLeft(ctx context.Context, c volumeCopy, current string) error {
	if _, err := s.runtime.Volume(ctx, current); errors.Is(err, container.ErrNotFound) {
		return nil
	} else if err != nil {
		return engineAway(err)
	}
	v, err := s.runtime.Volume(ctx, c.engineName())
	if err != nil && !errors.Is(err, container.ErrNotFound) {
		return engineAway(err)
	}
	if err == nil && s.isCopy(v, c) { // another one of that name is somebody else's
		err = s.runtime.RemoveVolume(ctx, c.engineName())
		if errors.Is(err, container.ErrConflict) {
			s.log.InfoContext(ctx, "volume that a restore left still in use", "volume", c.engineName())
			return nil
		}
		if err != nil && !errors.Is(err, container.ErrNotFound) {
			return engineRefused("remove volume "+c.engineName(), err)
		}
	}
	return s.db.Write(ctx, func(tx *sqlite.Tx) error { return deleteCopy(ctx, tx, c) })
}
