package deploy

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"berth/internal/sqlite"
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

// outcomes counts what deployments came to and how long they took to be live,
// since the start, and the images that keeping house removed.
type outcomes struct {
	ended  *prometheus.CounterVec
	took   *prometheus.HistogramVec
	images *prometheus.CounterVec
}

func newOutcomes() outcomes {
	stage := []string{"project", "stage"}
	return outcomes{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_deployments_total",
			Help: "Deployments that came to be live, failed, canceled or superseded, and those that were live and reverted.",
		}, append(stage, "kind", "state")),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "berth_deployment_live_seconds",
			Help:    "Time from what asked for a deployment, or from its approval where it needed one, until it was live.",
			Buckets: []float64{1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800},
		}, stage),
		images: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_images_removed_total", Help: "Images that nothing needed any more and that were removed, by where they were.",
		}, []string{"place"}),
	}
}

// count counts a deployment that came to a new state. The ways there are not
// counted, nor that something later was live.
func (o *outcomes) count(d deployment, now time.Time) {
	switch d.State {
	case Live:
		asked := d.CreatedAt
		if !d.ApprovedAt.IsZero() {
			asked = d.ApprovedAt
		}
		o.took.WithLabelValues(d.Project, d.Stage).Observe(max(now.Sub(asked), 0).Seconds())
	case Failed, Canceled, Superseded, Reverted:
	case Held, Waiting, Running, Replaced:
		return
	}
	o.ended.WithLabelValues(d.Project, d.Stage, string(d.Kind), string(d.State)).Inc()
}

// forget counts nothing of a stage any more that is gone.
func (o *outcomes) forget(st stage) {
	of := prometheus.Labels{"project": st.Project, "stage": st.Name}
	o.ended.DeletePartialMatch(of)
	o.took.DeletePartialMatch(of)
}

// execs counts the commands that people ran in instances, since the start.
type execs struct {
	mu sync.Mutex
	of map[string]execCount // by project and stage
}

type execCount struct {
	project, stage string
	begun, running uint64
}

// begin counts one, and gives what says that it is over.
func (e *execs) begin(project, stage string) (over func()) {
	key := project + "/" + stage
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.of == nil {
		e.of = map[string]execCount{}
	}
	n := e.of[key]
	e.of[key] = execCount{project, stage, n.begun + 1, n.running + 1}
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if n, counted := e.of[key]; counted {
			n.running--
			e.of[key] = n
		}
	}
}

// forget counts nothing of a stage any more that is gone.
func (e *execs) forget(project, stage string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.of, project+"/"+stage)
}

// collector gives all of them to Prometheus, and how many deployments stand in
// line.
type collector struct {
	outcomes *outcomes
	inLine   *prometheus.Desc
	count    func() ([]lined, error)
	losses   *losses
	lost     *prometheus.Desc
	verdicts *verdicts
	watched  *prometheus.Desc
	counts   *runCounts
	runs     *prometheus.Desc
	execs    *execs
	begun    *prometheus.Desc
	running  *prometheus.Desc
	logs     *logBook
	kept     *prometheus.Desc
	usage    *usage
	cpu      *prometheus.Desc
	memory   *prometheus.Desc
}

