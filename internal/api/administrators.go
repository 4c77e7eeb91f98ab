package api

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/settings"
	"berth/internal/vault"
)

// defaultContact is whom to ask where nobody has said.
const defaultContact = "an administrator of this Berth"

// AdminsFrom is where the list of those who administer comes from.
type AdminsFrom struct {
	Settings string // what has BERTH_ADMINS; "" where the vault's slot counts
	Problem  string // why the last change of it does not count; "" when it does
}

// Administrators is who administers this Berth, and why.
type Administrators struct {
	Source     string          `json:"source" enum:"settings,slot,none" doc:"What says so: BERTH_ADMINS, the secret berth/ADMINS, or everybody's own role"`
	From       string          `json:"from,omitempty" doc:"Of the settings: what has BERTH_ADMINS"`
	Problem    string          `json:"problem,omitempty" doc:"Why the last change of the list does not count; the one before does"`
	Version    int64           `json:"version" doc:"Of the secret; 0 when there is none"`
	ChangedAt  time.Time       `json:"changed_at,omitzero" doc:"When the secret was set"`
	Contact    string          `json:"contact" doc:"Whom those are told to ask who may not"`
	BreakGlass string          `json:"break_glass,omitempty" doc:"Administers whatever a list says: the oldest account with a password that was made an administrator here"`
	Entries    []AdminEntry    `json:"entries" doc:"The list, in its order; empty where everybody's own role counts"`
	People     []Administrator `json:"people" doc:"All who administer, by username"`
}

// AdminEntry is an entry of the list.
type AdminEntry struct {
	Entry      string    `json:"entry" example:"github:alice"`
	State      string    `json:"state" enum:"administers,waits,unclear,other,no_provider" doc:"administers; waits for somebody whom it fits; unclear as it fits several; other as whom it is bound to has another name by now, or is gone; no_provider as there is none of that name"`
	Username   string    `json:"username,omitempty" doc:"Whose it is"`
	Issuer     string    `json:"issuer,omitempty"`
	ExternalID string    `json:"external_id,omitempty" doc:"What it is bound to; of an account of Berth's own its id"`
	BoundAt    time.Time `json:"bound_at,omitzero"`
}

// Administrator is somebody who administers.
type Administrator struct {
	Username    string   `json:"username"`
	DisplayName string   `json:"display_name,omitempty"`
	Disabled    bool     `json:"disabled,omitempty"`
	Why         []string `json:"why" doc:"Entries of the list, \"break glass\", or \"role\" where there is no list" example:"github:alice"`
}

func (a *API) getAdministrators(ctx context.Context, _ *struct{}) (*output[Administrators], error) {
	found, err := a.administrators(ctx)
	if err != nil {
		return nil, err
	}
	return answer(found), nil
}

func (a *API) administrators(ctx context.Context) (out Administrators, err error) {
	all, err := a.identity.Administrators(ctx)
	if err != nil {
		return out, err
	}
	providers, err := a.signin.Providers(ctx)
	if err != nil {
		return out, err
	}
	known := []string{settings.LocalProvider}
	for _, p := range providers {
		known = append(known, p.Slug)
	}
	from := a.adminsFrom()
	out = Administrators{Source: "none", From: from.Settings, Problem: from.Problem, Contact: a.contact, BreakGlass: all.BreakGlass, Entries: []AdminEntry{}, People: []Administrator{}}
	slot, err := a.adminsSlot(ctx)
	if err != nil {
		return out, err
	}
	out.Version, out.ChangedAt = slot.Version, slot.UpdatedAt
	if len(all.Listed) > 0 {
		out.Source = "slot"
	}
	if from.Settings != "" {
		out.Source = "settings"
	}
	why := map[string][]string{}
	for _, one := range all.Listed {
		entry := AdminEntry{Entry: one.String(), State: one.State.String(), Username: one.Username, Issuer: one.Issuer, ExternalID: one.ExternalID, BoundAt: one.BoundAt}
		if !slices.Contains(known, one.Provider) {
			entry.State = "no_provider"
		}
		why[one.Username] = append(why[one.Username], entry.Entry)
		out.Entries = append(out.Entries, entry)
	}
	for _, p := range all.People {
		reasons := append([]string{}, why[p.Username]...)
		if len(all.Listed) == 0 {
			reasons = append(reasons, "role")
		}
		if p.Username == all.BreakGlass {
			reasons = append(reasons, "break glass")
		}
		out.People = append(out.People, Administrator{Username: p.Username, DisplayName: p.DisplayName, Disabled: p.Disabled, Why: reasons})
	}
	return out, nil
}

