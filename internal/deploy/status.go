package deploy

import (
	"context"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"berth/internal/sqlite"
)

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
	// Deployment is the one under way, else the newest that is not held.
	Deployment *Deployment `json:"deployment,omitempty"`
	// Held is the one that waits for somebody's approval.
	Held *Deployment `json:"held,omitempty"`
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

// DeploymentFilter chooses deployments; an empty field chooses all.
type DeploymentFilter struct {
	Project string
	Stage   string
	State   State
}

// Limits of a page.
const (
	defaultLimit = 50
	maxLimit     = 200
)

func (p Page) limit() int {
	if p.Limit <= 0 {
		return defaultLimit
	}
	return min(p.Limit, maxLimit)
}

// page cuts a list that was read with one more than the limit, and gives the
// cursor of what comes after.
func page[T any](list []T, limit int, cursor func(T) string) (_ []T, next string) {
	if len(list) <= limit {
		return list, ""
	}
	return list[:limit], cursor(list[limit-1])
}

// Projects lists projects by name, with all their stages.
func (s *Service) Projects(ctx context.Context, p Page) (list []ProjectStatus, next string, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		projects, err := listProjects(ctx, tx, p.Cursor, p.limit()+1)
		if err != nil {
			return err
		}
		projects, next = page(projects, p.limit(), func(p Project) string { return p.Name })
		list, err = s.projectStatus(ctx, tx, projects)
		return err
	})
	return list, next, err
}

// Project gives one project, with all its stages.
func (s *Service) Project(ctx context.Context, name string) (status ProjectStatus, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		p, err := findProject(ctx, tx, name)
		if err != nil {
			return err
		}
		list, err := s.projectStatus(ctx, tx, []Project{p})
		if err != nil {
			return err
		}
		status = list[0]
		return nil
	})
	return status, err
}

// Stage gives one stage and how it does.
func (s *Service) Stage(ctx context.Context, project, name string) (status StageStatus, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		st, err := findStage(ctx, tx, project, name)
		if err != nil {
			return err
		}
		list, err := s.stageStatus(ctx, tx, []stage{st})
		if err != nil {
			return err
		}
		status = list[0]
		return nil
	})
	return status, err
}

