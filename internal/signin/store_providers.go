package signin

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/sqlite"
)

const providerColumns = `id, slug, preset, label, position, enabled, issuer, pinned_issuer, client_id, has_secret,
		scopes, claims, create_people, new_role, allowed_domains, allowed_groups, group_prefix, sign_out, trust_factor, trust_email, created_at, updated_at, version`

func scanProvider(r sqlite.Row) (Provider, error) {
	var p Provider
	var scopes, claims, domains, groups string
	var prefix sql.NullString
	var created, updated int64
	err := r.Scan(&p.ID, &p.Slug, &p.Preset, &p.Label, &p.Order, &p.Enabled, &p.Issuer, &p.PinnedIssuer, &p.ClientID, &p.HasSecret,
		&scopes, &claims, &p.Create, &p.NewRole, &domains, &groups, &prefix, &p.SignOut, &p.TrustFactor, &p.TrustEmail, &created, &updated, &p.Version)
	if err != nil {
		return Provider{}, err
	}
	for _, field := range []struct {
		from string
		into any
	}{{scopes, &p.Scopes}, {claims, &p.Claims}, {domains, &p.AllowedDomains}, {groups, &p.AllowedGroups}} {
		if err := json.Unmarshal([]byte(field.from), field.into); err != nil {
			return Provider{}, fmt.Errorf("read provider %s: %w", p.Slug, err)
		}
	}
	if prefix.Valid {
		p.GroupPrefix = &prefix.String
	}
	p.CreatedAt, p.UpdatedAt = sqlite.Time(created), sqlite.Time(updated)
	return p, nil
}

// values are a provider's columns without its id and the time it was made.
func (p Provider) values() ([]any, error) {
	var encoded [4]string
	for i, v := range []any{p.Scopes, p.Claims, p.AllowedDomains, p.AllowedGroups} {
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		encoded[i] = string(raw)
	}
	var prefix sql.NullString
	if p.GroupPrefix != nil {
		prefix = sql.NullString{String: *p.GroupPrefix, Valid: true}
	}
	return []any{
		p.Label, p.Order, p.Enabled, p.Issuer, p.PinnedIssuer, p.ClientID, p.HasSecret,
		encoded[0], encoded[1], p.Create, string(p.NewRole), encoded[2], encoded[3], prefix, p.SignOut, p.TrustFactor, p.TrustEmail, sqlite.Millis(p.UpdatedAt), p.Version,
	}, nil
}

func selectProviders(ctx context.Context, tx *sqlite.Tx) ([]Provider, error) {
	return sqlite.All(ctx, tx, scanProvider, `
		SELECT `+providerColumns+`
		FROM providers
		ORDER BY position, label, slug`)
}

func selectSlugs(ctx context.Context, tx *sqlite.Tx) ([]string, error) {
	return sqlite.All(ctx, tx, func(from sqlite.Row) (slug string, err error) { return slug, from.Scan(&slug) }, `
		SELECT slug
		FROM providers
		ORDER BY position, label, slug`)
}

func findProvider(ctx context.Context, tx *sqlite.Tx, slug string) (Provider, error) {
	p, err := scanProvider(tx.QueryRowContext(ctx, `
		SELECT `+providerColumns+`
		FROM providers
		WHERE slug = ?`, slug))
	if errors.Is(err, sql.ErrNoRows) {
		return Provider{}, fault.NotFound("there is no provider named %q", slug)
	}
	return p, err
}

func insertProvider(ctx context.Context, tx *sqlite.Tx, p Provider) error {
	values, err := p.values()
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO providers (label, position, enabled, issuer, pinned_issuer, client_id, has_secret,
			scopes, claims, create_people, new_role, allowed_domains, allowed_groups, group_prefix, sign_out, trust_factor, trust_email, updated_at, version,
			id, slug, preset, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		append(values, p.ID, p.Slug, string(p.Preset), sqlite.Millis(p.CreatedAt))...)
	return err
}

// updateProvider stores p over the version before its own; false when there is
// none.
func updateProvider(ctx context.Context, tx *sqlite.Tx, p Provider) (bool, error) {
	values, err := p.values()
	if err != nil {
		return false, err
	}
	done, err := tx.ExecContext(ctx, `
		UPDATE providers
		SET label = ?, position = ?, enabled = ?, issuer = ?, pinned_issuer = ?, client_id = ?, has_secret = ?,
			scopes = ?, claims = ?, create_people = ?, new_role = ?, allowed_domains = ?, allowed_groups = ?, group_prefix = ?, sign_out = ?, trust_factor = ?, trust_email = ?,
			updated_at = ?, version = ?
		WHERE id = ?
		AND version = ?`, append(values, p.ID, p.Version-1)...)
	if err != nil {
		return false, err
	}
	changed, err := done.RowsAffected()
	return changed == 1, err
}

// leadsIn lists the providers that are switched on where somebody can sign in,
// where they last did first: those with the issuer that they know them under.
// Until an issuer is pinned, the slash at its end says nothing.
func leadsIn(ctx context.Context, tx *sqlite.Tx, personID, without string) ([]identity.Way, error) {
	return sqlite.All(ctx, tx, func(from sqlite.Row) (identity.Way, error) {
		way := identity.Way{Method: identity.MethodProvider}
		err := from.Scan(&way.Provider, &way.IdentityID)
		return way, err
	}, `
		SELECT identities.provider, identities.id
		FROM identities
		JOIN providers ON providers.slug = identities.provider
		WHERE identities.person_id = ? AND providers.enabled AND providers.slug <> ?
			AND (identities.issuer = providers.pinned_issuer
				OR providers.pinned_issuer = '' AND rtrim(identities.issuer, '/') = rtrim(providers.issuer, '/'))
		ORDER BY identities.last_sign_in_at DESC, identities.provider, identities.id`, personID, without)
}

// pinIssuer keeps how a provider spells its issuer.
func pinIssuer(ctx context.Context, tx *sqlite.Tx, id, issuer string) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE providers
		SET pinned_issuer = ?
		WHERE id = ?`, issuer, id)
	return err
}

func deleteProvider(ctx context.Context, tx *sqlite.Tx, id string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM providers
		WHERE id = ?`, id)
	return err
}
