package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"berth/internal/container"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// RestoreVolume makes a volume hold what a tar stream has, and nothing else.
// The stream goes into a volume of its own first: until it is whole, nothing
// is changed. A volume that is not there is made when a stage's settings name
// it. fault.Conflict while containers have it, unless forced; then the
// instances end meanwhile, and begin again.
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
	staged, err := s.stageBackup(ctx, v, labels, from)
	if err != nil {
		return VolumeStatus{}, err
	}
	// Begun, it goes to its end: half a volume helps nobody.
	ctx = context.WithoutCancel(ctx)
	if err := s.replaceVolume(ctx, v, staged, labels, r.Force); err != nil {
		return VolumeStatus{}, err
	}
	if err := s.runtime.RemoveVolume(ctx, staged); err != nil {
		s.log.WarnContext(ctx, "volume of a restored backup not removed", "volume", staged, "error", err)
	}
	if err := s.emitVolume(ctx, eventVolumeRestored, actor, v); err != nil {
		return VolumeStatus{}, err
	}
	return s.Volume(ctx, name)
}

// toRestore finds the volume, or makes it when a stage's settings name it.
func (s *Service) toRestore(ctx context.Context, name string) (container.Volume, error) {
	v, missing := s.ownVolume(ctx, name)
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
				if known != name {
					continue
				}
				if err := s.volumesOwn(ctx, p.Name, st.Name, StageSpec{Volumes: st.Spec.Volumes[n : n+1]}); err != nil {
					return v, err
				}
				labels := map[string]string{labelServer: s.server, labelProject: p.Name, labelStage: st.Name}
				if err := s.runtime.EnsureVolume(ctx, name, labels); err != nil {
					return v, engineRefused("make volume "+name, err)
				}
				return s.ownVolume(ctx, name)
			}
		}
	}
	return v, missing
}

// mayRestore says what keeps a volume from being replaced.
func (s *Service) mayRestore(ctx context.Context, v container.Volume, r Restore) error {
	users, err := s.volumeUsers(ctx, v.Name)
	if err != nil {
		return err
	}
	for _, u := range users {
		if u.Project != v.Labels[labelProject] || u.Stage != v.Labels[labelStage] {
			return inUseBy(v.Name, []VolumeUser{u}, "that is no instance of its stage, so it is for you to end")
		}
	}
	if len(users) > 0 && !r.Force {
		return inUseBy(v.Name, users, "force ends these instances while it is restored, and begins them again afterwards; until then the stage is down")
	}
	if size, known := s.volumeSizes(ctx)[v.Name]; r.Confirm != v.Name && (!known || size > 0) {
		return fault.Invalid("what is in %s is replaced: confirm it with the volume's name", v.Name)
	}
	return nil
}

// stageBackup puts the stream into a volume of its own.
func (s *Service) stageBackup(ctx context.Context, v container.Volume, labels map[string]string, from io.Reader) (staged string, err error) {
	staged = v.Name + "_restore"
	// One that an earlier restore left is of no use any more.
	if err := s.runtime.RemoveVolume(ctx, staged); err != nil && !errors.Is(err, container.ErrNotFound) {
		if errors.Is(err, container.ErrConflict) {
			return "", fault.Conflict("%s is being restored already", v.Name).Because(err)
		}
		return "", engineRefused("make room for the backup", err)
	}
	if err := s.runtime.EnsureVolume(ctx, staged, map[string]string{labelServer: s.server, labelRestoring: v.Name}); err != nil {
		return "", engineRefused("make a volume for the backup", err)
	}
	err = piped(
		func(to io.Writer) error { return checkArchive(from, to) },
		func(from io.Reader) error { return s.runtime.ImportVolume(ctx, staged, labels, from) },
	)
	if err == nil {
		return staged, nil
	}
	clean := context.WithoutCancel(ctx)
	if left := s.runtime.RemoveVolume(clean, staged); left != nil {
		s.log.WarnContext(clean, "volume of a broken backup not removed", "volume", staged, "error", left)
	}
	if fault.KindOf(err) != fault.Internal {
		return "", err
	}
	return "", fmt.Errorf("restore volume %s: %w", v.Name, err)
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

// replaceVolume makes a volume anew and fills it from the one with the backup.
func (s *Service) replaceVolume(ctx context.Context, v container.Volume, staged string, labels map[string]string, force bool) error {
	var st stage
	err := s.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
		st, err = findStage(ctx, tx, v.Labels[labelProject], v.Labels[labelStage])
		return err
	})
	if err != nil && fault.KindOf(err) != fault.Missing {
		return err
	}
	if err == nil {
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
	switch err := s.runtime.RemoveVolume(ctx, v.Name); {
	case errors.Is(err, container.ErrConflict):
		return fault.Conflict("%s came into use meanwhile: nothing was changed", v.Name).Because(err)
	case err != nil:
		return engineRefused("replace the volume", err)
	}
	if err := s.runtime.EnsureVolume(ctx, v.Name, v.Labels); err != nil {
		return engineRefused("make the volume anew; the backup is in "+staged, err)
	}
	err = piped(
		func(to io.Writer) error { return s.runtime.ExportVolume(ctx, staged, labels, to) },
		func(from io.Reader) error { return s.runtime.ImportVolume(ctx, v.Name, labels, from) },
	)
	if err != nil {
		return fault.Unavailable("the volume was restored in part only; the whole backup is in %s", staged).Because(err)
	}
	return nil
}

// standStill keeps a stage as it is until resume is called: nobody deploys to
// it, and no instance is begun. fault.Conflict while a deployment is under way.
func (s *Service) standStill(ctx context.Context, st stage) (resume func(), err error) {
	status, err := s.Stage(ctx, st.Project, st.Name)
	if err != nil {
		return nil, err
	}
	if d := status.Deployment; d != nil && (d.State == Waiting || d.State == Running) {
		return nil, fault.Conflict("a deployment to %s/%s is under way: wait for its end", st.Project, st.Name)
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
func (s *Service) endUsers(ctx context.Context, v container.Volume, grace time.Duration) error {
	found, err := s.runtime.VolumeUsers(ctx, v.Name)
	if err != nil {
		return engineAway(err)
	}
	var own []container.Container
	for _, c := range found {
		if c.Labels[labelServer] == s.server && c.Labels[labelProject] == v.Labels[labelProject] && c.Labels[labelStage] == v.Labels[labelStage] {
			own = append(own, c)
		}
	}
	return s.removeAll(ctx, own, grace)
}
