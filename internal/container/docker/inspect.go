package docker

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"

	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"berth/internal/container"
)

// Inspect says what a container does now.
func (e *Engine) Inspect(ctx context.Context, id string) (container.Container, error) {
	said, err := e.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return container.Container{}, wrap(err, "inspect container %s", id)
	}
	s := said.Container
	c := container.Container{
		ID:       s.ID,
		Name:     strings.TrimPrefix(s.Name, "/"),
		Image:    imageID(s.Image),
		Restarts: s.RestartCount,
		Created:  parseTime(s.Created),
	}
	if s.Config != nil {
		c.Labels = s.Config.Labels
	}
	if s.State != nil {
		c.State = state(string(s.State.Status))
		c.ExitCode = s.State.ExitCode
		c.OOMKilled = s.State.OOMKilled
		c.Error = s.State.Error
		c.Started = parseTime(s.State.StartedAt)
		c.Finished = parseTime(s.State.FinishedAt)
	}
	if c.State == container.StateRunning && s.NetworkSettings != nil {
		c.Address = address(s.NetworkSettings.Ports)
	}
	return c, nil
}

// List gives the containers that carry all the labels.
func (e *Engine) List(ctx context.Context, labels map[string]string) ([]container.Container, error) {
	return e.list(ctx, labelFilters(labels))
}

func (e *Engine) list(ctx context.Context, filters client.Filters) ([]container.Container, error) {
	said, err := e.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		return nil, wrap(err, "list containers")
	}
	containers := make([]container.Container, len(said.Items))
	for i, s := range said.Items {
		c := container.Container{
			ID:        s.ID,
			Image:     imageID(s.ImageID),
			ImageName: s.Image,
			Labels:    s.Labels,
			State:     state(string(s.State)),
			Created:   time.Unix(s.Created, 0).UTC(),
		}
		if len(s.Names) > 0 {
			c.Name = strings.TrimPrefix(s.Names[0], "/")
		}
		if c.State == container.StateRunning {
			for _, p := range s.Ports {
				if p.IP == loopback && p.PublicPort != 0 {
					c.Address = net.JoinHostPort(p.IP.String(), strconv.Itoa(int(p.PublicPort)))
				}
			}
		}
		containers[i] = c
	}
	return containers, nil
}

// address finds where the port published by Create is reached. Docker gives
// another at each start.
func address(ports network.PortMap) string {
	for _, bindings := range ports {
		for _, b := range bindings {
			if b.HostIP == loopback && b.HostPort != "" && b.HostPort != "0" {
				return net.JoinHostPort(b.HostIP.String(), b.HostPort)
			}
		}
	}
	return ""
}

// state gives an engine's word for a state ours. Podman has some of its own.
func state(said string) container.State {
	switch said {
	case string(api.StateCreated), "configured", "initialized":
		return container.StateCreated
	case string(api.StateRunning), "stopping":
		return container.StateRunning
	case string(api.StatePaused):
		return container.StatePaused
	case string(api.StateRestarting):
		return container.StateRestarting
	case string(api.StateExited), "stopped":
		return container.StateExited
	}
	return container.StateDead // also removing, and what nobody knows
}

// labelFilters asks an engine for what carries all the labels.
func labelFilters(labels map[string]string) client.Filters {
	filters := client.Filters{}
	for name, value := range labels {
		if value != "" {
			name += "=" + value
		}
		filters.Add("label", name)
	}
	return filters
}

// carries says whether an object's labels include those asked for.
func carries(has, asked map[string]string) bool {
	for name, value := range asked {
		if got, there := has[name]; !there || value != "" && got != value {
			return false
		}
	}
	return true
}
