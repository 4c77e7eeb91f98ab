package notify

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"berth/internal/fault"
	"berth/internal/secret"
)

// Service is what carries a channel's messages.
type Service string

// The services.
const (
	Email   Service = "email"
	Slack   Service = "slack" // and what takes Slack's webhooks, such as Mattermost
	Discord Service = "discord"
	Matrix  Service = "matrix"
	Ntfy    Service = "ntfy"
	Teams   Service = "teams"
	Webhook Service = "webhook" // JSON, signed as Standard Webhooks has it
)

// Services are all of them, in the order in which people are shown them.
var Services = []Service{Email, Slack, Discord, Matrix, Ntfy, Teams, Webhook}

func (s Service) String() string { return string(s) }

// Kind is what a message is about: the groups in which people choose.
type Kind string

// The kinds.
const (
	DeploymentLive       Kind = "deployment.live"
	DeploymentFailed     Kind = "deployment.failed"
	DeploymentHeld       Kind = "deployment.held" // it waits for approval
	DeploymentRolledBack Kind = "deployment.rolled_back"
	InstanceDown         Kind = "instance.down"
	SourceFailing        Kind = "source.failing" // a registry can't be asked for new images
	JobFailed            Kind = "job.failed"
	SignInFailures       Kind = "signin.failures" // many in a short time
	DiskLow              Kind = "disk.low"
	Test                 Kind = "test" // somebody pressed the button; no channel asks for it
)

// Kinds are those that a channel may ask for, in the order in which people are
// shown them.
var Kinds = []Kind{
	DeploymentLive, DeploymentFailed, DeploymentHeld, DeploymentRolledBack,
	InstanceDown, SourceFailing, JobFailed, SignInFailures, DiskLow,
}

// ofProject says whether a kind is about one project: a project's channel
// hears of nothing else.
func (k Kind) ofProject() bool {
	switch k {
	case DeploymentLive, DeploymentFailed, DeploymentHeld, DeploymentRolledBack, InstanceDown, JobFailed, Test:
		return true
	case SourceFailing, SignInFailures, DiskLow:
		return false
	}
	return false
}

// Channel is a way to some people, and what they want to hear of.
type Channel struct {
	ID      string  `json:"id"`
	Name    string  `json:"name"`
	Service Service `json:"service"`
	Project string  `json:"project,omitempty"` // its name; "" is all of Berth
	Kinds   []Kind  `json:"kinds"`
	Enabled bool    `json:"enabled"`
	// Hint is what of the address may be shown; "" when there is none yet, and
	// nothing is sent.
	Hint      string    `json:"hint,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Version   int64     `json:"version"` // grows with each edit; an edit names the one it saw

	inside bool // an administrator gave the address: it may be in a private network
}

// NewChannel is what a channel is made of.
type NewChannel struct {
	Name    string
	Service Service
	Project string
	Kinds   []Kind
	Enabled bool
	Address secret.Text // may be given later, by an edit
	// Inside allows an address in a private network, or without TLS.
	Inside bool
}

// ChannelEdit is what an edit changes; nil is as it was.
type ChannelEdit struct {
	Name    *string
	Kinds   []Kind
	Enabled *bool
	Address secret.Text // empty: as it was
	Inside  bool        // of Address, as of a new channel
	// NewSigningSecret replaces the secret that a webhook is signed with.
	NewSigningSecret bool
}

var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// validate says what of a channel is wrong; of its address, parseAddress does.
func (c Channel) validate() []fault.Field {
	var wrong []fault.Field
	add := func(name, format string, args ...any) {
		wrong = append(wrong, fault.Field{Name: name, Message: fmt.Sprintf(format, args...)})
	}
	if !namePattern.MatchString(c.Name) {
		add("name", "takes 1 to 63 of a to z, 0 to 9 and -, and neither begins nor ends with -")
	}
	if !slices.Contains(Services, c.Service) {
		add("service", "is one of %s", joined(Services))
	}
	if len(c.Kinds) == 0 {
		add("kinds", "names nothing to be told of")
	}
	for _, k := range c.Kinds {
		switch {
		case !slices.Contains(Kinds, k):
			add("kinds", "%q is none of %s", string(k), joined(Kinds))
		case c.Project != "" && !k.ofProject():
			add("kinds", "%s is about all of Berth: it needs a channel that is not one project's", k)
		}
	}
	return wrong
}

// ordered gives kinds in their order, each once.
func ordered(kinds []Kind) []Kind {
	list := slices.Clone(kinds)
	rank := func(k Kind) int {
		if i := slices.Index(Kinds, k); i >= 0 {
			return i
		}
		return len(Kinds)
	}
	slices.SortStableFunc(list, func(a, b Kind) int { return rank(a) - rank(b) })
	return slices.Compact(list)
}

// wants says whether a channel is told of a notice.
func (c Channel) wants(n Notice) bool {
	return c.Enabled && c.Hint != "" && slices.Contains(c.Kinds, n.Kind) && (c.Project == "" || c.Project == n.Project)
}

func joined[T ~string](list []T) string {
	words := make([]string, len(list))
	for i, w := range list {
		words[i] = string(w)
	}
	return strings.Join(words, ", ")
}
