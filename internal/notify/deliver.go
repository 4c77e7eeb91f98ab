package notify

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

const (
	// senders is how many messages are on their way at a time; to one channel
	// one is.
	senders = 8
	// endWait is what they get to end when Berth stops. What does not is sent
	// again after the start, under the same id.
	endWait = 5 * time.Second
	// lookEvery is how often the record is looked at when nothing is known to
	// be due: a clock may have been set.
	lookEvery = time.Minute
)

// deliver sends what is due until ctx ends.
func (n *Notifier) deliver(ctx context.Context) {
	sending, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var crew sync.WaitGroup
	var mu sync.Mutex
	busy := map[string]bool{}

	for ctx.Err() == nil {
		mu.Lock()
		taken := slices.Collect(maps.Keys(busy))
		mu.Unlock()
		due, wait, err := n.due(ctx, taken)
		if err != nil && ctx.Err() == nil {
			n.log.ErrorContext(ctx, "notifications not looked at; trying again", "error", err)
		}
		for _, d := range due {
			mu.Lock()
			busy[d.channel.ID] = true
			mu.Unlock()
			crew.Go(func() {
				n.attempt(sending, d)
				mu.Lock()
				delete(busy, d.channel.ID)
				mu.Unlock()
				n.stir()
			})
		}
		if len(due) == 0 {
			n.rest(ctx, wait)
		}
	}
	stop := time.AfterFunc(endWait, cut)
	defer stop.Stop()
	crew.Wait()
}

// rest waits until there may be something to deliver.
func (n *Notifier) rest(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-n.wake:
	}
}

// due lists what is to be sent now to channels that are not busy, and says how
// long to wait when there is nothing.
func (n *Notifier) due(ctx context.Context, busy []string) (list []Delivery, wait time.Duration, err error) {
	now := n.now()
	wait = lookEvery
	if len(busy) >= senders {
		return nil, wait, nil // who ends first wakes us
	}
	err = n.db.Read(ctx, func(tx *sqlite.Tx) error {
		if list, err = selectDue(ctx, tx, now, busy, senders-len(busy)); err != nil {
			return err
		}
		next, err := nextDue(ctx, tx, now)
		if !next.IsZero() {
			wait = min(wait, next.Sub(now))
		}
		return err
	})
	return list, wait, err
}

// attempt sends one delivery and stores how it went.
func (n *Notifier) attempt(ctx context.Context, d Delivery) {
	failed := n.send(ctx, d)
	if ctx.Err() != nil {
		return // cut off by the stop: it stays as it was
	}
	d = settle(d, failed, n.now(), n.jitter())
	n.tell(ctx, d, failed)
	// Sent again and again would be worse than late: only when it is stored
	// does the channel get its next one.
	for retry := firstRestart; ; retry = min(2*retry, longestRestart) {
		err := n.store(ctx, d)
		if err == nil {
			return
		}
		n.log.ErrorContext(ctx, "how a notification went is not stored; trying again", "delivery", d.ID, "error", err)
		if !pause(ctx, retry) {
			return
		}
	}
}

// send brings one delivery to its channel, once; nil when it was taken.
func (n *Notifier) send(ctx context.Context, d Delivery) *sendError {
	s, err := n.open(ctx, d.channel)
	if err != nil {
		return &sendError{text: fault.Message(err)}
	}
	return n.courier.send(ctx, d.channel, s, message{Notice: d.Notice, id: d.ID, at: n.now()})
}

// tell counts and logs an attempt.
func (n *Notifier) tell(ctx context.Context, d Delivery, failed *sendError) {
	log := n.log.With("channel", d.Channel, "service", string(d.Service), "delivery", d.ID, "kind", string(d.Notice.Kind), "project", d.Notice.Project)
	switch {
	case failed == nil:
		n.counts.add(d.Service, Sent)
		log.DebugContext(ctx, "notification sent")
	case d.State == Failed:
		n.counts.add(d.Service, Failed)
		log.WarnContext(ctx, "notification given up", "attempts", d.Attempts, "error", failed.text)
	default:
		n.counts.add(d.Service, Pending)
		log.InfoContext(ctx, "notification not taken; trying again", "attempts", d.Attempts, "next", d.NextAt, "error", failed.text)
	}
}

// Failure is the data of the event GivenUp.
type Failure struct {
	Channel  string  `json:"channel"`
	Service  Service `json:"service"`
	Kind     Kind    `json:"kind"`
	Title    string  `json:"title"`
	Attempts int     `json:"attempts"`
	Error    string  `json:"error"`
}

// store writes how far a delivery is, with the event when it was given up.
func (n *Notifier) store(ctx context.Context, d Delivery) error {
	return n.db.Write(ctx, func(tx *sqlite.Tx) error {
		found, err := updateDelivery(ctx, tx, d)
		if err != nil || !found || d.State != Failed {
			return err
		}
		return n.events.Append(ctx, tx, event.Event{Kind: GivenUp, Actor: "berth", Project: d.Notice.Project, Stage: d.Notice.Stage, At: n.now()},
			Failure{Channel: d.Channel, Service: d.Service, Kind: d.Notice.Kind, Title: d.Notice.Title, Attempts: d.Attempts, Error: d.Error})
	})
}
