package gateway

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"berth/internal/event"
	"berth/internal/identity"
)

// adminsAlone lets administrators in, and by API tokens, too.
func adminsAlone() identity.Policy {
	return identity.Policy{Rules: []identity.Rule{
		{Paths: []string{"/open"}, Allow: identity.Who{Public: true}},
		{Allow: identity.Who{Administrators: true}, APITokens: true},
	}}
}

// told gives the events about refusals, with their data.
func (d *door) toldOfRefusals(log *event.Log) (events []event.Event, data []refusedVisit) {
	d.t.Helper()
	events, err := log.Since(context.Background(), 0, event.Filter{Kinds: []event.Kind{AccessRefused}}, 0)
	require.NoError(d.t, err)
	for _, e := range events {
		var one refusedVisit
		require.NoError(d.t, json.Unmarshal(e.Data, &one))
		data = append(data, one)
	}
	return events, data
}

func TestAccessRefused_TellsOfAPersonRouteAndRuleOnceAMinute(t *testing.T) {
	var ahead atomic.Int64
	d := newDoor(t, trustLoopback, func(c *Config) { c.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) } })
	log := d.gateway.refused.events
	d.routeFor("app.test", adminsAlone(), func(http.ResponseWriter, *http.Request) {})
	d.routeFor("strong.test", identity.Policy{Rules: []identity.Rule{{Allow: identity.Who{SignedIn: true}, Strength: identity.StrengthPasskey}}}, func(http.ResponseWriter, *http.Request) {})
	ana := d.signIn("ana", identity.RoleMember)
	token, made, err := d.people.CreateToken(t.Context(), ana, "ci", identity.ScopeRead, time.Time{})
	require.NoError(t, err)
	cookie := with("Cookie", d.cookieFor(ana, "app.test"))
	write := func(ctx context.Context, end bool) error { return d.gateway.refused.write(ctx, end) }
	ask := func(want int, target string, edit ...func(*http.Request)) {
		t.Helper()
		res, _ := d.get(target, edit...)
		require.Equal(t, want, res.StatusCode)
	}

	for range 50 {
		ask(403, "http://app.test/x?secret", cookie)
	}
	ask(400, "http://app.test/Open/x", cookie)                                        // no rule decides on that
	ask(403, "http://app.test/x", with("Authorization", "Bearer "+token.Reveal()))    // an API token
	ask(401, "http://app.test/x")                                                     // nobody
	ask(401, "http://strong.test/x", with("Cookie", d.cookieFor(ana, "strong.test"))) // is led to prove more
	ask(200, "http://app.test/open", cookie)
	require.Equal(t, 403, d.ask(caddy, "GET", "http://app.test/x", cookie).StatusCode)

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, write(gone, false), "what can't be written is written the next time")
	require.NoError(t, write(t.Context(), false))
	events, data := d.toldOfRefusals(log)
	require.Len(t, events, 3)
	const why = "the rule does not let them in"
	address := "127.0.0.1"
	assert.ElementsMatch(t, []refusedVisit{
		{Person: ana.Person.ID, Hostname: "app.test", Rule: 2, Why: why, Via: "session", Address: "192.0.2.7", Count: 51},
		{Person: ana.Person.ID, Hostname: "app.test", Why: identity.WhyAmbiguous.String(), Via: "session", Address: address, Count: 1},
		{Person: ana.Person.ID, Hostname: "app.test", Rule: 2, Why: why, Via: "token", Token: made.ID, Address: address, Count: 1},
	}, data)
	for _, e := range events {
		assert.Equal(t, "ana", e.Actor)
		assert.Equal(t, [2]string{"shop", "prod"}, [2]string{e.Project, e.Stage})
		assert.Equal(t, event.Access, e.Kind.Category())
		assert.NotContains(t, string(e.Data), "secret")
	}

	for range 3 {
		ask(403, "http://app.test/x", cookie)
		require.NoError(t, write(t.Context(), false))
	}
	_, data = d.toldOfRefusals(log)
	require.Len(t, data, 3, "a flood writes one a minute")
	ahead.Store(int64(refusedEvery))
	require.NoError(t, write(t.Context(), false))
	_, data = d.toldOfRefusals(log)
	require.Len(t, data, 4)
	require.Equal(t, 3, data[3].Count)
	ask(403, "http://app.test/x", cookie)
	require.NoError(t, write(t.Context(), true))
	_, data = d.toldOfRefusals(log)
	require.Len(t, data, 5, "at the end all of it")
	ahead.Store(int64(3 * refusedEvery))
	require.NoError(t, write(t.Context(), false))
	require.Empty(t, d.gateway.refused.seen, "and nothing is remembered for longer")
}

func TestAccessRefused_IsWrittenByRun(t *testing.T) {
	d := newDoor(t)
	d.routeFor("app.test", adminsAlone(), func(http.ResponseWriter, *http.Request) {})
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- d.gateway.Run(ctx) }()
	cookie := with("Cookie", d.cookieFor(d.signIn("ana", identity.RoleMember), "app.test"))
	count := func() (all int) {
		_, data := d.toldOfRefusals(d.gateway.refused.events)
		for _, one := range data {
			all += one.Count
		}
		return all
	}
	d.get("http://app.test/", cookie)
	require.Eventually(t, func() bool { return count() == 1 }, 20*time.Second, 10*time.Millisecond, "within seconds")
	d.get("http://app.test/", cookie)
	cancel()
	require.NoError(t, <-ran)
	require.Equal(t, 2, count())
}

