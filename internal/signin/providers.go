package signin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/settings"
	"berth/internal/sqlite"
)

// ProviderChange is the data of the events about providers.
type ProviderChange struct {
	Slug    string `json:"slug"`
	Preset  Preset `json:"preset"`
	Issuer  string `json:"issuer"`
	Enabled bool   `json:"enabled"`
	// TrustFactor is whether its word counts for a second factor.
	TrustFactor bool `json:"trust_factor,omitempty"`
	// LeftOut counts those who have no way in left by the change.
	LeftOut int `json:"left_out,omitempty"`
	// TrustEmail is whether its addresses count also where it does not say that
	// they are verified.
	TrustEmail bool `json:"trust_email,omitempty"`
}

// SlotContext is the context of the slots that hold the client secrets. No
// stage may take a variable from it, and nobody sets one but by a provider.
const SlotContext = "berth/provider"

// maxProviders bounds how many buttons a sign-in page has.
const maxProviders = 50

// Providers lists the providers in the order of their buttons.
func (s *Service) Providers(ctx context.Context) (list []Provider, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		list, err = selectProviders(ctx, tx)
		return err
	})
	return list, err
}

// KnowsProviders says which entry of a list of those who administer names a
// provider that is not set up; nil when none does.
func (s *Service) KnowsProviders(ctx context.Context, tx *sqlite.Tx, list []settings.Admin) error {
	known := map[string]bool{settings.LocalProvider: true}
	found, err := selectProviders(ctx, tx)
	if err != nil {
		return err
	}
	for _, p := range found {
		known[p.Slug] = true
	}
	for _, one := range list {
		if !known[one.Provider] {
			return fmt.Errorf("has %q, and there is no provider named %q", one.String(), one.Provider)
		}
	}
	return nil
}

// Slugs gives the names of the providers, on or off, in the order of their
// buttons.
func (s *Service) Slugs(ctx context.Context, tx *sqlite.Tx) ([]string, error) {
	return selectSlugs(ctx, tx)
}

// tellSlugs has who decides know them once tx is committed.
func (s *Service) tellSlugs(ctx context.Context, tx *sqlite.Tx) error {
	slugs, err := selectSlugs(ctx, tx)
	tx.OnCommit(func() { s.identity.KnowProviders(slugs) })
	return err
}

// Provider gives the one of a slug; a fault of kind Missing when there is none.
func (s *Service) Provider(ctx context.Context, slug string) (p Provider, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		p, err = findProvider(ctx, tx, slug)
		return err
	})
	return p, err
}

// Create adds a provider. It is not asked for anything yet: see [Service.Check].
func (s *Service) Create(ctx context.Context, actor string, made NewProvider) (p Provider, err error) {
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		p, err = s.CreateIn(ctx, tx, actor, made.Whole(), made.ClientSecret)
		return err
	})
	if err != nil {
		return Provider{}, err
	}
	return p, nil
}

// CreateIn is Create as a part of a transaction, of a provider that is whole:
// nothing of its preset is put in.
func (s *Service) CreateIn(ctx context.Context, tx *sqlite.Tx, actor string, p Provider, clientSecret secret.Text) (Provider, error) {
	now := s.now()
	p.ID, p.HasSecret, p.CreatedAt, p.UpdatedAt, p.Version = sqlite.NewID(now), !clientSecret.Empty(), now, now, 1
	if err := fault.InvalidFields(slices.Concat(p.validate(), p.checkPrefix(), checkSecret(clientSecret))); err != nil {
		return Provider{}, err
	}
	others, err := selectProviders(ctx, tx)
	switch {
	case err != nil:
		return Provider{}, err
	case len(others) >= maxProviders:
		return Provider{}, fault.Conflict("there are %d providers already, and no more are kept", len(others))
	case slices.ContainsFunc(others, func(o Provider) bool { return o.Slug == p.Slug }):
		return Provider{}, fault.Conflict("there is a provider named %q already", p.Slug)
	}
	if err := p.keepApart(others); err != nil {
		return Provider{}, err
	}
	if err := insertProvider(ctx, tx, p); err != nil {
		return Provider{}, err
	}
	if err := s.seal(ctx, tx, actor, p, clientSecret); err != nil {
		return Provider{}, err
	}
	if err := s.tellSlugs(ctx, tx); err != nil {
		return Provider{}, err
	}
	return p, s.emit(ctx, tx, ProviderCreated, actor, p, 0)
}

