package docker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"berth/internal/container"
)

// Image finds an image.
func (e *Engine) Image(ctx context.Context, reference string) (container.Image, error) {
	said, err := e.api.ImageInspect(ctx, reference)
	if err != nil {
		return container.Image{}, wrap(err, "look up image %s", reference)
	}
	image := container.Image{
		ID:      imageID(said.ID),
		Digests: named(said.RepoDigests),
		Tags:    named(said.RepoTags),
		Size:    said.Size,
		OS:      said.Os,
		Arch:    said.Architecture,
		Variant: said.Variant,
		Created: parseTime(said.Created),
	}
	if said.Config != nil {
		image.Labels = said.Config.Labels
		for exposed := range maps.Keys(said.Config.ExposedPorts) {
			if port, err := network.ParsePort(exposed); err == nil && port.Proto() == network.TCP {
				image.Ports = append(image.Ports, int(port.Num()))
			}
		}
		slices.Sort(image.Ports)
	}
	return image, nil
}

// A list that others disturb is asked for again, so often and after such pauses.
const (
	listTries = 10
	listPause = 20 * time.Millisecond
)

// Images lists the images. Podman looks at them one by one and gives up where
// one is removed meanwhile; it is asked again then.
func (e *Engine) Images(ctx context.Context) ([]container.Image, error) {
	said, err := e.api.ImageList(ctx, client.ImageListOptions{})
	for try := 1; disturbed(err) && try < listTries; try++ {
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(try) * listPause):
		}
		said, err = e.api.ImageList(ctx, client.ImageListOptions{})
	}
	if err != nil {
		return nil, wrap(err, "list images")
	}
	images := make([]container.Image, len(said.Items))
	for i, s := range said.Items {
		images[i] = container.Image{
			ID:      imageID(s.ID),
			Digests: named(s.RepoDigests),
			Tags:    named(s.RepoTags),
			Size:    s.Size,
			Labels:  s.Labels,
			Created: time.Unix(s.Created, 0).UTC(),
		}
	}
	return images, nil
}

// disturbed says whether a list came to nothing because of an image that is
// being removed: an earlier look had it, a later one found it half gone. Podman
// has many words for that, by the part that it missed first, and status 500
// under all of them.
func disturbed(err error) bool {
	return err != nil && (errors.Is(meaning(err), container.ErrNotFound) || cerrdefs.IsInternal(err))
}

// RemoveImage removes an image with all its names.
func (e *Engine) RemoveImage(ctx context.Context, reference string) error {
	image, err := e.Image(ctx, reference)
	if err != nil {
		return err
	}
	containers, err := e.List(ctx, nil)
	if err != nil {
		return err
	}
	for _, c := range containers {
		if c.Image == image.ID {
			return fmt.Errorf("remove image %s: %w: container %s uses it", reference, container.ErrConflict, c.Name)
		}
	}
	// By id an engine refuses when there is more than one name, by name it
	// takes only that away, and by force Podman takes containers too: so each
	// name is taken, and the id last, without force.
	for _, name := range slices.Concat(image.Tags, image.Digests) {
		_, err := e.api.ImageRemove(ctx, name, client.ImageRemoveOptions{PruneChildren: true})
		if err != nil && !errors.Is(meaning(err), container.ErrNotFound) {
			return wrap(err, "remove image %s", name)
		}
	}
	_, err = e.api.ImageRemove(ctx, image.ID, client.ImageRemoveOptions{PruneChildren: true})
	if err != nil && !errors.Is(meaning(err), container.ErrNotFound) {
		return wrap(err, "remove image %s", reference)
	}
	return nil
}

// Load takes a `docker save` tar stream.
func (e *Engine) Load(ctx context.Context, tar io.Reader) ([]string, error) {
	answer, err := e.api.ImageLoad(ctx, tar, client.ImageLoadWithQuiet(true))
	if err != nil {
		return nil, wrap(err, "load images")
	}
	defer answer.Close()
	var ids []string
	decoder := json.NewDecoder(answer)
	for {
		var said message
		if err := decoder.Decode(&said); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, wrap(err, "load images")
		}
		if err := said.failure(); err != nil {
			return nil, wrap(err, "load images")
		}
		lines := bufio.NewScanner(strings.NewReader(said.Stream))
		for lines.Scan() {
			_, name, loaded := strings.Cut(lines.Text(), "Loaded image")
			if !loaded {
				continue
			}
			// "Loaded image: name" or "Loaded image ID: sha256:…", and in
			// Podman more than one name between commas.
			_, names, _ := strings.Cut(name, ": ")
			for name := range strings.SplitSeq(names, ",") {
				image, err := e.Image(ctx, strings.TrimSpace(name))
				if err != nil {
					return nil, err
				}
				if !slices.Contains(ids, image.ID) {
					ids = append(ids, image.ID)
				}
			}
		}
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("load images: %w: the stream holds none", container.ErrNotFound)
	}
	return ids, nil
}

// imageID gives an image's id the form that Docker has everywhere and Podman
// in some answers.
func imageID(id string) string {
	if id == "" || strings.HasPrefix(id, "sha256:") {
		return id
	}
	return "sha256:" + id
}

// named leaves out the placeholders that stand for no name.
func named(references []string) []string {
	return slices.DeleteFunc(references, func(r string) bool { return strings.Contains(r, "<none>") })
}

// parseTime reads an engine's time; the zero time where it says nothing.
func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Unix() <= 0 {
		return time.Time{}
	}
	return t.UTC()
}
