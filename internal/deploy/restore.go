package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"golang.org/x/sync/errgroup"

	"berth/internal/container"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// RestoreVolume makes a volume hold what a tar stream has, and nothing else.
// The stream goes into a volume of the engine's of its own; when it is whole
// and nothing has the one before, a change in the database puts it in that
// one's place. So nobody ever has half of it, whenever Berth or the engine
// fails: what fails changes nothing. A volume that is not there is made when a
// stage's settings name it. fault.Conflict while containers have it, unless
// forced; then the instances end for the change, and begin again.
func (s *Service) RestoreVolume(ctx context.Context, actor, name string, from io.Reader, r Restore) (VolumeStatus, error) {
	v, err := s.toRestore(ctx, name)
	if err != nil {
		return VolumeStatus{}, err
	}
	if err := s.mayRestore(ctx, v, r); err != nil {
		return VolumeStatus{}, err
	}
	labels, end := s.archiveLabels()
	defer end()
	c, err := s.beginRestore(ctx, actor, v, labels[labelArchive])
	if err != nil {
		return VolumeStatus{}, err
	}
	if err = s.receive(ctx, v, c, labels, from); err == nil {
		// Begun, it goes to its end: instances are ended for it.
		err = s.takePlace(context.WithoutCancel(ctx), actor, v, c, r.Force)
	}
	if err != nil {
		s.giveUp(context.WithoutCancel(ctx), v, c, err)
		return VolumeStatus{}, err
	}
	s.tidyOne(context.WithoutCancel(ctx), v.name)
	return s.Volume(ctx, name)
}

// toRestore finds the volume, or makes it when a stage's settings name it.
func (s *Service) toRestore(ctx context.Context, name string) (keptVolume, error) {
	v, missing := s.ownVolume(ctx, name)
	if missing == nil && v.of != "" {
		return v, fault.Conflict("%s is what a restore of %s made or left: back it up, remove it, and restore the backup into %s", name, v.of, v.of)
	}
	if fault.KindOf(missing) != fault.Missing {
		return v, missing
	}
	saved, err := s.Configuration(ctx)
	if err != nil {
		return v, err
	}
	for _, p := range saved {
		for _, st := range p.Stages {
			for n, known := range VolumeNames(p.Name, st.Name, st.Spec) {
				if known == name {
					return s.makeToRestore(ctx, p.Name, st.Name, name, StageSpec{Volumes: st.Spec.Volumes[n : n+1]})
				}
			}
		}
	}
	return v, missing
}

func (s *Service) makeToRestore(ctx context.Context, project, stage, name string, only StageSpec) (keptVolume, error) {
	if err := s.volumesOwn(ctx, project, stage, only); err != nil {
		return keptVolume{}, err
	}
	known, err := s.copies(ctx, name)
	if err != nil {
		return keptVolume{}, err
	}
	if err := s.ensureVolumes(ctx, project, stage, only, known); err != nil {
		return keptVolume{}, err
	}
	return s.ownVolume(ctx, name)
}

// mayRestore says what keeps a volume from being replaced.
func (s *Service) mayRestore(ctx context.Context, v keptVolume, r Restore) error {
	users, err := s.volumeUsers(ctx, v.engine.Name)
	if err != nil {
		return err
	}
	project, stage := v.owner()
	for _, u := range users {
		if u.Project != project || u.Stage != stage {
			return inUseBy(v.name, []VolumeUser{u}, "that is no instance of its stage, so it is for you to end")
		}
	}
	if len(users) > 0 && !r.Force {
		return inUseBy(v.name, users, "force ends these instances when the backup is there, and begins them again; between the two the stage is down")
	}
	if size, known := s.volumeSizes(ctx)[v.engine.Name]; r.Confirm != v.name && (!known || size > 0) {
		return fault.Invalid("what is in %s is replaced: confirm it with the volume's name", v.name)
	}
	st, there, err := s.stageOf(ctx, v)
	if err != nil || !there {
		return err
	}
	return s.quiet(ctx, st)
}

// stageOf finds the stage that a volume is of, if it is still there.
func (s *Service) stageOf(ctx context.Context, v keptVolume) (st stage, there bool, err error) {
	project, name := v.owner()
	err = s.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
		st, err = findStage(ctx, tx, project, name)
		return err
	})
	if fault.KindOf(err) == fault.Missing {
		return st, false, nil
	}
	return st, err == nil, err
}

