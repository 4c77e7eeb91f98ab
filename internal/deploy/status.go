package deploy

// ProjectStatus is a project and how its stages do.
type ProjectStatus struct {
	Project
	Stages []StageStatus `json:"stages"`
}

// StageStatus is a stage and how it does.
type StageStatus struct {
	Stage
	State StageState `json:"state"`
	URL   string     `json:"url"`
	// Release is what is live, nil when nothing is.
	Release *Release `json:"release,omitempty"`
	// Deployment is the one under way, else the newest.
	Deployment *Deployment `json:"deployment,omitempty"`
	// Instances are those of the live release.
	Instances []Instance `json:"instances"`
	// Changes are what is saved and not yet deployed.
	Changes []Change `json:"changes"`
}

// StageState is how a stage does at a glance.
type StageState string

// The states of a stage.
const (
	StageEmpty     StageState = "empty"     // nothing was ever deployed
	StageDeploying StageState = "deploying" // a deployment waits or runs
	StageHealthy   StageState = "healthy"   // every instance of the live release is ready
	StageDegraded  StageState = "degraded"  // some are
	StageDown      StageState = "down"      // none is
	StageFailed    StageState = "failed"    // nothing is live and the newest deployment failed
)

// Change is one field that differs between two configurations. Field is its
// path as in the API, such as "spec.env.LOG_LEVEL"; a side that lacks it is
// empty.
type Change struct {
	Field string `json:"field"`
	From  string `json:"from"`
	To    string `json:"to"`
}

// Page chooses a part of a list: what comes after Cursor, which is the "next"
// of the part before.
type Page struct {
	Cursor string
	Limit  int // 1 to 200; 50 when 0
}

// ProjectEdit is what may change of a project; nil leaves a field as it is.
type ProjectEdit struct {
	Image       *string
	Description *string
}

// StartRequest asks for a deployment.
type StartRequest struct {
	Project   string
	Stage     string
	Reference string // a tag, or "sha256:…"; "latest" when empty
	Trigger   Trigger
	Actor     string
}

// DeploymentFilter chooses deployments; an empty field chooses all.
type DeploymentFilter struct {
	Project string
	Stage   string
	State   State
}
