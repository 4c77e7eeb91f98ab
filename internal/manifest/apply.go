package manifest

import (
	"context"
	"errors"
	"maps"
	"slices"

	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/sqlite"
)

// Request is what an apply, or its plan, is asked for.
type Request struct {
	Document []byte // YAML
	// Values are what is sealed in the document, as somebody opened it. One
	// that is not among them stays as it is.
	Values Values
	Prune  bool
	// Administrator allows what only administrators may: the accounts at other
	// registries, routes that no stage makes, who enters as what, and mounts of
	// the host's paths.
	Administrator bool
	// By is who asks: nobody's own session ends by a rule that they set.
	By identity.Subject
	// Fingerprint is that of the plan that was seen; "" takes any that leaves
	// nobody without a way in.
	Fingerprint string
	meant       bool // that people have no way in left, as the plan says

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
	Kind   Kind   `json:"kind" enum:"project,stage,route,registry,provider,administrators,second_factor,sign_in,secret"`
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
	r.meant = true // a plan is where people see it
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
	r.meant = r.Fingerprint != ""
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
		if err := s.proved(plan, r.By); err != nil {
			return err
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

// Prover says whether somebody proved just now who they are; a fault of kind
// NotProved asks for it.
type Prover interface {
	Fresh(subject identity.Subject) error
}

// proved refuses a plan that changes who must have a second factor, how and by
// which provider people sign in, or who administers, by a session whose owner did
// not just prove who they are: whoever takes over a session would take the rule
// away first, or come in as another administrator.
func (s *Service) proved(plan Plan, by identity.Subject) error {
	if by.Via != identity.ViaSession {
		return nil
	}
	for _, c := range plan.Changes {
		switch c.Kind {
		case KindProvider, KindAdministrators, KindSecondFactor, KindSignIn:
			return s.prover.Fresh(by)
		case KindProject, KindStage, KindRoute, KindRegistry, KindSecret:
		}
	}
	return nil
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
	if section := doc.forAdministrators(); section != "" && !r.Administrator {
		return Wanted{}, source{}, fault.Forbidden("the section %q is for administrators: leave it out, and it stays as it is", section)
	}
	for name, p := range doc.Projects {
		p.Image = s.deploy.NormalImage(p.Image)
		doc.Projects[name] = p
	}
	wrong := doc.secretFlaws(from)
	entries, flaws := normalEntries(doc.Administrators, from)
	doc.Administrators, wrong = entries, append(wrong, flaws...)
	w := Wanted{Document: doc, Values: Values{}}
	texts := doc.sealedTexts()
	for slot, value := range r.Values {
		if _, named := texts[slot]; named { // nothing that the document does not name
			w.Values[slot] = value
		}
	}
	for _, host := range slices.Sorted(maps.Keys(doc.Registries)) {
		wrong = append(wrong, s.registryFlaws(ctx, w, from, host)...)
	}
	for _, slug := range slices.Sorted(maps.Keys(doc.Providers)) {
		wrong = append(wrong, s.refer(ctx, w, from, doc.Providers[slug].ClientSecret, ClientSecretOf(slug))...)
	}
	return w, from, fault.InvalidFields(wrong)
}
