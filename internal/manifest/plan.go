package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"

	"berth/internal/deploy"
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
	KindProject        Kind = "project"
	KindStage          Kind = "stage"
	KindRoute          Kind = "route"
	KindRegistry       Kind = "registry"
	KindProvider       Kind = "provider"
	KindAdministrators Kind = "administrators" // there is one list
	KindSecondFactor   Kind = "second_factor"  // there is one rule
	KindSignIn         Kind = "sign_in"        // there is one mode
	KindSecret         Kind = "secret"
)

// Change is one thing that an apply creates, changes or removes.
type Change struct {
	Action Action `json:"action" enum:"create,update,remove"`
	Kind   Kind   `json:"kind" enum:"project,stage,route,registry,provider,administrators,second_factor,sign_in,secret"`
	// Name is "shop", "shop/prod", "nas", "ghcr.io", "corp", "list", "rule", "mode" or
	// "shop/DATABASE_URL".
	Name string `json:"name"`
	// Fields are those that differ. Of a secret, both sides are dots.
	Fields []deploy.Change `json:"fields"`
	// Live says of a removal that something runs there.
	Live bool `json:"live,omitempty"`
	// KeptVolumes are the engine's volumes that a removal leaves.
	KeptVolumes []string `json:"kept_volumes,omitempty"`

	project, stage string // of projects and stages
	slot           Slot   // of registries, providers and secrets
	version        int64  // that was seen; 0 of what is not there
	leftOut        int    // people who have no way in left by it
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
	p.providers()
	p.administrators()
	p.secondFactor()
	p.signIn()
	p.secrets()
	p.missing()
	if prune {
		p.stranded()
	}
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
		LeftOut int
	}
	lines := make([]line, len(p.Changes))
	for n, c := range p.Changes {
		lines[n] = line{c, c.version, c.leftOut}
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

// walk holds what is wanted against what there is, by name: of what is wanted
// each is told of in order, with what is there of it, and what nothing wants is
// gone. A section that is not there wants nothing to be gone either.
func walk[W, H any](p *planner, wanted map[string]W, have []H, name func(H) string, each func(name string, w W, h H, there bool), removal func(H) Change) {
	if wanted == nil {
		return
	}
	byName := map[string]H{}
	for _, h := range have {
		byName[name(h)] = h
	}
	for _, n := range slices.Sorted(maps.Keys(wanted)) {
		h, there := byName[n]
		each(n, wanted[n], h, there)
	}
	for _, h := range have {
		if _, named := wanted[name(h)]; !named {
			p.gone = append(p.gone, removal(h))
		}
	}
}

// change notes c as a creation or an update, unless the thing is there and no
// field of it differs.
func (p *planner) change(there bool, c Change) {
	if there && len(c.Fields) == 0 {
		return
	}
	c.Action = Create
	if there {
		c.Action = Update
	}
	p.changes = append(p.changes, c)
}

// differs says whether the document gives a slot another value than it has.
func (p *planner) differs(slot Slot) bool {
	value := p.wanted.Values[slot]
	return !value.Empty() && !value.Equal(p.have.Values[slot])
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