// adminsSlot finds the list's slot; of version 0 when there is none.
func (a *API) adminsSlot(ctx context.Context) (vault.Slot, error) {
	slots, err := a.vault.List(ctx, vault.AdminsContext)
	if err != nil {
		return vault.Slot{}, err
	}
	for _, s := range slots {
		if s.Name == vault.AdminsName {
			return s, nil
		}
	}
	return vault.Slot{}, nil
}

type setAdministratorsInput struct {
	Body struct {
		Entries []string `json:"entries" maxItems:"200" doc:"provider:name, provider:address@example.org or provider:#id, with local for accounts of Berth's own; none leaves it to everybody's own role" example:"[\"local:carol\",\"github:alice\"]"`
		Version *int64   `json:"version,omitempty" minimum:"0" doc:"The version that was seen; 409 when it has moved. Without it, whatever is there is replaced."`
		Force   bool     `json:"force,omitempty" doc:"Also where people have no way in left by it, whose passwords sign in administrators alone; 409 without it"`
	}
}

// setAdministrators keeps the list as the secret berth/ADMINS.
func (a *API) setAdministrators(ctx context.Context, in *setAdministratorsInput) (*output[Administrators], error) {
	var wrong []fault.Field
	list := make([]settings.Admin, 0, len(in.Body.Entries))
	for _, text := range in.Body.Entries {
		one, err := settings.ParseAdmin(strings.TrimSpace(text))
		if err != nil {
			wrong = append(wrong, fault.Field{Name: "entries", Message: "has " + strconv.Quote(text) + ", which " + err.Error()})
			continue
		}
		list = append(list, one)
	}
	if err := fault.InvalidFields(wrong); err != nil {
		return nil, err
	}
	if err := a.provesAgain(ctx); err != nil {
		return nil, err
	}
	if a.adminsFrom().Settings == "" {
		left, err := a.identity.LeftOutByList(ctx, list)
		if err == nil {
			err = left.Meant(in.Body.Force, identity.OtherWayFirst)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := a.storeAdministrators(ctx, list, in.Body.Version); err != nil {
		return nil, err
	}
	return a.getAdministrators(ctx, nil)
}

func (a *API) storeAdministrators(ctx context.Context, list []settings.Admin, seen *int64) error {
	actor := callerOf(ctx).actor()
	if len(list) > 0 {
		spelled := make([]string, len(list))
		for i, one := range list {
			spelled[i] = one.String()
		}
		_, err := a.vault.Replace(ctx, actor, vault.AdminsContext, vault.AdminsName, seen, secret.New(strings.Join(spelled, "\n")))
		return renamed(err, "value", "entries")
	}
	if seen != nil {
		switch now, err := a.adminsSlot(ctx); {
		case err != nil:
			return err
		case now.Version != *seen:
			return fault.Conflict("the list was changed meanwhile; look at it again")
		case now.Version == 0:
			return nil
		}
	}
	return a.vault.Remove(ctx, actor, vault.AdminsContext, vault.AdminsName)
}

// renamed gives the fields of a fault the name that the caller knows them by.
func renamed(err error, from, to string) error {
	fields := slices.Clone(fault.FieldsOf(err))
	if len(fields) == 0 {
		return err
	}
	for i := range fields {
		if fields[i].Name == from {
			fields[i].Name = to
		}
	}
	return fault.InvalidFields(fields)
}

// mayAdminister says whether somebody administers.
func mayAdminister(s *identity.Subject) bool {
	return identity.Decide(s, identity.ActionAdminister, identity.On{}) == nil
}
