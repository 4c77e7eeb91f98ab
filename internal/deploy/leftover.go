package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"berth/internal/container"
	"berth/internal/registry"
	"berth/internal/sqlite"
)

// Shelf is where images are kept that nobody names any more;
// *registry.Registry is one.
type Shelf interface {
	// Unnamed lists images without a tag that came before a time, up to limit.
	Unnamed(ctx context.Context, before time.Time, limit int) ([]registry.Unnamed, error)
	// RemoveUnnamed removes one, if it still has no tag, and says whether it
	// did.
	RemoveUnnamed(ctx context.Context, actor, repository, digest string) (bool, error)
}

// Leftover is an image that no release needs that is kept.
type Leftover struct {
	Place      Place     `json:"place"`
	Repository string    `json:"repository"`
	Digest     string    `json:"digest"`
	Image      string    `json:"image,omitempty" doc:"The engine's own id"`
	Size       int64     `json:"size" doc:"Bytes; layers that other images share are counted too"`
	Since      time.Time `json:"since" doc:"When it came"`
	Stays      string    `json:"stays,omitempty" doc:"Why it stays nevertheless; absent when it goes"`

	holds []string // of an index: the digests in it
}

// Place is where an image is.
type Place string

// The places.
const (
	PlaceEngine   Place = "engine"
	PlaceRegistry Place = "registry"
)

// Leftovers is what keeping house would remove, and why some of it stays.
type Leftovers struct {
	Items []Leftover `json:"items"`
	// Kept is how many images Berth pulled that are needed.
	Kept int `json:"kept"`
	// More says that there are more than are listed.
	More bool `json:"more"`
}

// mostLeftovers bounds what is looked at in one go.
const (
	mostLeftovers = 200
	mostUnnamed   = 10_000 // of which a release may need most
)

// Leftovers says what keeping house would remove now. It removes nothing.
func (s *Service) Leftovers(ctx context.Context) (Leftovers, error) {
	found := Leftovers{Items: []Leftover{}}
	needed, candidates, err := s.spare(ctx, &found)
	if err != nil {
		return found, err
	}
	if len(candidates) > mostLeftovers {
		candidates, found.More = candidates[:mostLeftovers], true
	}
	users, err := s.usersOfImages(ctx)
	if err != nil {
		return found, err
	}
	for _, c := range candidates {
		l, there, err := s.inEngine(ctx, c, users)
		if err != nil {
			return found, err
		}
		if there {
			found.Items = append(found.Items, l)
		}
	}
	unnamed, err := s.onShelf(ctx, needed)
	if len(unnamed) > mostLeftovers {
		unnamed, found.More = unnamed[:mostLeftovers], true
	}
	found.Items = append(found.Items, unnamed...)
	return found, err
}

// candidate is an image that Berth pulled and no release needs.
type candidate struct {
	imageID string
	pulls   []pull // the names that Berth pulled it by
}

// spare finds the images that Berth pulled and that no release needs, the
// oldest first; needed is as neededImages gives it.
func (s *Service) spare(ctx context.Context, count *Leftovers) (needed map[string]bool, list []candidate, err error) {
	var pulled []pull
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		if needed, err = s.neededImages(ctx, tx); err != nil {
			return err
		}
		pulled, err = pulls(ctx, tx)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("find images that nothing needs: %w", err)
	}
	byImage := map[string]*candidate{}
	var order []string
	for _, p := range pulled {
		if p.imageID == "" {
			continue
		}
		c := byImage[p.imageID]
		if c == nil {
			c = &candidate{imageID: p.imageID}
			byImage[p.imageID] = c
			order = append(order, p.imageID)
		}
		c.pulls = append(c.pulls, p)
	}
	for _, id := range order {
		c := byImage[id]
		_, has := needed[id]
		if needed[id] || slices.ContainsFunc(c.pulls, func(p pull) bool {
			_, hasDigest := needed[p.digest]
			// What a release has is kept by the rule of its stage alone.
			return needed[p.digest] || !has && !hasDigest && s.clock().Sub(p.at) < s.keepRule.For
		}) {
			count.Kept++
			continue
		}
		list = append(list, *c)
	}
	return needed, list, nil
}

