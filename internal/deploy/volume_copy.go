package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"berth/internal/container"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// volumeCopy is one of the engine's volumes that hold what is kept under a
// volume's name, did so before, or are about to: each restore fills one of its
// own.
type volumeCopy struct {
	volume  string // the name that stages know
	number  int    // 0 is the engine's volume of that name
	state   copyState
	restore string // the id of the restore that it arrived by
	project string
	stage   string
	actor   string
	began   time.Time
}

// copyState is what a copy of a volume is there for.
type copyState string

// The states. One copy of a volume at most arrives, and one at most is the
// current one; without such a row that is the engine's volume of its name.
const (
	copyArriving copyState = "arriving" // a backup is put into it
	copyCurrent  copyState = "current"  // it is what containers get
	copyLeft     copyState = "left"     // replaced, or broken off: it is to be removed
)

// engineName is what the engine calls it. No other volume of Berth's has such
// a name: those of projects, stages and their volumes have no dot.
func (c volumeCopy) engineName() string {
	if c.number == 0 {
		return c.volume
	}
	return fmt.Sprintf("%s.%d", c.volume, c.number)
}

// copies are those that the database knows, of one moment.
type copies []volumeCopy

// current gives the engine's name of what is kept under a volume's name now.
func (l copies) current(volume string) string {
	for _, c := range l {
		if c.volume == volume && c.state == copyCurrent {
			return c.engineName()
		}
	}
	return volume
}

// find gives what is known of one of the engine's volumes.
func (l copies) find(engineName string) (c volumeCopy, known bool) {
	for _, c := range l {
		if c.engineName() == engineName {
			return c, true
		}
	}
	return c, false
}

// last gives the highest number that a volume's copies have.
func (l copies) last(volume string) (number int) {
	for _, c := range l {
		if c.volume == volume {
			number = max(number, c.number)
		}
	}
	return number
}

// copies reads what is known of one volume's copies, of all when it is "".
func (s *Service) copies(ctx context.Context, volume string) (known copies, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		known, err = copiesOf(ctx, tx, volume)
		return err
	})
	return known, err
}

// keptVolume is one of the engine's volumes, and what it is kept for.
type keptVolume struct {
	// name is the one that stages and people know; the engine's for what a
	// restore left.
	name string
	// of is the volume whose current one it is not: a backup arrives in it, or
	// a restore left it. "" for what containers get.
	of     string
	engine container.Volume
}

// keptIn says what one of the engine's volumes is kept for.
func keptIn(v container.Volume, known copies) keptVolume {
	k := keptVolume{name: v.Name, engine: v}
	name := cmp.Or(v.Labels[labelRestoring], v.Labels[labelVolume], v.Name)
	if v.Labels[labelRestoring] == "" && known.current(name) == v.Name {
		k.name = name
	} else {
		k.of = name
	}
	return k
}

// owner gives the project and the stage of a volume: by its labels, or by the
// name of the one that it was to be restored to, whose parts have no "_".
func (k keptVolume) owner() (project, stage string) {
	if project = k.engine.Labels[labelProject]; project != "" {
		return project, k.engine.Labels[labelStage]
	}
	if parts := strings.Split(cmp.Or(k.of, k.name), "_"); len(parts) == 4 {
		return parts[1], parts[2]
	}
	return "", ""
}

// ownVolume finds a volume that carries this Berth's label: no other is
// shown, read, written or removed.
func (s *Service) ownVolume(ctx context.Context, name string) (keptVolume, error) {
	known, err := s.copies(ctx, "")
	if err != nil {
		return keptVolume{}, err
	}
	for _, at := range []string{known.current(name), name} {
		v, err := s.runtime.Volume(ctx, at)
		if err != nil && !errors.Is(err, container.ErrNotFound) {
			return keptVolume{}, engineAway(err)
		}
		if err != nil || v.Labels[labelServer] != s.server {
			continue
		}
		c, _ := known.find(v.Name)
		if k := keptIn(v, known); k.name == name && c.state != copyArriving {
			return k, nil
		}
	}
	return keptVolume{}, fault.NotFound("Berth has no volume named %q", name)
}

// ensureVolumes makes those of a release's volumes that are not there. An
// empty one is never made in place of one that only this database does not
// know: that has the data.
func (s *Service) ensureVolumes(ctx context.Context, project, stage string, spec StageSpec, known copies) error {
	for _, v := range spec.Volumes {
		name := volumeName(project, stage, v)
		at := known.current(name)
		switch _, err := s.runtime.Volume(ctx, at); {
		case err == nil:
			continue
		case !errors.Is(err, container.ErrNotFound):
			return engineRefused("look for volume "+v.Name, err)
		}
		if err := s.notElsewhere(ctx, name); err != nil {
			return err
		}
		labels := map[string]string{labelServer: s.server, labelProject: project, labelStage: stage}
		if c, numbered := known.find(at); numbered {
			labels[labelVolume], labels[labelArchive] = name, c.restore
		}
		if err := s.runtime.EnsureVolume(ctx, at, labels); err != nil {
			return engineRefused("make volume "+v.Name, err)
		}
	}
	return nil
}

// notElsewhere says whether a volume that is not in the engine may be made
// anew. When a restore's volume of it is there, the database is older than
// that restore, or somebody removed the current one behind Berth's back.
func (s *Service) notElsewhere(ctx context.Context, volume string) error {
	found, err := s.runtime.Volumes(ctx, map[string]string{labelServer: s.server})
	if err != nil {
		return engineAway(err)
	}
	for _, v := range found {
		if v.Name == volume || v.Labels[labelVolume] == volume || v.Labels[labelRestoring] == volume {
			return fault.Conflict("the volume with what is in %s is not in the container engine any more, but %s is, which a restore made or left: "+
				"its data may be the one that is missed. Back it up, remove it, and restore the backup into %s", volume, v.Name, volume)
		}
	}
	return nil
}

// volumesOwn says whether the volumes that a release asks for are this
// Berth's, those that are there. An engine gives a volume to whoever knows its
// name, and two Berths may know the same project and stage.
func (s *Service) volumesOwn(ctx context.Context, project, stage string, spec StageSpec) error {
	known, err := s.copies(ctx, "")
	if err != nil {
		return err
	}
	for _, v := range spec.Volumes {
		name := known.current(volumeName(project, stage, v))
		found, err := s.runtime.Volume(ctx, name)
		if errors.Is(err, container.ErrNotFound) {
			if err := s.notElsewhere(ctx, volumeName(project, stage, v)); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return engineRefused("look for volume "+v.Name, err)
		}
		const help = "give the stage's volume another name, or remove that one if nobody needs what is in it"
		switch owner := found.Labels[labelServer]; owner {
		case s.server:
		case "":
			return fault.Conflict("the container engine has a volume %s that is not Berth's: it has no label %s=%s; %s", name, labelServer, s.server, help)
		default:
			return fault.Conflict("the volume %s in the container engine is another Berth's: its label is %s=%s, and this one is %s; %s",
				name, labelServer, owner, s.server, help)
		}
	}
	return nil
}
