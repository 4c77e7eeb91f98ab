package manifest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/registry"
	"berth/internal/sqlite"
	"berth/internal/vault"
)

// Request is what an apply, or its plan, is asked for.
type Request struct {
	Document []byte // YAML
	// Values are what is sealed in the document, as somebody opened it. One
	// that is not among them stays as it is.
	Values Values
	Prune  bool
	// Administrator allows what only administrators may: the accounts at other
	// registries, routes that no stage makes, and mounts of the host's paths.
	Administrator bool
	// Fingerprint is that of the plan that was seen; "" takes any.
	Fingerprint string
	// Deploy has the stages that the document names take up what is saved and
	// not deployed, with the image that is live.
	Deploy bool
}

// Result is what an apply did. What it could not do is told beside it.
type Result struct {
	Plan Plan `json:"plan"`
	// Applied are those of the plan's changes that were made.
	Applied []Change `json:"applied"`
	// Failed are those that were not, although the others were: a second apply
	// takes them up again.
	Failed []Failure `json:"failed"`
	// KeptVolumes are the engine's volumes that what was removed left.
	KeptVolumes []string            `json:"kept_volumes"`
	Deployments []deploy.Deployment `json:"deployments"`
}

// Failure is a change that could not be made.
type Failure struct {
	Action Action `json:"action" enum:"remove,deploy"`
	Kind   Kind   `json:"kind" enum:"project,stage,route,registry,secret"`
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// actionDeploy is what only a Failure has.
const actionDeploy Action = "deploy"

// errDry ends the transaction of a plan.
var errDry = errors.New("nothing is kept of a plan")

// Plan says what an apply would do. It has every package check what it would
// have to save: the fault of kind BadInput names what they refuse, by its place
// in the document.
func (s *Service) Plan(ctx context.Context, r Request) (plan Plan, err error) {
	wanted, from, err := s.wanted(ctx, r)
	if err != nil {
		return Plan{}, err
	}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if plan, err = s.save(ctx, tx, "", wanted, from, r); err != nil {
			return err
		}
		return errDry
	})
	if !errors.Is(err, errDry) {
		return Plan{}, err
	}
	return plan, nil
}

// Apply makes the server have what the document says. What is created and what
// is changed is saved in one transaction: all of it or nothing. What is removed
// is removed after that, since containers end with it; a removal that fails is
// told in the result, and done by the next apply. fault.Conflict when the plan
// is another one than was seen.
func (s *Service) Apply(ctx context.Context, actor string, r Request) (result Result, err error) {
	wanted, from, err := s.wanted(ctx, r)
	if err != nil {
		return Result{}, err
	}
	var plan Plan
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if plan, err = s.save(ctx, tx, actor, wanted, from, r); err != nil {
			return err
		}
		if r.Fingerprint != "" && r.Fingerprint != plan.Fingerprint {
			return fault.Conflict("something was changed since this plan was made: nothing was applied; look at a new plan")
		}
		return s.note(ctx, tx, actor, plan, "")
	})
	if err != nil {
		return Result{}, err
	}
	result = Result{Plan: plan, Applied: []Change{}, Failed: []Failure{}, KeptVolumes: []string{}, Deployments: []deploy.Deployment{}}
	for _, c := range plan.Changes {
		if !c.later() {
			result.Applied = append(result.Applied, c)
		}
	}
	// A removal that has begun goes to its end, also when the one who asked
	// does not wait.
	ctx = context.WithoutCancel(ctx)
	s.remove(ctx, actor, plan, &result)
	if r.Deploy {
		s.redeploy(ctx, actor, wanted.Document, &result)
	}
	return result, nil
}

// later says whether a change is made after the transaction.
func (c Change) later() bool {
	return c.Action == Remove && (c.Kind == KindProject || c.Kind == KindStage)
}

// note writes the event of an apply that changes something.
func (s *Service) note(ctx context.Context, tx *sqlite.Tx, actor string, plan Plan, seed string) error {
	count := Count{Seed: seed}
	for _, c := range plan.Changes {
		switch c.Action {
		case Create:
			count.Created++
		case Update:
			count.Updated++
		case Remove:
			count.Removed++
		case actionDeploy: // in no plan
		}
	}
	if len(plan.Changes) == 0 && seed == "" {
		return nil
	}
	return s.events.Append(ctx, tx, event.Event{Kind: Applied, Actor: actor, At: s.clock()}, count)
}

