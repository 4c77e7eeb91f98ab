package deploy

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/url"
	"time"

	"berth/internal/container"
	"berth/internal/event"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// Secrets gives the value of a slot; a fault when there is none. *vault.Vault
// is one.
type Secrets interface {
	Get(ctx context.Context, context, name string) (secret.Text, error)
}

// Images is a place images come from; *registry.Resolver is one.
type Images any

// Config is what a Service needs.
type Config struct {
	DB      *sqlite.DB
	Events  *event.Log
	Runtime container.Runtime
	Router  Router
	Images  Images
	Secrets Secrets
	// BaseURL gives the scheme and the port that people reach stages at; plain
	// HTTP without a port when nil.
	BaseURL *url.URL
	// ReservedHosts are Berth's own: no stage may have them.
	ReservedHosts []string
	// ShutdownTimeout is what running deployments get when Run's context
	// ends; 30 seconds when 0.
	ShutdownTimeout time.Duration
	DataDir         string
	Clock           func() time.Time // time.Now when nil
	Log             *slog.Logger
	// Hook, when set, is called around each step of a deployment: with
	// "before" when the step is in the journal and nothing was done yet, with
	// "after" when it was done and the journal does not say so yet. It is how
	// tests crash there.
	Hook func(ctx context.Context, deployment string, step StepName, when string)
}

// Service keeps projects and runs deployments.
type Service struct{}

var errNotYet = errors.New("not built yet")

func New(c Config) (*Service, error)             { return nil, errNotYet }
func (s *Service) Run(ctx context.Context) error { return errNotYet }
func (s *Service) Ready() <-chan struct{}        { return nil }
func (s *Service) CreateProject(ctx context.Context, actor string, p Project) (Project, error) {
	return Project{}, errNotYet
}

func (s *Service) UpdateProject(ctx context.Context, actor, name string, version int64, e ProjectEdit) (Project, error) {
	return Project{}, errNotYet
}

func (s *Service) RemoveProject(ctx context.Context, actor, name string) (keptVolumes []string, err error) {
	return nil, errNotYet
}

func (s *Service) Project(ctx context.Context, name string) (ProjectStatus, error) {
	return ProjectStatus{}, errNotYet
}

func (s *Service) Projects(ctx context.Context, p Page) (list []ProjectStatus, next string, err error) {
	return nil, "", errNotYet
}

func (s *Service) CreateStage(ctx context.Context, actor, project, name string, spec StageSpec) (Stage, error) {
	return Stage{}, errNotYet
}

func (s *Service) UpdateStage(ctx context.Context, actor, project, name string, version int64, spec StageSpec) (Stage, error) {
	return Stage{}, errNotYet
}

func (s *Service) RemoveStage(ctx context.Context, actor, project, name string) (keptVolumes []string, err error) {
	return nil, errNotYet
}

func (s *Service) Stage(ctx context.Context, project, name string) (StageStatus, error) {
	return StageStatus{}, errNotYet
}

// CheckStage gives spec as it would be saved, or the fault that names its fields. project and stage are empty for a new one.
func (s *Service) CheckStage(ctx context.Context, project, name string, spec StageSpec) (StageSpec, error) {
	return StageSpec{}, errNotYet
}

func (s *Service) Start(ctx context.Context, r StartRequest) (Deployment, error) {
	return Deployment{}, errNotYet
}

func (s *Service) Redeploy(ctx context.Context, actor, project, stage string, t Trigger) (Deployment, error) {
	return Deployment{}, errNotYet
}

func (s *Service) Rollback(ctx context.Context, actor, project, stage, release string, t Trigger) (Deployment, error) {
	return Deployment{}, errNotYet
}
func (s *Service) Cancel(ctx context.Context, actor, deployment string) error { return errNotYet }
func (s *Service) Deployment(ctx context.Context, id string) (Deployment, error) {
	return Deployment{}, errNotYet
}

func (s *Service) Deployments(ctx context.Context, f DeploymentFilter, p Page) (list []Deployment, next string, err error) {
	return nil, "", errNotYet
}

func (s *Service) Releases(ctx context.Context, project, stage string, p Page) (list []Release, next string, err error) {
	return nil, "", errNotYet
}

func (s *Service) Compare(ctx context.Context, project, stage, release string) ([]Change, error) {
	return nil, errNotYet
}

func (s *Service) Instance(ctx context.Context, id string) (Instance, error) {
	return Instance{}, errNotYet
}

func (s *Service) InstanceLogs(ctx context.Context, id string, o container.LogOptions) iter.Seq2[container.LogLine, error] {
	return nil
}

func (s *Service) InstanceStats(ctx context.Context, id string) (container.Stats, error) {
	return container.Stats{}, errNotYet
}

// Normalise fills in the defaults of a stage's configuration.
func (s StageSpec) Normalise() StageSpec { return s }

// Match says whether the rule deploys a tag.
func (r TagRule) Match(tag string) bool { return false }

// Validate says what is wrong with the rule.
func (r TagRule) Validate() error { return nil }
