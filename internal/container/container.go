// Package container says what Berth asks of a container engine, in types that
// are the same for every engine.
//
// Start with [Runtime]. Its implementations live below this package: docker
// drives Docker and Podman over the Docker API. containertest.Run holds each
// implementation to the promises written here.
package container

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"berth/internal/secret"
)

// Errors that a caller acts on. Each is in the chain of what a Runtime returns.
var (
	ErrNotFound = errors.New("no such object in the container engine")
	ErrConflict = errors.New("conflict in the container engine")
	// ErrDenied says that a registry refused the credentials, or asks for some.
	ErrDenied = errors.New("the registry refused the credentials")
	// ErrUnavailable says that the engine does not answer; it may come back.
	ErrUnavailable = errors.New("the container engine does not answer")
	// ErrUnsupported says that this engine, as it is set up, can't do that.
	ErrUnsupported = errors.New("not supported by this container engine")
)

// Runtime is a container engine. Every method may be called from many
// goroutines, honours ctx, and returns one of the errors above in its error's
// chain where it fits. What an engine does differently stays inside the
// implementation.
type Runtime interface {
	// Info says which engine this is and what it can and can't do. It asks
	// the engine, so it is the way to find out whether the engine answers.
	Info(ctx context.Context) (Info, error)

	// Pull fetches an image by digest and gives its image as the engine knows
	// it. It reports progress in lines when progress is not nil. An image
	// that is there already, from whichever registry, is not fetched again.
	// ErrNotFound when the registry has none, ErrDenied when it refuses.
	Pull(ctx context.Context, p Pull, progress func(line string)) (Image, error)
	// Load takes a `docker save` tar stream and gives the images' ids.
	Load(ctx context.Context, tar io.Reader) ([]string, error)
	// Image finds an image by id, by digest reference or by tag.
	Image(ctx context.Context, reference string) (Image, error)
	// Images lists the images without their platform and ports: Image tells
	// these.
	Images(ctx context.Context) ([]Image, error)
	// RemoveImage removes an image by id or reference; ErrConflict when a
	// container uses it.
	RemoveImage(ctx context.Context, reference string) error

	// Create makes a container without starting it; ErrConflict when the name
	// is taken.
	Create(ctx context.Context, s Spec) (id string, err error)
	// Start starts a container; one that runs is left alone. ErrConflict when
	// something else has taken the published port that it had before: then
	// only a new container helps.
	Start(ctx context.Context, id string) error
	// Stop sends the stop signal, waits for deadline, then kills; engines
	// count in whole seconds, so a part of one is rounded up. A container that
	// does not run is not an error.
	Stop(ctx context.Context, id string, deadline time.Duration) error
	// Remove removes a container and its anonymous volumes; a running one is
	// killed at once. One that is not there is not an error.
	Remove(ctx context.Context, id string) error
	Inspect(ctx context.Context, id string) (Container, error)
	// List gives the containers, running or not, that carry all the labels.
	// An empty value asks only that the label is there.
	List(ctx context.Context, labels map[string]string) ([]Container, error)
	// Wait waits for a started container to exit and gives its exit code.
	Wait(ctx context.Context, id string) (code int, err error)

	// Logs gives what a container wrote. With Follow it goes on until the
	// container ends, ctx ends, or the loop is left; none of these is an
	// error.
	Logs(ctx context.Context, id string, o LogOptions) iter.Seq2[LogLine, error]
	// Events gives what happens to containers that carry all the labels, from
	// the call on (not only from the loop's start: who calls, then lists, then
	// loops misses nothing), until ctx ends or the connection breaks (then the
	// last pair holds the error).
	Events(ctx context.Context, labels map[string]string) iter.Seq2[Event, error]
	// Stats gives one reading; ErrUnsupported where the engine has none,
	// ErrConflict when the container does not run.
	Stats(ctx context.Context, id string) (Stats, error)
	// Exec runs a command in a running container and waits for its end. A
	// command that is not in the container ends with code 127. When ctx ends
	// first, the command may go on in the container.
	Exec(ctx context.Context, id string, e Exec) (code int, err error)

	// EnsureNetwork gives the id of the network of that name that carries
	// the labels, making it when there is none; ErrConflict when somebody
	// else's network has the name.
	EnsureNetwork(ctx context.Context, name string, labels map[string]string) (id string, err error)
	// RemoveNetwork removes a network; ErrConflict when a container uses it.
	RemoveNetwork(ctx context.Context, id string) error
	// Volumes gives the volumes that carry all the labels.
	Volumes(ctx context.Context, labels map[string]string) ([]Volume, error)
	// Volume finds a volume by its name.
	Volume(ctx context.Context, name string) (Volume, error)
	// EnsureVolume makes a named volume when it is not there; one that is
	// keeps its labels.
	EnsureVolume(ctx context.Context, name string, labels map[string]string) error
	// RemoveVolume removes a volume and what is in it; ErrConflict when a
	// container uses it.
	RemoveVolume(ctx context.Context, name string) error
	// VolumeSizes says how many bytes are in volumes; those whose driver does
	// not tell are not among them. Engines walk through all files for it.
	VolumeSizes(ctx context.Context) (map[string]int64, error)
	// VolumeUsers gives the containers, running or not, that have a volume.
	VolumeUsers(ctx context.Context, name string) ([]Container, error)
	// ExportVolume writes what is in a volume as a tar stream: the folder
	// itself as "./", and the rest below it. The container that it makes for
	// that, and never starts, carries the labels; it is gone at the end.
	ExportVolume(ctx context.Context, name string, labels map[string]string, to io.Writer) error
	// ImportVolume puts a tar stream into a volume, over what is there, with
	// its owners and modes. It trusts the stream: who calls has checked it.
	ImportVolume(ctx context.Context, name string, labels map[string]string, from io.Reader) error

	Close() error
}

