package signin_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/signin"
	"berth/internal/sqlite"
)

// begin has the browser leave for a purpose that takes somebody who is signed
// in, as the API does.
func (b *browser) begin(slug string, purpose signin.Purpose) error {
	to, own, err := b.rig.Begin(b.t.Context(), slug, signin.Departure{Purpose: purpose, Subject: b.subject()})
	if err != nil {
		return err
	}
	at, _ := url.Parse(b.rig.server.URL)
	cookie := b.rig.BrowserCookie(own)
	b.Jar.SetCookies(at, []*http.Cookie{&cookie})
	response, err := b.Get(to)
	require.NoError(b.t, err)
	response.Body.Close()
	b.last = response.Request.URL
	return nil
}

func TestLink_TakesAFreshSignInToBoth(t *testing.T) {
	r, home, work := newRig(t), newIssuer(t), newIssuer(t)
	r.provider("home", home)
	r.provider("work", work, func(p *signin.NewProvider) { p.Create = false })
	b := r.browser("1001")
	require.Error(t, b.begin("work", signin.ToLink), "nobody is signed in")
	b.signIn("home")
	me := b.subject()

	require.NoError(t, b.begin("work", signin.ToLink))
	require.Equal(t, "/account/identities?linked=work", b.last.RequestURI())
	require.Equal(t, me.SessionID, b.subject().SessionID, "linking is no sign-in")
	list, err := r.identity.Identities(t.Context(), me.Person.ID)
	require.NoError(t, err)
	require.Len(t, list, 2)

	// Now it is a way in.
	c := r.browser("1001")
	c.signIn("work")
	require.Equal(t, me.Person.ID, c.subject().Person.ID)
	require.Equal(t, []string{"work:crew"}, c.subject().Groups, "one identity does not lend its groups to a session of another")

	// Too long ago here.
	r.move(11 * time.Minute)
	require.Equal(t, fault.NotProved, fault.KindOf(b.begin("work", signin.ToLink)))
	r.move(-11 * time.Minute)
	// Too long ago there.
	work.idToken = func(claims map[string]any) { claims["auth_time"] = time.Now().Add(-time.Hour).Unix() }
	require.NoError(t, b.begin("work", signin.ToLink))
	require.Equal(t, "stale", b.last.Query().Get("problem"))
}

// As a change of factors, it takes the second factor of who has one: a sign-in
// at a provider alone would add a way in that outlasts it.
func TestLink_TakesASecondFactorOfWhoHasOne(t *testing.T) {
	r, home, work := newRig(t), newIssuer(t), newIssuer(t)
	r.provider("home", home, func(p *signin.NewProvider) { p.TrustFactor = true })
	r.provider("work", work)
	b := r.browser("1001")
	b.signIn("home")
	person := b.subject().Person
	require.NoError(t, r.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		return r.identity.SetSecondFactor(t.Context(), tx, "ana", person.ID, true, "")
	}))
	b.signIn("home")
	require.False(t, b.subject().Strong())
	require.Equal(t, fault.NotProved, fault.KindOf(b.begin("work", signin.ToLink)))

	home.idToken = func(claims map[string]any) { claims["amr"] = []string{"mfa"} }
	b.signIn("home")
	require.True(t, b.subject().Strong())
	require.NoError(t, b.begin("work", signin.ToLink))
	require.Equal(t, "/account/identities?linked=work", b.last.RequestURI())
}

func TestLink_NeverTakesSomebodyElsesIdentity(t *testing.T) {
	r, home, work := newRig(t), newIssuer(t), newIssuer(t)
	r.provider("home", home)
	r.provider("work", work)
	r.browser("1001").signIn("work")
	b := r.browser("1001")
	b.signIn("home")
	require.NoError(t, b.begin("work", signin.ToLink))
	require.Equal(t, "taken", b.last.Query().Get("problem"))

	// Another person who signs in meanwhile gets nothing of it.
	work.people["1003"] = map[string]any{"preferred_username": "cy"}
	jar := b.Jar
	at, _ := url.Parse(r.server.URL)
	jar.SetCookies(at, []*http.Cookie{{Name: "who", Value: "1003", Path: "/"}})
	to, own, err := r.Begin(t.Context(), "work", signin.Departure{Purpose: signin.ToLink, Subject: b.subject()})
	require.NoError(t, err)
	cookie := r.BrowserCookie(own)
	jar.SetCookies(at, []*http.Cookie{&cookie})
	_, err = r.identity.CreatePerson(t.Context(), "berth", identity.Person{Username: "dan"}, secret.New("correct horse battery"))
	require.NoError(t, err)
	session, _, err := r.identity.SignIn(t.Context(), "dan", secret.New("correct horse battery"), identity.Origin{})
	require.NoError(t, err)
	jar.SetCookies(at, []*http.Cookie{{Name: "berth", Value: session.Reveal(), Path: "/"}})
	response, err := b.Get(to)
	require.NoError(t, err)
	response.Body.Close()
	require.Equal(t, "other", response.Request.URL.Query().Get("problem"))
}

