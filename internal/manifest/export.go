package manifest

import (
	"context"

	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// Scope says what an export is of.
type Scope struct {
	// Project is the one project that is exported, alone; all things when "".
	Project string
	// Accounts adds what only administrators may see.
	Accounts bool
}

// Export gives what there is as a document, with secrets by their names.
func (s *Service) Export(ctx context.Context, of Scope) (Document, error) {
	have, err := s.state(ctx)
	if err != nil {
		return Document{}, err
	}
	doc := Document{Berth: format, Projects: map[string]Project{}, Secrets: map[string]map[string]Secret{}}
	for _, p := range have.Projects {
		if of.Project == "" || p.Name == of.Project {
			doc.Projects[p.Name] = projectOf(p)
		}
	}
	if of.Project != "" && len(doc.Projects) == 0 {
		return Document{}, fault.NotFound("no project named %q", of.Project)
	}
	used := doc.used()
	for slot := range have.Slots {
		if of.Project != "" && !used[slot] {
			continue
		}
		if doc.Secrets[slot.Context] == nil {
			doc.Secrets[slot.Context] = map[string]Secret{}
		}
		doc.Secrets[slot.Context][slot.Name] = Secret{}
	}
	if of.Accounts && of.Project == "" {
		doc.addAccounts(have)
	}
	return doc, nil
}

func projectOf(h deploy.SavedProject) Project {
	p := Project{Image: h.Image, Description: h.Description, Stages: map[string]deploy.StageSpec{}}
	for _, st := range h.Stages {
		p.Stages[st.Name] = st.Spec
	}
	return p
}

// used are the secrets that a document's stages use.
func (doc Document) used() map[Slot]bool {
	found := map[Slot]bool{}
	for _, p := range doc.Projects {
		for _, st := range p.Stages {
			for _, ref := range st.Secrets {
				found[Slot{ref.Context, ref.Name}] = true
			}
		}
	}
	return found
}

// addAccounts adds the sections that are for administrators.
func (doc *Document) addAccounts(have State) {
	doc.Routes = map[string]deploy.FixedSpec{}
	for _, r := range have.Routes {
		doc.Routes[r.Name] = r.Spec
	}
	doc.Registries = map[string]Registry{}
	for _, a := range have.Registries {
		doc.Registries[a.Host] = Registry{Username: a.Username, Insecure: a.Insecure, PollInterval: a.PollInterval}
	}
	doc.Providers = map[string]Provider{}
	for _, p := range have.Providers {
		doc.Providers[p.Slug] = providerOf(p)
	}
	if doc.adminsFrom = have.Administrators.From; doc.adminsFrom == "" {
		doc.Administrators = append([]string{}, have.Administrators.Entries...)
	}
	doc.SecondFactor = &SecondFactor{RequiredOf: have.SecondFactor.RequiredOf}
	doc.SignIn = &SignIn{Passwords: have.SignIn.Passwords, StraightTo: have.SignIn.StraightTo}
}

// Seal puts the values of a document's secrets into it, sealed for public keys
// of age. It is an event: secrets leave the server by it, if only for those who
// have the key.
func (s *Service) Seal(ctx context.Context, actor string, doc Document, recipients []string) (Document, error) {
	to, err := Recipients(recipients)
	if err != nil {
		return Document{}, err
	}
	if len(to) == 0 {
		return Document{}, fault.Invalid("name the public keys of age to seal for")
	}
	count := 0
	put := func(value secret.Text) (string, error) {
		count++
		return seal(value, to)
	}
	for _, sealing := range []func(context.Context, Document, func(secret.Text) (string, error)) error{s.sealSecrets, s.sealAccounts, s.sealProviders} {
		if err := sealing(ctx, doc, put); err != nil {
			return Document{}, err
		}
	}
	return doc, s.db.Write(ctx, func(tx *sqlite.Tx) error {
		return s.events.Append(ctx, tx, event.Event{Kind: Exported, Actor: actor, At: s.clock()},
			Sealed{Recipients: recipients, Secrets: count})
	})
}

func (s *Service) sealSecrets(ctx context.Context, doc Document, put func(secret.Text) (string, error)) error {
	for slotContext, names := range doc.Secrets {
		for name := range names {
			value, err := s.vault.Get(ctx, slotContext, name)
			if err != nil {
				return err
			}
			text, err := put(value)
			if err != nil {
				return err
			}
			names[name] = Secret{Sealed: text}
		}
	}
	return nil
}

func (s *Service) sealAccounts(ctx context.Context, doc Document, put func(secret.Text) (string, error)) error {
	for host, r := range doc.Registries {
		password, err := s.accounts.Password(ctx, host)
		if err != nil {
			return err
		}
		if password.Empty() {
			continue
		}
		text, err := put(password)
		if err != nil {
			return err
		}
		r.Password = &Password{Sealed: text}
		doc.Registries[host] = r
	}
	return nil
}
