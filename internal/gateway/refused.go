package gateway

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/identity"
	"berth/internal/sqlite"
)

// AccessRefused is the kind of the event that tells of somebody whom a policy
// did not let in; its data is what they were refused.
const AccessRefused event.Kind = "access.refused"

// refusedVisit is its data: what happened since the one before of the same
// person, route and rule.
type refusedVisit struct {
	Person   string `json:"person"` // the person's id; the actor is their username
	Route    string `json:"route,omitempty"`
	Hostname string `json:"hostname"`
	Rule     int    `json:"rule"` // of the policy, from 1; 0 where none decided
	Why      string `json:"why"`
	Via      string `json:"via"`             // session, or token
	Token    string `json:"token,omitempty"` // the API token's id
	Address  string `json:"address"`         // where the newest came from
	Count    int    `json:"count"`
}

const (
	// refusedEvery is how often at most an event tells of one person, route and
	// rule.
	refusedEvery = time.Minute
	// refusedMost bounds of how many that is remembered; what is beyond is in
	// the access log alone.
	refusedMost = 10_000
)

// refusedVisits are what those were refused who are signed in, or came by an
// API token. A flood costs a number that is counted up: events are written by
// Gateway.Run.
type refusedVisits struct {
	db     *sqlite.DB
	events *event.Log
	clock  func() time.Time

	mu   sync.Mutex
	seen map[refusedKey]*refusedCount
}

type refusedKey struct {
	person, stageID string
	rule            int
	token           bool
}

type refusedCount struct {
	actor string
	on    identity.On
	visit refusedVisit // Count is how many nobody was told of
	told  time.Time    // when an event told of it
}

func newRefusedVisits(db *sqlite.DB, events *event.Log, clock func() time.Time) *refusedVisits {
	return &refusedVisits{db: db, events: events, clock: clock, seen: map[refusedKey]*refusedCount{}}
}

// note counts a visit that was refused to somebody who is known.
func (v *refusedVisits) note(x *exchange, to *route, no *refusal) {
	who := no.visitor.subject
	if v.events == nil || v.db == nil || who == nil || who.Via != identity.ViaSession && who.Via != identity.ViaToken {
		return
	}
	key := refusedKey{person: who.Person.ID, stageID: to.StageID, rule: no.verdict.Rule, token: who.Via == identity.ViaToken}
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.seen[key]
	if c == nil {
		if len(v.seen) >= refusedMost {
			return
		}
		c = &refusedCount{}
		v.seen[key] = c
	}
	c.actor, c.on = who.Person.Username, identity.On{Project: to.Project, Stage: to.Stage}
	count := c.visit.Count + 1
	c.visit = refusedVisit{
		Person: who.Person.ID, Route: fixedName(to.Route), Hostname: to.Hostname, Rule: no.verdict.Rule + 1, Why: no.verdict.Why.String(),
		Via: who.Via.String(), Token: who.TokenID, Address: x.from.address, Count: count,
	}
}

func fixedName(r deploy.Route) string {
	if r.Fixed != nil {
		return r.Fixed.Name
	}
	return ""
}

// write tells of what is due: at once of who was not refused here within a
// minute, and of others when that is over; of all of it at the end. What could
// not be written is told of the next time.
func (v *refusedVisits) write(ctx context.Context, end bool) error {
	due := v.take(end)
	if len(due) == 0 {
		return nil
	}
	err := v.db.Write(ctx, func(tx *sqlite.Tx) error {
		for _, key := range slices.SortedFunc(maps.Keys(due), func(a, b refusedKey) int {
			return cmp.Or(cmp.Compare(a.person, b.person), cmp.Compare(a.stageID, b.stageID), cmp.Compare(a.rule, b.rule))
		}) {
			c := due[key]
			e := event.Event{Kind: AccessRefused, Actor: c.actor, Project: c.on.Project, Stage: c.on.Stage}
			if err := v.events.Append(ctx, tx, e, c.visit); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		v.giveBack(due)
	}
	return err
}

// take gives what is due, and forgets who was not refused for a while.
func (v *refusedVisits) take(end bool) map[refusedKey]refusedCount {
	now := v.clock()
	due := map[refusedKey]refusedCount{}
	v.mu.Lock()
	defer v.mu.Unlock()
	for key, c := range v.seen {
		over := now.Sub(c.told) >= refusedEvery || now.Before(c.told)
		switch {
		case c.visit.Count > 0 && (over || end):
			due[key] = *c
			c.visit.Count, c.told = 0, now
		case over:
			delete(v.seen, key)
		}
	}
	return due
}

func (v *refusedVisits) giveBack(due map[refusedKey]refusedCount) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for key, c := range due {
		if now := v.seen[key]; now != nil {
			now.visit.Count += c.visit.Count
			now.told = c.told
			continue
		}
		v.seen[key] = &c
	}
}
