package registry

import (
	"slices"
	"strings"
)

// maxScopes bounds what one token is asked for.
const maxScopes = 64

// scope is what a request for target would need, as clients ask for it.
func (t target) scope() string {
	switch t.part {
	case partBase:
		return ""
	case partCatalog:
		return "registry:catalog:*"
	case partBlob, partUploads, partUpload, partManifest, partTags, partReferrers:
	}
	what := string(t.action)
	if t.action == push {
		what = "pull,push"
	}
	scope := "repository:" + t.repository + ":" + what
	if t.mountFrom != "" && t.mountFrom != t.repository {
		scope += " repository:" + t.mountFrom + ":pull"
	}
	return scope
}

// grant is what a token allows in one repository.
type grant struct {
	Type    string   `json:"type"` // "repository" or "registry"
	Name    string   `json:"name"`
	Actions []action `json:"actions"`
}

// grantsOf reads the scopes that a client asks for, each a "type:name:actions"
// and several divided by spaces, and gives those that the account may have.
// What is not understood is not granted.
func grantsOf(asked []string, a Account) (grants []grant) {
	fields := strings.Fields(strings.Join(asked, " "))
	for _, field := range fields[:min(len(fields), maxScopes)] {
		kind, rest, _ := strings.Cut(field, ":")
		i := strings.LastIndexByte(rest, ':')
		if i < 0 {
			continue
		}
		name, actions := rest[:i], strings.Split(rest[i+1:], ",")
		switch {
		case kind == "registry" && name == "catalog" && a.Pull && a.Bound == nil:
			grants = append(grants, grant{Type: kind, Name: name, Actions: []action{"*"}})
		case kind == "repository" && checkName(name) == nil && a.reaches(name):
			if allowed := allowedOf(actions, a); len(allowed) > 0 {
				grants = append(grants, grant{Type: kind, Name: name, Actions: allowed})
			}
		}
	}
	return grants
}

func allowedOf(asked []string, a Account) (allowed []action) {
	for _, what := range []action{pull, push, remove} {
		if a.may(what) && (slices.Contains(asked, string(what)) || slices.Contains(asked, "*")) {
			allowed = append(allowed, what)
		}
	}
	return allowed
}

// scopeText is grants as the answer to a request spells them.
func scopeText(grants []grant) string {
	list := make([]string, len(grants))
	for i, g := range grants {
		actions := make([]string, len(g.Actions))
		for j, a := range g.Actions {
			actions[j] = string(a)
		}
		list[i] = g.Type + ":" + g.Name + ":" + strings.Join(actions, ",")
	}
	return strings.Join(list, " ")
}