func (s *Service) projectStatus(ctx context.Context, tx *sqlite.Tx, projects []Project) ([]ProjectStatus, error) {
	ids := make([]string, len(projects))
	for n, p := range projects {
		ids[n] = p.ID
	}
	stages, err := stagesOf(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	statuses, err := s.stageStatus(ctx, tx, stages)
	if err != nil {
		return nil, err
	}
	byProject := map[string][]StageStatus{}
	for n, st := range stages {
		byProject[st.projectID] = append(byProject[st.projectID], statuses[n])
	}
	list := make([]ProjectStatus, len(projects))
	for n, p := range projects {
		list[n] = ProjectStatus{Project: p, Stages: orNone(byProject[p.ID])}
	}
	return list, nil
}

// orNone gives an empty list instead of none, which JSON spells "null".
func orNone[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// stageStatus reads how stages do, in a few queries for all of them.
func (s *Service) stageStatus(ctx context.Context, tx *sqlite.Tx, stages []stage) ([]StageStatus, error) {
	ids := make([]string, len(stages))
	for n, st := range stages {
		ids[n] = st.ID
	}
	live, err := servedOf(ctx, tx, stages)
	if err != nil {
		return nil, err
	}
	current, waits, err := currentDeployments(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	journals := make([]*deployment, 0, len(current)+len(waits))
	for _, d := range current {
		journals = append(journals, &d)
	}
	held := make(map[string]*deployment, len(waits))
	for _, d := range waits {
		held[d.stageID] = &d
		journals = append(journals, &d)
	}
	if err := withSteps(ctx, tx, journals); err != nil {
		return nil, err
	}
	byStage := make(map[string]*served, len(live))
	for _, v := range live {
		byStage[v.stage.ID] = v
	}
	newest := make(map[string]*deployment, len(current))
	for _, d := range journals[:len(current)] {
		newest[d.stageID] = d
	}
	var setAt map[string]time.Time
	if slices.ContainsFunc(live, func(v *served) bool { return len(v.release.Spec.Secrets) > 0 }) {
		if setAt, err = s.secrets.ChangedAt(ctx, tx); err != nil {
			return nil, err
		}
	}
	list := make([]StageStatus, len(stages))
	for n, st := range stages {
		list[n] = s.statusOf(st, byStage[st.ID], newest[st.ID], held[st.ID], setAt)
	}
	return list, nil
}

// secretsSetAnew gives those of the secrets in a spec that were set since the
// instances were made that have them.
func (v *served) secretsSetAnew(spec StageSpec, setAt map[string]time.Time) (changes []Change) {
	since := v.madeBy()
	for _, name := range slices.Sorted(maps.Keys(spec.Secrets)) {
		ref := spec.Secrets[name]
		slot := ref.Context + "/" + ref.Name
		if v.release.Spec.Secrets[name] == ref && setAt[slot].After(since) {
			changes = append(changes, Change{"spec.secrets." + name, slot, slot + " (set anew)"})
		}
	}
	return changes
}

// madeBy is when what is served had its secrets at the latest: of the oldest
// instance, which a roll back may have taken up again.
func (v *served) madeBy() time.Time {
	at := v.deployment.StartedAt
	for _, i := range v.instances {
		if i.CreatedAt.Before(at) {
			at = i.CreatedAt
		}
	}
	return at
}

// statusOf puts together how a stage does; setAt is when secrets were set.
func (s *Service) statusOf(st stage, v *served, newest, held *deployment, setAt map[string]time.Time) StageStatus {
	status := StageStatus{Stage: st.Stage, Instances: []Instance{}, Changes: []Change{}}
	spec := st.Spec
	if v != nil {
		spec = v.release.Spec
		live := v.release.Release
		live.Live, live.Available = true, true
		status.Release, status.Instances = &live, orNone(v.instances)
		status.Changes = append(compareSpecs(spec, st.Spec), v.secretsSetAnew(st.Spec, setAt)...)
	}
	if newest != nil {
		told := s.withWatch(newest.asTold())
		status.Deployment = &told
	}
	if held != nil {
		told := held.asTold()
		status.Held = &told
	}
	status.State = stateOf(status)
	status.URL = s.address(spec)
	return status
}

// stateOf decides how a stage does at a glance.
func stateOf(status StageStatus) StageState {
	d := status.Deployment
	if d == nil {
		return StageEmpty
	}
	if d.State == Waiting || d.State == Running {
		return StageDeploying
	}
	if status.Release == nil {
		if d.State == Failed {
			return StageFailed
		}
		return StageEmpty
	}
	ready := 0
	for _, i := range status.Instances {
		if i.State == InstanceReady {
			ready++
		}
	}
	switch ready {
	case 0:
		return StageDown
	case len(status.Instances):
		return StageHealthy
	}
	return StageDegraded
}

// address is where people reach a stage, with Berth's own scheme and port.
func (s *Service) address(spec StageSpec) string {
	u := url.URL{Scheme: s.base.Scheme, Host: spec.Hostname, Path: spec.PathPrefix}
	if port := s.base.Port(); port != "" {
		u.Host = net.JoinHostPort(spec.Hostname, port)
	}
	return strings.TrimSuffix(u.String(), "/")
}

// Deployment gives one deployment with its journal.
func (s *Service) Deployment(ctx context.Context, id string) (Deployment, error) {
	var d deployment
	err := s.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
		if d, err = findDeployment(ctx, tx, id); err != nil {
			return err
		}
		return withSteps(ctx, tx, []*deployment{&d})
	})
	return s.withWatch(d.asTold()), err
}

// withWatch gives a deployment with what is seen of it now, while it is
// watched.
func (s *Service) withWatch(d Deployment) Deployment {
	if k := s.watchOf(d.ID); k != nil {
		now := k.snapshot()
		d.Watches = slices.DeleteFunc(slices.Clone(d.Watches), func(w Watch) bool { return w.Phase == now.Phase })
		d.Watches = append(d.Watches, now)
	}
	return d
}

// Deployments lists deployments with their journals, newest first.
func (s *Service) Deployments(ctx context.Context, f DeploymentFilter, p Page) (list []Deployment, next string, err error) {
	list = []Deployment{}
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		found, err := listDeployments(ctx, tx, f, p.Cursor, p.limit()+1)
		if err != nil {
			return err
		}
		found, next = page(found, p.limit(), func(d deployment) string { return d.ID })
		journals := make([]*deployment, len(found))
		for n := range found {
			journals[n] = &found[n]
		}
		if err := withSteps(ctx, tx, journals); err != nil {
			return err
		}
		for _, d := range found {
			list = append(list, d.asTold())
		}
		return nil
	})
	return list, next, err
}