// Update saves an edit of the version that its author saw; fault.Conflict when
// there is a newer one. What trust rests on (where the provider is, who Berth
// is there, whether it is on) ends the sessions that came by it when it
// changes. Where people would have no way in left, it is a conflict, too, until
// the edit says that it is meant.
func (s *Service) Update(ctx context.Context, actor, slug string, version int64, e ProviderEdit) (p Provider, err error) {
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		p, err = s.UpdateIn(ctx, tx, actor, slug, version, e)
		return err
	})
	if err != nil {
		return Provider{}, err
	}
	return p, nil
}

// UpdateIn is Update as a part of a transaction.
func (s *Service) UpdateIn(ctx context.Context, tx *sqlite.Tx, actor, slug string, version int64, e ProviderEdit) (Provider, error) {
	was, err := findProvider(ctx, tx, slug)
	if err != nil {
		return Provider{}, err
	}
	p := e.of(was)
	if err := fault.InvalidFields(e.validate(was, p)); err != nil {
		return Provider{}, err
	}
	if p.Prefix() != was.Prefix() { // one of before these rules stays as it is
		others, err := selectProviders(ctx, tx)
		if err != nil {
			return Provider{}, err
		}
		if err := p.keepApart(others); err != nil {
			return Provider{}, err
		}
	}
	left, err := s.mayLeaveOut(ctx, tx, was, p, e.Force)
	if err != nil {
		return Provider{}, err
	}
	p.Version, p.UpdatedAt = version+1, s.now()
	ok, err := updateProvider(ctx, tx, p)
	if err != nil {
		return Provider{}, err
	}
	if !ok {
		return Provider{}, fault.Conflict("provider %q was changed meanwhile; look at it again", slug)
	}
	if err := s.seal(ctx, tx, actor, p, e.ClientSecret); err != nil {
		return Provider{}, err
	}
	if err := s.endOver(ctx, tx, actor, was, p); err != nil {
		return Provider{}, err
	}
	return p, s.emit(ctx, tx, ProviderUpdated, actor, p, left.People)
}

// validate names every field that is wrong in an edit that makes p of was.
func (e ProviderEdit) validate(was, p Provider) []fault.Field {
	wrong := append(p.validate(), checkSecret(e.ClientSecret)...)
	if p.Prefix() != was.Prefix() {
		wrong = append(wrong, p.checkPrefix()...)
	}
	if e.Preset != "" && e.Preset != was.Preset {
		wrong = append(wrong, fault.Field{Name: "preset", Message: fmt.Sprintf("stays %s, as the provider was made: remove it and make another one", was.Preset)})
	}
	if p.Issuer != was.Issuer && was.HasSecret && e.ClientSecret.Empty() {
		// Else whoever may edit could have the secret sent to an address of
		// their own.
		wrong = append(wrong, fault.Field{Name: "client_secret", Message: "is given again with another issuer: the one there is is not sent elsewhere"})
	}
	return wrong
}

// endOver ends what an edit leaves nothing to rest on: sessions, and the word
// for addresses.
func (s *Service) endOver(ctx context.Context, tx *sqlite.Tx, actor string, was, p Provider) error {
	if p.Issuer != was.Issuer || p.ClientID != was.ClientID || was.Enabled && !p.Enabled {
		if _, err := s.identity.EndProviderSessions(ctx, tx, actor, p.Slug, "its provider was changed"); err != nil {
			return err
		}
	}
	if p.Issuer != was.Issuer || p.Claims.Email != was.Claims.Email || was.TrustEmail && !p.TrustEmail {
		if err := s.identity.WithdrawAddresses(ctx, tx, p.Slug); err != nil {
			return err
		}
	}
	if was.TrustFactor && !p.TrustFactor {
		return s.identity.EndTrustedSessions(ctx, tx, actor, p.Slug, "its provider's second factor is trusted no more")
	}
	return nil
}