// Info describes an engine.
type Info struct {
	Name       string   `json:"name"` // "docker" or "podman"
	Version    string   `json:"version"`
	APIVersion string   `json:"api_version"`
	Socket     string   `json:"socket"`
	Rootless   bool     `json:"rootless"`
	OS         string   `json:"os"`           // as in OCI platforms: "linux"
	Arch       string   `json:"architecture"` // as in OCI platforms: "amd64"
	Variant    string   `json:"variant,omitempty"`
	DataDir    string   `json:"data_dir"` // where images are kept, to look at the disk's headroom
	Lacks      []Lack   `json:"lacks"`    // capabilities that are not there
	Warnings   []string `json:"warnings"` // what a person should know of it
}

// Lack names a capability that an engine may not have.
type Lack string

// What may be lacking.
const (
	LacksLimits Lack = "limits" // CPU and memory limits are ignored
	LacksStats  Lack = "stats"
	LacksOOM    Lack = "oom"    // a container ended for its memory shows only as exit code 137
	LacksOwners Lack = "owners" // what is exported of a volume has the owner root
)

// Pull is an image to fetch.
type Pull struct {
	// Reference is "host/repository@sha256:…".
	Reference string
	Username  string
	Password  secret.Text
	// PlainHTTP allows a registry without TLS. It is for Berth's own registry
	// on loopback.
	PlainHTTP bool
}

// Image is an image that the engine holds.
type Image struct {
	ID      string   // the engine's id, "sha256:…": a digest of the configuration
	Digests []string // "repository@sha256:…" that it was pulled by
	Tags    []string
	Size    int64 // bytes
	OS      string
	Arch    string
	Variant string
	Labels  map[string]string
	Ports   []int // TCP ports the image exposes
	Created time.Time
}

// Spec is a container to make. The zero value of each field asks for nothing.
type Spec struct {
	Name       string
	Image      string // id or digest reference
	Labels     map[string]string
	Env        map[string]string
	Command    []string // instead of the image's CMD
	Entrypoint []string // instead of the image's ENTRYPOINT
	Mounts     []Mount
	CPUs       float64 // cores; 0 is no limit
	Memory     int64   // bytes; 0 is no limit
	Health     *Health // shown, not relied on: Berth probes from the host
	Restart    RestartPolicy
	Network    string   // id from EnsureNetwork
	Aliases    []string // names in that network, a moment after the start
	// Publish is the container's TCP port to make reachable from the host, on
	// 127.0.0.1 and a port that is free; 0 is none. The address is in
	// Container.Address after each start.
	Publish     int
	StopSignal  string
	StopTimeout time.Duration // used by the engine when it stops by itself
}

// RestartPolicy says what the engine does when a container ends.
type RestartPolicy string

