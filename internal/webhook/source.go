package webhook

import (
	"maps"
	"slices"
)

// Source is a product that sends webhooks.
type Source string

// The sources.
const (
	DockerHub    Source = "dockerhub"
	GitHub       Source = "github"
	Gitea        Source = "gitea"
	Forgejo      Source = "forgejo"
	GitLab       Source = "gitlab"
	Distribution Source = "distribution" // CNCF Distribution, "the" registry
	Harbor       Source = "harbor"
	Quay         Source = "quay"
	Zot          Source = "zot"
	Generic      Source = "generic" // Berth's own form, for everything else
)

// Sources are all sources, by name.
var Sources = slices.Sorted(maps.Keys(products))

// HasSecret says whether a source has a way to show that it knows a secret.
func (s Source) HasSecret() bool { return products[s].auth != authNone }

// auth is how a sender shows that it knows the secret.
type auth int

const (
	authNone   auth = iota // not at all
	authHeader             // it sends the secret
	authHMAC               // it signs the body with it
)

// product is what is peculiar to a source.
type product struct {
	name   string
	auth   auth
	silent bool // its payload names no registry
	// signatures are the headers of an authHMAC, with what comes before the
	// hexadecimal digits; the first that is sent counts.
	signatures []signature
	events     []string // the headers that name the event
	parse      func(event string, body []byte) (Parsed, error)
}

type signature struct{ header, prefix string }

var products = map[Source]product{
	DockerHub: {name: "Docker Hub", parse: parseDockerHub},
	GitHub: {
		name: "GitHub", auth: authHMAC, parse: parseGitHub,
		signatures: []signature{{"X-Hub-Signature-256", "sha256="}}, events: []string{"X-Github-Event"},
	},
	Gitea: {
		name: "Gitea", auth: authHMAC, parse: parseGitea,
		signatures: []signature{{"X-Gitea-Signature", ""}}, events: []string{"X-Gitea-Event"},
	},
	Forgejo: {
		name: "Forgejo", auth: authHMAC, parse: parseGitea,
		signatures: []signature{{"X-Forgejo-Signature", ""}, {"X-Gitea-Signature", ""}}, events: []string{"X-Forgejo-Event", "X-Gitea-Event"},
	},
	GitLab:       {name: "GitLab", auth: authHeader, parse: parseDistribution, events: []string{"X-Gitlab-Event"}},
	Distribution: {name: "CNCF Distribution", auth: authHeader, parse: parseDistribution},
	Harbor:       {name: "Harbor", auth: authHeader, parse: parseHarbor, events: []string{"Ce-Type"}},
	Quay:         {name: "Quay", parse: parseQuay},
	Zot:          {name: "zot", auth: authHeader, silent: true, parse: parseZot, events: []string{"Ce-Type"}},
	Generic:      {name: "the sender", auth: authHeader, parse: parseGeneric},
}

func sourceNames() []string {
	names := make([]string, len(Sources))
	for i, s := range Sources {
		names[i] = string(s)
	}
	return names
}
