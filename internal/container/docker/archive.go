package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"berth/internal/container"
)

// An engine reads and writes what is in a volume through a container that has
// it, which need not have run. The image of such a container is made here: one
// empty folder, where the volume goes.
const (
	archiveImage  = "localhost/berth-volume:1"
	archiveFolder = "volume"
)

// ExportVolume writes what is in a volume as a tar stream.
func (e *Engine) ExportVolume(ctx context.Context, volume string, labels map[string]string, to io.Writer) error {
	return e.withVolume(ctx, volume, labels, func(id string) error {
		said, err := e.api.CopyFromContainer(ctx, id, client.CopyFromContainerOptions{SourcePath: "/" + archiveFolder})
		if err != nil {
			return wrap(err, "read volume %s", volume)
		}
		defer said.Content.Close()
		return wrap(rename(said.Content, to, "", "./"), "read volume %s", volume)
	})
}

// rename copies a tar stream whose entries are in a folder, the first of them
// when none is given, and gives them names under another: Docker's begin with
// the folder's own, Podman's with "/".
func rename(from io.Reader, to io.Writer, folder, under string) error {
	reader, writer := tar.NewReader(from), tar.NewWriter(to)
	within := func(entry string) string {
		return under + strings.TrimPrefix(strings.TrimPrefix(path.Clean("/"+entry), folder), "/")
	}
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return writer.Close()
		}
		if err != nil {
			return err
		}
		if folder == "" {
			folder = path.Clean("/" + header.Name)
		}
		header.Name = within(header.Name)
		switch header.Typeflag {
		case tar.TypeDir:
			header.Name = strings.TrimSuffix(header.Name, "/") + "/"
		case tar.TypeLink:
			header.Linkname = within(header.Linkname)
		}
		if err := writer.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.Copy(writer, reader); err != nil { //nolint:gosec // as much as the volume has
			return err
		}
	}
}

// ImportVolume puts a tar stream into a volume. Docker leaves the folder
// itself as it is when it is what the stream goes into, and not when it is in
// the stream.
func (e *Engine) ImportVolume(ctx context.Context, volume string, labels map[string]string, from io.Reader) error {
	return e.withVolume(ctx, volume, labels, func(id string) error {
		if e.facts.Load().podman {
			return e.unpack(ctx, id, volume, "/"+archiveFolder, from)
		}
		renamed, to := io.Pipe()
		var renaming sync.WaitGroup
		renaming.Go(func() { _ = to.CloseWithError(rename(from, to, "/", archiveFolder+"/")) })
		err := e.unpack(ctx, id, volume, "/", renamed)
		_ = renamed.CloseWithError(io.ErrClosedPipe)
		renaming.Wait()
		return err
	})
}

func (e *Engine) unpack(ctx context.Context, id, volume, folder string, from io.Reader) error {
	_, err := e.api.CopyToContainer(ctx, id, client.CopyToContainerOptions{DestinationPath: folder, Content: from})
	return wrap(err, "write volume %s", volume)
}

// withVolume makes a container that has the volume and is never started.
func (e *Engine) withVolume(ctx context.Context, volume string, labels map[string]string, do func(id string) error) (err error) {
	if _, err := e.Volume(ctx, volume); err != nil { // engines would make it
		return err
	}
	id, err := e.archiveContainer(ctx, volume, labels)
	if errors.Is(meaning(err), container.ErrNotFound) {
		if err := e.loadArchiveImage(ctx); err != nil {
			return err
		}
		id, err = e.archiveContainer(ctx, volume, labels)
	}
	if err != nil {
		return wrap(err, "make a container for volume %s", volume)
	}
	defer func() { err = errors.Join(err, e.Remove(context.WithoutCancel(ctx), id)) }()
	return do(id)
}

func (e *Engine) archiveContainer(ctx context.Context, volume string, labels map[string]string) (string, error) {
	made, err := e.api.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name:   "berth-volume-" + strings.ToLower(rand.Text()),
		Config: &api.Config{Image: archiveImage, Cmd: []string{"/none"}, Labels: labels},
		HostConfig: &api.HostConfig{
			NetworkMode: "none",
			Mounts: []mount.Mount{{
				Type: mount.TypeVolume, Source: volume, Target: "/" + archiveFolder,
				VolumeOptions: &mount.VolumeOptions{NoCopy: true}, // an empty one stays as it is
			}},
		},
	})
	return made.ID, err
}

func (e *Engine) loadArchiveImage(ctx context.Context) error {
	archive, err := e.archiveImageTar()
	if err != nil {
		return fmt.Errorf("make the image for archives: %w", err)
	}
	_, err = e.Load(ctx, archive)
	return err
}

// archiveImageTar gives the image as `docker save` would.
func (e *Engine) archiveImageTar() (io.Reader, error) {
	var folder bytes.Buffer
	w := tar.NewWriter(&folder)
	if err := w.WriteHeader(&tar.Header{Name: archiveFolder + "/", Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(folder.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = e.facts.Load().info.OS, e.facts.Load().info.Arch, e.facts.Load().info.Variant
	config.Config = v1.Config{Cmd: []string{"/none"}}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return nil, err
	}
	tag, err := name.NewTag(archiveImage)
	if err != nil {
		return nil, err
	}
	var saved bytes.Buffer
	return &saved, tarball.Write(tag, image, &saved)
}
