package main

import (
	"context"
	"net/http"
	"strings"
	"time"

	"berth/internal/api"
	"berth/internal/identity"
	"berth/internal/vault"
)

type peopleShow struct {
	Username string `arg:"" help:"Who."`
}

// shownPerson is what "people show" prints as JSON.
type shownPerson struct {
	api.PersonDetail
	Identities []api.IdentityInfo `json:"identities"`
	Sessions   []api.Session      `json:"sessions"`
}

// Run shows a person.
func (cmd *peopleShow) Run(ctx context.Context, c *client, o *output) error {
	path := pathf("/api/people/%s", cmd.Username)
	var p shownPerson
	if err := c.get(ctx, path, &p.PersonDetail); err != nil {
		return err
	}
	var known page[api.IdentityInfo]
	if err := c.get(ctx, path+"/identities", &known); err != nil {
		return err
	}
	var signedIn page[api.Session]
	if err := c.get(ctx, path+"/sessions", &signedIn); err != nil {
		return err
	}
	p.Identities, p.Sessions = known.Items, signedIn.Items
	return o.result(p, func() {
		yes := func(v bool) string { return map[bool]string{true: "yes", false: "no"}[v] }
		o.pairs([2]string{"Username", p.Username}, [2]string{"Name", p.DisplayName}, [2]string{"Email", address(p.Person)},
			[2]string{"Role", string(p.Role)}, [2]string{"Disabled", yes(p.Disabled)}, [2]string{"Second factor", yes(p.SecondFactor)},
			[2]string{"Added", ago(p.CreatedAt, time.Now())})
		switch {
		case p.WayIn:
		case p.PasswordRefused:
			o.note("They have no way in: a password of theirs signs in only where passwords are for everybody, see \"berth access sign-in\".")
		default:
			o.note("They have no way in: set a password with \"berth people password %s\".", p.Username)
		}
		if len(p.Identities) > 0 {
			o.printf("\n")
			o.identities(p.Identities)
		}
		if len(p.Sessions) > 0 {
			o.printf("\n")
			o.sessions(p.Sessions)
		}
	})
}

type peopleSignOut struct {
	Username string `arg:"" help:"Whom."`
	Yes      bool   `short:"y" help:"Do not ask."`
}

// Run ends all of a person's sessions.
func (cmd *peopleSignOut) Run(ctx context.Context, c *client, o *output, p *process) error {
	if err := p.confirm(cmd.Yes, cmd.Username+" will be signed out everywhere."); err != nil {
		return err
	}
	var ended api.SignedOut
	if err := c.call(ctx, http.MethodPost, pathf("/api/people/%s/sessions/end", cmd.Username), nil, &ended); err != nil {
		return err
	}
	return o.result(ended, func() {
		o.printf("%s of %s ended.\n", counted(ended.Ended, "session"), cmd.Username)
		if ended.Tokens > 0 {
			o.note("%s of theirs stay: see \"berth people tokens %s\".", counted(ended.Tokens, "API token"), cmd.Username)
		}
	})
}

type peopleIdentities struct {
	Username string `arg:"" help:"Whose."`
}

// Run lists a person's identities.
func (cmd *peopleIdentities) Run(ctx context.Context, c *client, o *output) error {
	return listIdentities(ctx, c, o, pathf("/api/people/%s/identities", cmd.Username))
}

type peopleUnlink struct {
	Username string `arg:"" help:"Whose."`
	Identity string `arg:"" help:"The identity's id."`
	Yes      bool   `short:"y" help:"Do not ask."`
}

// Run unlinks one of a person's identities.
func (cmd *peopleUnlink) Run(ctx context.Context, c *client, o *output, p *process) error {
	if err := p.confirm(cmd.Yes, cmd.Username+" can no longer sign in with this identity, and is signed out where they did."); err != nil {
		return err
	}
	return unlinkIdentity(ctx, c, o, pathf("/api/people/%s/identities", cmd.Username), cmd.Identity)
}

// listIdentities lists somebody's identities: one's own, or those of a person.
func listIdentities(ctx context.Context, c *client, o *output, path string) error {
	var list page[api.IdentityInfo]
	if err := c.get(ctx, path, &list); err != nil {
		return err
	}
	return o.result(list.Items, func() { o.identities(list.Items) })
}

// unlinkIdentity unlinks one of the identities that path lists.
func unlinkIdentity(ctx context.Context, c *client, o *output, path, id string) error {
	if err := c.call(ctx, http.MethodDelete, path+pathf("/%s", id), nil, nil); err != nil {
		return err
	}
	return o.result(map[string]string{"unlinked": id}, func() { o.printf("Identity %s is unlinked.\n", id) })
}

// address gives an address with whose word stands behind it.
func address(p identity.Person) string {
	switch p.EmailState {
	case identity.EmailUnverified:
		return p.Email + " (not verified: no app is told it)"
	case identity.EmailTaken:
		return p.Email + " (somebody else's already: no app is told it)"
	case identity.EmailVerified:
		return p.Email + " (verified by their provider)"
	case identity.EmailGiven:
	}
	return p.Email
}

func verified(one identity.Identity) string {
	if one.Email != "" && !one.EmailVerified {
		return one.Email + " (not verified)"
	}
	return one.Email
}

func (o *output) identities(list []api.IdentityInfo) {
	rows := make([][]string, len(list))
	for i, one := range list {
		rows[i] = []string{
			one.ID, one.Provider, one.Issuer, one.ExternalID, one.Username, verified(one.Identity), strings.Join(one.Groups, ", "),
			ago(one.LastSignInAt, time.Now()), ago(one.SyncedAt, time.Now()), held(one.Tokens),
		}
	}
	o.table([]string{"identity", "provider", "issuer", "external id", "name there", "email there", "groups", "signed in", "groups synced", "tokens"}, rows)
}

// held says what Berth holds of a provider's tokens.
func held(g *vault.Grant) string {
	switch {
	case g == nil:
		return "none"
	case g.Ended != "":
		return "ended"
	}
	return "held"
}
