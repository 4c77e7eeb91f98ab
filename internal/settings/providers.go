package settings

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"berth/internal/secret"
)

// Provider is where people sign in, as the variables BERTH_PROVIDER_<NAME>_*
// say: it is set up at a start where there is none of that name.
type Provider struct {
	Name string // as it stands in the variables, such as HOME

	Preset         string
	Issuer         string
	ClientID       string
	ClientSecret   secret.Text
	Label          string
	Scopes         []string
	Order          int
	UsernameClaim  string
	NameClaim      string
	EmailClaim     string
	GroupsClaim    string
	Admin          string
	Create         bool
	NewRole        string // "" for what new people become where nobody says
	AllowedDomains []string
	AllowedGroups  []string
	GroupPrefix    string // "" for the usual one
	SignOut        bool
	TrustFactor    bool
	TrustEmail     bool
}

// Slug is the provider's name everywhere else.
func (p Provider) Slug() string { return strings.ReplaceAll(strings.ToLower(p.Name), "_", "-") }

const providerPrefix = "PROVIDER_"

// providerVariable is one line of the table of what may be said of a provider.
type providerVariable struct {
	name   string // behind BERTH_PROVIDER_<NAME>_
	help   string
	takes  string
	secret bool
	set    func(p *Provider, value string) error
}

func providerText(to func(*Provider) *string) func(*Provider, string) error {
	return func(p *Provider, v string) error { *to(p) = v; return nil }
}

func providerList(to func(*Provider) *[]string) func(*Provider, string) error {
	return func(p *Provider, v string) error {
		*to(p) = strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' })
		return nil
	}
}

func providerSwitch(to func(*Provider) *bool) func(*Provider, string) error {
	return func(p *Provider, v string) (err error) { *to(p), err = strconv.ParseBool(v); return err }
}

// providerVariables are all that may be said of a provider.
var providerVariables = []providerVariable{
	{name: "PRESET", help: "what kind of provider it is", takes: "oidc, authentik, forgejo, github or another preset", set: providerText(func(p *Provider) *string { return &p.Preset })},
	{name: "ISSUER", help: "where it is", takes: "an address such as https://id.example.org", set: providerText(func(p *Provider) *string { return &p.Issuer })},
	{name: "CLIENT_ID", help: "who Berth is there", takes: "the id that the provider gave", set: providerText(func(p *Provider) *string { return &p.ClientID })},
	{
		name: "CLIENT_SECRET", help: "how Berth proves that", takes: "the secret that the provider gave", secret: true,
		set: func(p *Provider, v string) error { p.ClientSecret = secret.New(v); return nil },
	},
	{name: "LABEL", help: "what its button says", takes: "a few words", set: providerText(func(p *Provider) *string { return &p.Label })},
	{
		name: "ORDER", help: "where its button stands; the lowest is first", takes: "a number from 0 to 1000",
		set: func(p *Provider, v string) (err error) { p.Order, err = strconv.Atoi(v); return err },
	},
	{name: "SCOPES", help: "what is asked for", takes: "scopes with spaces between", set: providerList(func(p *Provider) *[]string { return &p.Scopes })},
	{name: "USERNAME_CLAIM", help: "the claim that usernames are made of", takes: "a claim", set: providerText(func(p *Provider) *string { return &p.UsernameClaim })},
	{name: "NAME_CLAIM", help: "the claim that has the name to show", takes: "a claim", set: providerText(func(p *Provider) *string { return &p.NameClaim })},
	{name: "EMAIL_CLAIM", help: "the claim that has the e-mail address", takes: "a claim", set: providerText(func(p *Provider) *string { return &p.EmailClaim })},
	{name: "GROUPS_CLAIM", help: "the claim that has groups", takes: "a claim", set: providerText(func(p *Provider) *string { return &p.GroupsClaim })},
	{name: "ADMIN", help: "who administers", takes: "claim=value, such as groups=berth-admins", set: providerText(func(p *Provider) *string { return &p.Admin })},
	{name: "CREATE", help: "whether people come in whom Berth does not know", takes: "true or false", set: providerSwitch(func(p *Provider) *bool { return &p.Create })},
	{name: "NEW_ROLE", help: "what they become", takes: "user or member", set: providerText(func(p *Provider) *string { return &p.NewRole })},
	{name: "ALLOWED_DOMAINS", help: "domains of the e-mail addresses that come in", takes: "domains with commas between", set: providerList(func(p *Provider) *[]string { return &p.AllowedDomains })},
	{name: "ALLOWED_GROUPS", help: "groups that come in", takes: "names with commas between", set: providerNames(func(p *Provider) *[]string { return &p.AllowedGroups })},
	{name: "GROUP_PREFIX", help: "what goes before the names of groups", takes: "a prefix that ends with : or /, such as corp:", set: providerText(func(p *Provider) *string { return &p.GroupPrefix })},
	{name: "SIGN_OUT", help: "whether signing out leads on to signing out there", takes: "true or false", set: providerSwitch(func(p *Provider) *bool { return &p.SignOut })},
	{name: "TRUST_FACTOR", help: "whether its word counts that it asked for a second factor", takes: "true or false", set: providerSwitch(func(p *Provider) *bool { return &p.TrustFactor })},
	{name: "TRUST_EMAIL", help: "whether an address counts as verified of which it does not say whether it is", takes: "true or false", set: providerSwitch(func(p *Provider) *bool { return &p.TrustEmail })},
}

