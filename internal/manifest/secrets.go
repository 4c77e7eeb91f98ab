package manifest

import (
	"context"
	"maps"
	"slices"

	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/vault"
)

func (p *planner) secrets() {
	for _, slot := range p.wanted.slots() {
		version := p.have.Slots[slot]
		name := slot.Context + "/" + slot.Name
		switch {
		case p.differs(slot):
			p.change(version > 0, Change{
				Kind: KindSecret, Name: name, Fields: []deploy.Change{hidden("value", version > 0)}, slot: slot, version: version,
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

// secretFlaws refuses slots that are Berth's own.
func (doc Document) secretFlaws(from source) (wrong []fault.Field) {
	for _, slot := range doc.slots() {
		if vault.Own(slot.Context, slot.Name) {
			wrong = append(wrong, from.flaws(slot.steps(), "", fault.Invalid("these secrets are set with what they belong to"))...)
		}
	}
	return wrong
}

// refer puts what a document refers to by p, a stored secret, beside it as the
// value of a slot. What is sealed is there already, where it was opened.
func (s *Service) refer(ctx context.Context, w Wanted, from source, p *Password, to Slot) []fault.Field {
	if p == nil || p.Name == "" {
		return nil
	}
	slot := Slot{p.Context, p.Name}
	if vault.Own(slot.Context, slot.Name) {
		return from.flaws(to.steps(), "", fault.Invalid("these secrets are for what they belong to alone"))
	}
	value := w.Values[slot]
	if value.Empty() {
		var err error
		if value, err = s.vault.Get(ctx, slot.Context, slot.Name); err != nil {
			return from.flaws(to.steps(), "", err)
		}
	}
	w.Values[to] = value
	return nil
}
