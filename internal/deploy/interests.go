package deploy

import (
	"context"
	"encoding/json"
	"fmt"

	"berth/internal/event"
	"berth/internal/registry"
	"berth/internal/sqlite"
)

// InterestKinds are the kinds of events after which [Service.Interests] may
// say something else.
func (s *Service) InterestKinds() []event.Kind {
	return []event.Kind{
		eventProjectUpdated, eventProjectRemoved, eventStageCreated, eventStageUpdated, eventStageRemoved,
	}
}

// Interests says which images the stages deploy by themselves, and by which
// tags: what is to be watched.
func (s *Service) Interests(ctx context.Context) (list []registry.Interest, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		list, err = selectInterests(ctx, tx)
		return err
	})
	return list, err
}

// selectInterests reads the rules alone: whole configurations are many times
// as long.
func selectInterests(ctx context.Context, tx *sqlite.Tx) ([]registry.Interest, error) {
	return sqlite.All(ctx, tx, scanInterest, `
		SELECT p.name, p.image, json_extract(s.spec, '$.tags')`+stageFrom+`
		WHERE json_extract(s.spec, '$.tags.kind') <> ? AND COALESCE(json_extract(s.spec, '$.promote_from'), '') = ''
		ORDER BY p.name, s.name`, string(TagNone))
}

func scanInterest(row sqlite.Row) (i registry.Interest, err error) {
	var raw string
	if err := row.Scan(&i.Project, &i.Repository, &raw); err != nil {
		return i, err
	}
	var rule TagRule
	if err := json.Unmarshal([]byte(raw), &rule); err != nil {
		return i, fmt.Errorf("decode the tag rule of a stage of %s: %w", i.Project, err)
	}
	of := registry.Rule{Name: string(rule.Kind) + " " + rule.Pattern, Match: rule.Matcher()}
	if rule.Kind == TagExact {
		of.Tag = rule.Pattern
	}
	i.Rules = []registry.Rule{of}
	return i, nil
}
