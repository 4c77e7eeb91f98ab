package manifest

import (
	"context"
	"strconv"

	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/registry"
)

func (p *planner) registries() {
	walk(p, p.wanted.Registries, p.have.Registries, func(h registry.RegistryAccount) string { return h.Host }, p.registry,
		func(h registry.RegistryAccount) Change {
			return Change{Action: Remove, Kind: KindRegistry, Name: h.Host, Fields: []deploy.Change{}, slot: PasswordOf(h.Host), version: h.Version}
		})
}

func (p *planner) registry(host string, w Registry, h registry.RegistryAccount, there bool) {
	fields := differences("username", h.Username, w.Username,
		"insecure", strconv.FormatBool(h.Insecure), strconv.FormatBool(w.Insecure),
		"poll_interval", h.PollInterval.String(), w.PollInterval.String())
	if p.differs(PasswordOf(host)) {
		fields = append(fields, hidden("password", there && h.Username != ""))
	}
	p.change(there, Change{Kind: KindRegistry, Name: host, Fields: fields, slot: PasswordOf(host), version: h.Version})
	if w.Password != nil && p.wanted.Values[PasswordOf(host)].Empty() {
		p.notes = append(p.notes, "the password for "+host+" is sealed and was not opened: what is there stays")
	}
}

// registryFlaws checks a registry's host, and finds the password where the
// document refers to a stored secret.
func (s *Service) registryFlaws(ctx context.Context, w Wanted, from source, host string) []fault.Field {
	at := []string{"registries", host}
	if normal, err := registry.NormalHost(host); err != nil {
		return from.flaws(at, "host", err)
	} else if normal != host {
		return from.flaws(at, "", fault.Invalid("it is saved as %s: write it like this", normal))
	}
	return s.refer(ctx, w, from, w.Registries[host].Password, PasswordOf(host))
}

func (w *writing) registry(ctx context.Context, c Change) error {
	if c.Action == Remove {
		return w.accounts.RemoveAccountIn(ctx, w.tx, w.actor, c.Name)
	}
	a := w.wanted.Registries[c.Name]
	return w.accounts.SetAccountIn(ctx, w.tx, w.actor, &c.version, registry.RegistryAccount{
		Host: c.Name, Username: a.Username, Insecure: a.Insecure, PollInterval: a.PollInterval,
	}, w.wanted.Values[c.slot])
}
