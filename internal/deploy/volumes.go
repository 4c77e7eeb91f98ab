package deploy

import (
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
	Name    string      `json:"name"` // the engine's
	Project string      `json:"project"`
	Stage   string      `json:"stage"`
	Volume  string      `json:"volume"` // the stage's name for it
	Owner   VolumeOwner `json:"owner" enum:"stage,unlisted,gone"`
	// Size is in bytes, nil where the engine can't tell, or not in time.
	Size      *int64       `json:"size,omitempty"`
	CreatedAt time.Time    `json:"created_at"`
	UsedBy    []VolumeUser `json:"used_by"`
}

// VolumeOwner says whether a volume still belongs to something.
type VolumeOwner string

// The owners of a volume.
const (
	OwnerStage    VolumeOwner = "stage"    // its stage's settings name it
	OwnerUnlisted VolumeOwner = "unlisted" // its stage is there, and its settings do not name it
	OwnerGone     VolumeOwner = "gone"     // its stage is there no more
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

	labelArchive   = "berth.archive"   // the id of a backup or restore, on its containers
	labelRestoring = "berth.restoring" // the volume whose backup this one holds meanwhile

	eventVolumeBackedUp event.Kind = "volume.backed_up"
	eventVolumeRestored event.Kind = "volume.restored"
	eventVolumeRemoved  event.Kind = "volume.removed"
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

// has says that a container is one of a backup or restore under way.
func (a *archives) has(labels map[string]string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.running[labels[labelArchive]]
}

// Volumes lists this Berth's volumes in the engine by name.
func (s *Service) Volumes(ctx context.Context) ([]VolumeStatus, error) {
	found, err := s.runtime.Volumes(ctx, map[string]string{labelServer: s.server})
	if err != nil {
		return nil, engineAway(err)
	}
	found = slices.DeleteFunc(found, func(v container.Volume) bool { return v.Labels[labelRestoring] != "" })
	stages, err := s.stagesByName(ctx)
	if err != nil {
		return nil, err
	}
	sizes := s.volumeSizes(ctx)
	list := make([]VolumeStatus, len(found))
	var group errgroup.Group
	group.SetLimit(engineAtATime)
	for n, v := range found {
		group.Go(func() (err error) {
			list[n] = statusOfVolume(v, stages, sizes)
			list[n].UsedBy, err = s.volumeUsers(ctx, v.Name)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b VolumeStatus) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Volume gives one volume of this Berth's.
func (s *Service) Volume(ctx context.Context, name string) (VolumeStatus, error) {
	v, err := s.ownVolume(ctx, name)
	if err != nil {
		return VolumeStatus{}, err
	}
	stages, err := s.stagesByName(ctx)
	if err != nil {
		return VolumeStatus{}, err
	}
	status := statusOfVolume(v, stages, s.volumeSizes(ctx))
	status.UsedBy, err = s.volumeUsers(ctx, name)
	return status, err
}

// ownVolume finds a volume that carries this Berth's label: no other is
// shown, read, written or removed.
func (s *Service) ownVolume(ctx context.Context, name string) (container.Volume, error) {
	v, err := s.runtime.Volume(ctx, name)
	if errors.Is(err, container.ErrNotFound) || err == nil && (v.Labels[labelServer] != s.server || v.Labels[labelRestoring] != "") {
		return v, fault.NotFound("Berth has no volume named %q", name)
	}
	if err != nil {
		return v, engineAway(err)
	}
	return v, nil
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

func statusOfVolume(v container.Volume, stages map[[2]string]StageSpec, sizes map[string]int64) VolumeStatus {
	status := VolumeStatus{
		Name: v.Name, Project: v.Labels[labelProject], Stage: v.Labels[labelStage], Owner: OwnerGone,
		CreatedAt: v.Created, UsedBy: []VolumeUser{},
	}
	status.Volume = strings.TrimPrefix(v.Name, volumeName(status.Project, status.Stage, Volume{}))
	if size, known := sizes[v.Name]; known {
		status.Size = &size
	}
	if spec, there := stages[[2]string{status.Project, status.Stage}]; there {
		status.Owner = OwnerUnlisted
		if slices.Contains(VolumeNames(status.Project, status.Stage, spec), v.Name) {
			status.Owner = OwnerStage
		}
	}
	return status
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
	return fault.Conflict("%s is in use by %s: %s", name, strings.Join(names, ", "), help)
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
	if err := s.runtime.ExportVolume(ctx, name, labels, to); err != nil {
		return fmt.Errorf("back up volume %s: %w", name, err)
	}
	return s.emitVolume(ctx, eventVolumeBackedUp, actor, v)
}

// RemoveVolume removes a volume and what is in it, once its name was typed.
// fault.Conflict while a container has it.
func (s *Service) RemoveVolume(ctx context.Context, actor, name, confirm string) error {
	v, err := s.ownVolume(ctx, name)
	if err != nil {
		return err
	}
	if confirm != name {
		return fault.Invalid("what is in %s is lost with it: confirm it with the volume's name", name)
	}
	users, err := s.volumeUsers(ctx, name)
	if err != nil {
		return err
	}
	const help = "take it out of the stage's settings and deploy, or remove the stage, first"
	if len(users) > 0 {
		return inUseBy(name, users, help)
	}
	err = s.runtime.RemoveVolume(ctx, name)
	if errors.Is(err, container.ErrConflict) {
		return fault.Conflict("%s is in use: %s", name, help).Because(err)
	}
	if err != nil {
		return engineRefused("remove the volume", err)
	}
	return s.emitVolume(ctx, eventVolumeRemoved, actor, v)
}

func (s *Service) emitVolume(ctx context.Context, kind event.Kind, actor string, v container.Volume) error {
	ctx = context.WithoutCancel(ctx) // it happened
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		return s.events.Append(ctx, tx, event.Event{Kind: kind, Actor: actor, Project: v.Labels[labelProject], Stage: v.Labels[labelStage]},
			struct {
				Name string `json:"name"`
			}{v.Name})
	})
}
