package deploy

import "time"

// Release is what runs: an image digest and the configuration it runs with.
type Release struct {
	ID        string    `json:"id"`
	Project   string    `json:"project"`
	Stage     string    `json:"stage"`
	Reference string    `json:"reference"` // how it was found: "shop:1.4"
	Digest    string    `json:"digest"`    // "sha256:…" of the image manifest for this platform
	Spec      StageSpec `json:"spec"`
	SpecHash  string    `json:"spec_hash"`
	CreatedAt time.Time `json:"created_at"`
	// Live says that it is what the stage serves now, Available that its
	// image is still in the engine, so that a roll back needs no registry.
	Live      bool `json:"live"`
	Available bool `json:"available"`
}

// Deployment is one attempt to make a release live in a stage.
type Deployment struct {
	ID         string  `json:"id"`
	Project    string  `json:"project"`
	Stage      string  `json:"stage"`
	Generation int64   `json:"generation"` // only grows within a stage
	Reference  string  `json:"reference"`  // as asked for
	Digest     string  `json:"digest,omitempty"`
	Release    string  `json:"release,omitempty"` // its id, once resolved
	Kind       Kind    `json:"kind"`
	Trigger    Trigger `json:"trigger"`
	Actor      string  `json:"actor"`
	State      State   `json:"state"`
	// Source is set of a promotion.
	Source     *Source   `json:"source,omitempty"`
	Approval   Approval  `json:"approval,omitempty"`    // what it needs, or needed
	ApprovedBy string    `json:"approved_by,omitempty"` // a username
	ApprovedAt time.Time `json:"approved_at,omitzero"`
	Error      string    `json:"error,omitempty"` // what went wrong, for a person
	FailedStep StepName  `json:"failed_step,omitempty"`
	Steps      []Step    `json:"steps"`
	Watches    []Watch   `json:"watches,omitempty"` // the canary's, and the guard's
	CreatedAt  time.Time `json:"created_at"`
	StartedAt  time.Time `json:"started_at,omitzero"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
}

// attrs is what each line of the log about a deployment has.
func (d Deployment) attrs() []any {
	return []any{"project", d.Project, "stage", d.Stage, "tag", d.Reference, "deployment", d.ID, "generation", d.Generation}
}

// Kind is what a deployment does.
type Kind string

// The kinds of deployments.
const (
	KindDeploy   Kind = "deploy"   // an image as asked for
	KindRedeploy Kind = "redeploy" // the live image again, with today's configuration
	KindRollback Kind = "rollback" // an earlier release, image and configuration
	KindPromote  Kind = "promote"  // the image of another stage's release, with the own configuration
)

// Trigger is what asked for a deployment.
type Trigger string

// The triggers.
const (
	TriggerPush    Trigger = "push"    // to the built-in registry
	TriggerWebhook Trigger = "webhook" // from another registry
	TriggerPoll    Trigger = "poll"    // of another registry
	TriggerAPI     Trigger = "api"
	TriggerPerson  Trigger = "person" // from the dashboard
	// TriggerPromote is Berth itself, where a release was healthy for its time
	// in the stage that another promotes from.
	TriggerPromote Trigger = "promote"
)

// State is where a deployment stands.
type State string

// The states. Held, Waiting and Running are the only ones that change.
const (
	Held       State = "held" // until somebody approves it
	Waiting    State = "waiting"
	Running    State = "running"
	Live       State = "live"       // it serves its stage
	Replaced   State = "replaced"   // it was live until a later one was
	Failed     State = "failed"     // the old release was not touched
	Canceled   State = "canceled"   // a person stopped it
	Superseded State = "superseded" // a newer request came before it was live
	Reverted   State = "reverted"   // it was live, and the stage was given back to the release before
)

// Finished says that the attempt is over.
func (s State) Finished() bool { return s != Held && s != Waiting && s != Running }

// Approval says whose word a deployment needs before it begins.
type Approval string

// The approvals.
const (
	ApprovalNone  Approval = ""
	ApprovalAny   Approval = "any"   // of whoever may deploy
	ApprovalOther Approval = "other" // of another person than who asked for it
)

// Source is where a promotion took its image from. The names and ids stay as
// they were, also when the stage is gone.
type Source struct {
	Stage      string `json:"stage"`
	Deployment string `json:"deployment"` // with which the release went live there
	Release    string `json:"release"`
}

// StepName names a step of the journal.
type StepName string

// The steps, in their order.
const (
	Preflight   StepName = "preflight"
	PullImage   StepName = "pull"
	CreateStep  StepName = "create"
	StartStep   StepName = "start"
	BeforeStep  StepName = "before_switch" // only where the release has such a command
	ProbeStep   StepName = "probe"
	CanaryStep  StepName = "canary" // only where the release has one
	SwitchRoute StepName = "switch"
	GuardStep   StepName = "guard"        // only where the release has one
	AfterStep   StepName = "after_switch" // only where the release has such a command
	DrainOld    StepName = "drain"
	StopOld     StepName = "stop"
)

// Steps are the steps of every deployment, in their order.
var Steps = []StepName{Preflight, PullImage, CreateStep, StartStep, ProbeStep, SwitchRoute, DrainOld, StopOld}

// AllSteps are, in their order, also those that a deployment has only when its
// release asks for them.
var AllSteps = []StepName{
	Preflight, PullImage, BeforeStep, CreateStep, StartStep, ProbeStep, CanaryStep, SwitchRoute, GuardStep, AfterStep, DrainOld, StopOld,
}

// rows are the numbers that the steps have in the database, where they never
// change. A step that is not asked for has no row.
var rows = map[StepName]int{
	Preflight: 0, PullImage: 1, CreateStep: 2, StartStep: 3, ProbeStep: 4, SwitchRoute: 5, DrainOld: 6, StopOld: 7,
	CanaryStep: 8, GuardStep: 9, BeforeStep: 10, AfterStep: 11,
}

// onRequest says that a deployment has a step only when its release asks for it.
func (n StepName) onRequest() bool {
	return n == CanaryStep || n == GuardStep || n == BeforeStep || n == AfterStep
}

// StepState is where a step stands.
type StepState string

// The states of a step.
const (
	StepPending StepState = "pending"
	StepRunning StepState = "running"
	StepDone    StepState = "done"
	StepFailed  StepState = "failed"
	StepSkipped StepState = "skipped"
)

// Step is one step of a deployment's journal.
type Step struct {
	Name       StepName  `json:"name"`
	State      StepState `json:"state"`
	Detail     string    `json:"detail,omitempty"`
	StartedAt  time.Time `json:"started_at,omitzero"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
	// container is the one that its command runs in. It is stored before that
	// is started.
	container string
}

// Instance is one running container of a deployment.
type Instance struct {
	ID         string        `json:"id"`
	Project    string        `json:"project"`
	Stage      string        `json:"stage"`
	Deployment string        `json:"deployment"`
	Ordinal    int           `json:"ordinal"` // from 0
	Container  string        `json:"container"`
	Address    string        `json:"address,omitempty"`
	State      InstanceState `json:"state"`
	Detail     string        `json:"detail,omitempty"`
	CreatedAt  time.Time     `json:"created_at"`
	UpdatedAt  time.Time     `json:"updated_at"`
}

// InstanceState is how an instance does.
type InstanceState string

// The states of an instance.
const (
	InstanceCreated  InstanceState = "created"
	InstanceStarting InstanceState = "starting"
	InstanceReady    InstanceState = "ready"
	InstanceDown     InstanceState = "down" // ended, or stopped answering
	InstanceDraining InstanceState = "draining"
	InstanceStopped  InstanceState = "stopped"
)
