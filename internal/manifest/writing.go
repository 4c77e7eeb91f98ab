package manifest

import (
	"context"
	"slices"

	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/sqlite"
)

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
	if have.LeftOut, err = s.leftOut(ctx, wanted, have); err != nil {
		return Plan{}, err
	}
	if have.LeftOutByMode, err = s.leftOutByMode(ctx, wanted); err != nil {
		return Plan{}, err
	}
	if have.LeftOutByList, err = s.leftOutByList(ctx, wanted); err != nil {
		return Plan{}, err
	}
	plan := NewPlan(wanted, have, r.Prune)
	if err := plan.astray(wanted, from); err != nil {
		return Plan{}, err
	}
	w := &writing{Service: s, tx: tx, actor: actor, by: r.By, meant: r.meant, wanted: wanted}
	if r.Administrator {
		w.allow = []deploy.Allowance{deploy.AllowBinds, deploy.AllowAccess}
	}
	err = w.all(ctx, plan.Changes, from)
	plan.Notes = append(plan.Notes, w.notes...)
	return plan, err
}

// writing saves changes in a transaction.
type writing struct {
	*Service
	tx     *sqlite.Tx
	actor  string
	by     identity.Subject
	meant  bool // that people have no way in left, as the plan says
	wanted Wanted
	allow  []deploy.Allowance
	notes  []string // what only saving shows
}

// force says whether it is meant that a change leaves people out. Meant is what was
// seen: not what nobody looked at a plan of, and not what only several changes
// do together, of which the plan's notes know nothing.
func (w *writing) force(c Change, left identity.LeftOut) bool {
	return w.meant && left.People <= c.leftOut
}

// all saves changes in the order in which they can be: a stage after the one
// that it promotes from, an address after the stage that had it. What is refused
// is tried again for as long as others go through; what is left then is wrong.
func (w *writing) all(ctx context.Context, changes []Change, from source) error {
	open := slices.DeleteFunc(slices.Clone(changes), Change.later)
	for {
		var refused []Change
		var wrong []fault.Field
		said := fault.InvalidFields
		for _, c := range open {
			err := w.one(ctx, c)
			if fault.KindOf(err) == fault.Denied {
				said = fault.ForbiddenFields
			}
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
			return said(wrong)
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
	case KindProvider:
		return []string{"providers", c.Name}
	case KindAdministrators:
		return []string{"administrators"}
	case KindSecondFactor:
		return []string{"second_factor"}
	case KindSignIn:
		return []string{"sign_in"}
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
	case KindSecret, KindAdministrators:
		return "value"
	case KindProvider:
		return "slug"
	case KindProject, KindRegistry, KindSecondFactor, KindSignIn:
	}
	return ""
}

func (w *writing) one(ctx context.Context, c Change) error {
	switch c.Kind {
	case KindProject:
		return w.project(ctx, c)
	case KindStage:
		return w.stage(ctx, c)
	case KindRoute:
		return w.route(ctx, c)
	case KindRegistry:
		return w.registry(ctx, c)
	case KindProvider:
		return w.provider(ctx, c)
	case KindAdministrators:
		return w.administrators(ctx, c)
	case KindSecondFactor:
		return w.secondFactor(ctx, c)
	case KindSignIn:
		return w.signInMode(ctx, c)
	case KindSecret:
		return w.vault.SetIn(ctx, w.tx, w.actor, c.slot.Context, c.slot.Name, w.wanted.Values[c.slot])
	}
	return nil
}
