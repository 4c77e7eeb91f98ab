package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"berth/internal/container"
	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// VolumeStatus is a volume of this Berth's in the engine.
type VolumeStatus struct {
	Name string `json:"name"` // what it is known by, whatever was restored
	// EngineName is what the engine calls it: another one with each restore.
	EngineName string      `json:"engine_name"`
	Project    string      `json:"project"`
	Stage      string      `json:"stage"`
	Volume     string      `json:"volume"` // the stage's name for it
	Owner      VolumeOwner `json:"owner" enum:"stage,unlisted,gone,restore"`
	// Size is in bytes, nil where the engine can't tell, or not in time.
	Size      *int64       `json:"size,omitempty"`
	CreatedAt time.Time    `json:"created_at"`
	UsedBy    []VolumeUser `json:"used_by"`
	// Restoring is the restore that is under way, nil when none is.
	Restoring *Restoring `json:"restoring,omitempty"`
	// Left are the engine's volumes that restores of it left, and that Berth
	// removes once nothing has them.
	Left []string `json:"left,omitempty"`
}

// Restoring is a backup that arrives in a volume of its own. Until all of it
// is there, nothing changes.
type Restoring struct {
	By         string    `json:"by"`
	Since      time.Time `json:"since"`
	EngineName string    `json:"engine_name"`    // what it arrives in
	Size       *int64    `json:"size,omitempty"` // bytes that are there; nil where the engine can't tell
}

// VolumeOwner says whether a volume still belongs to something.
type VolumeOwner string

// The owners of a volume.
const (
	OwnerStage    VolumeOwner = "stage"    // its stage's settings name it
	OwnerUnlisted VolumeOwner = "unlisted" // its stage is there, and its settings do not name it
	OwnerGone     VolumeOwner = "gone"     // its stage is there no more
	// OwnerRestore is of a volume that a restore made, and that is not in use
	// as far as this database knows: an earlier version left it, or the
	// database is older than it.
	OwnerRestore VolumeOwner = "restore"
)

// VolumeUser is a container that has a volume.
type VolumeUser struct {
	Container string `json:"container"` // the engine's name
	Project   string `json:"project,omitempty"`
	Stage     string `json:"stage,omitempty"`
	Running   bool   `json:"running"`
}

// Restore is what restoring a volume is asked for.
type Restore struct {
	// Confirm is the volume's name, as a person typed it: needed when there
	// is something in it, which is replaced.
	Confirm string
	// Force ends the instances that use it for that time.
	Force bool
}

const (
	// measureTime bounds the wait for an engine that walks through all files.
	measureTime = 10 * time.Second

	labelArchive = "berth.archive" // the id of a backup or restore, on its containers and on the volume it fills
	labelVolume  = "berth.volume"  // of a volume that a restore made: the one whose backup it has
	// labelRestoring is of volumes that an earlier version's restores left.
	labelRestoring = "berth.restoring"

	eventVolumeBackedUp      event.Kind = "volume.backed_up"
	eventVolumeRestoreBegun  event.Kind = "volume.restore_begun"
	eventVolumeRestored      event.Kind = "volume.restored"
	eventVolumeRestoreFailed event.Kind = "volume.restore_failed"
	eventVolumeRemoved       event.Kind = "volume.removed"
)

// archives are the backups and restores under way: their containers belong to
// no deployment, and are swept when they are not among these.
type archives struct {
	mu      sync.Mutex
	running map[string]bool
}

func (a *archives) begin(id string) (end func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running == nil {
		a.running = map[string]bool{}
	}
	a.running[id] = true
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.running, id)
	}
}

// has says that a backup or restore is under way.
func (a *archives) has(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.running[id]
}

// Volumes lists this Berth's volumes in the engine by name.
func (s *Service) Volumes(ctx context.Context) ([]VolumeStatus, error) {
	list, err := s.listVolumes(ctx)
	if err != nil {
		return nil, err
	}
	var group errgroup.Group
	group.SetLimit(engineAtATime)
	for n := range list {
		group.Go(func() (err error) {
			list[n].UsedBy, err = s.volumeUsers(ctx, list[n].EngineName)
			return err
		})
	}
	return list, group.Wait()
}

