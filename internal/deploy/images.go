package deploy

import (
	"context"

	"berth/internal/container"
	"berth/internal/registry"
)

// Images is where images come from; *registry.Resolver is one.
type Images interface {
	// Resolve finds the image that a tag or a digest of a repository stands
	// for on a platform. Its errors are faults that say what is wrong.
	Resolve(ctx context.Context, repository, reference string, p registry.Platform) (registry.Resolution, error)
	// Pull says how the engine gets it.
	Pull(ctx context.Context, repository, digest string) (container.Pull, error)
}
