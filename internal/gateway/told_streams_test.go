package gateway

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"berth/internal/event"
	"berth/internal/identity"
	"berth/internal/sqlite"
)

// ahead is a door whose clock can be set forward.
func ahead(t *testing.T) (d *door, forward func(time.Duration)) {
	t.Helper()
	var by atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(by.Load())) }
	d = newDoor(t, func(c *Config) { c.Clock = clock })
	var err error
	d.people, err = identity.New(identity.Config{DB: d.db, Events: event.New(event.Config{DB: d.db}), PasswordCost: bcrypt.MinCost, Clock: clock})
	require.NoError(t, err)
	d.gateway.identity = d.people
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- d.people.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ran)
	})
	return d, func(d time.Duration) { by.Add(int64(d)) }
}

// told is what the provider corp tells of ana.
var toldOfAna = identity.External{
	Provider: "corp", Issuer: "https://corp", ExternalID: "1", Username: "ana", Create: true,
	Groups: []string{"corp:ops"}, Claims: map[string]any{"department": "sales"},
}

func (d *door) signInBy(one identity.External) identity.Subject {
	d.t.Helper()
	_, s, err := d.people.SignInExternal(context.Background(), one, identity.Origin{Address: "192.0.2.1"}, func(*sqlite.Tx, string) error { return nil })
	require.NoError(d.t, err)
	return s
}

func ends(t *testing.T, open map[string]<-chan struct{}) {
	t.Helper()
	late := time.After(20 * time.Second) // a slow machine is no failure
	for kind, ended := range open {
		select {
		case <-ended:
		case <-late:
			t.Fatalf("%s is still open", kind)
		}
	}
}

func goesOn(t *testing.T, open map[string]<-chan struct{}) {
	t.Helper()
	for kind, ended := range open {
		select {
		case <-ended:
			t.Errorf("%s was cut", kind)
		default:
		}
	}
}

func TestLiveThings_EndWhenWhatTheirProviderToldIsTooOld(t *testing.T) {
	d, forward := ahead(t)
	d.routeFor("told.test", allow(identity.Who{Groups: []string{"corp:ops"}}), stream)
	d.routeFor("signed.test", identity.SignedIn(), stream)
	ana := d.signInBy(toldOfAna)
	open := func(host string) map[string]<-chan struct{} { return d.streams(host, d.cookieFor(ana, host)) }
	told, signed := open("told.test"), open("signed.test")

	forward(23 * time.Hour)
	require.NoError(t, d.people.SyncExternal(t.Context(), toldOfAna), "the provider tells the same again")
	forward(2 * time.Hour)
	later := open("told.test") // by what it told at last
	goesOn(t, told)

	forward(23 * time.Hour)
	ends(t, told)
	ends(t, later)
	goesOn(t, signed) // what Berth itself knows does not grow old
	res, _ := d.get("http://told.test/", with("Cookie", d.cookieFor(ana, "told.test")))
	require.Equal(t, http.StatusUnauthorized, res.StatusCode)
}

func TestSwitch_KeepsWhomAProviderHasToldOfAgain(t *testing.T) {
	d, forward := ahead(t)
	route := d.routeFor("told.test", allow(identity.Who{Groups: []string{"corp:ops"}}), stream)
	ana := d.signInBy(toldOfAna)
	open := d.streams("told.test", d.cookieFor(ana, "told.test"))
	forward(23 * time.Hour)
	require.NoError(t, d.people.SyncExternal(t.Context(), toldOfAna))
	forward(2 * time.Hour)
	route.Access = allow(identity.Who{Groups: []string{"corp:ops"}, Administrators: true})
	d.route(route)
	d.people.KnowProviders([]string{"corp"}) // which has all decided anew, by that policy
	goesOn(t, open)
	route.Access = allow(identity.Who{Administrators: true})
	d.route(route)
	ends(t, open)
}

func TestClaim_OfNoProviderHoldsWhileThereIsButOne(t *testing.T) {
	d, _ := ahead(t)
	d.routeFor("app.test", allow(identity.Who{Claims: []identity.Claim{{Name: "department", Operator: identity.ClaimEquals, Value: "sales"}}}), stream)
	d.routeFor("corp.test", allow(identity.Who{Claims: []identity.Claim{{Name: "department", Operator: identity.ClaimEquals, Value: "sales", Provider: "corp"}}}), stream)
	ana := d.signInBy(toldOfAna)
	open := func(host string) map[string]<-chan struct{} { return d.streams(host, d.cookieFor(ana, host)) }
	status := func(host string) int {
		res, _ := d.get("http://"+host+"/none", with("Cookie", d.cookieFor(ana, host)), func(q *http.Request) {
			ctx, cancel := context.WithTimeout(q.Context(), 20*time.Second)
			t.Cleanup(cancel)
			*q = *q.WithContext(ctx)
		})
		return res.StatusCode
	}
	assert.Equal(t, http.StatusForbidden, status("app.test"), "no provider is known")
	d.people.KnowProviders([]string{"corp"})
	old, named := open("app.test"), open("corp.test")
	d.people.KnowProviders([]string{"corp", "github"})
	ends(t, old)
	goesOn(t, named)
	assert.Equal(t, http.StatusForbidden, status("app.test"))

	// Somebody made an organisation of that name elsewhere.
	mallory := toldOfAna
	mallory.Provider, mallory.Issuer, mallory.Username = "github", "https://github.com", "mallory"
	for _, host := range []string{"app.test", "corp.test"} {
		res, _ := d.get("http://"+host+"/", with("Cookie", d.cookieFor(d.signInBy(mallory), host)))
		assert.Equal(t, http.StatusForbidden, res.StatusCode, host)
	}
}