// wanted reads a request's document, in the spelling in which things are saved,
// and puts the values of the stored secrets that it refers to beside it.
func (s *Service) wanted(ctx context.Context, r Request) (Wanted, source, error) {
	doc, from, err := parse(r.Document)
	if err != nil {
		return Wanted{}, source{}, err
	}
	if !r.Administrator && (doc.Registries != nil || doc.Routes != nil) {
		section := "registries"
		if doc.Registries == nil {
			section = "routes"
		}
		return Wanted{}, source{}, fault.Forbidden("the section %q is for administrators: leave it out, and it stays as it is", section)
	}
	w := Wanted{Document: doc, Values: Values{}}
	var wrong []fault.Field
	for name, p := range doc.Projects {
		p.Image = s.deploy.NormalImage(p.Image)
		doc.Projects[name] = p
	}
	for _, slot := range doc.slots() {
		if vault.Own(slot.Context, slot.Name) {
			wrong = append(wrong, from.flaws(slot.steps(), "", fault.Invalid("these secrets are set with what they belong to"))...)
		}
	}
	texts := doc.sealedTexts()
	for slot, value := range r.Values {
		if _, named := texts[slot]; named { // nothing that the document does not name
			w.Values[slot] = value
		}
	}
	for _, host := range slices.Sorted(maps.Keys(doc.Registries)) {
		wrong = append(wrong, s.password(ctx, w, from, host)...)
	}
	return w, from, fault.InvalidFields(wrong)
}

// password finds the value of a registry's password where the document refers
// to a stored secret.
func (s *Service) password(ctx context.Context, w Wanted, from source, host string) []fault.Field {
	at := []string{"registries", host}
	if normal, err := registry.NormalHost(host); err != nil {
		return from.flaws(at, "host", err)
	} else if normal != host {
		return from.flaws(at, "", fault.Invalid("it is saved as %s: write it like this", normal))
	}
	p := w.Registries[host].Password
	if p == nil || p.Sealed != "" {
		return nil
	}
	slot := Slot{p.Context, p.Name}
	if vault.Own(slot.Context, slot.Name) {
		return from.flaws(append(at, "password"), "", fault.Invalid("these secrets are for what they belong to alone"))
	}
	value := w.Values[slot]
	if value.Empty() {
		var err error
		if value, err = s.vault.Get(ctx, slot.Context, slot.Name); err != nil {
			return from.flaws(append(at, "password"), "", err)
		}
	}
	w.Values[PasswordOf(host)] = value
	return nil
}

// save plans, and saves what is created and changed, all in the transaction.
func (s *Service) save(ctx context.Context, tx *sqlite.Tx, actor string, wanted Wanted, from source, r Request) (Plan, error) {
	// Nobody else writes while this transaction does, so that what others read
	// now is what it finds.
	have, err := s.state(ctx)
	if err != nil {
		return Plan{}, err
	}
	if have.Values, err = s.values(ctx, wanted.Values); err != nil {
		return Plan{}, err
	}
	plan := NewPlan(wanted, have, r.Prune)
	w := &writing{Service: s, tx: tx, actor: actor, wanted: wanted}
	if r.Administrator {
		w.allow = []deploy.Allowance{deploy.AllowBinds, deploy.AllowTokens}
	}
	return plan, w.all(ctx, plan.Changes, from)
}

// writing saves changes in a transaction.
type writing struct {
	*Service
	tx     *sqlite.Tx
	actor  string
	wanted Wanted
	allow  []deploy.Allowance
}

// all saves changes in the order in which they can be: a stage after the one
// that it promotes from, an address after the stage that had it. What is refused
// is tried again for as long as others go through; what is left then is wrong.
func (w *writing) all(ctx context.Context, changes []Change, from source) error {
	open := slices.DeleteFunc(slices.Clone(changes), Change.later)
	for {
		var refused []Change
		var wrong []fault.Field
		for _, c := range open {
			err := w.one(ctx, c)
			switch kind := fault.KindOf(err); {
			case err == nil:
			case kind == fault.Internal:
				return err
			case kind == fault.Missing: // its project, which is refused itself
				refused = append(refused, c)
				if _, err := w.deploy.CheckStage(ctx, "", "", w.wanted.Projects[c.project].Stages[c.stage], w.allow...); err != nil {
					wrong = append(wrong, from.flaws(c.steps(), c.prefix(), err)...)
				}
			default:
				refused = append(refused, c)
				wrong = append(wrong, from.flaws(c.steps(), c.prefix(), err)...)
			}
		}
		switch {
		case len(refused) == 0:
			return nil
		case len(refused) == len(open) && len(wrong) == 0:
			return fault.Conflict("%s can't be saved: what it belongs to is not there", refused[0].Name)
		case len(refused) == len(open):
			return fault.InvalidFields(wrong)
		}
		open = refused
	}
}

// steps is where a change's thing stands in the document.
func (c Change) steps() []string {
	switch c.Kind {
	case KindProject:
		return []string{"projects", c.project}
	case KindStage:
		return []string{"projects", c.project, "stages", c.stage}
	case KindRoute:
		return []string{"routes", c.Name}
	case KindRegistry:
		return []string{"registries", c.Name}
	case KindSecret:
		return c.slot.steps()
	}
	return nil
}

// prefix is what the fields of a change's thing are called elsewhere.
func (c Change) prefix() string {
	switch c.Kind {
	case KindStage, KindRoute:
		return "spec"
	case KindSecret:
		return "value"
	case KindProject, KindRegistry:
	}
	return ""
}

