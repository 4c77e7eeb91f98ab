// Package manifest is Berth's configuration as one YAML document: projects with
// their stages, routes that no stage makes, accounts at other registries,
// providers where people sign in and how they do, who administers, who must have
// a second factor, and which secrets there are. It exports what is there, plans what a
// document would change, and makes it so.
//
// Start with [Parse], which reads a document strictly, [NewPlan], which decides
// what a document changes and is a pure function, and [Service.Apply], which
// does it. A secret stands in a document by its name, or sealed for a key of
// age (https://age-encryption.org); never in the clear.
//
// People are not in it: a password or a session can't be carried by a file, and
// a file that made people would hand them out; the list of administrators names
// people whom providers vouch for, or who are here. Nor are notification channels
// and webhooks, whose addresses are secrets of their own. What is valid is left to the
// packages whose things these are.
package manifest

import (
	"berth/internal/deploy"
	"berth/internal/registry"
)

// MaxSize is how many bytes a document may have.
const MaxSize = 1 << 20

// format is the one form of document that there is; a document names it.
const format = 1

// Document is a configuration. A section that is not in it, nil here, is left
// as it is, also by a pruning apply; one that is empty names nothing.
type Document struct {
	Berth      int                         `json:"berth"` // always 1
	Projects   map[string]Project          `json:"projects"`
	Routes     map[string]deploy.FixedSpec `json:"routes"`
	Registries map[string]Registry         `json:"registries"` // by host
	Providers  map[string]Provider         `json:"providers"`  // by slug
	// Administrators are the list of those who administer, as people write its
	// entries. An empty one is none: everybody's own role counts.
	Administrators []string                     `json:"administrators"`
	SecondFactor   *SecondFactor                `json:"second_factor,omitempty"`
	SignIn         *SignIn                      `json:"sign_in,omitempty"`
	Secrets        map[string]map[string]Secret `json:"secrets"` // by context and name

	// adminsFrom is what has BERTH_ADMINS, where an exported document has no
	// list for that reason.
	adminsFrom string
}

// forAdministrators names the first section that only administrators may
// apply; "" when there is none.
func (doc Document) forAdministrators() string {
	for _, section := range []struct {
		name  string
		there bool
	}{
		{"routes", doc.Routes != nil},
		{"registries", doc.Registries != nil},
		{"providers", doc.Providers != nil},
		{"administrators", doc.Administrators != nil},
		{"second_factor", doc.SecondFactor != nil},
		{"sign_in", doc.SignIn != nil},
	} {
		if section.there {
			return section.name
		}
	}
	return ""
}

// Project is a project and, when they are named, its stages. Of a stage
// everything is here that a person sets, by the names that the API has.
type Project struct {
	Image       string                      `json:"image"`
	Description string                      `json:"description,omitempty"`
	Stages      map[string]deploy.StageSpec `json:"stages"`
}

// Registry is the account at another registry. Without a password, the one that
// is there stays.
type Registry struct {
	Username string `json:"username,omitempty"`
	Insecure bool   `json:"insecure,omitempty"` // plain HTTP is allowed
	// PollInterval is how often its repositories are looked at.
	PollInterval registry.Interval `json:"poll_interval,omitempty"`
	Password     *Password         `json:"password,omitempty"`
}

// Password says where a password comes from: a stored secret, by its context and
// name, or a text that is sealed for an age key.
type Password struct {
	Context string `json:"context,omitempty"`
	Name    string `json:"name,omitempty"`
	Sealed  string `json:"sealed,omitempty"`
}

// Secret is a stored secret. Without a sealed value it says only that there is
// one to be set by other means.
type Secret struct {
	Sealed string `json:"sealed,omitempty"`
}
