package deploy

import (
	"maps"
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

// verdicts counts how watches ended, since the start.
type verdicts struct {
	mu sync.Mutex
	of map[verdictKey]uint64
}

type verdictKey struct {
	stageID, project, stage string
	phase                   WatchPhase
	state                   WatchState
}

func (v *verdicts) count(d deployment, w Watch) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.of == nil {
		v.of = map[verdictKey]uint64{}
	}
	v.of[verdictKey{d.stageID, d.Project, d.Stage, w.Phase, w.State}]++
}

// forget counts nothing of a stage any more that is gone.
func (v *verdicts) forget(stageID string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	maps.DeleteFunc(v.of, func(k verdictKey, _ uint64) bool { return k.stageID == stageID })
}

// runCounts counts how runs of jobs ended, since the start.
type runCounts struct {
	mu sync.Mutex
	of map[runKey]uint64
}

type runKey struct {
	stageID, project, stage, job string
	state                        RunState
}

func (c *runCounts) add(r run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[runKey]uint64{}
	}
	c.of[runKey{r.stageID, r.Project, r.Stage, r.Job, r.State}] += uint64(max(r.Times, 0))
}

// forget counts nothing of a stage any more that is gone.
func (c *runCounts) forget(stageID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.of, func(k runKey, _ uint64) bool { return k.stageID == stageID })
}

// collector gives the losses and the verdicts to Prometheus.
type collector struct {
	losses   *losses
	lost     *prometheus.Desc
	verdicts *verdicts
	watched  *prometheus.Desc
	counts   *runCounts
	runs     *prometheus.Desc
}

// Collector gives, by project and stage, how many instances were taken out of
// their route for not answering their probe any more, and how the watches of
// new releases ended, and the runs of jobs. What did not happen has no figure.
func (s *Service) Collector() prometheus.Collector {
	stage := []string{"project", "stage"}
	return &collector{
		losses: &s.losses,
		lost: prometheus.NewDesc("berth_instances_lost_total",
			"Instances that stopped answering their probe while requests went to them.", stage, nil),
		verdicts: &s.verdicts,
		watched: prometheus.NewDesc("berth_watches_total",
			"Watches of new releases that are over, by phase (canary or guard) and how they ended.", append(stage, "phase", "state"), nil),
		counts: &s.counts,
		runs: prometheus.NewDesc("berth_job_runs_total",
			"Runs of scheduled jobs that are over, by how they ended.", append(stage, "job", "state"), nil),
	}
}

// Describe names the figures.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	to <- c.lost
	to <- c.watched
	to <- c.runs
}

// Collect gives the figures.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	c.losses.mu.Lock()
	for _, of := range c.losses.of {
		to <- prometheus.MustNewConstMetric(c.lost, prometheus.CounterValue, float64(of.instances), of.project, of.stage)
	}
	c.losses.mu.Unlock()
	c.counts.mu.Lock()
	for of, n := range c.counts.of {
		to <- prometheus.MustNewConstMetric(c.runs, prometheus.CounterValue, float64(n), of.project, of.stage, of.job, string(of.state))
	}
	c.counts.mu.Unlock()
	c.verdicts.mu.Lock()
	defer c.verdicts.mu.Unlock()
	for of, n := range c.verdicts.of {
		to <- prometheus.MustNewConstMetric(c.watched, prometheus.CounterValue, float64(n), of.project, of.stage, string(of.phase), string(of.state))
	}
}
