package signin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"berth/internal/fault"
	"berth/internal/outgoing"
	"berth/internal/settings"
	"berth/internal/sqlite"
)

// metadata is what of a provider's own description Berth goes by: OpenID
// Connect Discovery 1.0, RFC 8414, RFC 9126, RFC 9207 and the logout specifications.
type metadata struct {
	AuthURL       string   `json:"authorization_endpoint"`
	TokenURL      string   `json:"token_endpoint"`
	UserInfoURL   string   `json:"userinfo_endpoint"`
	KeysURL       string   `json:"jwks_uri"`
	PushURL       string   `json:"pushed_authorization_request_endpoint"`
	EndSessionURL string   `json:"end_session_endpoint"`
	TellsIssuer   bool     `json:"authorization_response_iss_parameter_supported"`
	TokenAuth     []string `json:"token_endpoint_auth_methods_supported"`
	Challenges    []string `json:"code_challenge_methods_supported"`
	LogoutTokens  bool     `json:"backchannel_logout_supported"`
}

// connection is a provider as it can be spoken to.
type connection struct {
	provider Provider // with its issuer pinned
	meta     metadata
	oidc     *oidc.Provider        // nil for GitHub
	verifier *oidc.IDTokenVerifier // nil for GitHub
	logouts  *oidc.IDTokenVerifier // of logout tokens, which anybody can send; nil for GitHub
	until    time.Time             // when it is asked for its metadata again
}

// algorithms may sign an id_token: those with a key pair. With the others
// whoever knows the client, or nobody at all, would do for the provider.
var algorithms = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA,
}

// metadataLives is how long a provider's metadata is gone by.
const metadataLives = time.Hour

// connections keeps what is known of providers, by their ids.
type connections struct {
	mu     *sync.Mutex
	all    map[string]*connection
	asking *singleflight.Group
}

func newConnections() connections {
	return connections{mu: &sync.Mutex{}, all: map[string]*connection{}, asking: &singleflight.Group{}}
}

func (c connections) get(p Provider, now time.Time) *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.all[p.ID]
	if known == nil || known.provider.Version != p.Version || !now.Before(known.until) {
		return nil
	}
	return known
}

func (c connections) put(known *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) >= 2*maxProviders {
		clear(c.all) // of providers that are gone; the others are asked again
	}
	c.all[known.provider.ID] = known
}

// connect gives a provider as it can be spoken to. It asks the provider for
// its metadata when it has not for a while, once for all who wait.
func (s *Service) connect(ctx context.Context, p Provider) (*connection, error) {
	if known := s.known.get(p, s.now()); known != nil {
		return known, nil
	}
	key := fmt.Sprintf("%s %d", p.ID, p.Version)
	answer := s.known.asking.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer cancel()
		return s.discover(ctx, p)
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case got := <-answer:
		if got.Err != nil {
			return nil, got.Err
		}
		return got.Val.(*connection), nil //nolint:forcetypeassert // the only type that discover gives
	}
}

func (s *Service) discover(ctx context.Context, p Provider) (*connection, error) {
	known := &connection{provider: p, until: s.now().Add(metadataLives)}
	issuer := p.Issuer
	if p.Preset.protocol() == protocolGitHub {
		known.meta = gitHubMetadata(p.Issuer)
	} else {
		var err error
		if known.oidc, issuer, err = s.ask(ctx, p); err != nil {
			return nil, err
		}
		if err := known.oidc.Claims(&known.meta); err != nil {
			return nil, fmt.Errorf("read the metadata of %s: %w", p.Slug, err)
		}
		if err := known.meta.check(); err != nil {
			return nil, fmt.Errorf("metadata of %s: %w", p.Slug, err)
		}
		config := &oidc.Config{ClientID: p.ClientID, SupportedSigningAlgs: algorithms, Now: s.clock}
		known.verifier = known.oidc.Verifier(config)
		// Its keys are its own, too: no stranger's tokens are in the way of a sign-in.
		spared := oidc.ClientContext(context.WithoutCancel(ctx), outgoing.Sparing(s.client, 5*time.Second, 6))
		known.logouts = oidc.NewVerifier(issuer, oidc.NewRemoteKeySet(spared, known.meta.KeysURL), config)
	}
	if err := s.pin(ctx, known, issuer); err != nil {
		return nil, err
	}
	s.known.put(known)
	return known, nil
}

// ask fetches the metadata. The issuer in it must be the one that was given,
// byte by byte; with or without the slash at its end is tried once. After that
// it is pinned, and nothing else is tried.
func (s *Service) ask(ctx context.Context, p Provider) (*oidc.Provider, string, error) {
	ctx = oidc.ClientContext(ctx, s.client)
	issuer := p.issuer()
	found, err := oidc.NewProvider(ctx, issuer)
	if other, is := errors.AsType[*oidc.IssuerMismatchError](err); is && p.PinnedIssuer == "" && other.Discovered == otherSlash(issuer) {
		issuer = other.Discovered
		found, err = oidc.NewProvider(ctx, issuer)
	}
	if err != nil {
		return nil, "", fmt.Errorf("ask %s for its metadata: %w", p.Slug, err)
	}
	return found, issuer, nil
}

