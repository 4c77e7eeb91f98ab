package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/sqlite"
)

// usualAccess is who may enter a stage of which nobody has said so.
func usualAccess() identity.Policy { return identity.SignedIn() }

// access gives who may enter; of a spec that was stored before there was such
// a thing, and that no migration reached, nobody.
func (s StageSpec) access() identity.Policy {
	if s.Access == nil {
		return identity.Policy{}
	}
	return *s.Access
}

// perimeter refuses an edit that would change who may enter, when its author
// may not: who runs an app does not open it to others than were meant.
func perimeter(before, after identity.Policy, allow []Allowance) error {
	if slices.Contains(allow, AllowAccess) {
		return nil
	}
	same, err := samePolicy(before.Normalise(), after)
	if err != nil || same {
		return err
	}
	return fault.ForbiddenFields([]fault.Field{{
		Name: "spec.access", Message: "only administrators change who may enter an app: leave it as it is, or ask one",
	}})
}

// namesPeople says when a policy names somebody who is not there: whoever got
// that name later would have what was meant for another.
func (s *Service) namesPeople(ctx context.Context, tx *sqlite.Tx, found *checks, access identity.Policy) error {
	names := access.People()
	if s.people == nil || len(names) == 0 {
		return nil
	}
	unknown, err := s.people.Unknown(ctx, tx, names)
	if err != nil || len(unknown) == 0 {
		return err
	}
	for i, r := range access.Rules {
		for n, name := range r.Allow.People {
			found.when(slices.Contains(unknown, name), fmt.Sprintf("spec.access.rules[%d].allow.people[%d]", i, n), "nobody is named %q", name)
		}
	}
	return nil
}

// claimsOfProviders says when another policy than before has a claim of which
// it is not said whose it is, or whose no provider is.
func (s *Service) claimsOfProviders(ctx context.Context, tx *sqlite.Tx, found *checks, before, after identity.Policy) error {
	same, err := samePolicy(before, after)
	if s.known == nil || err != nil || same || !slices.ContainsFunc(after.Rules, func(r identity.Rule) bool { return len(r.Allow.Claims) > 0 }) {
		return err
	}
	slugs, err := s.known.Slugs(ctx, tx)
	if err != nil {
		return err
	}
	*found = append(*found, after.CheckClaims("spec.access", slugs)...)
	return nil
}

// ForgetPerson takes somebody who is about to be removed out of every policy,
// in tx: whoever gets the name later inherits nothing.
func (s *Service) ForgetPerson(ctx context.Context, tx *sqlite.Tx, actor, username string) error {
	if err := s.forgetPersonFixed(ctx, tx, actor, username); err != nil {
		return err
	}
	stages, err := allStages(ctx, tx)
	if err != nil {
		return err
	}
	for _, st := range stages {
		without, named := st.Spec.access().Without(username)
		if !named {
			continue
		}
		before := st.Spec.access()
		st.Spec.Access, st.Version, st.UpdatedAt = &without, st.Version+1, s.now()
		if _, err := updateStage(ctx, tx, st); err != nil {
			return err
		}
		if err := s.emitAccess(ctx, tx, actor, st, before); err != nil {
			return err
		}
		if err := s.emitStage(ctx, tx, eventStageUpdated, actor, st); err != nil {
			return err
		}
	}
	return nil
}

// accessData is the data of access.changed: who could enter, and who can.
type accessData struct {
	Route    string          `json:"route,omitempty"` // that no stage makes
	Hostname string          `json:"hostname"`
	From     identity.Policy `json:"from"`
	To       identity.Policy `json:"to"`
}

// emitAccess tells of another policy, whole, and has the route take it up: an
// audit asks who could enter when, and a policy is short.
func (s *Service) emitAccess(ctx context.Context, tx *sqlite.Tx, actor string, st stage, before identity.Policy) error {
	after := st.Spec.access()
	if same, err := samePolicy(before, after); err != nil || same {
		return err
	}
	tx.OnCommit(func() { s.rerouteLater(st.ID) })
	return s.events.Append(ctx, tx, event.Event{Kind: eventAccessChanged, Actor: actor, Project: st.Project, Stage: st.Name},
		accessData{Hostname: st.Spec.Hostname, From: before, To: after})
}

func samePolicy(a, b identity.Policy) (bool, error) {
	was, err := json.Marshal(a)
	if err != nil {
		return false, err
	}
	is, err := json.Marshal(b)
	return bytes.Equal(was, is), err
}

// rerouteLater has a stage's route say who may enter now.
func (s *Service) rerouteLater(stageID string) { s.jobs.start(jobKey{jobReroute, stageID}) }

func (s *Service) rerouteOne(ctx context.Context, stageID string, _ <-chan struct{}) {
	if err := s.reroute(ctx, stageID); err != nil && ctx.Err() == nil {
		s.log.ErrorContext(ctx, "route not changed", "stage_id", stageID, "error", err)
	}
}