func (w *writing) one(ctx context.Context, c Change) error {
	switch c.Kind {
	case KindProject:
		return w.project(ctx, c)
	case KindStage:
		spec := w.wanted.Projects[c.project].Stages[c.stage]
		if c.Action == Create {
			_, err := w.deploy.CreateStageIn(ctx, w.tx, w.actor, c.project, c.stage, spec, w.allow...)
			return err
		}
		_, err := w.deploy.UpdateStageIn(ctx, w.tx, w.actor, c.project, c.stage, c.version, spec, w.allow...)
		return err
	case KindRoute:
		return w.route(ctx, c)
	case KindRegistry:
		if c.Action == Remove {
			return w.accounts.RemoveAccountIn(ctx, w.tx, w.actor, c.Name)
		}
		a := w.wanted.Registries[c.Name]
		return w.accounts.SetAccountIn(ctx, w.tx, w.actor, &c.version, registry.RegistryAccount{
			Host: c.Name, Username: a.Username, Insecure: a.Insecure, PollInterval: a.PollInterval,
		}, w.wanted.Values[c.slot])
	case KindSecret:
		return w.vault.SetIn(ctx, w.tx, w.actor, c.slot.Context, c.slot.Name, w.wanted.Values[c.slot])
	}
	return nil
}

func (w *writing) project(ctx context.Context, c Change) error {
	p := w.wanted.Projects[c.project]
	if c.Action == Create {
		_, err := w.deploy.CreateProjectIn(ctx, w.tx, w.actor, deploy.Project{Name: c.project, Image: p.Image, Description: p.Description})
		return err
	}
	_, err := w.deploy.UpdateProjectIn(ctx, w.tx, w.actor, c.project, c.version,
		deploy.ProjectEdit{Image: &p.Image, Description: &p.Description})
	return err
}

func (w *writing) route(ctx context.Context, c Change) (err error) {
	spec := w.wanted.Routes[c.Name]
	switch c.Action {
	case Create:
		_, err = w.deploy.CreateFixedRouteIn(ctx, w.tx, w.actor, c.Name, spec)
	case Update:
		_, err = w.deploy.UpdateFixedRouteIn(ctx, w.tx, w.actor, c.Name, c.version, spec)
	case Remove:
		err = w.deploy.RemoveFixedRouteIn(ctx, w.tx, w.actor, c.Name)
	case actionDeploy: // in no plan
	}
	return err
}

// remove removes what a plan says, a stage after those that promote from it.
func (s *Service) remove(ctx context.Context, actor string, plan Plan, result *Result) {
	open := slices.DeleteFunc(plan.removals(), func(c Change) bool { return !c.later() })
	for {
		var refused []Change
		var failed []Failure
		for _, c := range open {
			kept, err := s.removeOne(ctx, actor, c)
			result.KeptVolumes = append(result.KeptVolumes, kept...)
			if err == nil || fault.KindOf(err) == fault.Missing {
				result.Applied = append(result.Applied, c)
				continue
			}
			if fault.KindOf(err) == fault.Internal {
				s.log.ErrorContext(ctx, "removal failed", "kind", string(c.Kind), "name", c.Name, "error", err)
			}
			refused = append(refused, c)
			failed = append(failed, Failure{Action: Remove, Kind: c.Kind, Name: c.Name, Reason: fault.Message(err)})
		}
		if len(refused) == len(open) || len(refused) == 0 {
			result.Failed = append(result.Failed, failed...)
			slices.Sort(result.KeptVolumes)
			return
		}
		open = refused
	}
}

func (s *Service) removeOne(ctx context.Context, actor string, c Change) (keptVolumes []string, err error) {
	if c.Kind == KindProject {
		return s.deploy.RemoveProject(ctx, actor, c.project)
	}
	return s.deploy.RemoveStage(ctx, actor, c.project, c.stage)
}

// redeploy asks for a deployment of every stage of a document whose live release
// runs with another configuration than is saved. Doing it again asks for those
// alone that still do.
func (s *Service) redeploy(ctx context.Context, actor string, doc Document, result *Result) {
	for _, project := range slices.Sorted(maps.Keys(doc.Projects)) {
		status, err := s.deploy.Project(ctx, project)
		if err != nil {
			result.Failed = append(result.Failed, Failure{Action: actionDeploy, Kind: KindProject, Name: project, Reason: fault.Message(err)})
			continue
		}
		for _, st := range status.Stages {
			if _, named := doc.Projects[project].Stages[st.Name]; !named || st.Release == nil || len(st.Changes) == 0 {
				continue
			}
			made, err := s.deploy.Redeploy(ctx, actor, project, st.Name, deploy.TriggerAPI)
			if err != nil {
				result.Failed = append(result.Failed, Failure{
					Action: actionDeploy, Kind: KindStage, Name: strings.Join([]string{project, st.Name}, "/"), Reason: fault.Message(err),
				})
				continue
			}
			result.Deployments = append(result.Deployments, made)
		}
	}
}
