package deploy

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// Pause keeps a stage as it is.
type Pause struct {
	By     string    `json:"by"`
	Since  time.Time `json:"since"`
	Reason string    `json:"reason,omitempty"`
	// Missed is the newest tag that would have been deployed meanwhile.
	Missed   string    `json:"missed,omitempty"`
	MissedAt time.Time `json:"missed_at,omitzero"`
}

// The bounds of what a person may say.
const (
	maxReason     = 300 // characters
	maxRetryAfter = 24 * time.Hour
)

// defaultRetryAfter is what clients are told where nobody says otherwise.
const defaultRetryAfter = Duration(time.Minute)

// The kinds of events that are about a stage's state.
const (
	eventStagePaused      event.Kind = "stage.paused"
	eventStageResumed     event.Kind = "stage.resumed"
	eventStageMissed      event.Kind = "stage.missed"
	eventMaintenanceBegun event.Kind = "maintenance.begun"
	eventMaintenanceEnded event.Kind = "maintenance.ended"
)

// refusal says why nothing is deployed to a stage that is paused.
func (p *Pause) refusal(project, stage string) error {
	because := ""
	if p.Reason != "" {
		because = " (" + p.Reason + ")"
	}
	return fault.Conflict("%s/%s has been paused by %s since %s%s; resume it first", project, stage, p.By, p.Since.Format("2006-01-02 15:04 MST"), because)
}

// Pause keeps a stage as it is until it is resumed: nothing is deployed by
// itself, and who asks for it is refused. What runs goes on; a guard may still
// take a release back. A stage that is paused gets the new reason.
func (s *Service) Pause(ctx context.Context, actor, project, name, reason string) (Stage, error) {
	reason = strings.TrimSpace(reason)
	if utf8.RuneCountInString(reason) > maxReason {
		return Stage{}, fault.InvalidFields([]fault.Field{{Name: "reason", Message: "it has at most 300 characters"}})
	}
	return s.setState(ctx, project, name, func(tx *sqlite.Tx, st *stage) error {
		p := Pause{By: actor, Since: s.now(), Reason: reason}
		if st.Paused != nil {
			p.Since, p.Missed, p.MissedAt = st.Paused.Since, st.Paused.Missed, st.Paused.MissedAt
		}
		st.Paused = &p
		if err := setPaused(ctx, tx, st.ID, &p); err != nil {
			return err
		}
		return s.events.Append(ctx, tx, event.Event{Kind: eventStagePaused, Actor: actor, Project: project, Stage: name},
			struct {
				Reason string `json:"reason,omitempty"`
			}{reason})
	})
}

// Resume lets deployments to a stage again. What waits is begun; what was
// missed meanwhile is not.
func (s *Service) Resume(ctx context.Context, actor, project, name string) (Stage, error) {
	return s.setState(ctx, project, name, func(tx *sqlite.Tx, st *stage) error {
		if st.Paused == nil {
			return nil
		}
		missed := st.Paused.Missed
		st.Paused = nil
		if err := setPaused(ctx, tx, st.ID, nil); err != nil {
			return err
		}
		tx.OnCommit(func() { s.deployLater(st.ID); s.promoteSoon() })
		return s.events.Append(ctx, tx, event.Event{Kind: eventStageResumed, Actor: actor, Project: project, Stage: name},
			struct {
				Missed string `json:"missed,omitempty"`
			}{missed})
	})
}

// missed remembers what a stage that is paused was not given.
func (s *Service) missed(ctx context.Context, tx *sqlite.Tx, st stage, d deployment) error {
	p := *st.Paused
	p.Missed, p.MissedAt = d.Reference, s.now()
	if err := setPaused(ctx, tx, st.ID, &p); err != nil {
		return err
	}
	return s.events.Append(ctx, tx, event.Event{Kind: eventStageMissed, Actor: d.Actor, Project: st.Project, Stage: st.Name},
		struct {
			Reference string  `json:"reference"`
			Trigger   Trigger `json:"trigger"`
		}{d.Reference, d.Trigger})
}

// BeginMaintenance has a stage answer every request with 503 and a page. The
// app runs on, requests under way end as they would, and deployments go on.
// fault.Conflict when nothing is live, which has no route.
func (s *Service) BeginMaintenance(ctx context.Context, actor, project, name string, m Maintenance) (Stage, error) {
	m.Message = strings.TrimSpace(m.Message)
	m.RetryAfter = orElse(m.RetryAfter, defaultRetryAfter)
	var found checks
	found.when(utf8.RuneCountInString(m.Message) > maxReason || strings.ContainsFunc(m.Message, func(r rune) bool { return r < ' ' }), "message",
		"it is a sentence or two: at most %d characters, in one line", maxReason)
	found.between("retry_after", m.RetryAfter, time.Second, maxRetryAfter)
	if err := fault.InvalidFields(found); err != nil {
		return Stage{}, err
	}
	return s.setMaintenance(ctx, project, name, func(tx *sqlite.Tx, st *stage) error {
		if st.LiveDeployment == "" {
			return fault.Conflict("nothing is live in %s/%s, so it has no address to answer at", project, name)
		}
		m.By, m.Since = actor, s.now()
		if st.Maintenance != nil {
			m.Since = st.Maintenance.Since
		}
		st.Maintenance = &m
		return s.events.Append(ctx, tx, event.Event{Kind: eventMaintenanceBegun, Actor: actor, Project: project, Stage: name},
			struct {
				Message string `json:"message,omitempty"`
			}{m.Message})
	})
}

// EndMaintenance has a stage's app answer again.
func (s *Service) EndMaintenance(ctx context.Context, actor, project, name string) (Stage, error) {
	return s.setMaintenance(ctx, project, name, func(tx *sqlite.Tx, st *stage) error {
		if st.Maintenance == nil {
			return nil
		}
		st.Maintenance = nil
		return s.events.Append(ctx, tx, event.Event{Kind: eventMaintenanceEnded, Actor: actor, Project: project, Stage: name}, struct{}{})
	})
}

func (s *Service) setMaintenance(ctx context.Context, project, name string, change func(*sqlite.Tx, *stage) error) (Stage, error) {
	st, err := s.setState(ctx, project, name, func(tx *sqlite.Tx, st *stage) error {
		if err := change(tx, st); err != nil {
			return err
		}
		return setMaintenance(ctx, tx, st.ID, st.Maintenance)
	})
	if err != nil {
		return st, err
	}
	return st, s.reroute(context.WithoutCancel(ctx), st.ID)
}

// setState changes what is a stage's state and not its configuration.
func (s *Service) setState(ctx context.Context, project, name string, change func(*sqlite.Tx, *stage) error) (Stage, error) {
	var st stage
	err := s.db.Write(ctx, func(tx *sqlite.Tx) (err error) {
		if st, err = findStage(ctx, tx, project, name); err != nil {
			return err
		}
		return change(tx, &st)
	})
	if err != nil {
		return Stage{}, err
	}
	return st.Stage, nil
}
