package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"berth/internal/container"
)

// Stats gives one reading of what a container uses.
func (e *Engine) Stats(ctx context.Context, id string) (container.Stats, error) {
	if e.facts.Load().lacks(container.LacksStats) {
		return container.Stats{}, fmt.Errorf("measure container %s: %w", id, container.ErrUnsupported)
	}
	answer, err := e.api.ContainerStats(ctx, id, client.ContainerStatsOptions{})
	if err != nil {
		return container.Stats{}, wrap(err, "measure container %s", id)
	}
	defer answer.Body.Close()
	var said api.StatsResponse
	err = json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(&said)
	if err != nil && !errors.Is(err, io.EOF) {
		return container.Stats{}, wrap(err, "measure container %s", id)
	}
	// For a container that does not run, Docker answers with nothing in it,
	// and Podman not at all.
	if said.PidsStats.Current == 0 && said.CPUStats.CPUUsage.TotalUsage == 0 {
		return container.Stats{}, fmt.Errorf("measure container %s: %w: it does not run", id, container.ErrConflict)
	}
	memory := said.MemoryStats.Usage
	for _, name := range []string{"total_inactive_file", "inactive_file"} { // cgroup v1, v2
		if cache, there := said.MemoryStats.Stats[name]; there && cache < memory {
			memory -= cache
			break
		}
	}
	s := container.Stats{
		At:          said.Read.UTC(),
		CPU:         e.usage.since(id, said.Read, said.CPUStats.CPUUsage.TotalUsage),
		Memory:      signed(memory),
		MemoryLimit: signed(said.MemoryStats.Limit),
		Processes:   int(signed(said.PidsStats.Current)),
	}
	// Without a limit, engines give the machine's memory or more.
	if s.MemoryLimit >= e.facts.Load().memory {
		s.MemoryLimit = 0
	}
	for _, n := range said.Networks {
		s.NetworkIn += signed(n.RxBytes)
		s.NetworkOut += signed(n.TxBytes)
	}
	return s, nil
}

// usage remembers each container's reading before this one: Podman does not,
// and Docker would take a second for two.
type usage struct {
	mutex sync.Mutex
	last  map[string]reading
}

// reading is the CPU time that a container had used.
type reading struct {
	at    time.Time
	total uint64 // nanoseconds since its start
	cores float64
}

// Readings closer than this say little, so that the one before is given again.
const shortestSpan = 200 * time.Millisecond

// Readings of containers that nobody asked for in this time are dropped.
const keepReading = time.Hour

// since gives the cores that a container used since its reading before.
func (u *usage) since(id string, at time.Time, total uint64) float64 {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	before, there := u.last[id]
	span := at.Sub(before.at)
	if there && span < shortestSpan {
		return before.cores
	}
	now := reading{at: at, total: total}
	if there && total >= before.total { // less after a restart
		now.cores = float64(total-before.total) / float64(span)
	}
	if !there {
		for other, r := range u.last {
			if at.Sub(r.at) > keepReading {
				delete(u.last, other)
			}
		}
	}
	u.last[id] = now
	return now.cores
}

func (u *usage) forget(id string) {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	delete(u.last, id)
}

// signed takes an engine's count, some of which mean "none" by being the
// largest there is.
func signed(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