// beginRestore writes down that a backup is to arrive, and then makes the
// volume that it arrives in: whatever happens from here on, that one is known.
func (s *Service) beginRestore(ctx context.Context, actor string, v keptVolume, id string) (volumeCopy, error) {
	s.tidyOne(ctx, v.name)
	project, stage := v.owner()
	c := volumeCopy{volume: v.name, state: copyArriving, restore: id, project: project, stage: stage, actor: actor, began: s.now()}
	number, err := s.freeNumber(ctx, v.name)
	if err != nil {
		return c, err
	}
	c.number = number
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		known, err := copiesOf(ctx, tx, v.name)
		if err != nil {
			return err
		}
		for _, other := range known {
			if other.state == copyArriving {
				return fault.Conflict("%s is being restored already, by %s", v.name, other.actor)
			}
		}
		if err := insertCopy(ctx, tx, c); err != nil {
			return err
		}
		return s.emitVolume(ctx, tx, eventVolumeRestoreBegun, actor, v, "")
	})
	if err != nil {
		return c, err
	}
	s.crash(ctx, c.restore, restoreStep, "begun")
	if err := s.makeCopy(ctx, v, c); err != nil {
		s.giveUp(context.WithoutCancel(ctx), v, c, err)
		return c, err
	}
	s.crash(ctx, c.restore, restoreStep, "made")
	return c, nil
}

// restoreStep is what restores are called by to what tests crash them with.
const restoreStep StepName = "restore"

// freeNumber finds a number for the next copy of a volume. A volume of the
// engine that has its name already is somebody else's, and left alone.
func (s *Service) freeNumber(ctx context.Context, volume string) (int, error) {
	known, err := s.copies(ctx, volume)
	if err != nil {
		return 0, err
	}
	for number := known.last(volume) + 1; ; number++ {
		_, err := s.runtime.Volume(ctx, volumeCopy{volume: volume, number: number}.engineName())
		if errors.Is(err, container.ErrNotFound) {
			return number, nil
		}
		if err != nil {
			return 0, engineAway(err)
		}
	}
}

// makeCopy makes the volume that a backup arrives in, with the labels of the
// one that it comes in place of. Engines give one that is there already as if
// they had made it, so whose it is is looked at.
func (s *Service) makeCopy(ctx context.Context, v keptVolume, c volumeCopy) error {
	labels := maps.Clone(v.engine.Labels)
	labels[labelVolume], labels[labelArchive] = v.name, c.restore
	if err := s.runtime.EnsureVolume(ctx, c.engineName(), labels); err != nil {
		return engineRefused("make a volume for the backup", err)
	}
	made, err := s.runtime.Volume(ctx, c.engineName())
	if err != nil {
		return engineRefused("make a volume for the backup", err)
	}
	if !s.isCopy(made, c) {
		return fault.Conflict("somebody else made a volume %s in the container engine just now: try again", c.engineName())
	}
	return nil
}

// isCopy says that a volume of the engine is the one that a restore made, or
// the one that was there before all of them.
func (s *Service) isCopy(v container.Volume, c volumeCopy) bool {
	if v.Name != c.engineName() || v.Labels[labelServer] != s.server {
		return false
	}
	return c.number == 0 || v.Labels[labelVolume] == c.volume && v.Labels[labelArchive] == c.restore
}

// receive puts the stream into the volume that it is to arrive in.
func (s *Service) receive(ctx context.Context, v keptVolume, c volumeCopy, labels map[string]string, from io.Reader) error {
	err := piped(
		func(to io.Writer) error { return checkArchive(from, to) },
		func(from io.Reader) error { return s.runtime.ImportVolume(ctx, c.engineName(), labels, from) },
	)
	if err == nil {
		s.crash(ctx, c.restore, restoreStep, "arrived")
		return nil
	}
	if ctx.Err() != nil {
		return fault.Unavailable("the restore was broken off before the backup was there, and nothing was changed").Because(err)
	}
	if fault.KindOf(err) != fault.Internal {
		return err
	}
	return fault.Unavailable("the container engine did not take the backup, and nothing was changed: %s", engineWords(err)).
		Because(fmt.Errorf("restore volume %s: %w", v.name, err))
}

