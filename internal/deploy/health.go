package deploy

import (
	"context"
	"time"

	"berth/internal/sqlite"
)

// health is how long a deployment has been healthy: serving, with every
// instance ready.
type health struct {
	since   time.Time     // zero while it is not
	longest time.Duration // of the times that are over
}

// next gives the health when it was looked at now. A break that is found when
// Berth has just begun to look may be as old as the last look of the process
// before, so the time before it proves nothing.
func (h health) next(healthy, begun bool, now time.Time) health {
	switch {
	case healthy && h.since.IsZero():
		h.since = now
	case !healthy && !h.since.IsZero():
		if begun {
			h.longest = max(h.longest, now.Sub(h.since))
		}
		h.since = time.Time{}
	}
	return h
}

// proven gives the longest time that it was healthy without a break, with the
// one under way.
func (h health) proven(now time.Time) time.Duration {
	if h.since.IsZero() {
		return h.longest
	}
	return max(h.longest, now.Sub(h.since))
}

// noteHealth stores whether a deployment is healthy, where that has changed.
func (s *Service) noteHealth(ctx context.Context, tx *sqlite.Tx, deploymentID string) error {
	was, healthy, err := readHealth(ctx, tx, deploymentID)
	if err != nil {
		return err
	}
	now := was.next(healthy, s.reconciled.Load(), s.now())
	if now == was {
		return nil
	}
	tx.OnCommit(s.promoteSoon)
	return saveHealth(ctx, tx, deploymentID, now)
}

// readHealth gives what is stored of a deployment's health, and whether it is
// healthy by what is stored of its instances.
func readHealth(ctx context.Context, tx *sqlite.Tx, deploymentID string) (h health, healthy bool, err error) {
	var since, longest int64
	err = tx.QueryRowContext(ctx, `
		SELECT COALESCE(d.healthy_since, 0), d.healthy_for,
			d.state = 'live' AND d.id = COALESCE(s.live_deployment, '')
				AND EXISTS (SELECT 1 FROM instances i WHERE i.deployment_id = d.id)
				AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.deployment_id = d.id AND i.state <> 'ready')
		FROM deployments d
		JOIN stages s ON s.id = d.stage_id
		WHERE d.id = ?`, deploymentID).Scan(&since, &longest, &healthy)
	return health{sqlite.Time(since), time.Duration(longest) * time.Millisecond}, healthy, err
}

func saveHealth(ctx context.Context, tx *sqlite.Tx, deploymentID string, h health) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE deployments
		SET healthy_since = ?, healthy_for = ?
		WHERE id = ?`, millis(h.since), h.longest.Milliseconds(), deploymentID)
	return err
}
