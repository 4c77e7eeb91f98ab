package notify

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"berth/internal/sqlite"
)

// counts is how many attempts ended how, since the start.
type counts struct {
	mu sync.Mutex
	of map[counted]uint64
}

type counted struct {
	service Service
	state   State // Pending: not taken, and tried again
}

func (c *counts) add(s Service, state State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[counted]uint64{}
	}
	c.of[counted{s, state}]++
}

// collector gives the counts to Prometheus.
type collector struct {
	notifier          *Notifier
	attempts, pending *prometheus.Desc
}

// Collector gives the attempts to send, by service and how they ended, and how
// many messages wait.
func (n *Notifier) Collector() prometheus.Collector {
	return &collector{
		notifier: n,
		attempts: prometheus.NewDesc("berth_notification_attempts_total",
			"Attempts to send a notification, by service and outcome: sent, retried, failed for good.", []string{"service", "outcome"}, nil),
		pending: prometheus.NewDesc("berth_notifications_pending", "Notifications that wait to be sent.", nil, nil),
	}
}

// Describe names the figures.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	to <- c.attempts
	to <- c.pending
}

// Collect gives the figures.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	outcome := map[State]string{Sent: "sent", Pending: "retried", Failed: "failed"}
	func() {
		c.notifier.counts.mu.Lock()
		defer c.notifier.counts.mu.Unlock()
		for of, count := range c.notifier.counts.of {
			to <- prometheus.MustNewConstMetric(c.attempts, prometheus.CounterValue, float64(count), string(of.service), outcome[of.state])
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var waiting int
	err := c.notifier.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
		waiting, err = countPending(ctx, tx, "")
		return err
	})
	if err != nil {
		to <- prometheus.NewInvalidMetric(c.pending, err)
		return
	}
	to <- prometheus.MustNewConstMetric(c.pending, prometheus.GaugeValue, float64(waiting))
}