// piped has one write what the other reads. The writer's error is the one that
// says why.
func piped(write func(io.Writer) error, read func(io.Reader) error) error {
	from, to := io.Pipe()
	var group errgroup.Group
	var wrote error
	group.Go(func() error {
		wrote = write(to)
		_ = to.CloseWithError(wrote)
		return nil
	})
	took := read(from)
	_ = from.CloseWithError(io.ErrClosedPipe)
	_ = group.Wait()
	if wrote != nil && !errors.Is(wrote, io.ErrClosedPipe) {
		return wrote
	}
	return took
}

// takePlace puts the volume with the backup in the place of the one before,
// once nothing has that.
func (s *Service) takePlace(ctx context.Context, actor string, v keptVolume, c volumeCopy, force bool) error {
	st, there, err := s.stageOf(ctx, v)
	if err != nil {
		return err
	}
	if there {
		resume, err := s.standStill(ctx, st)
		if err != nil {
			return err
		}
		defer resume()
	}
	if force {
		if err := s.endUsers(ctx, v, time.Duration(st.Spec.StopTimeout)); err != nil {
			return err
		}
	}
	users, err := s.volumeUsers(ctx, v.engine.Name)
	if err != nil {
		return err
	}
	if len(users) > 0 {
		return inUseBy(v.name, users, "it came into use while the backup arrived, and nothing was changed")
	}
	s.crash(ctx, c.restore, restoreStep, "ended")
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error { return s.replaceCopy(ctx, tx, actor, v, c) })
	if err == nil {
		s.crash(ctx, c.restore, restoreStep, "replaced")
	}
	return err
}

// replaceCopy has c be the current copy, and the one before be left.
func (s *Service) replaceCopy(ctx context.Context, tx *sqlite.Tx, actor string, v keptVolume, c volumeCopy) error {
	known, err := copiesOf(ctx, tx, v.name)
	if err != nil {
		return err
	}
	if known.current(v.name) != v.engine.Name {
		return fault.Conflict("%s was replaced while the backup arrived, and nothing was changed", v.name)
	}
	before, numbered := known.find(v.engine.Name)
	if numbered {
		_, err = moveCopy(ctx, tx, before, copyCurrent, copyLeft)
	} else {
		err = insertCopy(ctx, tx, volumeCopy{volume: v.name, state: copyLeft, project: c.project, stage: c.stage, actor: actor, began: s.now()})
	}
	if err != nil {
		return err
	}
	moved, err := moveCopy(ctx, tx, c, copyArriving, copyCurrent)
	if err == nil && !moved {
		err = fault.Conflict("the restore of %s was broken off, and nothing was changed", v.name)
	}
	if err != nil {
		return err
	}
	return s.emitVolume(ctx, tx, eventVolumeRestored, actor, v, "")
}

// quiet says whether a deployment to a stage is under way.
func (s *Service) quiet(ctx context.Context, st stage) error {
	status, err := s.Stage(ctx, st.Project, st.Name)
	if err != nil {
		return err
	}
	if d := status.Deployment; d != nil && (d.State == Waiting || d.State == Running) {
		return fault.Conflict("a deployment to %s/%s is under way: wait for its end", st.Project, st.Name)
	}
	return nil
}

// standStill keeps a stage as it is until resume is called: nobody deploys to
// it, and no instance is begun. fault.Conflict while a deployment is under way.
func (s *Service) standStill(ctx context.Context, st stage) (resume func(), err error) {
	if err := s.quiet(ctx, st); err != nil {
		return nil, err
	}
	lift, err := s.jobs.bar(ctx, st.ID)
	if err != nil {
		return nil, err
	}
	release := s.locks.hold(st.ID)
	return func() {
		release()
		lift()
		s.deployLater(st.ID)
		s.giveWayLater(st.ID)
		s.keepLater(st.ID)
	}, nil
}

// endUsers removes the instances that have a volume.
func (s *Service) endUsers(ctx context.Context, v keptVolume, grace time.Duration) error {
	found, err := s.runtime.VolumeUsers(ctx, v.engine.Name)
	if err != nil {
		return engineAway(err)
	}
	project, stage := v.owner()
	var own []container.Container
	for _, c := range found {
		if c.Labels[labelServer] == s.server && c.Labels[labelProject] == project && c.Labels[labelStage] == stage {
			own = append(own, c)
		}
	}
	return s.removeAll(ctx, own, grace)
}