func TestAccessRefused_RemembersNoMoreThanItsBound(t *testing.T) {
	d := newDoor(t)
	ana := d.signIn("ana", identity.RoleMember)
	x := &exchange{g: d.gateway}
	to := &route{}
	for i := range refusedMost + 10 {
		d.gateway.refused.note(x, to, &refusal{visitor: visitor{subject: &ana}, verdict: identity.Verdict{Rule: i}})
	}
	require.Len(t, d.gateway.refused.seen, refusedMost)
}

func TestAccessLog_SaysWhoWasRefusedByWhichRuleAndWhy(t *testing.T) {
	d := newDoor(t, func(c *Config) { c.AccessLog = AccessLogOn })
	d.routeFor("app.test", adminsAlone(), func(http.ResponseWriter, *http.Request) {})
	d.get("http://app.test/x", with("Cookie", d.cookieFor(d.signIn("ana", identity.RoleMember), "app.test")))
	line := d.accessLine()
	for key, want := range map[string]any{
		"person": "ana", "rule": 2.0, "why": "the rule does not let them in", "status": 403.0, "project": "shop",
	} {
		assert.Equal(t, want, line[key], key)
	}

	d = newDoor(t, func(c *Config) { c.AccessLog = AccessLogOn })
	d.routeFor("app.test", adminsAlone(), func(http.ResponseWriter, *http.Request) {})
	d.get("http://app.test/x")
	line = d.accessLine()
	assert.Equal(t, "nobody is signed in", line["why"])
	assert.NotContains(t, line, "person")

	d = newDoor(t, func(c *Config) { c.AccessLog = AccessLogOn })
	d.routeFor("app.test", adminsAlone(), func(http.ResponseWriter, *http.Request) {})
	d.get("http://app.test/open")
	assert.NotContains(t, d.accessLine(), "why", "of who is let in")
}

func TestAssertions_OfAllVisitorsTakeNoMoreThanTheirBound(t *testing.T) {
	var kept assertions
	now := time.Now()
	text := strings.Repeat("a", 8<<10)
	size := func() (bytes, count int) {
		for i := range kept.shards {
			s := &kept.shards[i]
			sum := 0
			for _, one := range s.made {
				sum += assertionCosts + len(one.text)
				count++
			}
			require.Equal(t, sum, s.bytes)
			bytes += sum
		}
		return bytes, count
	}
	at := func(i int) assertedTo { return assertedTo{byte(i), byte(i >> 8), byte(i >> 16)} }
	for i := range 10_000 {
		kept.put(at(i), text, now)
		kept.put(at(i), text[:len(text)-i%7], now) // again
	}
	bytes, count := size()
	require.LessOrEqual(t, bytes, assertionsMost)
	require.Greater(t, count, 1000)
	require.NotEmpty(t, kept.get(at(9_999), now.Add(assertionServes-1)))
	require.Empty(t, kept.get(at(9_999), now.Add(assertionServes)))
	require.Empty(t, kept.get(at(9_999), now.Add(-1)), "the clock was put back")
	kept.put(at(10_000), strings.Repeat("a", assertionsMost), now)
	require.Empty(t, kept.get(at(10_000), now))
	kept.put(at(10_001), "late", now.Add(time.Second))
	kept.sweep(now.Add(assertionServes))
	_, count = size()
	require.Equal(t, 1, count, "what is not given again is dropped")
}

func TestAssertion_IsNotKeptForWhatAClientMakesLong(t *testing.T) {
	d := newDoor(t)
	policy := identity.SignedIn()
	policy.Audience = "https://app"
	got := make(chan string, 1)
	d.routeFor("app.test", policy, func(_ http.ResponseWriter, q *http.Request) { got <- q.Header.Get("X-Berth-Assertion") })
	ana, bo := d.signIn("ana", identity.RoleMember), d.signIn("bo", identity.RoleMember)
	cookie := d.cookieFor(ana, "app.test")
	count := func() (n int) {
		for i := range d.gateway.assertions.shards {
			n += len(d.gateway.assertions.shards[i].made)
		}
		return n
	}
	for _, path := range []string{"/" + strings.Repeat("a", 58<<10), "/" + strings.Repeat("b", assertedMost)} {
		d.get("http://app.test"+path, with("Cookie", cookie))
		require.Equal(t, "ana", claimsIn(t, <-got).User)
	}
	go func() {
		_, _ = io.WriteString(io.Discard, d.raw(strings.Repeat("M", 50<<10)+" / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\nCookie: "+cookie+"\r\n\r\n"))
	}()
	require.Equal(t, "ana", claimsIn(t, <-got).User)
	require.Zero(t, count())

	d.get("http://app.test/x", with("Cookie", cookie))
	first := <-got
	d.get("http://app.test/x", with("Cookie", cookie))
	require.Equal(t, first, <-got)
	d.get("http://app.test/x", with("Cookie", d.cookieFor(bo, "app.test")))
	require.Equal(t, "bo", claimsIn(t, <-got).User, "nobody gets another's")
	require.Equal(t, 2, count())
}
