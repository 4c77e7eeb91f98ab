package gateway

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// collector gives the meters to Prometheus.
type collector struct {
	table     *Table
	clients   *clients
	questions *questions

	requests, served, duration, inFlight, bytes, entered, busy *prometheus.Desc
	connections, turnedAway, gaveWay, crowded, asked           *prometheus.Desc
}

// Collector gives, by project and stage, or route where no stage makes it: requests by class of status, the
// histogram of their duration (of a stream: to its beginning), those in
// flight, the bytes of bodies by direction, decisions on who may enter, and
// requests refused for want of room on an instance; by instance of a stage:
// requests by class of status, and no more, since each release has instances of
// its own and a histogram's series of each would be many; and of clients how many
// connections there are, were turned away, and were closed for others, and how
// many requests were refused for want of room for clients; and the questions of
// other proxies who may enter.
func (g *Gateway) Collector() prometheus.Collector {
	stage := []string{"project", "stage", "route"}
	return &collector{
		table: g.table, clients: g.clients, questions: &g.questions,
		requests:    prometheus.NewDesc("berth_gateway_requests_total", "Requests answered, by class of status.", append(stage, "code"), nil),
		served:      prometheus.NewDesc("berth_instance_requests_total", "Requests answered by the instances there are, by class of status.", []string{"project", "stage", "instance", "code"}, nil),
		duration:    prometheus.NewDesc("berth_gateway_request_duration_seconds", "Time from a request's arrival to the end of its answer; of a stream to its beginning.", stage, nil),
		inFlight:    prometheus.NewDesc("berth_gateway_requests_in_flight", "Requests and streams being served.", stage, nil),
		entered:     prometheus.NewDesc("berth_gateway_decisions_total", "Decisions on who may enter, by how they went.", append(stage, "decision"), nil),
		bytes:       prometheus.NewDesc("berth_gateway_body_bytes_total", "Bytes of bodies, in from clients and out to them.", append(stage, "direction"), nil),
		busy:        prometheus.NewDesc("berth_gateway_requests_refused_total", "Requests refused because an instance served as many as it may.", stage, nil),
		connections: prometheus.NewDesc("berth_gateway_connections", "Connections of clients.", nil, nil),
		turnedAway:  prometheus.NewDesc("berth_gateway_connections_refused_total", "Connections of clients turned away: over the limit, or over one network's share of it.", []string{"reason"}, nil),
		crowded:     prometheus.NewDesc("berth_gateway_clients_refused_total", "Requests refused because clients had as many under way as they may: all together, or one network its share.", []string{"reason"}, nil),
		asked:       prometheus.NewDesc("berth_authz_decisions_total", "Questions of other proxies who may enter, by how they were answered.", []string{"dialect", "outcome"}, nil),
		gaveWay:     prometheus.NewDesc("berth_gateway_connections_reclaimed_total", "Unused connections of clients that were closed because others came.", nil, nil),
	}
}

// Describe names the figures.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.requests, c.served, c.duration, c.inFlight, c.bytes, c.entered, c.busy, c.connections, c.turnedAway, c.crowded, c.gaveWay, c.asked} {
		to <- d
	}
}

// Collect gives the figures.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	to <- prometheus.MustNewConstMetric(c.connections, prometheus.GaugeValue, float64(c.clients.held()))
	for desc, refused := range map[*prometheus.Desc]*refusals{c.turnedAway: &c.clients.connsRefused, c.crowded: &c.clients.reqsRefused} {
		to <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(refused.limit.Load()), "limit")
		to <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(refused.share.Load()), "share")
	}
	to <- prometheus.MustNewConstMetric(c.gaveWay, prometheus.CounterValue, float64(c.clients.gaveWay.Load()))
	for d := range c.questions.counts {
		for how := range c.questions.counts[d] {
			if n := c.questions.counts[d][how].Load(); n > 0 {
				to <- prometheus.MustNewConstMetric(c.asked, prometheus.CounterValue, float64(n), dialect(d).String(), outcome(how).String())
			}
		}
	}
	for _, m := range c.table.servedMeters() {
		for class, n := range m.read().classes {
			if n > 0 {
				to <- prometheus.MustNewConstMetric(c.served, prometheus.CounterValue, float64(n), m.project, m.stage, m.instance, fmt.Sprintf("%dxx", class))
			}
		}
	}
	for _, m := range c.table.allMeters() {
		now := m.read()
		for class := 1; class < len(now.classes); class++ {
			if n := now.classes[class]; n > 0 {
				to <- prometheus.MustNewConstMetric(c.requests, prometheus.CounterValue, float64(n), m.project, m.stage, m.name, fmt.Sprintf("%dxx", class))
			}
		}
		for d, n := range now.entered {
			if n > 0 {
				to <- prometheus.MustNewConstMetric(c.entered, prometheus.CounterValue, float64(n), m.project, m.stage, m.name, decision(d).String())
			}
		}
		cumulative, so := make(map[float64]uint64, len(bounds)), uint64(0)
		for i, bound := range bounds {
			so += uint64(now.latency[i]) //nolint:gosec // counters do not fall
			if exposed(bound) {
				cumulative[bound.Seconds()] = so
			}
		}
		to <- prometheus.MustNewConstHistogram(c.duration, so+uint64(now.latency[len(bounds)]), now.took.Seconds(), cumulative, m.project, m.stage, m.name) //nolint:gosec // as above
		to <- prometheus.MustNewConstMetric(c.inFlight, prometheus.GaugeValue, float64(now.inFlight), m.project, m.stage, m.name)
		to <- prometheus.MustNewConstMetric(c.bytes, prometheus.CounterValue, float64(now.in), m.project, m.stage, m.name, "in")
		to <- prometheus.MustNewConstMetric(c.bytes, prometheus.CounterValue, float64(now.out), m.project, m.stage, m.name, "out")
		if n := m.refused.Load(); n > 0 {
			to <- prometheus.MustNewConstMetric(c.busy, prometheus.CounterValue, float64(n), m.project, m.stage, m.name)
		}
	}
}

// exposed picks the bounds that Prometheus gets: a series each is enough.
func exposed(bound time.Duration) bool {
	switch bound.Milliseconds() {
	case 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000:
		return bound >= time.Millisecond
	}
	return false
}