// Collector gives, by project and stage, what deployments came to, how long
// they took and how many are held or wait, how many instances were taken out
// of their route for not answering their probe any more, how the watches of
// new releases ended, the runs of jobs and the commands in instances; what
// instances use; and the images that were removed, and how much is kept of
// logs. What did not happen
// has no figure.
func (s *Service) Collector() prometheus.Collector {
	stage := []string{"project", "stage"}
	return &collector{
		outcomes: &s.outcomes,
		inLine: prometheus.NewDesc("berth_deployments_in_line",
			"Deployments that did not begin yet: held until somebody approves them, or waiting.", append(stage, "state"), nil),
		count:  s.inLine,
		losses: &s.losses,
		lost: prometheus.NewDesc("berth_instances_lost_total",
			"Instances that stopped answering their probe while requests went to them.", stage, nil),
		verdicts: &s.verdicts,
		watched: prometheus.NewDesc("berth_watches_total",
			"Watches of new releases that are over, by phase (canary or guard) and how they ended.", append(stage, "phase", "state"), nil),
		counts: &s.counts,
		runs: prometheus.NewDesc("berth_job_runs_total",
			"Runs of scheduled jobs that are over, by how they ended.", append(stage, "job", "state"), nil),
		execs:   &s.execs,
		begun:   prometheus.NewDesc("berth_execs_total", "Commands that people began in instances.", stage, nil),
		running: prometheus.NewDesc("berth_execs_running", "Commands of people in instances that are not over.", stage, nil),
		logs:    &s.logs,
		kept:    prometheus.NewDesc("berth_kept_logs_bytes", "Size of the files that keep logs of containers that are gone.", nil, nil),
		usage:   &s.usage,
		cpu: prometheus.NewDesc("berth_instance_cpu_cores",
			"Cores that an instance used, between its last two readings.", append(stage, "instance"), nil),
		memory: prometheus.NewDesc("berth_instance_memory_bytes",
			"Memory of an instance at its last reading, without the page cache that can go.", append(stage, "instance"), nil),
	}
}

// countTime bounds how long the database is asked who stands in line.
const countTime = 5 * time.Second

// inLine counts the deployments that did not begin yet.
func (s *Service) inLine() (list []lined, err error) {
	ctx, stop := context.WithTimeout(context.Background(), countTime)
	defer stop()
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		list, err = deploymentsInLine(ctx, tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("count the deployments in line: %w", err)
	}
	return list, nil
}

// Describe names the figures.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	c.outcomes.ended.Describe(to)
	c.outcomes.took.Describe(to)
	c.outcomes.images.Describe(to)
	to <- c.inLine
	to <- c.lost
	to <- c.watched
	to <- c.runs
	to <- c.begun
	to <- c.running
	to <- c.kept
	to <- c.cpu
	to <- c.memory
}

// Collect gives the figures.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	c.outcomes.ended.Collect(to)
	c.outcomes.took.Collect(to)
	c.outcomes.images.Collect(to)
	list, err := c.count()
	if err != nil {
		to <- prometheus.NewInvalidMetric(c.inLine, err)
	}
	for _, l := range list {
		to <- prometheus.MustNewConstMetric(c.inLine, prometheus.GaugeValue, float64(l.deployments), l.project, l.stage, string(l.state))
	}
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
	c.execs.mu.Lock()
	for _, of := range c.execs.of {
		to <- prometheus.MustNewConstMetric(c.begun, prometheus.CounterValue, float64(of.begun), of.project, of.stage)
		to <- prometheus.MustNewConstMetric(c.running, prometheus.GaugeValue, float64(of.running), of.project, of.stage)
	}
	c.execs.mu.Unlock()
	if size := c.logs.size.Load(); size > 0 {
		to <- prometheus.MustNewConstMetric(c.kept, prometheus.GaugeValue, float64(size))
	}
	c.usage.mu.Lock()
	for _, of := range c.usage.of {
		if of.told {
			to <- prometheus.MustNewConstMetric(c.cpu, prometheus.GaugeValue, of.cpu, of.project, of.stage, of.instance)
			to <- prometheus.MustNewConstMetric(c.memory, prometheus.GaugeValue, float64(of.memory), of.project, of.stage, of.instance)
		}
	}
	c.usage.mu.Unlock()
	c.verdicts.mu.Lock()
	defer c.verdicts.mu.Unlock()
	for of, n := range c.verdicts.of {
		to <- prometheus.MustNewConstMetric(c.watched, prometheus.CounterValue, float64(n), of.project, of.stage, string(of.phase), string(of.state))
	}
}
