package notify

import (
	"context"
	"time"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

// The record is kept for keepFor when nothing else is said, and of at most keepMost messages.
const (
	keepFor    = 90 * 24 * time.Hour
	keepMost   = 10_000
	pruneEvery = time.Hour
	pruneStep  = 1000 // rows in one transaction
)

// SentFilter chooses from the record. The zero SentFilter chooses all.
type SentFilter struct {
	Channel string // its name
	Project string // of the channel
	State   State
	Before  string // only what is older than this delivery's id
}

// Sent lists what was sent and what is to be sent, the newest first, and the
// id to go on before; "" when that was all.
func (n *Notifier) Sent(ctx context.Context, f SentFilter, limit int) (list []Delivery, next string, err error) {
	err = n.db.Read(ctx, func(tx *sqlite.Tx) error {
		list, err = selectSent(ctx, tx, f, limit+1)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	if len(list) > limit {
		list = list[:limit]
		next = list[limit-1].ID
	}
	return list, next, nil
}

// Delivery gives one of the record.
func (n *Notifier) Delivery(ctx context.Context, id string) (d Delivery, c Channel, err error) {
	err = n.db.Read(ctx, func(tx *sqlite.Tx) error {
		d, err = findDelivery(ctx, tx, id)
		return err
	})
	return d, d.channel, err
}

// Test sends a message to a channel now, also to a disabled one, and says how
// it went: a delivery that is Sent or Failed, which is in the record too.
func (n *Notifier) Test(ctx context.Context, actor, name string) (Delivery, error) {
	c, err := n.Channel(ctx, name)
	if err != nil {
		return Delivery{}, err
	}
	if _, err := n.open(ctx, c); err != nil {
		return Delivery{}, err
	}
	now := n.now()
	d := Delivery{
		ID: sqlite.NewID(now), Channel: c.Name, Service: c.Service, Notice: testNotice(c, actor, now), State: Pending,
		CreatedAt: now, queuedAt: now, channel: c,
	}
	ctx = context.WithoutCancel(ctx) // what went out is recorded, whoever still waits for the answer
	failed := n.send(ctx, d)
	if failed != nil {
		failed.final = true // somebody waits for the answer, and can press again
	}
	d = settle(d, failed, n.now(), 0)
	n.tell(ctx, d, failed)
	return d, n.db.Write(ctx, func(tx *sqlite.Tx) error { return insertDelivery(ctx, tx, d) })
}

// Retry has a delivery that failed tried again, from the first attempt.
func (n *Notifier) Retry(ctx context.Context, id string) (d Delivery, err error) {
	err = n.db.Write(ctx, func(tx *sqlite.Tx) error {
		if d, err = findDelivery(ctx, tx, id); err != nil {
			return err
		}
		switch {
		case d.State != Failed:
			return fault.Conflict("this message is %s, not failed", d.State)
		case d.Notice.Kind == Test:
			return fault.Conflict("this was a test: send another one")
		case !d.channel.Enabled:
			return fault.Conflict("channel %q is switched off", d.Channel)
		}
		now := n.now()
		d.State, d.Attempts, d.NextAt, d.Error, d.queuedAt = Pending, 0, now, "", now
		_, err = updateDelivery(ctx, tx, d)
		return err
	})
	if err != nil {
		return Delivery{}, err
	}
	n.stir()
	return d, nil
}

// prune bounds the record until ctx ends.
func (n *Notifier) prune(ctx context.Context) {
	for {
		if err := n.forgetOld(ctx); err != nil && ctx.Err() == nil {
			n.log.ErrorContext(ctx, "old notifications not removed", "error", err)
		}
		if !pause(ctx, pruneEvery) {
			return
		}
	}
}

func (n *Notifier) forgetOld(ctx context.Context) error {
	now := n.now()
	err := n.db.Write(ctx, func(tx *sqlite.Tx) error {
		_, err := expire(ctx, tx, now.Add(-longestAge), "it could not be sent within "+longestAge.String())
		return err
	})
	for step := int64(pruneStep); err == nil && step == pruneStep; {
		err = n.db.Write(ctx, func(tx *sqlite.Tx) (err error) {
			step, err = pruneDeliveries(ctx, tx, now.Add(-n.keep), keepMost, pruneStep)
			return err
		})
	}
	return err
}
