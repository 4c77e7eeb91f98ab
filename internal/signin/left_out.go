package signin

import (
	"context"
	"fmt"
	"strings"

	"berth/internal/fault"
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
	return left, fault.Conflict("%s: %s, or say that it is meant (force)", InWords(left), first)
}

// Shuts says whether p in the place of what was leads nobody in any more who
// came by that: it is switched off, elsewhere, or (the zero Provider) gone.
func (p Provider) Shuts(was Provider) bool {
	elsewhere := strings.TrimRight(p.issuer(), "/") != strings.TrimRight(was.issuer(), "/")
	return was.Enabled && (!p.Enabled || elsewhere)
}

// InWords says who is left out, naming a few.
func InWords(left identity.LeftOut) string {
	if left.People == 1 {
		return left.Usernames[0] + " would have no way in left"
	}
	named := left.Usernames[:min(3, len(left.Usernames))]
	return fmt.Sprintf("%d people would have no way in left (%s%s)", left.People, strings.Join(named, ", "),
		map[bool]string{true: ", …"}[left.People > len(named)])
}
