package manifest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"berth/internal/deploy"
	"berth/internal/registry"
	"berth/internal/secret"
)

// Action is what a change does.
type Action string

// The actions.
const (
	Create Action = "create"
	Update Action = "update"
	Remove Action = "remove"
)

// Kind is what a change is of.
type Kind string

// The kinds.
const (
	KindProject  Kind = "project"
	KindStage    Kind = "stage"
	KindRoute    Kind = "route"
	KindRegistry Kind = "registry"
	KindSecret   Kind = "secret"
)

// Change is one thing that an apply creates, changes or removes.
type Change struct {
	Action Action `json:"action" enum:"create,update,remove"`
	Kind   Kind   `json:"kind" enum:"project,stage,route,registry,secret"`
	// Name is "shop", "shop/prod", "nas", "ghcr.io", or "shop/DATABASE_URL".
	Name string `json:"name"`
	// Fields are those that differ. Of a secret, both sides are dots.
	Fields []deploy.Change `json:"fields"`
	// Live says of a removal that something runs there.
	Live bool `json:"live,omitempty"`
	// KeptVolumes are the engine's volumes that a removal leaves.
	KeptVolumes []string `json:"kept_volumes,omitempty"`

	project, stage string // of projects and stages
	slot           Slot   // of registries (its name is the host) and secrets
	version        int64  // that was seen; 0 of what is not there
}

// Plan is what an apply would do.
type Plan struct {
	Changes []Change `json:"changes"`
	// Left is what the document does not name, and a pruning apply would remove.
	Left []Change `json:"left"`
	// Notes are what a person should know of: such as secrets that are not set.
	Notes []string `json:"notes"`
	// Fingerprint stands for this plan and for the versions that it was made
	// over: it is another one when either is.
	Fingerprint string `json:"fingerprint"`
}

// State is what a server has.
type State struct {
	Projects   []deploy.SavedProject
	Routes     []deploy.FixedRoute
	Registries []registry.RegistryAccount
	Slots      map[Slot]int64 // which secrets there are, and their versions
	Values     Values         // of the slots that the document gives values for
}

// Wanted is what a document says, in the spelling in which things are saved,
// with the values that it gives in the clear.
type Wanted struct {
	Document
	Values Values
}

// NewPlan decides what makes have what wanted says. It changes nothing itself,
// and is a pure function of what it is given. prune removes what a section of
// the document does not name; secrets stay, since nobody could bring them back.
func NewPlan(wanted Wanted, have State, prune bool) Plan {
	p := planner{wanted: wanted, have: have}
	p.projects()
	p.routes()
	p.registries()
	p.secrets()
	p.missing()
	plan := Plan{Changes: p.changes, Left: p.gone, Notes: p.notes}
	if prune {
		plan.Changes, plan.Left = append(plan.Changes, p.gone...), nil
	}
	plan.Changes, plan.Left, plan.Notes = orEmpty(plan.Changes), orEmpty(plan.Left), orEmpty(plan.Notes)
	plan.Fingerprint = plan.fingerprint()
	return plan
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// fingerprint hashes what would be done and over which versions. It knows of no
// secret's value.
func (p Plan) fingerprint() string {
	type line struct {
		Change
		Version int64
	}
	lines := make([]line, len(p.Changes))
	for n, c := range p.Changes {
		lines[n] = line{c, c.version}
	}
	raw, err := json.Marshal(lines)
	if err != nil {
		return "" // texts and numbers encode
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:16])
}

type planner struct {
	wanted  Wanted
	have    State
	changes []Change
	gone    []Change
	notes   []string
}

func (p *planner) projects() {
	if p.wanted.Projects == nil {
		return
	}
	have := map[string]deploy.SavedProject{}
	for _, h := range p.have.Projects {
		have[h.Name] = h
	}
	for _, name := range slices.Sorted(maps.Keys(p.wanted.Projects)) {
		h, there := have[name]
		p.project(name, p.wanted.Projects[name], h, there)
	}
	for _, h := range p.have.Projects {
		if _, named := p.wanted.Projects[h.Name]; !named {
			p.gone = append(p.gone, removedProject(h))
		}
	}
}

