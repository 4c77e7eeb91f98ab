package registry

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"berth/internal/fault"
)

// Source is an image elsewhere that is watched, and how that goes.
type Source struct {
	Repository string      `json:"repository"` // with its host, in its one spelling
	Host       string      `json:"host"`
	State      SourceState `json:"state"`
	Projects   []string    `json:"projects"`
	Rules      []string    `json:"rules"`    // of all stages, such as "semver ^1.2"
	Interval   string      `json:"interval"` // between two polls, "off" when it is not polled
	// Error is what the last look failed with, for a person; Failures how
	// often in a row.
	Error    string `json:"error,omitempty"`
	Failures int    `json:"failures"`
	// Missing are tags that a rule names and the registry does not have.
	Missing     []string  `json:"missing"`
	PolledAt    time.Time `json:"polled_at,omitzero"`
	SucceededAt time.Time `json:"succeeded_at,omitzero"`
	NextAt      time.Time `json:"next_at,omitzero"` // none when it is not polled
}

// SourceState is how watching an image goes.
type SourceState string

// The states of a source.
const (
	SourceNew     SourceState = "new"     // not looked at yet
	SourceOK      SourceState = "ok"      // the last look went well
	SourceFailing SourceState = "failing" // it did not
	SourceWaiting SourceState = "waiting" // its registry asked to wait
	SourceOff     SourceState = "off"     // looked at only when a webhook hints at it
)

// Sources lists up to limit watched images, of a project or of all when it is
// "", by name, from the one after cursor. next is the cursor of the rest, ""
// when there is none. A limit of 0 is none.
func (w *Watcher) Sources(project, cursor string, limit int) (list []Source, next string) {
	now := w.clock()
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for name, it := range w.watched {
		if name > cursor && (project == "" || slices.Contains(it.projects, project)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if limit > 0 && len(names) > limit {
		names = names[:limit]
		next = names[limit-1]
	}
	for _, name := range names {
		it := w.watched[name]
		list = append(list, it.source(now, w.paused[it.host]))
	}
	return list, next
}

func (it *watching) source(now, paused time.Time) Source {
	s := Source{
		Repository: it.repository, Host: it.host, Projects: slices.Sorted(slices.Values(it.projects)), Rules: []string{},
		Interval: off, Error: it.state.trouble, Failures: it.state.failures, Missing: append([]string{}, it.missing...),
		PolledAt: it.state.polled, SucceededAt: it.state.succeeded, State: it.stateAt(now, paused),
	}
	for _, r := range it.rules {
		s.Rules = append(s.Rules, r.Name)
	}
	slices.Sort(s.Rules)
	if it.interval > 0 {
		s.Interval, s.NextAt = it.interval.String(), later(it.state.next, paused)
	}
	return s
}

func (it *watching) stateAt(now, paused time.Time) SourceState {
	switch {
	case paused.After(now):
		return SourceWaiting
	case it.state.failures > 0:
		return SourceFailing
	case it.interval == 0:
		return SourceOff
	case it.state.succeeded.IsZero():
		return SourceNew
	}
	return SourceOK
}

// Poll has a watched repository looked at as soon as may be: its registry may
// have asked to wait.
func (w *Watcher) Poll(_ context.Context, repository string) (Source, error) {
	name, err := normalRepository(repository)
	if err != nil {
		return Source{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	it := w.watched[name]
	if it == nil {
		return Source{}, fault.NotFound("no stage watches an image named %q", repository)
	}
	it.asked = true
	w.nudge()
	return it.source(w.clock(), w.paused[it.host]), nil
}

// watchMeter counts looks.
type watchMeter struct{ unchanged, found, failed, limited atomic.Int64 }

func (m *watchMeter) count(s *sight) {
	switch {
	case fault.KindOf(s.err) == fault.TooOften:
		m.limited.Add(1)
	case s.err != nil:
		m.failed.Add(1)
	case len(s.found) > 0:
		m.found.Add(1)
	default:
		m.unchanged.Add(1)
	}
}

// watchCollector gives the figures to Prometheus.
type watchCollector struct {
	watcher      *Watcher
	polls, watch *prometheus.Desc
}

// Collector gives the looks at other registries by what came of them, and the
// images that are watched by how that goes.
func (w *Watcher) Collector() prometheus.Collector {
	return &watchCollector{
		watcher: w,
		polls:   prometheus.NewDesc("berth_source_polls_total", "Looks at images in other registries, by what came of them.", []string{"result"}, nil),
		watch:   prometheus.NewDesc("berth_sources", "Images in other registries that are watched, by state.", []string{"state"}, nil),
	}
}

// Describe names the figures.
func (c *watchCollector) Describe(to chan<- *prometheus.Desc) {
	to <- c.polls
	to <- c.watch
}

// Collect gives the figures.
func (c *watchCollector) Collect(to chan<- prometheus.Metric) {
	m := &c.watcher.meter
	for result, n := range map[string]int64{
		"unchanged": m.unchanged.Load(), "found": m.found.Load(), "failed": m.failed.Load(), "limited": m.limited.Load(),
	} {
		to <- prometheus.MustNewConstMetric(c.polls, prometheus.CounterValue, float64(n), result)
	}
	states := map[SourceState]int{SourceNew: 0, SourceOK: 0, SourceFailing: 0, SourceWaiting: 0, SourceOff: 0}
	now := c.watcher.clock()
	c.watcher.mu.Lock()
	for _, it := range c.watcher.watched {
		states[it.stateAt(now, c.watcher.paused[it.host])]++
	}
	c.watcher.mu.Unlock()
	for state, n := range states {
		to <- prometheus.MustNewConstMetric(c.watch, prometheus.GaugeValue, float64(n), string(state))
	}
}
