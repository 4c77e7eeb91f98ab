package deploy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"berth/internal/sqlite"
)

// Usage is what the instances of a stage used, in steps of so many minutes.
type Usage struct {
	Step int `json:"step"` // minutes
	// Available says that it is being measured; where it is not, Reason says
	// why, and the minutes are those from before.
	Available bool            `json:"available"`
	Reason    string          `json:"reason,omitempty"`
	Minutes   []UsageMinute   `json:"minutes"`   // of all instances together
	Instances []InstanceUsage `json:"instances"` // the newest first, also those that are gone
}

// InstanceUsage is what one instance used.
type InstanceUsage struct {
	Instance   string        `json:"instance"` // its id
	Deployment string        `json:"deployment"`
	Ordinal    int           `json:"ordinal"` // from 0
	State      InstanceState `json:"state"`
	Minutes    []UsageMinute `json:"minutes"`
}

// UsageMinute is what was used within one minute, or within the minutes of a
// step. Those of which nothing is known are left out.
type UsageMinute struct {
	At          time.Time `json:"at"`           // its start
	CPU         float64   `json:"cpu"`          // cores, on average
	CPUMax      float64   `json:"cpu_max"`      // cores, in the highest of its readings
	Memory      int64     `json:"memory"`       // bytes, in the highest of its readings
	MemoryLimit int64     `json:"memory_limit"` // bytes; 0 is none
}

const (
	// seriesInstances bounds the instances that are told of one by one.
	seriesInstances = 64
	// usageChunk is how much time is read at once. It is whole steps.
	usageChunk = 24 * time.Hour
)

// Usage gives what a stage's instances used in the last minutes, in steps of
// step minutes, which divide an hour; the running minute is as it stands.
func (s *Service) Usage(ctx context.Context, project, name string, minutes, step int) (Usage, error) {
	each := time.Duration(step) * time.Minute
	now := s.clock().UTC()
	from := now.Add(-time.Duration(minutes) * time.Minute).Truncate(each)
	s.usage.keeping.Lock() // so that no minute is neither running nor stored
	defer s.usage.keeping.Unlock()
	u := Usage{Step: step, Reason: s.usage.whyNot(), Minutes: []UsageMinute{}, Instances: []InstanceUsage{}}
	u.Available = u.Reason == ""
	err := s.db.Read(ctx, func(tx *sqlite.Tx) error {
		st, err := findStage(ctx, tx, project, name)
		if err != nil {
			return err
		}
		running := s.usage.running(st.ID)
		series := map[string][]UsageMinute{}
		for ; !from.After(now); from = from.Add(usageChunk) {
			to := from.Add(usageChunk)
			rows, err := usageBetween(ctx, tx, st.ID, from, to)
			if err != nil {
				return err
			}
			for _, r := range running {
				if !r.at.Before(from) && r.at.Before(to) {
					rows = append(rows, r)
				}
			}
			minutes := map[string][]UsageMinute{}
			for instance, of := range byInstance(rows) {
				minutes[instance] = spread(of, from)
				series[instance] = append(series[instance], inSteps(minutes[instance], each)...)
			}
			u.Minutes = append(u.Minutes, inSteps(together(minutes), each)...)
		}
		about, err := instancesNamed(ctx, tx, newestOf(series, seriesInstances))
		for _, i := range about {
			u.Instances = append(u.Instances, InstanceUsage{
				Instance: i.ID, Deployment: i.Deployment, Ordinal: i.Ordinal, State: i.State, Minutes: series[i.ID],
			})
		}
		return err
	})
	if err != nil {
		return Usage{}, fmt.Errorf("read what the instances of %s/%s used: %w", project, name, err)
	}
	return u, nil
}

// newestOf gives the ids of the instances that series are of, which sort by
// the time they were made, at most so many.
func newestOf(series map[string][]UsageMinute, most int) []string {
	ids := slices.Sorted(maps.Keys(series))
	return ids[max(len(ids)-most, 0):]
}

// inSteps makes one of the minutes of each step: the average of the averages,
// and the highest of the others, with the newest limit.
func inSteps(minutes []UsageMinute, step time.Duration) (steps []UsageMinute) {
	known := 0 // minutes of the newest step
	for _, m := range minutes {
		m.At = m.At.Truncate(step)
		n := len(steps) - 1
		if n < 0 || m.At.After(steps[n].At) {
			steps, known = append(steps, m), 1
			continue
		}
		known++
		of := &steps[n]
		of.CPU += (m.CPU - of.CPU) / float64(known)
		of.CPUMax, of.Memory = max(of.CPUMax, m.CPUMax), max(of.Memory, m.Memory)
		of.MemoryLimit = m.MemoryLimit
	}
	return steps
}

// byInstance sorts rows by instance and time, and makes one of what is known
// of the same minute.
func byInstance(rows []usageRow) map[string][]usageRow {
	found := map[string][]usageRow{}
	for _, r := range rows {
		of := found[r.instance]
		n, there := slices.BinarySearchFunc(of, r, func(a, b usageRow) int { return a.at.Compare(b.at) })
		if there {
			of[n].add(r)
			continue
		}
		found[r.instance] = slices.Insert(of, n, r)
	}
	return found
}

// spread gives a minute for each row, and for each before it that has none and
// that the row tells of too: with many instances the readings of one are
// further apart than a minute.
func spread(rows []usageRow, from time.Time) (minutes []UsageMinute) {
	for _, r := range rows {
		at := r.since.Truncate(time.Minute)
		if at.Before(from) {
			at = from
		}
		if n := len(minutes); n > 0 && !at.After(minutes[n-1].At) {
			at = minutes[n-1].At.Add(time.Minute)
		}
		for ; !at.After(r.at); at = at.Add(time.Minute) {
			minutes = append(minutes, UsageMinute{At: at, CPU: r.cpu, CPUMax: r.cpuMax, Memory: r.memory, MemoryLimit: r.limit})
		}
	}
	return minutes
}

// together adds up what instances used in the same minutes. One without a
// limit leaves all of them without.
func together(series map[string][]UsageMinute) []UsageMinute {
	sums := map[time.Time]UsageMinute{}
	for _, of := range series {
		for _, m := range of {
			sum, there := sums[m.At]
			limit := sum.MemoryLimit + m.MemoryLimit
			if m.MemoryLimit == 0 || (there && sum.MemoryLimit == 0) {
				limit = 0
			}
			sums[m.At] = UsageMinute{m.At, sum.CPU + m.CPU, sum.CPUMax + m.CPUMax, sum.Memory + m.Memory, limit}
		}
	}
	minutes := make([]UsageMinute, 0, len(sums))
	for _, m := range sums {
		minutes = append(minutes, m)
	}
	slices.SortFunc(minutes, func(a, b UsageMinute) int { return a.At.Compare(b.At) })
	return minutes
}
