package main

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"berth/internal/api"
	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/identity"
)

type accessCommand struct {
	Show accessShow `cmd:"" help:"Show who may enter a stage, rule by rule."`
	Set  accessSet  `cmd:"" help:"Say who may enter a stage, as an administrator."`

	Preview accessPreview `cmd:"" help:"Say who could see a stage, by its policy or by another, without saving it."`

	Admins adminsCommand `cmd:"" help:"Say who administers this Berth."`

	SecondFactor secondFactorRule  `cmd:"" help:"Say who must have a second factor."`
	SignIn       accessSignIn      `cmd:"" help:"Say whose passwords sign in, and whether people are led straight to a provider."`
	ForwardAuth  accessForwardAuth `cmd:"" help:"Show how nginx, Caddy, Traefik or Envoy serves a host and asks Berth who may enter."`

	Explain accessExplain `cmd:"" help:"Say which rule decides on a request and why, and how it would look to the app."`
}

type accessShow struct{ stageName }

// Run shows a stage's policy.
func (cmd *accessShow) Run(ctx context.Context, c *client, o *output) error {
	var s deploy.Stage
	if err := c.get(ctx, cmd.path(), &s); err != nil {
		return err
	}
	p := policyOf(s.Spec)
	return o.result(p, func() { o.policy(p) })
}

func policyOf(s deploy.StageSpec) identity.Policy {
	if s.Access == nil {
		return identity.SignedIn()
	}
	return *s.Access
}

// policy prints the rules in their order.
func (o *output) policy(p identity.Policy) {
	rows := make([][]string, len(p.Rules))
	for i, r := range p.Rules {
		rows[i] = []string{strconv.Itoa(i + 1), fitsIn(r), allowsIn(r), asksIn(r)}
	}
	o.table([]string{"rule", "for", "lets in", "asks for"}, rows)
	if p.Audience != "" {
		o.printf("Assertions of who comes are made out to %s.\n", p.Audience)
	}
	if p.TokensOf != "" {
		o.printf("The app may exchange them for access tokens of %s.\n", p.TokensOf)
	}
	o.printf("The first rule that fits a request decides. Where none fits, nobody is let in.\n")
}

func fitsIn(r identity.Rule) string {
	parts := []string{}
	for _, list := range [][]string{r.Methods, r.Paths, r.Networks} {
		if len(list) > 0 {
			parts = append(parts, strings.Join(list, " "))
		}
	}
	if len(parts) == 0 {
		return "every request"
	}
	return strings.Join(parts, ", ")
}

func allowsIn(r identity.Rule) string {
	w := r.Allow
	parts := []string{}
	for _, part := range []struct {
		is    bool
		words string
	}{{w.Public, "everybody"}, {w.SignedIn, "who has signed in"}, {w.Administrators, "administrators"}} {
		if part.is {
			parts = append(parts, part.words)
		}
	}
	parts = append(parts, w.People...)
	for _, name := range w.Groups {
		parts = append(parts, "group "+name)
	}
	claims := make([]string, len(w.Claims))
	for i, claim := range w.Claims {
		name := claim.Name
		if claim.Provider != "" {
			name += " at " + claim.Provider
		}
		claims[i] = strings.TrimSpace(name + " " + string(claim.Operator) + " " + claim.Value)
	}
	if len(claims) > 0 {
		parts = append(parts, strings.Join(claims, " and "))
	}
	for _, j := range r.JWTs {
		parts = append(parts, "tokens of "+j.Issuer)
	}
	if len(parts) == 0 {
		return "nobody"
	}
	return strings.Join(parts, ", ")
}

func asksIn(r identity.Rule) string {
	parts := []string{}
	switch r.Strength {
	case identity.StrengthAny:
	case identity.StrengthSecondFactor:
		parts = append(parts, "a second factor")
	case identity.StrengthPasskey:
		parts = append(parts, "a passkey")
	}
	if r.Within > 0 {
		parts = append(parts, "within "+time.Duration(r.Within).String())
	}
	if r.APITokens {
		parts = append(parts, "or an API token")
	}
	return strings.Join(parts, " ")
}