func (p *planner) project(name string, w Project, h deploy.SavedProject, there bool) {
	fields := differences("image", h.Image, w.Image, "description", h.Description, w.Description)
	if !there || len(fields) > 0 {
		p.changes = append(p.changes, Change{
			Action: createOrUpdate(there), Kind: KindProject, Name: name, Fields: fields, project: name, version: h.Version,
		})
	}
	have := map[string]deploy.Stage{}
	for _, s := range h.Stages {
		have[s.Name] = s
	}
	for _, stage := range slices.Sorted(maps.Keys(w.Stages)) {
		s, there := have[stage]
		p.stage(name, stage, w.Stages[stage], s, there)
	}
	if w.Stages == nil {
		return
	}
	for _, s := range h.Stages {
		if _, named := w.Stages[s.Name]; !named {
			p.gone = append(p.gone, removedStage(s))
		}
	}
}

func (p *planner) stage(project, name string, w deploy.StageSpec, h deploy.Stage, there bool) {
	w = w.Normalise()
	if there {
		h.Spec = h.Spec.Normalise()
	}
	fields := deploy.Differences(h.Spec, w)
	if !there {
		fields = deploy.Differences(deploy.StageSpec{}.Normalise(), w) // its defaults go without saying
	}
	for n := range fields {
		fields[n].Field = strings.TrimPrefix(fields[n].Field, "spec.")
	}
	if there && len(fields) == 0 {
		return
	}
	p.changes = append(p.changes, Change{
		Action: createOrUpdate(there), Kind: KindStage, Name: project + "/" + name, Fields: fields,
		project: project, stage: name, version: h.Version,
	})
}

func removedProject(h deploy.SavedProject) Change {
	c := Change{Action: Remove, Kind: KindProject, Name: h.Name, Fields: []deploy.Change{}, project: h.Name, version: h.Version}
	for _, s := range h.Stages {
		stage := removedStage(s)
		c.Live = c.Live || stage.Live
		c.KeptVolumes = append(c.KeptVolumes, stage.KeptVolumes...)
		c.Fields = append(c.Fields, deploy.Change{Field: "stages." + s.Name, From: s.Spec.Hostname + s.Spec.PathPrefix})
		c.version += s.Version // each of them only grows
	}
	return c
}

func removedStage(s deploy.Stage) Change {
	return Change{
		Action: Remove, Kind: KindStage, Name: s.Project + "/" + s.Name, Fields: []deploy.Change{}, Live: s.LiveDeployment != "",
		KeptVolumes: deploy.VolumeNames(s.Project, s.Name, s.Spec), project: s.Project, stage: s.Name, version: s.Version,
	}
}

func (p *planner) routes() {
	if p.wanted.Routes == nil {
		return
	}
	have := map[string]deploy.FixedRoute{}
	for _, h := range p.have.Routes {
		have[h.Name] = h
	}
	for _, name := range slices.Sorted(maps.Keys(p.wanted.Routes)) {
		h, there := have[name]
		fields := h.Spec.Differences(p.wanted.Routes[name])
		for n := range fields {
			fields[n].Field = strings.TrimPrefix(fields[n].Field, "spec.")
		}
		if !there || len(fields) > 0 {
			p.changes = append(p.changes, Change{Action: createOrUpdate(there), Kind: KindRoute, Name: name, Fields: fields, version: h.Version})
		}
	}
	for _, h := range p.have.Routes {
		if _, named := p.wanted.Routes[h.Name]; !named {
			p.gone = append(p.gone, Change{Action: Remove, Kind: KindRoute, Name: h.Name, Fields: []deploy.Change{}, version: h.Version})
		}
	}
}

