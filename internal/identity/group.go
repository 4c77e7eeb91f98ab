package identity

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// The kinds of events about groups.
const (
	GroupCreated event.Kind = "group.created"
	GroupUpdated event.Kind = "group.updated"
	GroupRemoved event.Kind = "group.removed"
)

// Group is a choice of people that policies name. Those that a provider tells
// of are not among them: their names have the provider's before a colon.
type Group struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Members     []string  `json:"members"` // usernames, in order
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
	Version     int64     `json:"version"`
}

// GroupEdit is what may be changed of a group; nil leaves it as it is.
type GroupEdit struct {
	Description *string
	Members     *[]string // usernames
}

// The bounds of groups.
const (
	maxGroups           = 1000
	maxMembers          = 10_000
	maxGroupDescription = 300 // characters
)

// Groups lists the groups that Berth keeps, by their names, with their members.
func (s *Service) Groups(ctx context.Context) (list []Group, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		if list, err = selectGroups(ctx, tx, ""); err != nil {
			return err
		}
		return withMembers(ctx, tx, list)
	})
	return list, err
}

// Group finds a group by its name.
func (s *Service) Group(ctx context.Context, name string) (g Group, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		g, err = groupByName(ctx, tx, name)
		return err
	})
	return g, err
}

// CreateGroup makes a group. Of g, Name, Description and Members count;
// fault.Conflict when there is one of that name.
func (s *Service) CreateGroup(ctx context.Context, actor string, g Group) (Group, error) {
	now := s.now()
	g.Name, g.Description = strings.ToLower(strings.TrimSpace(g.Name)), strings.TrimSpace(g.Description)
	g.ID, g.CreatedAt, g.UpdatedAt, g.Version = sqlite.NewID(now), now, now, 1
	err := s.db.Write(ctx, func(tx *sqlite.Tx) error {
		ids, err := s.checkGroup(ctx, tx, &g)
		if err != nil {
			return err
		}
		switch others, err := selectGroups(ctx, tx, ""); {
		case err != nil:
			return err
		case slices.ContainsFunc(others, func(o Group) bool { return o.Name == g.Name }):
			return fault.Conflict("there is a group named %q already", g.Name)
		case len(others) >= maxGroups:
			return fault.Conflict("there are %d groups, which is the most there may be", maxGroups)
		}
		if err := insertGroup(ctx, tx, g); err != nil {
			return err
		}
		return s.setMembers(ctx, tx, GroupCreated, actor, g, nil, ids)
	})
	if err != nil {
		return Group{}, err
	}
	return g, nil
}

// UpdateGroup changes a group, when nobody else has since version. Who comes
// to it or leaves it has the change with the next request; what they had open
// is let go of.
func (s *Service) UpdateGroup(ctx context.Context, actor, name string, version int64, edit GroupEdit) (g Group, err error) {
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if g, err = groupByName(ctx, tx, name); err != nil {
			return err
		}
		if g.Version != version {
			return fault.Conflict("the group %s was changed meanwhile: load it again", g.Name)
		}
		before := slices.Clone(g.Members)
		if edit.Description != nil {
			g.Description = strings.TrimSpace(*edit.Description)
		}
		if edit.Members != nil {
			g.Members = *edit.Members
		}
		ids, err := s.checkGroup(ctx, tx, &g)
		if err != nil {
			return err
		}
		g.Version, g.UpdatedAt = g.Version+1, s.now()
		if err := updateGroup(ctx, tx, g); err != nil {
			return err
		}
		return s.setMembers(ctx, tx, GroupUpdated, actor, g, before, ids)
	})
	if err != nil {
		return Group{}, err
	}
	return g, nil
}

// RemoveGroup removes a group. Policies that name it stay as they are: the
// name then stands for nobody, until there is a group of that name again.
func (s *Service) RemoveGroup(ctx context.Context, actor, name string) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		g, err := groupByName(ctx, tx, name)
		if err != nil {
			return err
		}
		if err := s.forgetNamed(ctx, tx, g.Members); err != nil {
			return err
		}
		if err := deleteGroup(ctx, tx, g.ID); err != nil {
			return err
		}
		return s.record(ctx, tx, GroupRemoved, actor, aboutGroup{Group: g.Name})
	})
}

// aboutGroup is the data of events about groups.
type aboutGroup struct {
	Group string   `json:"group"`
	Came  []string `json:"came,omitempty"`
	Left  []string `json:"left,omitempty"`
}

// setMembers stores who is in a group, by their ids, and tells of it.
func (s *Service) setMembers(ctx context.Context, tx *sqlite.Tx, kind event.Kind, actor string, g Group, before []string, ids []string) error {
	about := aboutGroup{Group: g.Name, Came: missingFrom(before, g.Members), Left: missingFrom(g.Members, before)}
	if err := replaceMembers(ctx, tx, g.ID, ids); err != nil {
		return err
	}
	if err := s.forgetNamed(ctx, tx, slices.Concat(about.Came, about.Left)); err != nil {
		return err
	}
	return s.record(ctx, tx, kind, actor, about)
}

// missingFrom gives those of all that list does not have.
func missingFrom(list, all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(list, name) })
}

// forgetNamed is forget for people by their names.
func (s *Service) forgetNamed(ctx context.Context, tx *sqlite.Tx, usernames []string) error {
	for _, name := range usernames {
		p, _, err := personByName(ctx, tx, name)
		if err != nil {
			return err
		}
		s.forget(tx, p.ID)
	}
	return nil
}

// checkGroup names every field that is wrong, puts the members in order, each
// once, and gives their ids.
func (s *Service) checkGroup(ctx context.Context, tx *sqlite.Tx, g *Group) (ids []string, err error) {
	var wrong []fault.Field
	add := func(name, format string, args ...any) {
		wrong = append(wrong, fault.Field{Name: name, Message: fmt.Sprintf(format, args...)})
	}
	if !usernamePattern.MatchString(g.Name) {
		add("name", "takes 1 to 64 of a to z, 0 to 9, dot, dash and underscore, beginning and ending with a letter or digit")
	}
	if utf8.RuneCountInString(g.Description) > maxGroupDescription || !printable(g.Description) {
		add("description", "takes at most %d printable characters", maxGroupDescription)
	}
	if len(g.Members) > maxMembers {
		return nil, fault.InvalidFields(append(wrong, fault.Field{Name: "members", Message: fmt.Sprintf("takes at most %d", maxMembers)}))
	}
	members := mapped(g.Members, strings.ToLower)
	slices.Sort(members)
	members = slices.Compact(members)
	for _, name := range members {
		p, _, err := personByName(ctx, tx, name)
		switch {
		case fault.KindOf(err) == fault.Missing:
			add("members", "nobody is named %q", shortened(name, 100))
		case err != nil:
			return nil, err
		}
		ids = append(ids, p.ID)
	}
	if g.Members = members; members == nil {
		g.Members = []string{}
	}
	return ids, fault.InvalidFields(wrong)
}