type accessSet struct {
	stageName
	policyFlags
}

// whoFlags name people, or the rules that choose them.
type whoFlags struct {
	Who    string   `arg:"" optional:"" enum:",public,signed-in,administrators,nobody" default:"" help:"public, signed-in, administrators or nobody."`
	Person []string `placeholder:"USERNAME" help:"Let this person in. Repeatable."`
	Group  []string `placeholder:"GROUP" help:"Let this group in. Repeatable."`
	File   string   `short:"f" placeholder:"POLICY.JSON" help:"Take the rules from a file (\"-\" for stdin), as \"berth --json access show\" gives them."`
}

// policyFlags say who may enter.
type policyFlags struct {
	whoFlags

	Audience *string `placeholder:"NAME" help:"Have the app get signed assertions of who comes, made out to this name, such as its address; \"\" for none. Stays as it is when absent."`
	TokensOf *string `placeholder:"PROVIDER" help:"Let the app exchange assertions for people's access tokens of this provider; \"\" for none. Stays as it is when absent."`
}

// Help gives examples.
func (*accessSet) Help() string {
	return `Only administrators may. It counts at once, without a deployment: whoever is not let in any more is cut off.

Examples:
  berth access set shop prod public
  berth access set shop staging --group ops --person ana
  berth access set shop prod --audience https://shop.example.com
  berth --json access show shop prod > policy.json; berth access set shop prod -f policy.json`
}

// Run saves who may enter.
func (cmd *accessSet) Run(ctx context.Context, c *client, o *output, p *process) error {
	if err := cmd.check(); err != nil {
		return err
	}
	var s deploy.Stage
	if err := c.get(ctx, cmd.path(), &s); err != nil {
		return err
	}
	policy, err := cmd.policy(p, policyOf(s.Spec))
	if err != nil {
		return err
	}
	s.Spec.Access = &policy
	if err := c.call(ctx, http.MethodPut, cmd.path(), map[string]any{"version": s.Version, "spec": s.Spec}, &s); err != nil {
		return err
	}
	return o.result(policyOf(s.Spec), func() { o.policy(policyOf(s.Spec)) })
}

// none says that nothing was said.
func (cmd *policyFlags) none() bool {
	return cmd.Audience == nil && cmd.TokensOf == nil && !cmd.choosesWho()
}

func (cmd *whoFlags) choosesWho() bool { return cmd.Who != "" || cmd.File != "" || cmd.names() }

func (cmd *whoFlags) names() bool { return len(cmd.Person) > 0 || len(cmd.Group) > 0 }

// twice says that who is said in two ways.
func (cmd *whoFlags) twice() bool {
	return cmd.File != "" && (cmd.Who != "" || cmd.names()) || cmd.Who != "" && cmd.names()
}

// check refuses flags that say nothing, or two things.
func (cmd *policyFlags) check() error {
	if cmd.none() || cmd.twice() {
		return fault.Invalid("say who: one of public, signed-in, administrators and nobody, or --person and --group, or --file; or --audience alone")
	}
	return nil
}

// policy gives the policy that was with what is said of it changed. A file is
// the whole of it; all else keeps what stands beside the rules.
func (cmd *policyFlags) policy(p *process, was identity.Policy) (policy identity.Policy, err error) {
	if err := cmd.check(); err != nil {
		return policy, err
	}
	if policy, err = cmd.rules(p, was); err != nil {
		return policy, err
	}
	if cmd.Audience != nil {
		policy.Audience = *cmd.Audience
	}
	if cmd.TokensOf != nil {
		policy.TokensOf = *cmd.TokensOf
	}
	return policy, nil
}

func (cmd *whoFlags) rules(p *process, was identity.Policy) (policy identity.Policy, err error) {
	switch {
	case cmd.Who != "":
		was.Rules = accessNamed(cmd.Who).Rules
		return was, nil
	case cmd.names():
		was.Rules = []identity.Rule{{Allow: identity.Who{People: cmd.Person, Groups: cmd.Group}}}
		return was, nil
	case cmd.File == "":
		return was, nil
	}
	raw, err := readFile(cmd.File, p.stdin)
	if err != nil {
		return policy, err
	}
	if err := decodeStrictly(raw, &policy); err != nil {
		return policy, fault.Invalid("%s: %v", cmd.File, err)
	}
	if policy.Rules == nil {
		policy.Rules = []identity.Rule{}
	}
	return policy, nil
}