// Remove removes a provider and its secret, and ends the sessions that came by
// it. The identities stay: they are the same people when it comes back. Where
// people would have no way in left it is a conflict, unless that is forced.
func (s *Service) Remove(ctx context.Context, actor, slug string, force bool) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error { return s.RemoveIn(ctx, tx, actor, slug, force) })
}

// RemoveIn is Remove as a part of a transaction.
func (s *Service) RemoveIn(ctx context.Context, tx *sqlite.Tx, actor, slug string, force bool) error {
	p, err := findProvider(ctx, tx, slug)
	if err != nil {
		return err
	}
	left, err := s.mayLeaveOut(ctx, tx, p, Provider{}, force)
	if err != nil {
		return err
	}
	if _, err := s.identity.EndProviderSessions(ctx, tx, actor, p.Slug, "its provider was removed"); err != nil {
		return err
	}
	if err := s.identity.WithdrawAddresses(ctx, tx, p.Slug); err != nil {
		return err
	}
	if err := s.identity.LeadNoMoreTo(ctx, tx, actor, p.Slug); err != nil {
		return err
	}
	if err := deleteProvider(ctx, tx, p.ID); err != nil {
		return err
	}
	if err := s.secrets.RemoveIn(ctx, tx, actor, SlotContext, p.ID); err != nil && fault.KindOf(err) != fault.Missing {
		return fmt.Errorf("remove the secret of %s: %w", p.Slug, err)
	}
	if err := s.tellSlugs(ctx, tx); err != nil {
		return err
	}
	return s.emit(ctx, tx, ProviderRemoved, actor, p, left.People)
}

// keepApart refuses a prefix of groups with which one provider could speak of
// another's. Those without a prefix have given that up.
func (p Provider) keepApart(others []Provider) error {
	for _, other := range others {
		own, theirs := p.Prefix(), other.Prefix()
		if other.Slug == p.Slug || own == "" || theirs == "" || !strings.HasPrefix(own, theirs) && !strings.HasPrefix(theirs, own) {
			continue
		}
		return fault.InvalidFields([]fault.Field{{
			Name: "group_prefix", Message: fmt.Sprintf("%q and the prefix of %s, %q, begin alike: one would speak of the other's groups", own, other.Slug, theirs),
		}})
	}
	return nil
}

func checkSecret(given secret.Text) []fault.Field {
	if n := len(given.Reveal()); n > 4096 {
		return []fault.Field{{Name: "client_secret", Message: "takes at most 4096 bytes"}}
	}
	return nil
}

func (s *Service) seal(ctx context.Context, tx *sqlite.Tx, actor string, p Provider, given secret.Text) error {
	if given.Empty() {
		return nil
	}
	return s.secrets.SetIn(ctx, tx, actor, SlotContext, p.ID, given)
}

// ClientSecret opens the client secret of a provider; the empty one when it has
// none. A fault of kind Missing when there is no such provider.
func (s *Service) ClientSecret(ctx context.Context, slug string) (secret.Text, error) {
	p, err := s.Provider(ctx, slug)
	if err != nil {
		return secret.Text{}, err
	}
	return s.secretOf(ctx, p)
}

// secretOf opens the client secret; the empty one for a provider without.
func (s *Service) secretOf(ctx context.Context, p Provider) (secret.Text, error) {
	if !p.HasSecret {
		return secret.Text{}, nil
	}
	given, err := s.secrets.Get(ctx, SlotContext, p.ID)
	if err != nil {
		return secret.Text{}, fmt.Errorf("open the client secret of %s: %w", p.Slug, err)
	}
	return given, nil
}

func (s *Service) emit(ctx context.Context, tx *sqlite.Tx, kind event.Kind, actor string, p Provider, leftOut int) error {
	return s.events.Append(ctx, tx, event.Event{Kind: kind, Actor: actor, At: s.now()},
		ProviderChange{Slug: p.Slug, Preset: p.Preset, Issuer: p.issuer(), Enabled: p.Enabled, TrustFactor: p.TrustFactor, TrustEmail: p.TrustEmail, LeftOut: leftOut})
}