// The restart policies.
const (
	RestartNo            RestartPolicy = ""
	RestartOnFailure     RestartPolicy = "on-failure"
	RestartUnlessStopped RestartPolicy = "unless-stopped"
	RestartAlways        RestartPolicy = "always"
)

// Mount puts a volume, a host folder or memory at a path.
type Mount struct {
	Kind     MountKind
	Source   string // volume name or absolute host path; empty for MountTmpfs
	Path     string
	ReadOnly bool
	Size     int64 // bytes that a MountTmpfs may hold; 0 is the engine's way
}

// MountKind says what is mounted.
type MountKind string

// The kinds of mounts.
const (
	MountVolume MountKind = "volume"
	MountBind   MountKind = "bind"
	MountTmpfs  MountKind = "tmpfs"
)

// Health is a health check run inside the container.
type Health struct {
	Command     []string // as in exec, not through a shell
	Interval    time.Duration
	Timeout     time.Duration
	StartPeriod time.Duration
	Retries     int
}

// State is what a container does.
type State string

// The states.
const (
	StateCreated    State = "created"
	StateRunning    State = "running"
	StatePaused     State = "paused"
	StateRestarting State = "restarting"
	StateExited     State = "exited"
	StateDead       State = "dead"
)

// Container is what the engine says of a container now.
type Container struct {
	ID    string
	Name  string
	Image string // image id
	// ImageName is what the engine calls the image by, for people: the name that
	// the container was made from, or its id. List tells it.
	ImageName string
	Labels    map[string]string
	State     State
	ExitCode  int
	// OOMKilled says that it was ended for using too much memory; engines
	// that lack it may not tell.
	OOMKilled bool
	Restarts  int
	Error     string // why the engine could not start it
	// Address is "127.0.0.1:port" where Spec.Publish can be reached; empty
	// when nothing is published or it does not run. List leaves it empty on
	// engines that only tell it by Inspect.
	Address  string
	Created  time.Time
	Started  time.Time
	Finished time.Time
}

// LogOptions chooses log lines.
type LogOptions struct {
	Follow bool
	Since  time.Time // zero: from the start; see LogLine.At for how exact it is
	Tail   int       // only the last so many lines; 0 is all
}

// LogLine is one line that a container wrote, without its line end. A line
// longer than 16 KiB comes in parts.
type LogLine struct {
	At     time.Time `json:"at"`     // Podman tells whole seconds only
	Stream string    `json:"stream"` // "stdout" or "stderr"
	Text   string    `json:"text"`
}

// EventAction is what happened to a container, in one spelling for all engines.
type EventAction string

// The actions that Berth acts on; others are dropped by the implementation.
const (
	EventStarted EventAction = "started"
	EventDied    EventAction = "died" // ended, by itself or not
	EventOOM     EventAction = "oom"
	EventRemoved EventAction = "removed"
	EventPaused  EventAction = "paused"
	EventResumed EventAction = "resumed"
)

// Event is one thing that happened to a container.
type Event struct {
	At        time.Time
	Action    EventAction
	Container string // id
	Labels    map[string]string
	ExitCode  int
}

// Stats is what a container uses.
type Stats struct {
	At          time.Time `json:"at"`
	CPU         float64   `json:"cpu"`          // cores, since the reading before this one; 0 in the first
	Memory      int64     `json:"memory"`       // bytes, without the page cache that can go
	MemoryLimit int64     `json:"memory_limit"` // bytes; 0 is none
	NetworkIn   int64     `json:"network_in"`   // bytes since start
	NetworkOut  int64     `json:"network_out"`
	Processes   int       `json:"processes"`
}

// Exec is a command to run in a container. Stdout and Stderr may be nil; with
// a terminal both streams are one and come on Stdout, and the end of Stdin is
// told with Ctrl-D. Stdin is closed at the
// command's end when it is an io.Closer, which ends a Read that still waits.
type Exec struct {
	Command []string
	Env     map[string]string
	User    string
	Dir     string
	TTY     bool
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	// Resize gives the terminal's size as it changes.
	Resize <-chan Size
}

// Size is a terminal's size in characters.
type Size struct{ Columns, Rows uint }

// Volume is a named volume.
type Volume struct {
	Name    string
	Labels  map[string]string
	Created time.Time
}