// Volume gives one volume of this Berth's.
func (s *Service) Volume(ctx context.Context, name string) (VolumeStatus, error) {
	v, err := s.ownVolume(ctx, name)
	if err != nil {
		return VolumeStatus{}, err
	}
	list, err := s.listVolumes(ctx)
	if err != nil {
		return VolumeStatus{}, err
	}
	n := slices.IndexFunc(list, func(status VolumeStatus) bool { return status.EngineName == v.engine.Name })
	if n < 0 {
		return VolumeStatus{}, fault.NotFound("Berth has no volume named %q", name) // removed meanwhile
	}
	list[n].UsedBy, err = s.volumeUsers(ctx, v.engine.Name)
	return list[n], err
}

// listVolumes lists the volumes without their users.
func (s *Service) listVolumes(ctx context.Context) ([]VolumeStatus, error) {
	found, err := s.runtime.Volumes(ctx, map[string]string{labelServer: s.server})
	if err != nil {
		return nil, engineAway(err)
	}
	known, err := s.copies(ctx, "")
	if err != nil {
		return nil, err
	}
	stages, err := s.stagesByName(ctx)
	if err != nil {
		return nil, err
	}
	return volumeList(found, known, stages, s.volumeSizes(ctx)), nil
}

// volumeList says of the engine's volumes what they are kept for. Those that
// restores fill or left are told with the volume that they are of, where it is
// there.
func volumeList(found []container.Volume, known copies, stages map[[2]string]StageSpec, sizes map[string]int64) []VolumeStatus {
	list := []VolumeStatus{}
	at := map[string]int{}
	var others []keptVolume
	for _, v := range found {
		k := keptIn(v, known)
		if k.of != "" {
			others = append(others, k)
			continue
		}
		at[k.name] = len(list)
		list = append(list, statusOfVolume(k, stages, sizes))
	}
	for _, k := range others {
		c, _ := known.find(k.engine.Name)
		n, there := at[k.of]
		switch {
		case there && c.state == copyArriving:
			list[n].Restoring = &Restoring{By: c.actor, Since: c.began, EngineName: k.engine.Name, Size: sizeIn(sizes, k.engine.Name)}
		case there && c.state == copyLeft:
			list[n].Left = append(list[n].Left, k.engine.Name)
		default:
			list = append(list, statusOfVolume(k, stages, sizes))
		}
	}
	slices.SortFunc(list, func(a, b VolumeStatus) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.EngineName, b.EngineName))
	})
	return list
}

// volumeSizes asks how large volumes are; what is not known is not in it.
func (s *Service) volumeSizes(ctx context.Context) map[string]int64 {
	ctx, stop := context.WithTimeout(ctx, measureTime)
	defer stop()
	sizes, err := s.runtime.VolumeSizes(ctx)
	if err != nil {
		s.log.WarnContext(ctx, "volumes not measured", "error", err)
	}
	return sizes
}

func (s *Service) stagesByName(ctx context.Context) (map[[2]string]StageSpec, error) {
	saved, err := s.Configuration(ctx)
	if err != nil {
		return nil, err
	}
	stages := map[[2]string]StageSpec{}
	for _, p := range saved {
		for _, st := range p.Stages {
			stages[[2]string{p.Name, st.Name}] = st.Spec
		}
	}
	return stages, nil
}

func statusOfVolume(k keptVolume, stages map[[2]string]StageSpec, sizes map[string]int64) VolumeStatus {
	status := VolumeStatus{
		Name: k.name, EngineName: k.engine.Name, Owner: OwnerGone, Size: sizeIn(sizes, k.engine.Name),
		CreatedAt: k.engine.Created, UsedBy: []VolumeUser{},
	}
	status.Project, status.Stage = k.owner()
	status.Volume = strings.TrimPrefix(cmp.Or(k.of, k.name), volumeName(status.Project, status.Stage, Volume{}))
	spec, there := stages[[2]string{status.Project, status.Stage}]
	switch {
	case k.of != "":
		status.Owner = OwnerRestore
	case there && slices.Contains(VolumeNames(status.Project, status.Stage, spec), k.name):
		status.Owner = OwnerStage
	case there:
		status.Owner = OwnerUnlisted
	}
	return status
}

// sizeIn gives a volume's size, nil when it is not known.
func sizeIn(sizes map[string]int64, engineName string) *int64 {
	if size, known := sizes[engineName]; known {
		return &size
	}
	return nil
}

// volumeUsers gives the containers that have a volume, but for those that
// read or write it for a backup.
func (s *Service) volumeUsers(ctx context.Context, name string) ([]VolumeUser, error) {
	found, err := s.runtime.VolumeUsers(ctx, name)
	if err != nil {
		return nil, engineAway(err)
	}
	users := []VolumeUser{}
	for _, c := range found {
		if c.Labels[labelArchive] == "" {
			users = append(users, VolumeUser{
				Container: c.Name, Project: c.Labels[labelProject], Stage: c.Labels[labelStage], Running: c.State == container.StateRunning,
			})
		}
	}
	return users, nil
}

