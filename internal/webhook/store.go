package webhook

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

const webhookColumns = `w.id, w.name, w.source, COALESCE(w.project, ''), w.registry, w.signed, w.created_by, w.created_at`

func scanWebhook(row sqlite.Row) (h Webhook, err error) {
	var created int64
	err = row.Scan(&h.ID, &h.Name, &h.Source, &h.Project, &h.Registry, &h.Secret, &h.CreatedBy, &created)
	h.CreatedAt = sqlite.Time(created)
	return h, err
}

func countWebhooks(ctx context.Context, tx *sqlite.Tx) (n int, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT COUNT(*)
		FROM webhooks`).Scan(&n)
	return n, err
}

func insertWebhook(ctx context.Context, tx *sqlite.Tx, h Webhook, hash [sha256.Size]byte) error {
	project := sql.NullString{String: h.Project, Valid: h.Project != ""}
	_, err := tx.ExecContext(ctx, `
		INSERT INTO webhooks (id, token_hash, name, source, project, registry, signed, created_by, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		h.ID, hash[:], h.Name, string(h.Source), project, h.Registry, h.Secret, h.CreatedBy, sqlite.Millis(h.CreatedAt))
	return err
}

func deleteWebhook(ctx context.Context, tx *sqlite.Tx, id string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM webhooks
		WHERE id = ?`,
		id)
	return err
}

func findWebhook(ctx context.Context, tx *sqlite.Tx, id string) (Webhook, error) {
	h, err := scanWebhook(tx.QueryRowContext(ctx, `
		SELECT `+webhookColumns+`
		FROM webhooks w
		WHERE w.id = ?`,
		id))
	if errors.Is(err, sql.ErrNoRows) {
		return h, fault.NotFound("there is no webhook %q", id)
	}
	return h, err
}

func webhookByToken(ctx context.Context, tx *sqlite.Tx, hash [sha256.Size]byte) (Webhook, error) {
	h, err := scanWebhook(tx.QueryRowContext(ctx, `
		SELECT `+webhookColumns+`
		FROM webhooks w
		WHERE w.token_hash = ?`,
		hash[:]))
	if errors.Is(err, sql.ErrNoRows) {
		return h, errNoWebhook
	}
	return h, err
}

func selectWebhooks(ctx context.Context, tx *sqlite.Tx, project string) ([]Webhook, error) {
	list, err := sqlite.All(ctx, tx, scanWebhook, `
		SELECT `+webhookColumns+`
		FROM webhooks w
		WHERE ? IN ('', w.project)
		ORDER BY w.name`,
		project)
	if err != nil {
		return nil, err
	}
	for i := range list {
		last, err := selectDeliveries(ctx, tx, list[i].ID, "", 1)
		if err != nil {
			return nil, err
		}
		if len(last) > 0 {
			list[i].Last = &last[0]
		}
	}
	return list, nil
}

const deliveryColumns = `id, webhook_id, at, event, header, media_type, hints, verdict, reason, size, replay_of, actor`

func scanDelivery(row sqlite.Row, payload ...any) (d Delivery, err error) {
	var at int64
	var hints string
	err = row.Scan(append([]any{
		&d.ID, &d.Webhook, &at, &d.Event, &d.header, &d.mediaType, &hints, &d.Verdict, &d.Reason, &d.Size, &d.ReplayOf, &d.Actor,
	}, payload...)...)
	if err != nil {
		return d, err
	}
	d.At = sqlite.Time(at)
	return d, json.Unmarshal([]byte(hints), &d.Hints)
}

func insertDelivery(ctx context.Context, tx *sqlite.Tx, d Delivery) error {
	hints, err := json.Marshal(d.Hints)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO webhook_deliveries (`+deliveryColumns+`, payload)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		d.ID, d.Webhook, sqlite.Millis(d.At), d.Event, d.header, d.mediaType, string(hints), string(d.Verdict), d.Reason, d.Size, d.ReplayOf, d.Actor, d.payload)
	return err
}

// selectDeliveries leaves the payloads out.
func selectDeliveries(ctx context.Context, tx *sqlite.Tx, webhook, before string, limit int) ([]Delivery, error) {
	return sqlite.All(ctx, tx, func(row sqlite.Row) (Delivery, error) { return scanDelivery(row) }, `
		SELECT `+deliveryColumns+`
		FROM webhook_deliveries
		WHERE webhook_id = ? AND (? = '' OR id < ?)
		ORDER BY id DESC
		LIMIT ?`,
		webhook, before, before, limit)
}

func findDelivery(ctx context.Context, tx *sqlite.Tx, webhook, id string) (Delivery, error) {
	var payload []byte
	d, err := scanDelivery(tx.QueryRowContext(ctx, `
		SELECT `+deliveryColumns+`, payload
		FROM webhook_deliveries
		WHERE webhook_id = ? AND id = ?`,
		webhook, id), &payload)
	if errors.Is(err, sql.ErrNoRows) {
		return d, fault.NotFound("this webhook has no delivery %q", id)
	}
	d.payload = payload
	return d, err
}

// deleteDeliveriesBeyond keeps the newest of a webhook, of those that are right
// and tell of no push or of the others.
func deleteDeliveriesBeyond(ctx context.Context, tx *sqlite.Tx, webhook string, pushless bool, keep int) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM webhook_deliveries
		WHERE webhook_id = ? AND (verdict = 'ignored' AND hints = '[]') = ? AND id <= (
			SELECT id
			FROM webhook_deliveries
			WHERE webhook_id = ? AND (verdict = 'ignored' AND hints = '[]') = ?
			ORDER BY id DESC
			LIMIT 1 OFFSET ?)`,
		webhook, pushless, webhook, pushless, keep)
	return err
}

// deleteDeliveriesBefore removes up to limit of those that came before a time.
func deleteDeliveriesBefore(ctx context.Context, tx *sqlite.Tx, before time.Time, limit int) (int64, error) {
	done, err := tx.ExecContext(ctx, `
		DELETE FROM webhook_deliveries
		WHERE id IN (SELECT id FROM webhook_deliveries WHERE at < ? LIMIT ?)`,
		sqlite.Millis(before), limit)
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}
