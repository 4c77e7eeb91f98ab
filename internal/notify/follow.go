package notify

import (
	"context"
	"time"

	"berth/internal/event"
	"berth/internal/sqlite"
)

// The pace at which following is begun again after the store failed.
const (
	firstRestart   = time.Second
	longestRestart = time.Minute
)

// maxPending is how many messages wait for one channel. One more is recorded
// as failed.
const maxPending = 500

// follow makes deliveries of what happens, each event once, from where an
// earlier process stopped, until ctx ends.
func (n *Notifier) follow(ctx context.Context) {
	retry := firstRestart
	for ctx.Err() == nil {
		err := n.takeEvents(ctx)
		if ctx.Err() != nil {
			return
		}
		n.log.ErrorContext(ctx, "events not followed for notifications; trying again", "error", err)
		if !pause(ctx, retry) {
			return
		}
		retry = min(2*retry, longestRestart)
	}
}

func (n *Notifier) takeEvents(ctx context.Context) error {
	var after int64
	err := n.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
		after, err = cursor(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	for e, err := range n.events.Follow(ctx, after, event.Filter{Kinds: followed}) {
		if err == nil {
			err = n.take(ctx, e)
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// take makes deliveries of one event and remembers that it did, in one
// transaction. The cursor moves only with an event that says something: what
// says nothing is read again after a restart, and says nothing again.
func (n *Notifier) take(ctx context.Context, e event.Event) error {
	if e.Kind == projectRemoved {
		return n.dropProject(ctx, e)
	}
	var recent []event.Event
	if e.Kind == signInFailed {
		var err error
		if recent, err = n.events.Before(ctx, e.ID+1, event.Filter{Kinds: []event.Kind{e.Kind}}, signInMany); err != nil {
			return err
		}
	}
	notice, says := noticeOf(e, recent)
	if !says {
		return nil
	}
	queued := false
	err := n.db.Write(ctx, func(tx *sqlite.Tx) error {
		if err := setCursor(ctx, tx, e.ID); err != nil {
			return err
		}
		channels, err := selectChannels(ctx, tx, "")
		if err != nil {
			return err
		}
		for _, c := range channels {
			if !c.wants(notice) {
				continue
			}
			if err := n.queue(ctx, tx, c, e.ID, notice); err != nil {
				return err
			}
			queued = true
		}
		return nil
	})
	if queued {
		n.stir()
	}
	return err
}

// queue writes a delivery, unless its channel was told of the same just now.
func (n *Notifier) queue(ctx context.Context, tx *sqlite.Tx, c Channel, id int64, notice Notice) error {
	now := n.now()
	if notice.about != "" {
		told, err := toldSince(ctx, tx, c.ID, notice.about, now.Add(-notice.quiet))
		if err != nil || told {
			return err
		}
	}
	d := Delivery{ID: sqlite.NewID(now), Notice: notice, State: Pending, NextAt: now, CreatedAt: now, queuedAt: now, channel: c, event: id}
	waiting, err := countPending(ctx, tx, c.ID)
	if err != nil {
		return err
	}
	if waiting >= maxPending {
		d.State, d.NextAt, d.Error = Failed, time.Time{}, "too many messages wait for this channel already"
		n.counts.add(c.Service, Failed)
	}
	return insertDelivery(ctx, tx, d)
}

// dropProject removes the channels of a project that is gone. One that was
// made after its name was taken again stays.
func (n *Notifier) dropProject(ctx context.Context, e event.Event) error {
	return n.db.Write(ctx, func(tx *sqlite.Tx) error {
		list, err := selectChannels(ctx, tx, e.Project)
		if err != nil {
			return err
		}
		for _, c := range list {
			if c.Project == "" || c.CreatedAt.After(e.At) {
				continue
			}
			if err := n.drop(ctx, tx, e.Actor, c); err != nil {
				return err
			}
		}
		return setCursor(ctx, tx, e.ID)
	})
}
