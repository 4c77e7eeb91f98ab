package docker

import (
	"context"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"

	"berth/internal/container"
)

// facts is what an engine says of itself. Those that the driver acts on do not
// change while an engine runs.
type facts struct {
	info        container.Info
	podman      bool
	limitCPU    bool // whether the limits can be set
	limitMemory bool
	noticesOOM  bool
	rotateLogs  bool  // whether the log driver is one that takes a size
	memory      int64 // bytes of the machine
}

func (e *Engine) ask(ctx context.Context) (facts, error) {
	version, err := e.api.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return facts{}, wrap(err, "ask the engine's version")
	}
	said, err := e.api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return facts{}, wrap(err, "ask the engine about itself")
	}
	f := facts{
		info: container.Info{
			Name:       "docker",
			Version:    version.Version,
			APIVersion: e.api.ClientVersion(),
			Socket:     e.socket,
			OS:         version.Os,
			Arch:       version.Arch,
			Variant:    variant(said.Info.Architecture),
			DataDir:    said.Info.DockerRootDir,
			Lacks:      []container.Lack{},
			Warnings:   []string{},
		},
		memory: said.Info.MemTotal,
	}
	// Podman answers a ping with a header of its own, which the client does
	// not pass on; it names itself among the components too.
	f.podman = slices.ContainsFunc(version.Components, func(c system.ComponentVersion) bool {
		return c.Name == "Podman Engine"
	})
	if f.podman {
		err = e.askPodman(ctx, &f)
	} else {
		f.askDocker(said.Info)
	}
	f.judge()
	return f, err
}

func (f *facts) askDocker(said system.Info) {
	f.info.Rootless = slices.Contains(said.SecurityOptions, "name=rootless")
	f.limitCPU, f.limitMemory, f.noticesOOM = said.CPUCfsQuota, said.MemoryLimit, true
	f.rotateLogs = said.LoggingDriver == "json-file"
}

// askPodman asks Podman's own API, as only that tells which cgroup controllers
// there are. A rootless Podman has none on cgroup v1, and ignores limits there
// without a word.
func (e *Engine) askPodman(ctx context.Context, f *facts) error {
	var said struct {
		Host struct {
			CgroupControllers []string `json:"cgroupControllers"`
			CgroupVersion     string   `json:"cgroupVersion"`
			Security          struct {
				Rootless bool `json:"rootless"`
			} `json:"security"`
		} `json:"host"`
	}
	if err := e.libpodGet(ctx, "/info", &said); err != nil {
		return wrap(err, "ask Podman about itself")
	}
	f.info.Name = "podman"
	f.info.Rootless = said.Host.Security.Rootless
	f.limitCPU = slices.Contains(said.Host.CgroupControllers, "cpu")
	f.limitMemory = slices.Contains(said.Host.CgroupControllers, "memory")
	// On v1 the container's cgroup is gone before Podman's monitor has looked.
	f.noticesOOM = f.limitMemory && said.Host.CgroupVersion != "v1"
	return nil
}

// judge turns the facts into what a person should know.
func (f *facts) judge() {
	if !f.limitCPU || !f.limitMemory {
		f.info.Lacks = append(f.info.Lacks, container.LacksLimits)
		what := "CPU and memory limits"
		switch {
		case f.limitCPU:
			what = "memory limits"
		case f.limitMemory:
			what = "CPU limits"
		}
		f.info.Warnings = append(f.info.Warnings,
			what+" are not enforced: this engine may not use the machine's cgroup controllers")
	}
	if !f.noticesOOM {
		f.info.Lacks = append(f.info.Lacks, container.LacksOOM)
		f.info.Warnings = append(f.info.Warnings,
			"a container that was ended for using too much memory shows only as exit code 137")
	}
	if !f.limitCPU && !f.limitMemory && f.info.Rootless {
		f.info.Lacks = append(f.info.Lacks, container.LacksStats)
		f.info.Warnings = append(f.info.Warnings, "how much CPU and memory a container uses can't be told")
	}
}

// lacks says whether a capability is missing.
func (f *facts) lacks(l container.Lack) bool { return slices.Contains(f.info.Lacks, l) }

// variant gives the OCI variant of a 32-bit ARM machine's name.
func variant(machine string) string {
	switch {
	case strings.HasPrefix(machine, "armv7"):
		return "v7"
	case strings.HasPrefix(machine, "armv6"):
		return "v6"
	}
	return ""
}
