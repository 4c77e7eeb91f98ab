package signin

import "github.com/prometheus/client_golang/prometheus"

// counts is how sign-ins at providers ended, since the start.
type counts struct{ *prometheus.CounterVec }

func newCounts() counts {
	return counts{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "berth_provider_sign_ins_total",
		Help: "Sign-ins at a provider, by provider and outcome: signed_in, second_factor, refused, logged_out.",
	}, []string{"provider", "outcome"})}
}

func (c counts) add(provider, outcome string) { c.WithLabelValues(provider, outcome).Inc() }

// Collector gives how many sign-ins ended how.
func (s *Service) Collector() prometheus.Collector { return s.counts.CounterVec }
