package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"berth/internal/container"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// imagesTime is what the engine gets to say which images it holds.
const imagesTime = 5 * time.Second

// Releases lists a stage's releases, newest first.
func (s *Service) Releases(ctx context.Context, project, stageName string, p Page) (list []Release, next string, err error) {
	list = []Release{}
	var found []release
	var st stage
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		if st, err = findStage(ctx, tx, project, stageName); err != nil {
			return err
		}
		found, err = releasesOf(ctx, tx, st.ID, p.Cursor, p.limit()+1)
		if err != nil || st.LiveDeployment == "" {
			return err
		}
		live, err := deploymentByID(ctx, tx, st.LiveDeployment)
		for n := range found {
			found[n].Live = found[n].ID == live.Release
		}
		return err
	})
	if err != nil {
		return nil, "", err
	}
	found, next = page(found, p.limit(), func(r release) string { return r.ID })
	held := s.imagesHeld(ctx, found)
	for _, r := range found {
		r.Available = held[r.imageID]
		list = append(list, r.Release)
	}
	return list, next, nil
}

// imagesHeld says which of the releases' images are in the engine: none that
// it says nothing of in time. Each is asked for by itself, since listing all
// images takes Podman seconds on a machine that has many.
func (s *Service) imagesHeld(ctx context.Context, of []release) map[string]bool {
	ctx, stop := context.WithTimeout(ctx, imagesTime)
	defer stop()
	ids := map[string]bool{}
	for _, r := range of {
		if r.imageID != "" {
			ids[r.imageID] = true
		}
	}
	var mu sync.Mutex
	held := make(map[string]bool, len(ids))
	var group errgroup.Group
	group.SetLimit(engineAtATime)
	for id := range ids {
		group.Go(func() error {
			_, err := s.runtime.Image(ctx, id)
			if errors.Is(err, container.ErrNotFound) {
				return nil
			}
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				held[id] = true
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		s.log.WarnContext(ctx, "the container engine was not sure of all images", "error", err)
	}
	return held
}

// Compare says what a roll back to a release would change of what is live.
func (s *Service) Compare(ctx context.Context, project, stageName, releaseID string) ([]Change, error) {
	var to release
	var from *served
	err := s.db.Read(ctx, func(tx *sqlite.Tx) error {
		st, err := findStage(ctx, tx, project, stageName)
		if err != nil {
			return err
		}
		if to, err = findRelease(ctx, tx, st, releaseID); err != nil {
			return err
		}
		from, err = servedBy(ctx, tx, st.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	if from == nil {
		return nil, fault.Conflict("nothing is live in %s/%s to compare with", project, stageName)
	}
	return compareReleases(from.release, to), nil
}

// compareReleases says what differs, the image first. Of what is not there,
// the zero release, only the image is told.
func compareReleases(from, to release) []Change {
	changes := []Change{}
	if from.Reference != to.Reference {
		changes = append(changes, Change{"image", from.Reference, to.Reference})
	}
	if from.Digest != to.Digest {
		changes = append(changes, Change{"digest", from.Digest, to.Digest})
	}
	if from.Digest == "" {
		return changes
	}
	return append(changes, compareSpecs(from.Spec, to.Spec)...)
}

// compareSpecs gives the fields that differ, by their paths in the API. What
// says which images come here is left out: that counts when it is saved, and
// no release brings it back.
func compareSpecs(from, to StageSpec) []Change {
	return Differences(from.running(), to.running())
}

// compareVariables gives the variables that differ. A secret is told by its
// slot; its value is nobody's to see.
func compareVariables(from, to StageSpec) []Change {
	return differing(from.variables(), to.variables())
}

// variables spells the variables by their paths: "spec.env.LOG_LEVEL" to its
// value, "spec.secrets.PASSWORD" to its slot.
func (s StageSpec) variables() map[string]string {
	found := make(map[string]string, len(s.Env)+len(s.Secrets))
	for name, value := range s.Env {
		found["spec.env."+name] = value
	}
	for name, ref := range s.Secrets {
		found["spec.secrets."+name] = ref.Context + "/" + ref.Name
	}
	return found
}

// flatten spells a spec as one text for each path, and each secret as one.
func flatten(s StageSpec) map[string]string {
	flat := s.variables()
	s.Env, s.Secrets = nil, nil
	flattenSpec(flat, s)
	return flat
}

// flattenSpec adds each field of a spec by its path.
func flattenSpec(flat map[string]string, s interface{ Canonical() ([]byte, error) }) {
	raw, err := s.Canonical()
	if err != nil {
		return // a spec that was stored encodes
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err == nil {
		flattenInto(flat, "spec", tree)
	}
}

func flattenInto(flat map[string]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			flattenInto(flat, path+"."+name, inner)
		}
	case []any:
		for n, inner := range v {
			flattenInto(flat, fmt.Sprintf("%s[%d]", path, n), inner)
		}
	case string:
		flat[path] = v
	default:
		text, _ := json.Marshal(v)
		flat[path] = string(text)
	}
}