// inUse is the fault for a volume that containers have.
func inUseBy(name string, users []VolumeUser, help string) error {
	names := make([]string, len(users))
	for n, u := range users {
		names[n] = u.Container
	}
	return fault.Conflict("volume %s is in use by %s: %s", name, strings.Join(names, ", "), help)
}

// archiveLabels are for the containers of a backup or restore.
func (s *Service) archiveLabels() (labels map[string]string, end func()) {
	id := sqlite.NewID(s.now())
	return map[string]string{labelServer: s.server, labelArchive: id}, s.archives.begin(id)
}

// BackUpVolume writes what is in a volume as a tar stream. What an app writes
// meanwhile may be in it or not.
func (s *Service) BackUpVolume(ctx context.Context, actor, name string, to io.Writer) error {
	v, err := s.ownVolume(ctx, name)
	if err != nil {
		return err
	}
	labels, end := s.archiveLabels()
	defer end()
	if err := s.runtime.ExportVolume(ctx, v.engine.Name, labels, to); err != nil {
		return fmt.Errorf("back up volume %s: %w", name, err)
	}
	return s.happened(ctx, func(ctx context.Context, tx *sqlite.Tx) error {
		return s.emitVolume(ctx, tx, eventVolumeBackedUp, actor, v, "")
	})
}

// RemoveVolume removes a volume and what is in it, once its name was typed.
// fault.Conflict while a container has it, or it is being restored.
func (s *Service) RemoveVolume(ctx context.Context, actor, name, confirm string) error {
	v, err := s.ownVolume(ctx, name)
	if err != nil {
		return err
	}
	if confirm != name {
		return fault.Invalid("what is in %s is lost with it: confirm it with the volume's name", name)
	}
	users, err := s.volumeUsers(ctx, v.engine.Name)
	if err != nil {
		return err
	}
	if len(users) > 0 {
		return inUseBy(name, users, helpRemove)
	}
	known, err := s.copies(ctx, cmp.Or(v.of, v.name))
	if err != nil {
		return err
	}
	var gone copies
	for _, c := range known {
		switch {
		case c.engineName() == v.engine.Name:
			gone = append(gone, c)
		case v.of != "": // another one is none of its own
		case c.state == copyArriving:
			return fault.Conflict("%s is being restored, by %s: wait for its end", name, c.actor)
		case c.state == copyLeft: // what is left of it goes with it
			if err := s.removeInEngine(ctx, name, c.engineName()); err != nil {
				return err
			}
			gone = append(gone, c)
		}
	}
	if err := s.removeInEngine(ctx, name, v.engine.Name); err != nil {
		return err
	}
	return s.happened(ctx, func(ctx context.Context, tx *sqlite.Tx) error {
		for _, c := range gone {
			if err := deleteCopy(ctx, tx, c); err != nil {
				return err
			}
		}
		return s.emitVolume(ctx, tx, eventVolumeRemoved, actor, v, "")
	})
}

const helpRemove = "take it out of the stage's settings and deploy, or remove the stage, first"

// removeInEngine removes one of the engine's volumes, if it is there.
func (s *Service) removeInEngine(ctx context.Context, name, engineName string) error {
	err := s.runtime.RemoveVolume(ctx, engineName)
	switch {
	case errors.Is(err, container.ErrConflict):
		return fault.Conflict("%s is in use: %s", name, helpRemove).Because(err)
	case err != nil && !errors.Is(err, container.ErrNotFound):
		return engineRefused("remove the volume", err)
	}
	return nil
}

// happened writes down what was done, whoever may have left meanwhile.
func (s *Service) happened(ctx context.Context, write func(context.Context, *sqlite.Tx) error) error {
	ctx = context.WithoutCancel(ctx)
	return s.db.Write(ctx, func(tx *sqlite.Tx) error { return write(ctx, tx) })
}

// emitVolume tells what happened to a volume, and why it came to nothing, if
// it did.
func (s *Service) emitVolume(ctx context.Context, tx *sqlite.Tx, kind event.Kind, actor string, v keptVolume, reason string) error {
	project, stage := v.owner()
	return s.events.Append(ctx, tx, event.Event{Kind: kind, Actor: actor, Project: project, Stage: stage},
		struct {
			Name   string `json:"name"`
			Reason string `json:"reason,omitempty"`
		}{v.name, reason})
}
