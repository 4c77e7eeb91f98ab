package vault

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

func selectSlot(ctx context.Context, tx *sqlite.Tx, slotContext, name string) (Slot, []byte, error) {
	slot := Slot{Context: slotContext, Name: name}
	var sealed []byte
	var created, updated int64
	err := tx.QueryRowContext(ctx, `
		SELECT version, sealed, created_at, updated_at
		FROM slots
		WHERE context = ? AND name = ?`, slotContext, name).Scan(&slot.Version, &sealed, &created, &updated)
	if errors.Is(err, sql.ErrNoRows) {
		return Slot{}, nil, fault.NotFound("there is no secret %q in %q", name, slotContext)
	}
	slot.CreatedAt, slot.UpdatedAt = sqlite.Time(created), sqlite.Time(updated)
	return slot, sealed, err
}

func selectSlots(ctx context.Context, tx *sqlite.Tx, slotContext string) ([]Slot, error) {
	rows, err := tx.QueryContext(ctx, `
		SELECT context, name, version, created_at, updated_at
		FROM slots
		WHERE ? IN ('', context)
		ORDER BY context, name`, slotContext)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	slots := []Slot{}
	for rows.Next() {
		var slot Slot
		var created, updated int64
		if err := rows.Scan(&slot.Context, &slot.Name, &slot.Version, &created, &updated); err != nil {
			return nil, err
		}
		slot.CreatedAt, slot.UpdatedAt = sqlite.Time(created), sqlite.Time(updated)
		slots = append(slots, slot)
	}
	return slots, rows.Err()
}

// ChangedAt says, in tx, when each slot was last set, by "context/name".
func (*Vault) ChangedAt(ctx context.Context, tx *sqlite.Tx) (map[string]time.Time, error) {
	slots, err := selectSlots(ctx, tx, "")
	if err != nil {
		return nil, err
	}
	changed := make(map[string]time.Time, len(slots))
	for _, slot := range slots {
		changed[slot.Context+"/"+slot.Name] = slot.UpdatedAt
	}
	return changed, nil
}

func upsertSlot(ctx context.Context, tx *sqlite.Tx, slot Slot, sealed []byte) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO slots (context, name, version, sealed, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (context, name) DO UPDATE
		SET version = excluded.version, sealed = excluded.sealed, updated_at = excluded.updated_at`,
		slot.Context, slot.Name, slot.Version, sealed, sqlite.Millis(slot.CreatedAt), sqlite.Millis(slot.UpdatedAt))
	return err
}

func deleteSlot(ctx context.Context, tx *sqlite.Tx, slotContext, name string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM slots
		WHERE context = ? AND name = ?`, slotContext, name)
	return err
}

// selectCheck gives what tells the key apart from another; nil in a new vault.
func selectCheck(ctx context.Context, tx *sqlite.Tx) (sealed []byte, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT sealed
		FROM slot_check`).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return sealed, err
}

func insertCheck(ctx context.Context, tx *sqlite.Tx, sealed []byte, now time.Time) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO slot_check (id, sealed, created_at)
		VALUES (1, ?, ?)`, sealed, sqlite.Millis(now))
	return err
}