// neededImages says, by the digests and the engine's ids of the images that
// releases have, whether one needs it. What waits for an approval is needed,
// by its digest.
func (s *Service) neededImages(ctx context.Context, tx *sqlite.Tx) (map[string]bool, error) {
	uses, err := usesOf(ctx, tx, s.keepRule)
	if err != nil {
		return nil, err
	}
	held, err := heldDigests(ctx, tx)
	if err != nil {
		return nil, err
	}
	needed := map[string]bool{}
	for _, digest := range held {
		needed[digest] = true
	}
	needs := Needs(uses, s.clock())
	for _, u := range uses {
		is := needs[u.Release] != NeedNone
		needed[u.Digest] = needed[u.Digest] || is
		if u.Image != "" {
			needed[u.Image] = needed[u.Image] || is
		}
	}
	return needed, nil
}

// neededIn says whether it, or what is in it, is among what is needed.
func (l *Leftover) neededIn(needed map[string]bool) bool {
	return needed[l.Digest] || (l.Image != "" && needed[l.Image]) || slices.ContainsFunc(l.holds, func(d string) bool { return needed[d] })
}

// usersOfImages gives, by the image's id, a container that uses it, whoever
// made that.
func (s *Service) usersOfImages(ctx context.Context) (map[string]string, error) {
	list, err := s.runtime.List(ctx, nil)
	if err != nil {
		return nil, engineAway(err)
	}
	users := make(map[string]string, len(list))
	for _, c := range list {
		users[c.Image] = c.Name
	}
	return users, nil
}

// inEngine says what keeps a candidate in the engine, if anything, and whether
// it is there at all.
func (s *Service) inEngine(ctx context.Context, c candidate, users map[string]string) (l Leftover, there bool, err error) {
	newest := c.pulls[len(c.pulls)-1]
	repository, _, _ := strings.Cut(newest.reference, "@")
	l = Leftover{Place: PlaceEngine, Repository: repository, Digest: newest.digest, Image: c.imageID, Since: newest.at}
	image, err := s.runtime.Image(ctx, c.imageID)
	if errors.Is(err, container.ErrNotFound) {
		return l, false, nil
	}
	if err != nil {
		return l, false, engineAway(err)
	}
	l.Size = image.Size
	own := map[string]bool{}
	for _, p := range c.pulls {
		own[plainName(p.reference)] = true
	}
	if user, used := users[c.imageID]; used {
		l.Stays = fmt.Sprintf("container %s uses it", user)
	} else if len(image.Tags) > 0 {
		l.Stays = "somebody named it " + image.Tags[0]
	} else if n := slices.IndexFunc(image.Digests, func(d string) bool { return !own[plainName(d)] }); n >= 0 {
		l.Stays = "somebody pulled it as " + image.Digests[n]
	}
	return l, true, nil
}

// plainName takes off what engines leave out of the names of Docker Hub's
// images, or put there.
func plainName(reference string) string {
	for _, prefix := range []string{"index.docker.io/", "docker.io/", "library/"} {
		reference = strings.TrimPrefix(reference, prefix)
	}
	return reference
}

// onShelf lists the images of the built-in registry without a tag, that no
// release needs that is kept.
func (s *Service) onShelf(ctx context.Context, needed map[string]bool) ([]Leftover, error) {
	if s.shelf == nil {
		return nil, nil
	}
	list, err := s.shelf.Unnamed(ctx, s.clock().Add(-s.keepRule.For), mostUnnamed)
	if err != nil {
		return nil, fmt.Errorf("find images without a tag: %w", err)
	}
	var found []Leftover
	for _, u := range list {
		l := Leftover{Place: PlaceRegistry, Repository: u.Repository, Digest: u.Digest, Size: u.Size, Since: u.PushedAt, holds: u.Holds}
		if !l.neededIn(needed) {
			found = append(found, l)
		}
	}
	return found, nil
}
