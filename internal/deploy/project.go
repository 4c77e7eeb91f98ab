// Package deploy brings releases to life: it keeps projects, stages, releases and
// deployments, and runs a deployment from request to live without dropping a
// request of the release before.
//
// Start with [Service.Start], which asks for a deployment, and [Plan], which
// decides the next step of one. Where images come from is left to registry,
// where requests go to a [Router].
package deploy

import (
	"encoding/json"
	"time"

	"berth/internal/identity"
)

// Project is one application, named by its image repository.
type Project struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Image       string    `json:"image"` // repository without tag: "shop" in the built-in registry, or "ghcr.io/ana/shop"
	Description string    `json:"description"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
	Version     int64     `json:"version"` // grows with each edit; an edit names the one it saw
}

// Stage is a named place that a project runs.
type Stage struct {
	ID             string    `json:"id"`
	Project        string    `json:"project"` // the project's name
	Name           string    `json:"name"`
	Spec           StageSpec `json:"spec"`
	LiveDeployment string    `json:"live_deployment,omitempty"`
	// Paused, when set, keeps the stage as it is: nothing is deployed.
	Paused *Pause `json:"paused,omitempty"`
	// Maintenance, when set, is what the stage answers instead of its app.
	Maintenance *Maintenance `json:"maintenance,omitempty"`
	CreatedAt   time.Time    `json:"created_at"`
	UpdatedAt   time.Time    `json:"updated_at"`
	Version     int64        `json:"version"`
}

// StageSpec is everything a person sets of a stage. Together with an image
// digest it is what a release runs with. The zero value of each optional
// field is its default, which Normalise fills in.
type StageSpec struct {
	Hostname   string `json:"hostname"`
	PathPrefix string `json:"path_prefix,omitempty"` // "/" by default
	// StripPrefix takes the path prefix off before the app sees the request.
	StripPrefix bool    `json:"strip_prefix,omitempty"`
	Tags        TagRule `json:"tags"` // which pushed tags deploy here
	// Approve has a tag that matches wait for a person's click.
	Approve bool `json:"approve,omitempty"`

	// PromoteFrom names a stage of the same project: this one takes what is
	// live there, and nothing else.
	PromoteFrom string `json:"promote_from,omitempty"`
	// PromoteAfter is how long a release must have been healthy there without
	// a break; 0 takes what is live.
	PromoteAfter Duration `json:"promote_after,omitempty"`
	// AutoPromote has Berth promote by itself what is healthy that long.
	AutoPromote bool `json:"auto_promote,omitempty"`
	// PromoteApproval has a promotion wait for another person than the one who
	// asked for it.
	PromoteApproval bool `json:"promote_approval,omitempty"`

	// Port is the container's TCP port; 0 takes the one port that the image
	// exposes, or 8080.
	Port     int      `json:"port,omitempty"`
	Protocol Protocol `json:"protocol,omitempty"` // "http1" by default
	Command  []string `json:"command,omitempty"`  // instead of the image's CMD

	Env     map[string]string    `json:"env,omitempty"`
	Secrets map[string]SecretRef `json:"secrets,omitempty"` // environment variable to slot
	Volumes []Volume             `json:"volumes,omitempty"`
	Mounts  []Mount              `json:"mounts,omitempty"`
	CPUs    float64              `json:"cpus,omitempty"`   // cores; 0 is no limit
	Memory  int64                `json:"memory,omitempty"` // bytes; 0 is no limit

	Replicas int   `json:"replicas,omitempty"` // 1 by default, 32 at most
	Probe    Probe `json:"probe,omitzero"`

	// DrainTimeout is how long requests on the old release may take after the
	// switch, StreamDrainTimeout the same for WebSockets and event streams.
	DrainTimeout       Duration `json:"drain_timeout,omitempty"`        // "30s" by default
	StreamDrainTimeout Duration `json:"stream_drain_timeout,omitempty"` // "30s" by default
	// KeepOld is how long the old instances run on, unused, after they drained.
	KeepOld Duration `json:"keep_old,omitempty"` // "0s" by default
	// StopTimeout is what a container gets between the stop signal and kill.
	StopTimeout Duration `json:"stop_timeout,omitempty"` // "10s" by default

	// Canary gives a new release to some of the clients first; Guard watches it
	// then and after the switch, and takes it back when it does worse.
	Canary CanaryRule `json:"canary,omitzero"`
	Guard  Guard      `json:"guard,omitzero"`

	// BeforeSwitch is run once with the new release, before its instances are
	// made: where migrations belong. AfterSwitch is run once when it serves.
	BeforeSwitch Task      `json:"before_switch,omitzero"`
	AfterSwitch  AfterTask `json:"after_switch,omitzero"`
	// Jobs are run by their schedules with what is live.
	Jobs []Job `json:"jobs,omitempty"`

	// Access is who may enter; everybody who has signed in when it is absent.
	// It counts as soon as it is saved, and no release brings it back.
	Access *identity.Policy `json:"access,omitempty"`

	// KeepReleases is how many releases that were live keep their image, to roll
	// back to, beside the live one; KeepFor keeps those deployed within that
	// time. What is 0 is as the server's settings say.
	KeepReleases int      `json:"keep_releases,omitempty"`
	KeepFor      Duration `json:"keep_for,omitempty"`

	// RequestTimeout bounds the wait for the app's response headers.
	RequestTimeout Duration `json:"request_timeout,omitempty"` // "60s" by default
	MaxBodyBytes   int64    `json:"max_body_bytes,omitempty"`  // 0: the gateway's own limit
}

// Protocol is what the app speaks.
type Protocol string

// The protocols.
const (
	HTTP1 Protocol = "http1"
	H2C   Protocol = "h2c" // HTTP/2 without TLS, as gRPC servers speak
)

// TagRule says which tags deploy to a stage when they are pushed.
type TagRule struct {
	Kind    TagKind `json:"kind"`
	Pattern string  `json:"pattern,omitempty"`
}

// TagKind is how a tag rule matches.
type TagKind string

// The kinds of tag rules.
const (
	TagNone   TagKind = "none"   // nothing deploys by itself
	TagExact  TagKind = "exact"  // the tag is the pattern
	TagGlob   TagKind = "glob"   // "*" any characters, "?" one, "[a-z]" one of
	TagRegexp TagKind = "regexp" // a regular expression (RE2) that the whole tag must fit
	TagSemver TagKind = "semver" // a range as in "^1.2" or ">=2.0 <3.0"
)

// SecretRef names a slot in the vault.
type SecretRef struct {
	Context string `json:"context"`
	Name    string `json:"name"`
}

// Volume is a named volume mounted into each instance. The engine's name for
// it is "berth_<project>_<stage>_<name>".
type Volume struct {
	Name     string `json:"name"`
	Path     string `json:"path"`
	ReadOnly bool   `json:"read_only,omitempty"`
}

// Probe is how Berth finds out, from the host, that an instance is ready.
type Probe struct {
	Kind          ProbeKind `json:"kind,omitempty"`           // "http" by default
	Path          string    `json:"path,omitempty"`           // "/" by default; http only
	Status        int       `json:"status,omitempty"`         // the one status expected; 0 takes 200 to 299
	Interval      Duration  `json:"interval,omitempty"`       // "2s" by default; the wait grows to it from much less
	Timeout       Duration  `json:"timeout,omitempty"`        // "2s" by default, for one probe
	Successes     int       `json:"successes,omitempty"`      // in a row; 1 by default
	StartDeadline Duration  `json:"start_deadline,omitempty"` // "60s" by default, from start to ready
}

// ProbeKind is what a probe looks at.
type ProbeKind string

// The kinds of probes.
const (
	ProbeHTTP ProbeKind = "http"
	ProbeTCP  ProbeKind = "tcp"
	ProbeNone ProbeKind = "none" // running is enough
)

// Duration is a time.Duration that JSON spells as "1m30s".
type Duration = identity.Duration

// Canonical gives the spec as the bytes that are hashed and stored: the same
// for equal specs, since JSON sorts maps by key.
func (s StageSpec) Canonical() ([]byte, error) { return json.Marshal(s) }