// providerNames is providerList for what may have spaces in it.
func providerNames(to func(*Provider) *[]string) func(*Provider, string) error {
	return func(p *Provider, v string) error {
		for name := range strings.SplitSeq(v, ",") {
			if name = strings.TrimSpace(name); name != "" {
				*to(p) = append(*to(p), name)
			}
		}
		return nil
	}
}

var providerNameForm = regexp.MustCompile(`^[A-Z0-9]([A-Z0-9_]{0,30}[A-Z0-9])?$`)

// splitProvider takes the name of a variable apart; false for one that is not
// about a provider.
func splitProvider(name string) (provider string, ok bool) {
	rest, is := strings.CutPrefix(strings.TrimSuffix(name, fileSuffix), providerPrefix)
	if !is {
		return "", false
	}
	for _, v := range providerVariables {
		// CLIENT_ID and the like have an underscore of their own, and no
		// other's name at their end.
		if provider, found := strings.CutSuffix(rest, "_"+v.name); found && providerNameForm.MatchString(provider) {
			return provider, true
		}
	}
	return "", false
}

// findProviders reads every provider that the variables speak of, by name.
func (s *Settings) findProviders(from sources) (wrong []error) {
	found := map[string]*Provider{}
	for _, place := range from.list {
		for name, value := range place.values {
			if provider, ok := splitProvider(name); ok && value != "" && found[provider] == nil {
				found[provider] = &Provider{Name: provider}
			}
		}
	}
	for _, p := range found {
		wrong = append(wrong, s.readProvider(p, from)...)
		s.Providers = append(s.Providers, *p)
	}
	slices.SortFunc(s.Providers, func(a, b Provider) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return wrong
}

func (s *Settings) readProvider(p *Provider, from sources) (wrong []error) {
	for _, v := range providerVariables {
		name := providerPrefix + p.Name + "_" + v.name
		line := variable{name: name, help: "provider " + p.Slug() + ": " + v.help, takes: v.takes, secret: v.secret}
		given, err := from.lookup(name)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		if given.value == "" {
			continue
		}
		if err := v.set(p, given.value); err != nil {
			wrong = append(wrong, line.mistake(given, err))
			continue
		}
		s.providerValues = append(s.providerValues, line.describe(given))
	}
	if p.ClientID == "" {
		wrong = append(wrong, fmt.Errorf("BERTH_%s%s_CLIENT_ID: is not set, and a provider needs one", providerPrefix, p.Name))
	}
	return wrong
}
