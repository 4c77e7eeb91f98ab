package identity

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"berth/internal/sqlite"
)

// groupsOf lists the groups that Berth itself has a person in, in order.
func groupsOf(ctx context.Context, tx *sqlite.Tx, personID string) ([]string, error) {
	return sqlite.All(ctx, tx, func(from sqlite.Row) (name string, err error) {
		err = from.Scan(&name)
		return name, err
	}, `
		SELECT groups.name
		FROM group_members
		JOIN groups ON groups.id = group_members.group_id
		WHERE group_members.person_id = ?
		ORDER BY groups.name COLLATE BINARY`, personID)
}

// told is what a provider told of somebody.
type told struct {
	issuer     string
	externalID string
	groups     []string
	claims     map[string]any
	syncedAt   time.Time
}

func toldOf(ctx context.Context, tx *sqlite.Tx, identityID string) (told, error) {
	var t told
	var groups, claims string
	var synced int64
	err := tx.QueryRowContext(ctx, `
		SELECT issuer, external_id, groups, claims, synced_at
		FROM identities
		WHERE id = ?`, identityID).Scan(&t.issuer, &t.externalID, &groups, &claims, &synced)
	if err != nil {
		return told{}, fmt.Errorf("read identity %s: %w", identityID, err)
	}
	if err := json.Unmarshal([]byte(groups), &t.groups); err != nil {
		return told{}, fmt.Errorf("read the groups of identity %s: %w", identityID, err)
	}
	if err := json.Unmarshal([]byte(claims), &t.claims); err != nil {
		return told{}, fmt.Errorf("read the claims of identity %s: %w", identityID, err)
	}
	t.syncedAt = sqlite.Time(synced)
	return t, nil
}