func (p *planner) registries() {
	if p.wanted.Registries == nil {
		return
	}
	have := map[string]registry.RegistryAccount{}
	for _, h := range p.have.Registries {
		have[h.Host] = h
	}
	for _, host := range slices.Sorted(maps.Keys(p.wanted.Registries)) {
		w := p.wanted.Registries[host]
		h, there := have[host]
		fields := differences("username", h.Username, w.Username,
			"insecure", strconv.FormatBool(h.Insecure), strconv.FormatBool(w.Insecure),
			"poll_interval", h.PollInterval.String(), w.PollInterval.String())
		if p.differs(PasswordOf(host)) {
			fields = append(fields, hidden("password", there && h.Username != ""))
		}
		if !there || len(fields) > 0 {
			p.changes = append(p.changes, Change{
				Action: createOrUpdate(there), Kind: KindRegistry, Name: host, Fields: fields, slot: PasswordOf(host), version: h.Version,
			})
		}
		if w.Password != nil && p.wanted.Values[PasswordOf(host)].Empty() {
			p.notes = append(p.notes, "the password for "+host+" is sealed and was not opened: what is there stays")
		}
	}
	for _, h := range p.have.Registries {
		if _, named := p.wanted.Registries[h.Host]; !named {
			p.gone = append(p.gone, Change{
				Action: Remove, Kind: KindRegistry, Name: h.Host, Fields: []deploy.Change{}, slot: PasswordOf(h.Host), version: h.Version,
			})
		}
	}
}

// differs says whether the document gives a slot another value than it has.
func (p *planner) differs(slot Slot) bool {
	value := p.wanted.Values[slot]
	return !value.Empty() && !value.Equal(p.have.Values[slot])
}

func (p *planner) secrets() {
	for _, slot := range p.wanted.slots() {
		version := p.have.Slots[slot]
		name := slot.Context + "/" + slot.Name
		switch {
		case p.differs(slot):
			p.changes = append(p.changes, Change{
				Action: createOrUpdate(version > 0), Kind: KindSecret, Name: name,
				Fields: []deploy.Change{hidden("value", version > 0)}, slot: slot, version: version,
			})
		case p.wanted.Secrets[slot.Context][slot.Name].Sealed != "" && p.wanted.Values[slot].Empty():
			p.notes = append(p.notes, "the secret "+name+" is sealed and was not opened: what is there stays")
		}
	}
}

// missing notes secrets that are named and not there.
func (p *planner) missing() {
	wanted := map[Slot]string{}
	for _, slot := range p.wanted.slots() {
		wanted[slot] = ""
	}
	for project, w := range p.wanted.Projects {
		for stage, spec := range w.Stages {
			for _, ref := range spec.Secrets {
				slot := Slot{ref.Context, ref.Name}
				user := project + "/" + stage
				if by := wanted[slot]; by == "" || user < by {
					wanted[slot] = user
				}
			}
		}
	}
	for _, slot := range slices.SortedFunc(maps.Keys(wanted), compareSlots) {
		if p.have.Slots[slot] > 0 || !p.wanted.Values[slot].Empty() {
			continue
		}
		note := "the secret " + slot.Context + "/" + slot.Name + " is not set"
		if by := wanted[slot]; by != "" {
			note += ", and " + by + " can't be deployed without it"
		}
		p.notes = append(p.notes, note)
	}
}

// slots are those of the section of secrets.
func (doc Document) slots() []Slot {
	var list []Slot
	for slotContext, names := range doc.Secrets {
		for name := range names {
			list = append(list, Slot{slotContext, name})
		}
	}
	slices.SortFunc(list, compareSlots)
	return list
}

func createOrUpdate(there bool) Action {
	if there {
		return Update
	}
	return Create
}

// differences gives the fields that differ, of triples of name, from and to.
func differences(triples ...string) []deploy.Change {
	fields := []deploy.Change{}
	for t := range slices.Chunk(triples, 3) {
		if t[1] != t[2] {
			fields = append(fields, deploy.Change{Field: t[0], From: t[1], To: t[2]})
		}
	}
	return fields
}

// hidden is a change of a secret's value, of which nothing is shown.
func hidden(field string, there bool) deploy.Change {
	dots := secret.New("hidden").String()
	c := deploy.Change{Field: field, To: dots}
	if there {
		c.From = dots
	}
	return c
}

// removals gives the changes that remove something, stages first.
func (p Plan) removals() []Change {
	var list []Change
	for _, c := range p.Changes {
		if c.Action == Remove {
			list = append(list, c)
		}
	}
	order := map[Kind]int{KindStage: 0, KindProject: 1, KindRegistry: 2}
	slices.SortStableFunc(list, func(a, b Change) int { return cmp.Compare(order[a.Kind], order[b.Kind]) })
	return list
}
