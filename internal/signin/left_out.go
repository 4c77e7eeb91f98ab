package signin

import (
	"context"
	"strings"

	"berth/internal/identity"
	"berth/internal/sqlite"
)

// LeftOut says who would have no way in left without a provider, were it
// switched off, pointed elsewhere or removed.
func (s *Service) LeftOut(ctx context.Context, slug string) (left identity.LeftOut, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		if _, err := findProvider(ctx, tx, slug); err != nil {
			return err
		}
		left, err = s.identity.LeftOut(ctx, tx, slug)
		return err
	})
	return left, err
}

// mayLeaveOut refuses a change by which people have no way in left, unless it
// is forced, and says who they are: of a provider that leads in, to one that is
// off, elsewhere, or gone.
func (s *Service) mayLeaveOut(ctx context.Context, tx *sqlite.Tx, was, becomes Provider, force bool) (identity.LeftOut, error) {
	if !becomes.Shuts(was) {
		return identity.LeftOut{}, nil
	}
	left, err := s.identity.LeftOut(ctx, tx, was.Slug)
	if err != nil || left.People == 0 || force {
		return left, err
	}
	first, err := s.identity.WayToAdd(ctx, tx)
	if err != nil {
		return left, err
	}
	return left, left.Meant(force, first)
}

// Shuts says whether p in the place of what was leads nobody in any more who
// came by that: it is switched off, elsewhere, or (the zero Provider) gone.
func (p Provider) Shuts(was Provider) bool {
	elsewhere := strings.TrimRight(p.issuer(), "/") != strings.TrimRight(was.issuer(), "/")
	return was.Enabled && (!p.Enabled || elsewhere)
}
