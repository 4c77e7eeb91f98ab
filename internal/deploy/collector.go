package deploy

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// losses counts the instances that missed their beats, since the start.
type losses struct {
	mu sync.Mutex
	of map[string]loss // by stage
}

type loss struct {
	project, stage string
	instances      uint64
}

func (l *losses) count(s Stage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == nil {
		l.of = map[string]loss{}
	}
	l.of[s.ID] = loss{s.Project, s.Name, l.of[s.ID].instances + 1}
}

// forget counts nothing of a stage any more that is gone.
func (l *losses) forget(stageID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.of, stageID)
}

// collector gives the losses to Prometheus.
type collector struct {
	losses *losses
	lost   *prometheus.Desc
}

// Collector gives, by project and stage, how many instances were taken out of
// their route for not answering their probe any more. A stage that lost none
// has no figure.
func (s *Service) Collector() prometheus.Collector {
	return &collector{&s.losses, prometheus.NewDesc("berth_instances_lost_total",
		"Instances that stopped answering their probe while requests went to them.", []string{"project", "stage"}, nil)}
}

// Describe names the figure.
func (c *collector) Describe(to chan<- *prometheus.Desc) { to <- c.lost }

// Collect gives the figures.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	c.losses.mu.Lock()
	defer c.losses.mu.Unlock()
	for _, of := range c.losses.of {
		to <- prometheus.MustNewConstMetric(c.lost, prometheus.CounterValue, float64(of.instances), of.project, of.stage)
	}
}
