package signin

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/network"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// Purpose is what a browser is sent to a provider for.
type Purpose string

// The purposes.
const (
	ToSignIn Purpose = "sign-in"
	ToLink   Purpose = "link"    // another identity to somebody who is signed in
	ToTest   Purpose = "test"    // nothing is kept of it
	ToStepUp Purpose = "step-up" // to prove again who is signed in
)

func (p Purpose) String() string { return string(p) }

// Departure is a browser that is to go to a provider.
type Departure struct {
	Purpose Purpose
	// Browser is what the browser has in its cookie from an earlier departure.
	Browser secret.Text
	// Subject is who is signed in there; required for all but to sign in.
	Subject  *identity.Subject
	ReturnTo string // a path on the base host; what is none is ignored
	// Strength is what a step-up is to come to.
	Strength identity.Strength
	// Another has the provider ask who it is, whoever is signed in there.
	Another bool
	Origin  identity.Origin
}

// flowLives is how long somebody may take to sign in at a provider.
const flowLives = 10 * time.Minute

// freshFor is how old the proof may be with which somebody links another
// identity, here and there.
const freshFor = 10 * time.Minute

// flow is a browser on its way.
type flow struct {
	provider  string // its id
	version   int64  // of the provider, when the browser left
	browser   digest
	purpose   Purpose
	personID  string
	sessionID string
	returnTo  string
	strength  identity.Strength
	expires   time.Time
	site      string // where it began, only to be counted
}

type digest [sha256.Size]byte

func digestOf(text string) digest { return sha256.Sum256([]byte(text)) }

// newSecret makes 256 random bits in 43 letters that need no escaping.
func newSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails: the documentation of crypto/rand
	return base64.RawURLEncoding.EncodeToString(b)
}

const secretLength = 43

// derive makes what goes with a state in one browser: the nonce, and the
// verifier of PKCE. Who has the address alone, or the cookie alone, or the
// database, has neither.
func derive(browser secret.Text, state, what string) string {
	mac := hmac.New(sha256.New, []byte(browser.Reveal()))
	mac.Write([]byte(what + "\x00" + state))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Begin sends a browser to a provider. It gives where to, and what the browser
// keeps in a cookie to be known by when it comes back.
func (s *Service) Begin(ctx context.Context, slug string, d Departure) (to string, browser secret.Text, err error) {
	if err := s.gates.pass(gateBegin, d.Origin.Network(), s.now()); err != nil {
		return "", secret.Text{}, err
	}
	p, err := s.Provider(ctx, slug)
	if err != nil {
		return "", secret.Text{}, err
	}
	if !p.Enabled && d.Purpose != ToTest {
		return "", secret.Text{}, refused(ReasonOff, nil)
	}
	f := flow{provider: p.ID, version: p.Version, purpose: d.Purpose, returnTo: ReturnPath(d.ReturnTo), strength: d.Strength, expires: s.now().Add(flowLives), site: network.Site(d.Origin.Host())}
	if d.Purpose == ToStepUp && !p.asksAnew() {
		return "", secret.Text{}, refused(ReasonStale, nil)
	}
	if d.Purpose != ToSignIn {
		if err := s.mayBegin(d); err != nil {
			return "", secret.Text{}, err
		}
		f.personID, f.sessionID = d.Subject.Person.ID, d.Subject.SessionID
	}
	c, err := s.connect(ctx, p)
	if err != nil {
		s.log.WarnContext(ctx, "provider can not be asked", "provider", p.Slug, "error", err)
		return "", secret.Text{}, refused(ReasonAway, err)
	}
	browser = d.Browser
	if len(browser.Reveal()) != secretLength {
		browser = secret.New(newSecret())
	}
	state := newSecret()
	f.browser = digestOf(browser.Reveal())
	if to, err = s.authorize(ctx, c, browser, state, d); err != nil {
		return "", secret.Text{}, err
	}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if err := insertFlow(ctx, tx, digestOf(state), f); err != nil {
			return err
		}
		under, err := countFlows(ctx, tx)
		if err != nil || under <= s.most {
			return err
		}
		return deleteOldestFlow(ctx, tx)
	})
	if err != nil {
		return "", secret.Text{}, err
	}
	return to, browser, nil
}

// mayBegin says whether somebody may link an identity, or test a provider.
func (s *Service) mayBegin(d Departure) error {
	if d.Subject == nil || d.Subject.Via != identity.ViaSession {
		return fault.Forbidden("this takes a browser that is signed in")
	}
	if d.Purpose == ToLink && !d.Subject.ProvedSince(s.now().Add(-freshFor)) {
		return fault.ProveAgain("prove again who you are: adding a way in takes a proof of the last %d minutes, by no less than you have", int(freshFor.Minutes()))
	}
	return nil
}

// authorize makes the address at the provider, and pushes what is in it where
// the provider takes that (RFC 9126).
func (s *Service) authorize(ctx context.Context, c *connection, browser secret.Text, state string, d Departure) (string, error) {
	config, err := s.config(ctx, c)
	if err != nil {
		return "", err
	}
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(derive(browser, state, "verifier"))}
	if c.provider.Preset == Google {
		options = append(options, oauth2.AccessTypeOffline) // Google's own word for the scope offline_access
	}
	if c.oidc != nil {
		options = append(options, oidc.Nonce(derive(browser, state, "nonce")))
		switch {
		case c.provider.Preset == Google && (d.Purpose == ToLink || d.Another):
			// Google has no login, and gives another refresh token only to who
			// consents once more.
			options = append(options, oauth2.SetAuthURLParam("prompt", "select_account consent"))
		case d.Purpose == ToLink, d.Purpose == ToStepUp:
			// OpenID Connect Core section 3.1.2.1: ask again, however recent.
			options = append(options, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
		case d.Another:
			options = append(options, oauth2.SetAuthURLParam("prompt", "login"))
		}
	} else if d.Another {
		options = append(options, oauth2.SetAuthURLParam("prompt", "select_account")) // GitHub's own word for it
	}
	to := config.AuthCodeURL(state, options...)
	if c.meta.PushURL == "" {
		return to, nil
	}
	return s.push(ctx, c, config, to)
}

// ReturnPath gives where to go to after a sign-in: a path on the base host, or
// "/" for everything else, whatever a browser would make of it.
func ReturnPath(to string) string {
	u, err := url.Parse(to)
	switch {
	case err != nil, len(to) > 2000, !strings.HasPrefix(to, "/"), strings.HasPrefix(to, "//"),
		u.Scheme != "", u.Host != "", u.User != nil,
		// Browsers read a backslash as a slash, and skip control characters.
		strings.ContainsFunc(to, func(r rune) bool { return r == '\\' || unicode.IsControl(r) || r == unicode.ReplacementChar }):
		return "/"
	}
	return to
}
