package deploy

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// CreateProject stores a project; only its name, image and description are
// looked at. fault.Conflict when the name is taken.
func (s *Service) CreateProject(ctx context.Context, actor string, p Project) (made Project, err error) {
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		made, err = s.CreateProjectIn(ctx, tx, actor, p)
		return err
	})
	if err != nil {
		return Project{}, err
	}
	return made, nil
}

// CreateProjectIn is CreateProject as a part of a transaction. What it refuses,
// it refuses before it has written anything.
func (s *Service) CreateProjectIn(ctx context.Context, tx *sqlite.Tx, actor string, p Project) (Project, error) {
	p.Image = s.withoutOwnHost(p.Image)
	if err := p.validate(); err != nil {
		return Project{}, err
	}
	now := s.now()
	p = Project{ID: sqlite.NewID(now), Name: p.Name, Image: p.Image, Description: p.Description, CreatedAt: now, UpdatedAt: now, Version: 1}
	err := insertProject(ctx, tx, p)
	if sqlite.IsUnique(err) {
		return Project{}, fault.Conflict("there is a project named %q already", p.Name)
	}
	if err != nil {
		return Project{}, err
	}
	return p, s.emitProject(ctx, tx, eventProjectCreated, actor, p)
}

// UpdateProject saves an edit of the version that its author saw;
// fault.Conflict when there is a newer one.
func (s *Service) UpdateProject(ctx context.Context, actor, name string, version int64, e ProjectEdit) (p Project, err error) {
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		p, err = s.UpdateProjectIn(ctx, tx, actor, name, version, e)
		return err
	})
	if err != nil {
		return Project{}, err
	}
	return p, nil
}

// UpdateProjectIn is UpdateProject as a part of a transaction. What it refuses,
// it refuses before it has written anything.
func (s *Service) UpdateProjectIn(ctx context.Context, tx *sqlite.Tx, actor, name string, version int64, e ProjectEdit) (Project, error) {
	p, err := findProject(ctx, tx, name)
	if err != nil {
		return p, err
	}
	if e.Image != nil {
		p.Image = s.withoutOwnHost(*e.Image)
	}
	if e.Description != nil {
		p.Description = *e.Description
	}
	if err := p.validate(); err != nil {
		return p, err
	}
	p.Version, p.UpdatedAt = version+1, s.now()
	if ok, err := updateProject(ctx, tx, p); err != nil || !ok {
		return p, errors.Join(err, unless(ok, fault.Conflict("project %q was changed meanwhile; look at it again", name)))
	}
	return p, s.emitProject(ctx, tx, eventProjectUpdated, actor, p)
}

// withoutOwnHost gives an image, or a reference of one, as projects have it. In
// a push Berth's own host stands before the name, so people write it here too;
// kept, it would be another registry's image, which no push deploys.
func (s *Service) withoutOwnHost(image string) string {
	host, rest, _ := strings.Cut(strings.TrimSpace(image), "/")
	u := url.URL{Host: strings.ToLower(host)}
	if rest == "" || !s.reserved[u.Hostname()] || u.Port() != s.base.Port() {
		return image
	}
	return rest
}

// RemoveProject removes a project with all its stages and their containers.
// It names the volumes that stay.
func (s *Service) RemoveProject(ctx context.Context, actor, name string) (keptVolumes []string, err error) {
	var p Project
	var stages []stage
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		if p, err = findProject(ctx, tx, name); err != nil {
			return err
		}
		stages, err = stagesOf(ctx, tx, []string{p.ID})
		return err
	})
	if err != nil {
		return nil, err
	}
	// A removal that has begun goes to its end, also when the one who asked
	// does not wait: an app may take its whole stop timeout.
	ctx = context.WithoutCancel(ctx)
	kept := make([][]string, len(stages))
	var group errgroup.Group
	group.SetLimit(engineAtATime)
	for n, st := range stages {
		group.Go(func() (err error) {
			if kept[n], err = s.remove(ctx, actor, name, st.Name, true); fault.KindOf(err) == fault.Missing {
				return nil // by somebody else, meanwhile
			}
			return err
		})
	}
	err = group.Wait()
	keptVolumes = slices.Concat(kept...)
	if err != nil {
		return keptVolumes, err
	}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		left, err := stagesOf(ctx, tx, []string{p.ID})
		if err != nil {
			return err
		}
		if len(left) > 0 {
			return fault.Conflict("stage %q was made meanwhile; remove the project again", left[0].Name)
		}
		if err := s.endTokens(ctx, tx, actor, p.ID); err != nil {
			return err
		}
		if err := deleteProject(ctx, tx, p.ID); err != nil {
			return err
		}
		return s.emitProject(ctx, tx, eventProjectRemoved, actor, p)
	})
	return keptVolumes, err
}

// endTokens ends the API tokens that are bound to what is removed.
func (s *Service) endTokens(ctx context.Context, tx *sqlite.Tx, actor, id string) error {
	if s.tokens == nil {
		return nil
	}
	return s.tokens.EndBoundTokens(ctx, tx, actor, id)
}

func (s *Service) emitProject(ctx context.Context, tx *sqlite.Tx, kind event.Kind, actor string, p Project) error {
	return s.events.Append(ctx, tx, event.Event{Kind: kind, Actor: actor, Project: p.Name}, p)
}
