package manifest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/settings"
	"berth/internal/vault"
)

// AdministratorList is the list of those who administer.
type AdministratorList struct {
	Entries []string // in its order; none where everybody's own role counts
	// From is what has BERTH_ADMINS, over which no document has power; "" where
	// the slot counts.
	From    string
	Version int64 // of the slot; 0 when there is none
}

func (s *Service) administratorList(ctx context.Context) (list AdministratorList, err error) {
	all, err := s.identity.Administrators(ctx)
	if err != nil {
		return list, err
	}
	list.From = s.adminsSource()
	for _, one := range all.Listed {
		list.Entries = append(list.Entries, one.String())
	}
	slots, err := s.vault.List(ctx, vault.AdminsContext)
	for _, slot := range slots {
		if vault.IsAdmins(slot.Context, slot.Name) {
			list.Version = slot.Version
		}
	}
	return list, err
}

// administrators plans the list as one thing: what it names is changed, and
// only a list that names nobody any more is a removal.
func (p *planner) administrators() {
	wanted, have := p.wanted.Administrators, p.have.Administrators
	if wanted == nil {
		return
	}
	c := Change{Kind: KindAdministrators, Name: listName, Fields: listDifferences(have.Entries, wanted), version: have.Version, leftOut: p.have.LeftOutByList.People}
	switch {
	case len(c.Fields) == 0:
	case have.From != "":
		p.notes = append(p.notes, fmt.Sprintf("BERTH_ADMINS says who administers, set by %s: the list in the file changes nothing", have.From))
	case len(wanted) == 0:
		c.Action = Remove
		p.gone = append(p.gone, c)
	default:
		p.leavesOutByList()
		p.change(len(have.Entries) > 0, c)
	}
}

// leavesOutByList notes who has no way in left by the list.
func (p *planner) leavesOutByList() {
	if left := p.have.LeftOutByList; left.People > 0 {
		p.notes = append(p.notes, "by the list of administrators, "+left.InWords())
	}
}

// leftOutByList reads who would have no way in left by the list of a document:
// nobody where it has everybody's passwords sign in.
func (s *Service) leftOutByList(ctx context.Context, wanted Wanted) (identity.LeftOut, error) {
	if wanted.Administrators == nil || wanted.SignIn != nil && wanted.SignIn.whole().Passwords == identity.PasswordsOfEverybody {
		return identity.LeftOut{}, nil
	}
	list, err := wanted.admins()
	if err != nil {
		return identity.LeftOut{}, err
	}
	return s.identity.LeftOutByList(ctx, list)
}

// admins reads the list, whose entries are in the spelling in which they are kept.
func (w Wanted) admins() ([]settings.Admin, error) {
	list := make([]settings.Admin, len(w.Administrators))
	for n, text := range w.Administrators {
		one, err := settings.ParseAdmin(text)
		if err != nil {
			return nil, err
		}
		list[n] = one
	}
	return list, nil
}

// stranded notes what a provider that is removed leaves behind: the entries of
// the list that it knows, and the way straight to it.
func (p *planner) stranded() {
	list := p.have.Administrators.Entries
	if p.wanted.Administrators != nil && p.have.Administrators.From == "" {
		list = p.wanted.Administrators
	}
	for _, c := range p.gone {
		if c.Kind == KindAdministrators {
			p.leavesOutByList()
		}
		if c.Kind == KindProvider {
			p.leavesOut(c.Name)
		}
		if c.Kind == KindProvider {
			p.leadsNoMore(c.Name)
		}
		for _, entry := range list {
			if c.Kind == KindProvider && strings.HasPrefix(entry, c.Name+":") {
				p.notes = append(p.notes, fmt.Sprintf("the list of administrators names %s, who can not sign in without the provider %s", entry, c.Name))
			}
		}
	}
}

// What the one list, the one rule and the one mode are called in a plan.
const (
	listName = "list"
	ruleName = "rule"
	modeName = "mode"
)

func listDifferences(from, to []string) []deploy.Change {
	fields := []deploy.Change{}
	for _, entry := range from {
		if !slices.Contains(to, entry) {
			fields = append(fields, deploy.Change{Field: entry, From: "listed"})
		}
	}
	for _, entry := range to {
		if !slices.Contains(from, entry) {
			fields = append(fields, deploy.Change{Field: entry, To: "listed"})
		}
	}
	if len(fields) == 0 && !slices.Equal(from, to) {
		fields = differences("order", strings.Join(from, ", "), strings.Join(to, ", "))
	}
	return fields
}

// normalEntries gives the entries of a list in the spelling in which they are
// kept, each once.
func normalEntries(given []string, from source) (list []string, wrong []fault.Field) {
	if given == nil {
		return nil, nil
	}
	list = []string{}
	for n, text := range given {
		one, err := settings.ParseAdmin(strings.TrimSpace(text))
		if err != nil {
			at := fault.InvalidFields([]fault.Field{{Name: (&place{}).item(n).step, Message: fmt.Sprintf("%q %s", cut(text), err)}})
			wrong = append(wrong, from.flaws([]string{"administrators"}, "", at)...)
			continue
		}
		if entry := one.String(); !slices.Contains(list, entry) {
			list = append(list, entry)
		}
	}
	return list, wrong
}

// administrators sets the slot, whose guard has the list say who administers.
func (w *writing) administrators(ctx context.Context, c Change) error {
	list, err := w.wanted.admins()
	if err != nil {
		return err
	}
	left, err := w.identity.LeftOutByListIn(ctx, w.tx, list)
	if err != nil {
		return err
	}
	if err := left.Meant(w.force(c, left), identity.OtherWayFirst); err != nil {
		return err
	}
	if c.Action == Remove {
		return w.vault.RemoveIn(ctx, w.tx, w.actor, vault.AdminsContext, vault.AdminsName)
	}
	return w.vault.SetIn(ctx, w.tx, w.actor, vault.AdminsContext, vault.AdminsName, secret.New(strings.Join(w.wanted.Administrators, "\n")))
}
