package identity

import (
	"context"
	"time"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// FactorRequired is that a second factor is required of others than before.
const FactorRequired event.Kind = "factor.required"

// SecondFactorRule is who must have a second factor, and who says so: the
// stricter of the settings and what was chosen counts.
type SecondFactorRule struct {
	RequiredOf Requirement `json:"required_of" enum:"nobody,administrators,members,everybody" doc:"What was chosen: members are members and administrators"`
	Settings   Requirement `json:"settings" enum:"nobody,administrators,members,everybody" doc:"What BERTH_SECOND_FACTOR demands at least"`
	InForce    Requirement `json:"in_force" enum:"nobody,administrators,members,everybody" doc:"The stricter of the two"`
	Version    int64       `json:"version"`
	UpdatedAt  time.Time   `json:"updated_at,omitzero"`
}

var strictness = map[Requirement]int{RequireOfNobody: 0, RequireOfAdministrators: 1, RequireOfMembers: 2, RequireOfEverybody: 3}

// AtLeast says whether r is as strict as another one.
func (r Requirement) AtLeast(other Requirement) bool { return strictness[r] >= strictness[other] }

func stricter(a, b Requirement) Requirement {
	if strictness[b] > strictness[a] {
		return b
	}
	if a == "" {
		return RequireOfNobody
	}
	return a
}

// required is what is required of people now.
func (s *Service) required() Requirement { return stricter(s.least, *s.chosen.Load()) }

func (s *Service) readRequirement(ctx context.Context) error {
	return s.db.Read(ctx, func(tx *sqlite.Tx) error {
		rule, err := selectRequirement(ctx, tx)
		s.chosen.Store(&rule.RequiredOf)
		return err
	})
}

// SecondFactorRule says who must have a second factor.
func (s *Service) SecondFactorRule(ctx context.Context) (rule SecondFactorRule, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		rule, err = selectRequirement(ctx, tx)
		return err
	})
	return s.whole(rule), err
}

func (s *Service) whole(rule SecondFactorRule) SecondFactorRule {
	rule.Settings, rule.InForce = stricter(s.least, RequireOfNobody), stricter(s.least, rule.RequiredOf)
	return rule
}

// RequireSecondFactor says who must have a second factor from now on, over the
// version that was seen. Every session that is too little then ends at once;
// an actor whose own would is refused.
func (s *Service) RequireSecondFactor(ctx context.Context, actor Subject, of Requirement, version int64) (rule SecondFactorRule, err error) {
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		rule, err = s.RequireSecondFactorIn(ctx, tx, actor, of, version)
		return err
	})
	return rule, err
}

// RequireSecondFactorIn is RequireSecondFactor as a part of a transaction.
func (s *Service) RequireSecondFactorIn(ctx context.Context, tx *sqlite.Tx, actor Subject, of Requirement, version int64) (rule SecondFactorRule, err error) {
	if err := Decide(&actor, ActionAdminister, On{}); err != nil {
		return rule, err
	}
	if _, known := strictness[of]; !known {
		return rule, fault.InvalidFields([]fault.Field{{Name: "required_of", Message: "is nobody, administrators, members or everybody"}})
	}
	before, err := selectRequirement(ctx, tx)
	switch {
	case err != nil:
		return rule, err
	case before.Version != version:
		return rule, fault.Conflict("who must have a second factor was changed meanwhile; look at it again")
	}
	in := stricter(s.least, of)
	if actor.Via == ViaSession && !in.satisfied(actor.Person, actor.Methods) {
		return rule, fault.Conflict("your own session would end: add a second factor of your own first, and sign in with it")
	}
	rule = SecondFactorRule{RequiredOf: of, Version: version + 1, UpdatedAt: s.now()}
	if err := updateRequirement(ctx, tx, rule); err != nil {
		return rule, err
	}
	tx.OnCommit(func() { s.chosen.Store(&of) })
	if err := s.endWeak(ctx, tx, actor.Person.Username, in); err != nil {
		return rule, err
	}
	return s.whole(rule), s.record(ctx, tx, FactorRequired, actor.Person.Username, aboutRequirement{before.RequiredOf, of})
}

// aboutRequirement is the data of factor.required.
type aboutRequirement struct {
	From Requirement `json:"from"`
	To   Requirement `json:"to"`
}

// endWeak ends the sessions that are too little for a requirement.
func (s *Service) endWeak(ctx context.Context, tx *sqlite.Tx, actor string, in Requirement) error {
	all, err := allSessions(ctx, tx)
	if err != nil {
		return err
	}
	for _, one := range all {
		if in.satisfied(one.person, one.session.Methods) {
			continue
		}
		if err := s.endSessionOf(ctx, tx, actor, one.person, one.session, "second factor required"); err != nil {
			return err
		}
	}
	return nil
}
