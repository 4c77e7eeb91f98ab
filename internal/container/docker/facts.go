package docker

import (
	"context"
	"slices"
	"strings"

	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"berth/internal/container"
)

// facts is what an engine says of itself, and what follows from it. It does
// not change while the engine runs.
//
// The logs that engines keep in files have no limit by themselves: a container
// gets 30 MB, as it could fill the disk. Other log drivers are the machine's
// business.
type facts struct {
	server      string // as it names itself in every answer: "Docker/20.10.24 (linux)"
	info        container.Info
	podman      bool
	limitCPU    bool // whether the limits can be set
	limitMemory bool
	noticesOOM  bool
	logs        api.LogConfig // how a container's log is kept; zero is the engine's way
	memory      int64         // bytes of the machine
}

// learn asks the engine whether it answers, and what it is unless that is
// known: Podman takes seconds to tell, as it looks through the system's
// packages.
func (e *Engine) learn(ctx context.Context) error {
	said, err := e.get(ctx, "/_ping")
	if err != nil {
		return wrap(err, "ask whether the engine answers")
	}
	_ = said.Body.Close()
	server := said.Header.Get("Server")
	if known := e.facts.Load(); known != nil && known.server == server {
		return nil
	}
	if _, err := e.api.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return wrap(err, "agree on an API version")
	}
	f := &facts{server: server, podman: said.Header.Get("Libpod-Api-Version") != ""}
	if f.podman {
		err = e.askPodman(ctx, f)
	} else {
		err = e.askDocker(ctx, f)
	}
	if err != nil {
		return wrap(err, "ask the engine about itself")
	}
	f.info.APIVersion = e.api.ClientVersion()
	f.info.Socket = e.socket
	f.judge()
	e.facts.Store(f)
	return nil
}

func (e *Engine) askDocker(ctx context.Context, f *facts) error {
	version, err := e.api.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return err
	}
	said, err := e.api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return err
	}
	f.info = container.Info{
		Name:     "docker",
		Version:  version.Version,
		Rootless: slices.Contains(said.Info.SecurityOptions, "name=rootless"),
		OS:       version.Os,
		Arch:     version.Arch,
		Variant:  variant(said.Info.Architecture),
		DataDir:  said.Info.DockerRootDir,
	}
	f.limitCPU, f.limitMemory, f.noticesOOM = said.Info.CPUCfsQuota, said.Info.MemoryLimit, true
	if said.Info.LoggingDriver == "json-file" {
		f.logs = api.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "10m", "max-file": "3"}}
	}
	f.memory = said.Info.MemTotal
	return nil
}

// askPodman asks Podman's own API, as only that tells which cgroup controllers
// there are. A rootless Podman has none on cgroup v1, and ignores limits there
// without a word.
func (e *Engine) askPodman(ctx context.Context, f *facts) error {
	var said struct {
		Host struct {
			Arch              string   `json:"arch"`
			Variant           string   `json:"variant"`
			OS                string   `json:"os"`
			MemTotal          int64    `json:"memTotal"`
			CgroupControllers []string `json:"cgroupControllers"`
			CgroupVersion     string   `json:"cgroupVersion"`
			LogDriver         string   `json:"logDriver"`
			Security          struct {
				Rootless bool `json:"rootless"`
			} `json:"security"`
		} `json:"host"`
		Store struct {
			GraphRoot string `json:"graphRoot"`
		} `json:"store"`
		Version struct {
			Version string `json:"Version"`
		} `json:"version"`
	}
	if err := e.libpodGet(ctx, "/info", &said); err != nil {
		return err
	}
	f.info = container.Info{
		Name:     "podman",
		Version:  said.Version.Version,
		Rootless: said.Host.Security.Rootless,
		OS:       said.Host.OS,
		Arch:     said.Host.Arch,
		Variant:  said.Host.Variant,
		DataDir:  said.Store.GraphRoot,
	}
	f.limitCPU = slices.Contains(said.Host.CgroupControllers, "cpu")
	f.limitMemory = slices.Contains(said.Host.CgroupControllers, "memory")
	// On v1 the container's cgroup is gone before Podman's monitor has looked.
	f.noticesOOM = f.limitMemory && said.Host.CgroupVersion != "v1"
	if said.Host.LogDriver == "k8s-file" { // it begins anew at this size
		f.logs = api.LogConfig{Type: "k8s-file", Config: map[string]string{"max-size": "30mb"}}
	}
	f.memory = said.Host.MemTotal
	return nil
}

// judge turns the facts into what a person should know.
func (f *facts) judge() {
	f.info.Lacks, f.info.Warnings = []container.Lack{}, []string{}
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
	if f.podman {
		f.info.Lacks = append(f.info.Lacks, container.LacksOwners)
		f.info.Warnings = append(f.info.Warnings,
			"a backup of a volume does not keep who owns its files: restored, they belong to root")
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
