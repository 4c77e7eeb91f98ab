package api

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"berth/internal/container"
	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/registry"
	"berth/internal/settings"
)

// System is what runs here and how it does.
type System struct {
	Version      string          `json:"version"`
	BaseURL      string          `json:"base_url" format:"uri"`
	RegistryHost string          `json:"registry_host" doc:"What stands before an image's name in a push" example:"localhost:8080"`
	StartedAt    time.Time       `json:"started_at"`
	Uptime       string          `json:"uptime" example:"3h20m0s"`
	Engine       *container.Info `json:"engine,omitempty" doc:"Absent when the engine does not answer"`
	EngineError  string          `json:"engine_error,omitempty" doc:"Why it does not answer"`
	Disk         Disk            `json:"disk"`
	Disks        []Disk          `json:"disks" doc:"That one, and where the engine keeps its images when that is another"`
	Registry     registry.Usage  `json:"registry" doc:"What the built-in registry holds"`
}

// Disk is the room where Berth keeps its data, or the engine its images.
type Disk struct {
	Path  string    `json:"path"`
	Total int64     `json:"total" doc:"Bytes"`
	Free  int64     `json:"free" doc:"Bytes that Berth may use"`
	Holds string    `json:"holds,omitempty" enum:"data,images" doc:"What is on it: Berth's data, or the engine's images"`
	State DiskState `json:"state,omitempty" enum:"ok,low,full,unknown"`
}

// DiskState is whether a disk has room, by the settings.
type DiskState string

// The states of a disk.
const (
	DiskOK      DiskState = "ok"
	DiskLow     DiskState = "low"
	DiskFull    DiskState = "full" // nothing is deployed
	DiskUnknown DiskState = "unknown"
)

// engineTimeout bounds how long the system page waits for the engine.
const engineTimeout = 3 * time.Second

func (a *API) getSystem(ctx context.Context, _ *struct{}) (*output[System], error) {
	usage, err := a.registry.Usage(ctx)
	if err != nil {
		return nil, err
	}
	now := a.clock()
	s := System{
		Version: a.version, BaseURL: a.baseURL.String(), RegistryHost: a.baseURL.Host,
		StartedAt: a.started.UTC(), Uptime: now.Sub(a.started).Round(time.Second).String(),
		Disks: a.disks(ctx), Registry: usage,
	}
	s.Disk = s.Disks[0]
	ctx, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	if info, err := a.runtime.Info(ctx); err != nil {
		s.EngineError = engineTrouble(err)
	} else {
		info.Lacks, info.Warnings = notNull(info.Lacks), notNull(info.Warnings)
		s.Engine = &info
	}
	return answer(s), nil
}

// engineTrouble gives the fault's words, or says plainly that the engine is
// away: the cause may hold paths.
func engineTrouble(err error) string {
	if fault.KindOf(err) != fault.Internal {
		return fault.Message(err)
	}
	return "the container engine does not answer"
}

// DiskAt gives the room at a path; none in all when that can't be said.
func DiskAt(path string) Disk {
	d := Disk{Path: path}
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err == nil {
		d.Total = int64(st.Blocks) * st.Bsize //nolint:gosec // sizes of real disks fit
		d.Free = int64(st.Bavail) * st.Bsize  //nolint:gosec // sizes of real disks fit
	}
	return d
}

// listDisks is asked on every page, and asks the engine for nothing that it
// has said before.
func (a *API) listDisks(ctx context.Context, _ *struct{}) (*listOutput[Disk], error) {
	return list(a.disks(ctx), ""), nil
}

func (a *API) listNeighbours(ctx context.Context, _ *struct{}) (*listOutput[deploy.Neighbour], error) {
	found, err := a.deploy.Neighbours(ctx)
	if err != nil {
		return nil, err
	}
	return list(found, ""), nil
}

func (a *API) listLeftovers(ctx context.Context, _ *struct{}) (*output[deploy.Leftovers], error) {
	found, err := a.deploy.Leftovers(ctx)
	if err != nil {
		return nil, err
	}
	return answer(found), nil
}

func (a *API) keepHouse(ctx context.Context, _ *struct{}) (*output[deploy.Leftovers], error) {
	found, err := a.deploy.KeepHouse(ctx, callerOf(ctx).actor())
	if err != nil {
		return nil, err
	}
	return answer(found), nil
}

func (a *API) listSettings(context.Context, *struct{}) (*listOutput[settings.Value], error) {
	return list(a.settings, ""), nil
}

type documentOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (a *API) getOpenAPI(context.Context, *struct{}) (*documentOutput, error) {
	return &documentOutput{ContentType: "application/openapi+json", Body: a.document}, nil
}
