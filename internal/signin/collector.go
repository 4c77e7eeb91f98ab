package signin

import "github.com/prometheus/client_golang/prometheus"

// counts is how sign-ins at providers ended, and how asking them in between
// did, since the start.
type counts struct{ signIns, looks *prometheus.CounterVec }

func newCounts() counts {
	return counts{
		signIns: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_provider_sign_ins_total",
			Help: "Sign-ins at a provider, by provider and outcome: signed_in, second_factor, refused, logged_out.",
		}, []string{"provider", "outcome"}),
		looks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_identity_refreshes_total",
			Help: "How often a provider was asked about somebody who is signed in, by provider and outcome: refreshed, ended, failed.",
		}, []string{"provider", "outcome"}),
	}
}

func (c counts) add(provider, outcome string) { c.signIns.WithLabelValues(provider, outcome).Inc() }

// Collector gives how sign-ins ended, and how far behind the providers are.
func (s *Service) Collector() prometheus.Collector { return collector{s} }

type collector struct{ service *Service }

var overdueDesc = prometheus.NewDesc("berth_identity_refresh_overdue_seconds",
	"For how long it has been time to ask a provider about somebody who is signed in: the longest of them all.", []string{"provider"}, nil)

// Describe implements prometheus.Collector.
func (c collector) Describe(to chan<- *prometheus.Desc) {
	c.service.counts.signIns.Describe(to)
	c.service.counts.looks.Describe(to)
	to <- overdueDesc
}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	s := c.service
	s.counts.signIns.Collect(to)
	s.counts.looks.Collect(to)
	s.rounds.mu.Lock()
	late := s.rounds.when.overdue(s.now())
	s.rounds.mu.Unlock()
	for provider, by := range late {
		to <- prometheus.MustNewConstMetric(overdueDesc, prometheus.GaugeValue, by.Seconds(), provider)
	}
}
