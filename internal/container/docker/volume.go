package docker

import (
	"context"

	"github.com/moby/moby/client"

	"berth/internal/container"
)

// Volumes gives the volumes that carry all the labels.
func (e *Engine) Volumes(ctx context.Context, labels map[string]string) ([]container.Volume, error) {
	said, err := e.api.VolumeList(ctx, client.VolumeListOptions{Filters: labelFilters(labels)})
	if err != nil {
		return nil, wrap(err, "list volumes")
	}
	var volumes []container.Volume
	for _, v := range said.Items {
		// Podman takes one of several labels for all of them.
		if carries(v.Labels, labels) {
			volumes = append(volumes, container.Volume{Name: v.Name, Labels: v.Labels, Created: parseTime(v.CreatedAt)})
		}
	}
	return volumes, nil
}

// Volume finds a volume by its name.
func (e *Engine) Volume(ctx context.Context, name string) (container.Volume, error) {
	said, err := e.api.VolumeInspect(ctx, name, client.VolumeInspectOptions{})
	if err != nil {
		return container.Volume{}, wrap(err, "find volume %s", name)
	}
	v := said.Volume
	return container.Volume{Name: v.Name, Labels: v.Labels, Created: parseTime(v.CreatedAt)}, nil
}

// EnsureVolume makes a volume when it is not there.
func (e *Engine) EnsureVolume(ctx context.Context, name string, labels map[string]string) error {
	_, err := e.api.VolumeCreate(ctx, client.VolumeCreateOptions{Name: name, Labels: labels})
	return wrap(err, "create volume %s", name)
}

// RemoveVolume removes a volume.
func (e *Engine) RemoveVolume(ctx context.Context, name string) error {
	_, err := e.api.VolumeRemove(ctx, name, client.VolumeRemoveOptions{})
	return wrap(err, "remove volume %s", name)
}

// VolumeSizes says how many bytes are in volumes.
func (e *Engine) VolumeSizes(ctx context.Context) (map[string]int64, error) {
	said, err := e.api.DiskUsage(ctx, client.DiskUsageOptions{Volumes: true, Verbose: true})
	if err != nil {
		return nil, wrap(err, "measure volumes")
	}
	sizes := map[string]int64{}
	for _, v := range said.Volumes.Items {
		if v.UsageData != nil && v.UsageData.Size >= 0 { // less: its driver does not tell
			sizes[v.Name] = v.UsageData.Size
		}
	}
	return sizes, nil
}

// VolumeUsers gives the containers that have a volume.
func (e *Engine) VolumeUsers(ctx context.Context, name string) ([]container.Container, error) {
	return e.list(ctx, client.Filters{}.Add("volume", name))
}
