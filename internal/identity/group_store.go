package identity

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

func selectGroups(ctx context.Context, tx *sqlite.Tx, name string) ([]Group, error) {
	return sqlite.All(ctx, tx, func(from sqlite.Row) (Group, error) {
		g := Group{Members: []string{}}
		var created, updated int64
		err := from.Scan(&g.ID, &g.Name, &g.Description, &created, &updated, &g.Version)
		g.CreatedAt, g.UpdatedAt = sqlite.Time(created), sqlite.Time(updated)
		return g, err
	}, `
		SELECT id, name, description, created_at, updated_at, version
		FROM groups
		WHERE ? = '' OR name = ?
		ORDER BY name`, name, name)
}

func groupByName(ctx context.Context, tx *sqlite.Tx, name string) (Group, error) {
	if name == "" {
		return Group{}, fault.NotFound("a group has a name")
	}
	found, err := selectGroups(ctx, tx, name)
	if err != nil {
		return Group{}, err
	}
	if len(found) == 0 {
		return Group{}, fault.NotFound("there is no group named %q", shortened(name, 100))
	}
	return found[0], withMembers(ctx, tx, found)
}

// withMembers fills in who is in the groups.
func withMembers(ctx context.Context, tx *sqlite.Tx, list []Group) error {
	type member struct{ group, username string }
	ids := make([]string, len(list))
	for i, g := range list {
		ids[i] = g.ID
	}
	in, args := sqlite.Placeholders(ids)
	members, err := sqlite.All(ctx, tx, func(from sqlite.Row) (m member, err error) {
		err = from.Scan(&m.group, &m.username)
		return m, err
	}, `
		SELECT group_members.group_id, people.username
		FROM group_members
		JOIN people ON people.id = group_members.person_id
		WHERE group_members.group_id IN (`+in+`)
		ORDER BY people.username COLLATE BINARY`, args...)
	if err != nil {
		return err
	}
	places := make(map[string]int, len(list))
	for i, g := range list {
		places[g.ID] = i
	}
	for _, m := range members {
		g := &list[places[m.group]]
		g.Members = append(g.Members, m.username)
	}
	return nil
}

func insertGroup(ctx context.Context, tx *sqlite.Tx, g Group) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO groups (id, name, description, created_at, updated_at, version)
		VALUES (?, ?, ?, ?, ?, ?)`,
		g.ID, g.Name, g.Description, sqlite.Millis(g.CreatedAt), sqlite.Millis(g.UpdatedAt), g.Version)
	return err
}

func updateGroup(ctx context.Context, tx *sqlite.Tx, g Group) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE groups
		SET description = ?, updated_at = ?, version = ?
		WHERE id = ?`, g.Description, sqlite.Millis(g.UpdatedAt), g.Version, g.ID)
	return err
}

func deleteGroup(ctx context.Context, tx *sqlite.Tx, id string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM groups
		WHERE id = ?`, id)
	return err
}

func replaceMembers(ctx context.Context, tx *sqlite.Tx, groupID string, personIDs []string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM group_members
		WHERE group_id = ?`, groupID)
	for _, id := range personIDs {
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `
			INSERT INTO group_members (group_id, person_id)
			VALUES (?, ?)`, groupID, id)
	}
	return err
}

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
	email      string
	holds      bool // the address
	syncedAt   time.Time
}

func toldOf(ctx context.Context, tx *sqlite.Tx, identityID string) (told, error) {
	var t told
	var groups, claims string
	var synced int64
	err := tx.QueryRowContext(ctx, `
		SELECT issuer, external_id, groups, claims, email, held_email <> '', synced_at
		FROM identities
		WHERE id = ?`, identityID).Scan(&t.issuer, &t.externalID, &groups, &claims, &t.email, &t.holds, &synced)
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
