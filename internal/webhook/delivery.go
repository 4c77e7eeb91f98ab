package webhook

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"berth/internal/fault"
	"berth/internal/registry"
	"berth/internal/sqlite"
)

// Delivery is something that was sent to a webhook.
type Delivery struct {
	ID      string          `json:"id"`
	Webhook string          `json:"webhook"` // its id
	At      time.Time       `json:"at"`
	Event   string          `json:"event"` // as the sender names it
	Hints   []registry.Hint `json:"hints"`
	Verdict Verdict         `json:"verdict"`
	Reason  string          `json:"reason,omitempty"` // why, for a person
	Size    int64           `json:"size"`             // bytes
	// ReplayOf is the delivery that this is a replay of, Actor who asked.
	ReplayOf string `json:"replay_of,omitempty"`
	Actor    string `json:"actor,omitempty"`

	usual     bool   // it is of an event that is told of all the time, and of no push
	header    string // what of the event a header said
	mediaType string
	payload   []byte // nil when it was not kept
}

// Verdict is what became of a delivery.
type Verdict string

// The verdicts.
const (
	Accepted Verdict = "accepted" // it is looked up at the registry
	Ignored  Verdict = "ignored"  // it concerns nobody here
	Refused  Verdict = "refused"  // its secret or its body is wrong
)

// What is kept of deliveries.
const (
	keepDeliveries = 200 // of one webhook
	// keepPushless is how many are kept that tell of no push. They are bounded
	// apart: a registry that tells of each pull, Berth's own polls among them,
	// sends so many that they would drive out the pushes.
	keepPushless = 20
	keepFor      = 90 * 24 * time.Hour
	pruneStep    = 1000     // rows in one transaction
	keepPayload  = 64 << 10 // bytes
	maxEvent     = 100      // bytes of an event's name, and of a media type
	maxReason    = 500
)

// Deliveries lists up to limit deliveries of a webhook, newest first, from the
// one after cursor. next is the cursor of the rest, "" when there is none.
func (s *Service) Deliveries(ctx context.Context, webhook, cursor string, limit int) (list []Delivery, next string, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		if _, err := findWebhook(ctx, tx, webhook); err != nil {
			return err
		}
		list, err = selectDeliveries(ctx, tx, webhook, cursor, limit+1)
		return err
	})
	if len(list) > limit {
		list = list[:limit]
		next = list[limit-1].ID
	}
	return list, next, err
}

// Payload gives a delivery with what was sent; nothing when that was not kept.
func (s *Service) Payload(ctx context.Context, webhook, id string) (d Delivery, payload []byte, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		d, err = findDelivery(ctx, tx, webhook, id)
		return err
	})
	return d, d.payload, err
}

// Replay takes a delivery again as if it had been sent now; that it was
// signed is not asked for again. Fault Conflict when it was refused for its
// secret: such a one is not kept.
func (s *Service) Replay(ctx context.Context, actor, webhook, id string) (Delivery, error) {
	var h Webhook
	var old Delivery
	err := s.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
		if h, err = findWebhook(ctx, tx, webhook); err != nil {
			return err
		}
		old, err = findDelivery(ctx, tx, webhook, id)
		return err
	})
	if err != nil {
		return Delivery{}, err
	}
	if old.payload == nil && len(old.Hints) == 0 {
		return Delivery{}, fault.Conflict("what was sent was not kept, so it can't be replayed")
	}
	d := s.newDelivery(h, old.header, old.mediaType)
	d.ReplayOf, d.Actor, d.Size, d.payload = old.ID, actor, old.Size, old.payload
	if old.payload == nil {
		d.Event, d.Hints = old.Event, old.Hints
	} else if err := d.read(h); err != nil {
		d.refuse(err)
	}
	err = s.store(ctx, h, &d)
	return d, err
}

// Run removes what is too old, every hour, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		if err := s.prune(ctx); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "old webhook deliveries not removed", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// prune removes old deliveries, and the secrets of webhooks that went with
// their project.
func (s *Service) prune(ctx context.Context) error {
	s.limits.sweep(s.clock())
	slots, err := s.secrets.List(ctx, SlotContext)
	if err != nil {
		return err
	}
	for step := int64(pruneStep); step == pruneStep; {
		err := s.db.Write(ctx, func(tx *sqlite.Tx) error {
			step, err = deleteDeliveriesBefore(ctx, tx, s.clock().Add(-s.keep), pruneStep)
			return err
		})
		if err != nil {
			return err
		}
	}
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		for _, slot := range slots {
			_, err := findWebhook(ctx, tx, slot.Name)
			if fault.KindOf(err) == fault.Missing {
				err = s.secrets.RemoveIn(ctx, tx, "berth", SlotContext, slot.Name)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// meter counts deliveries.
type meter map[Source]*[3]atomic.Int64

var verdicts = [3]Verdict{Accepted, Ignored, Refused}

func newMeter() meter {
	m := meter{}
	for _, source := range Sources {
		m[source] = &[3]atomic.Int64{}
	}
	return m
}

func (m meter) count(source Source, v Verdict) {
	for i, other := range verdicts {
		if other == v {
			m[source][i].Add(1)
		}
	}
}

type collector struct {
	meter      meter
	deliveries *prometheus.Desc
}

// Collector gives the deliveries by source and verdict. Unknown tokens are not
// among them.
func (s *Service) Collector() prometheus.Collector {
	return &collector{s.meter, prometheus.NewDesc("berth_webhook_deliveries_total", "Deliveries to webhooks, by source and verdict.", []string{"source", "verdict"}, nil)}
}

// Describe names the figure.
func (c *collector) Describe(to chan<- *prometheus.Desc) { to <- c.deliveries }

// Collect gives the figures of sources that have sent anything.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	for source, counts := range c.meter {
		for i := range counts {
			if n := counts[i].Load(); n > 0 {
				to <- prometheus.MustNewConstMetric(c.deliveries, prometheus.CounterValue, float64(n), string(source), string(verdicts[i]))
			}
		}
	}
}