// accessNamed gives the policy that a short word stands for.
func accessNamed(who string) identity.Policy {
	switch who {
	case "public":
		return identity.Public()
	case "signed-in":
		return identity.SignedIn()
	case "administrators":
		return identity.Policy{Rules: []identity.Rule{{Allow: identity.Who{Administrators: true}}}}
	}
	return identity.Policy{Rules: []identity.Rule{}}
}

type accessExplain struct {
	Method   string        `arg:"" help:"Such as GET."`
	URL      string        `arg:"" name:"url" help:"Such as https://app.example.com/x."`
	As       string        `placeholder:"USERNAME" help:"Whose request it is; one's own when absent."`
	Nobody   bool          `help:"It comes from somebody who has not signed in."`
	From     string        `placeholder:"ADDRESS" help:"Where it comes from, such as 192.168.0.7."`
	Strength string        `enum:",second_factor,passkey" default:"" help:"What their sign-in had: second_factor or passkey; one factor alone when absent."`
	Provider string        `placeholder:"SLUG" help:"Where they signed in: a provider, or local; where it leads furthest when absent."`
	Age      time.Duration `placeholder:"DURATION" help:"How long ago they signed in, such as 30m; just now when absent."`
}

// Help gives examples.
func (*accessExplain) Help() string {
	return `Nothing is sent to the app. Of others than oneself only administrators may ask.

Examples:
  berth access explain --as alice GET https://app.example.com/x
  berth access explain --as alice --provider corp --age 30m GET https://app.example.com/x
  berth access explain --nobody GET https://app.example.com/health --from 192.168.0.7`
}

// Run asks how the gateway would treat a request.
func (cmd *accessExplain) Run(ctx context.Context, c *client, o *output) error {
	body := map[string]any{"method": cmd.Method, "url": cmd.URL}
	if cmd.Nobody {
		body["nobody"] = true
	}
	for name, value := range map[string]string{"as": cmd.As, "address": cmd.From, "strength": cmd.Strength, "provider": cmd.Provider} {
		if value != "" {
			body[name] = value
		}
	}
	if cmd.Age != 0 {
		body["age"] = identity.Duration(cmd.Age)
	}
	var e api.AccessExplanation
	if err := c.call(ctx, http.MethodPost, "/api/access/explain", body, &e); err != nil {
		return err
	}
	return o.result(e, func() { o.explanation(e) })
}

// explanation prints how a request would be treated.
func (o *output) explanation(e api.AccessExplanation) {
	who, verdict := "nobody", "refused"
	if e.As != "" {
		who = e.As
		if e.Provider != "" {
			who += ", signed in by " + e.Provider
		}
		if len(e.Groups) > 0 {
			who += ", of " + strings.Join(e.Groups, ", ")
		}
	}
	if e.Allowed {
		verdict = "let in"
	}
	switch e.Need {
	case "sign_in":
		verdict += ", and led to sign in"
	case "stronger", "fresher":
		verdict += ", and led to prove more"
	}
	where := [2]string{"stage", e.Project + "/" + e.Stage}
	if e.Route != "" {
		where = [2]string{"route", e.Route}
	}
	rows := [][2]string{{"who", who}, where, {"verdict", verdict}, {"why", e.Why}}
	if e.Rule > 0 {
		r := e.Rules[e.Rule-1]
		rows = append(rows, [2]string{"rule " + strconv.Itoa(e.Rule), strings.TrimSpace(fitsIn(r) + ": " + allowsIn(r) + " " + asksIn(r))})
	}
	o.pairs(rows...)
	if !e.Allowed {
		return
	}
	o.printf("\nThe app gets:\n  %s %s\n", e.Method, e.Path)
	for _, h := range e.Headers {
		value := h.Value
		if h.PerRequest {
			value = "(made for each request)"
		}
		o.printf("  %s: %s\n", h.Name, value)
	}
}
