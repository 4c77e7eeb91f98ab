package docker

import (
	"context"
	"maps"
	"math"
	"net/netip"
	"slices"
	"time"

	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"berth/internal/container"
)

// loopback is where published ports are reached. A bridge address would do for
// rootful engines only.
var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// Create makes a container.
func (e *Engine) Create(ctx context.Context, s container.Spec) (string, error) {
	config := &api.Config{
		Image:      s.Image,
		Labels:     s.Labels,
		Env:        environment(s.Env),
		Cmd:        s.Command,
		Entrypoint: s.Entrypoint,
		StopSignal: s.StopSignal,
	}
	if s.StopTimeout > 0 {
		config.StopTimeout = new(wholeSeconds(s.StopTimeout))
	}
	if h := s.Health; h != nil {
		config.Healthcheck = &api.HealthConfig{
			Test:        append([]string{"CMD"}, h.Command...),
			Interval:    h.Interval,
			Timeout:     h.Timeout,
			StartPeriod: h.StartPeriod,
			Retries:     h.Retries,
		}
	}
	host := &api.HostConfig{
		RestartPolicy: api.RestartPolicy{Name: restartMode(s.Restart)},
		Mounts:        mounts(s.Mounts),
		NetworkMode:   api.NetworkMode(s.Network),
		Resources:     e.limits(s),
		LogConfig:     e.facts.Load().logs,
	}
	if s.Publish > 0 && s.Publish <= math.MaxUint16 {
		port, _ := network.PortFrom(uint16(s.Publish), network.TCP)
		config.ExposedPorts = network.PortSet{port: {}}
		host.PortBindings = network.PortMap{port: {{HostIP: loopback, HostPort: e.hostPort(ctx)}}}
	}
	var networks *network.NetworkingConfig
	if s.Network != "" {
		networks = &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{
			s.Network: {Aliases: s.Aliases},
		}}
	}
	made, err := e.api.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name: s.Name, Config: config, HostConfig: host, NetworkingConfig: networks,
	})
	if err != nil {
		return "", wrap(err, "create container %s", s.Name)
	}
	return made.ID, nil
}

// limits gives the limits that this engine can hold. Rootless Podman on
// cgroup v2 fails to start a container with one that it can't, and on v1
// ignores it: Info tells, and the container runs without on both.
func (e *Engine) limits(s container.Spec) api.Resources {
	var r api.Resources
	if e.facts.Load().limitCPU {
		r.NanoCPUs = int64(s.CPUs * 1e9)
	}
	if e.facts.Load().limitMemory {
		r.Memory = s.Memory
		r.MemorySwap = s.Memory // memory and swap together: no swap beyond the limit
	}
	return r
}

func environment(env map[string]string) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

func restartMode(p container.RestartPolicy) api.RestartPolicyMode {
	if p == container.RestartNo {
		return api.RestartPolicyDisabled
	}
	return api.RestartPolicyMode(p)
}

func mounts(list []container.Mount) []mount.Mount {
	var made []mount.Mount
	for _, m := range list {
		asked := mount.Mount{Type: mount.Type(m.Kind), Source: m.Source, Target: m.Path, ReadOnly: m.ReadOnly}
		if m.Kind == container.MountTmpfs && m.Size > 0 {
			asked.TmpfsOptions = &mount.TmpfsOptions{SizeBytes: m.Size}
		}
		made = append(made, asked)
	}
	return made
}

// wholeSeconds rounds up, so that a short deadline does not become none.
func wholeSeconds(d time.Duration) int {
	return int(math.Ceil(max(d, 0).Seconds()))
}