func otherSlash(issuer string) string {
	if without, had := strings.CutSuffix(issuer, "/"); had {
		return without
	}
	return issuer + "/"
}

func (s *Service) pin(ctx context.Context, known *connection, issuer string) error {
	if known.provider.PinnedIssuer == issuer {
		return nil
	}
	known.provider.PinnedIssuer = issuer
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		now, err := findProvider(ctx, tx, known.provider.Slug)
		switch {
		case err != nil:
			return err
		case now.PinnedIssuer == issuer && now.Version == known.provider.Version:
			return nil
		case now.PinnedIssuer != "" || now.Version != known.provider.Version:
			return fault.Conflict("provider %q was changed meanwhile; try again", now.Slug)
		}
		if err := pinIssuer(ctx, tx, now.ID, issuer); err != nil {
			return err
		}
		return s.emit(ctx, tx, ProviderPinned, "berth", known.provider, 0)
	})
}

// check refuses metadata that would send people, or Berth with its secret,
// where nothing is sealed, or that lacks what a sign-in needs.
func (m metadata) check() error {
	for _, place := range []struct {
		name, url string
		required  bool
	}{
		{"authorization_endpoint", m.AuthURL, true},
		{"token_endpoint", m.TokenURL, true},
		{"jwks_uri", m.KeysURL, true},
		{"userinfo_endpoint", m.UserInfoURL, false},
		{"pushed_authorization_request_endpoint", m.PushURL, false},
		{"end_session_endpoint", m.EndSessionURL, false},
	} {
		if place.url == "" && !place.required {
			continue
		}
		u, err := url.Parse(place.url)
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !settings.IsLoopback(u.Hostname())) {
			return fmt.Errorf("its %s is no address with https", place.name)
		}
	}
	return nil
}

// redirect is where the provider sends browsers back to: an address for each
// provider, by which a mix-up of two shows (RFC 9700 section 4.4.2.2).
func (s *Service) redirect(p Provider) string { return s.place(p, "callback") }

func (s *Service) place(p Provider, what string) string {
	return s.base.JoinPath("auth", p.Slug, what).String()
}

// config is the connection as package oauth2 has it.
func (s *Service) config(ctx context.Context, c *connection) (*oauth2.Config, error) {
	given, err := s.secretOf(ctx, c.provider)
	if err != nil {
		return nil, err
	}
	return &oauth2.Config{
		ClientID: c.provider.ClientID, ClientSecret: given.Reveal(), Scopes: c.provider.Scopes, RedirectURL: s.redirect(c.provider),
		Endpoint: oauth2.Endpoint{AuthURL: c.meta.AuthURL, TokenURL: c.meta.TokenURL, AuthStyle: c.meta.authStyle(given.Empty())},
	}, nil
}

// authStyle is how the client shows its secret. It is never tried out: a code
// works once.
func (m metadata) authStyle(public bool) oauth2.AuthStyle {
	basic := len(m.TokenAuth) == 0 || slices.Contains(m.TokenAuth, "client_secret_basic") // the default: RFC 8414 section 2
	if public || !basic {
		return oauth2.AuthStyleInParams
	}
	return oauth2.AuthStyleInHeader
}

// Findings is what a provider says of itself.
type Findings struct {
	Issuer      string `json:"issuer"`       // as it spells it
	Pushed      bool   `json:"pushed"`       // requests are pushed (RFC 9126)
	TellsIssuer bool   `json:"tells_issuer"` // RFC 9207
	Challenges  bool   `json:"challenges"`   // it says that it takes PKCE with S256
	SignsOut    bool   `json:"signs_out"`    // it has a page to sign out at
	TellsLogout bool   `json:"tells_logout"` // it tells of logouts over the back channel
}

// Check asks a provider for its metadata now, and says what is in it. What is
// wrong is told in a fault of kind NotNow.
func (s *Service) Check(ctx context.Context, slug string) (Findings, error) {
	p, err := s.Provider(ctx, slug)
	if err != nil {
		return Findings{}, err
	}
	c, err := s.discover(ctx, p)
	if err != nil {
		if fault.KindOf(err) != fault.Internal {
			return Findings{}, err
		}
		return Findings{}, fault.Unavailable("%s does not answer as a provider does: %s", cmp.Or(p.Label, p.Slug), trouble(err)).Because(err)
	}
	return Findings{
		Issuer: c.provider.PinnedIssuer, Pushed: c.meta.PushURL != "", TellsIssuer: c.meta.TellsIssuer,
		Challenges: slices.Contains(c.meta.Challenges, "S256"), SignsOut: c.meta.EndSessionURL != "", TellsLogout: c.meta.LogoutTokens,
	}, nil
}

// Addresses are what is entered at a provider.
type Addresses struct {
	Redirect string `json:"redirect" doc:"Where the provider sends browsers back to"`
	Logout   string `json:"logout" doc:"Where the provider may tell of logouts (back-channel)"`
	LandedAt string `json:"landed_at" doc:"Where the provider may send browsers after a sign-out there"`
}

// Addresses gives what is entered at a provider of that slug.
func (s *Service) Addresses(slug string) Addresses {
	p := Provider{Slug: slug}
	return Addresses{Redirect: s.redirect(p), Logout: s.place(p, "backchannel-logout"), LandedAt: s.base.JoinPath("sign-in").String()}
}