func TestUnlink_LeavesAWayIn(t *testing.T) {
	r, home, work := newRig(t), newIssuer(t), newIssuer(t)
	r.provider("home", home)
	r.provider("work", work)
	b := r.browser("1001")
	b.signIn("home")
	me := *b.subject()
	require.Equal(t, fault.Clash, fault.KindOf(r.identity.Unlink(t.Context(), me, me.Person.ID, me.IdentityID)))
	require.NoError(t, b.begin("work", signin.ToLink))
	require.NoError(t, r.identity.Unlink(t.Context(), me, me.Person.ID, me.IdentityID))
	require.Nil(t, b.subject(), "the session that it began goes with it")
	require.Len(t, r.happened(identity.IdentityUnlinked), 1)

	// Nobody unlinks another's.
	other := r.browser("1002")
	other.signIn("work")
	list, err := r.identity.Identities(t.Context(), me.Person.ID)
	require.NoError(t, err)
	require.Equal(t, fault.Denied, fault.KindOf(r.identity.Unlink(t.Context(), *other.subject(), me.Person.ID, list[0].ID)))
}

func TestTrial_SignsInWithoutCommitting(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	_, err := r.identity.CreatePerson(t.Context(), "berth", identity.Person{Username: "root", Role: identity.RoleAdministrator}, secret.New("correct horse battery"))
	require.NoError(t, err)
	session, admin, err := r.identity.SignIn(t.Context(), "root", secret.New("correct horse battery"), identity.Origin{})
	require.NoError(t, err)
	r.provider("home", i, func(p *signin.NewProvider) { p.Enabled = false })
	b := r.browser("1001")
	at, _ := url.Parse(r.server.URL)
	b.Jar.SetCookies(at, []*http.Cookie{{Name: "berth", Value: session.Reveal(), Path: "/"}})

	require.NoError(t, b.begin("home", signin.ToTest))
	require.Equal(t, "/system/sign-in/test", b.last.Path)
	found, err := r.Trial(t.Context(), admin, b.last.Query().Get("id"))
	require.NoError(t, err)
	require.Empty(t, found.Refused, found.Trouble)
	require.Equal(t, "1001", found.ExternalID)
	require.Equal(t, "ana", found.Person)
	require.True(t, found.New)
	require.True(t, found.Verified)
	i.people["1001"]["upn"] = "boss@victim.example"
	r.provider("upn", i, func(p *signin.NewProvider) { p.Claims.Email = "upn" })
	require.NoError(t, b.begin("upn", signin.ToTest))
	other, err := r.Trial(t.Context(), admin, b.last.Query().Get("id"))
	require.NoError(t, err)
	require.Equal(t, "boss@victim.example", other.Email)
	require.False(t, other.Verified, "email_verified speaks of another claim")
	require.Equal(t, []string{"home:crew"}, found.Groups)

	people := r.others()
	require.Len(t, people, 1, "a test made somebody")
	require.Empty(t, r.kept.last, "a test kept tokens")
	require.Equal(t, admin.SessionID, b.subject().SessionID)

	i.sign = func(c map[string]any) string { return withNobodysKey(t, "none", c) }
	require.NoError(t, b.begin("home", signin.ToTest))
	found, err = r.Trial(t.Context(), admin, b.last.Query().Get("id"))
	require.NoError(t, err)
	require.Equal(t, signin.ReasonInvalid, found.Refused)
	require.Contains(t, found.Trouble, "unexpected signature algorithm")

	_, err = r.Trial(t.Context(), identity.Subject{SessionID: "another"}, found.ID)
	require.Equal(t, fault.Missing, fault.KindOf(err))
	r.move(16 * time.Minute)
	_, err = r.Trial(t.Context(), admin, found.ID)
	require.Equal(t, fault.Missing, fault.KindOf(err))
}
