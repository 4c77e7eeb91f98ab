package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/selftest"
)

// errBroken says that an attack went through.
var errBroken = errors.New("an attack went through")

type selftestCommand struct {
	Against string        `placeholder:"URL" help:"Base URL of the server to attack; by default the one of --url."`
	App     string        `placeholder:"URL" help:"Page of an app of that server which nobody may see without signing in."`
	Session string        `env:"BERTH_SELFTEST_SESSION" placeholder:"NAME=VALUE" help:"Cookie of somebody who may enter --app, from that app's host."`
	CAFile  string        `name:"ca-file" type:"existingfile" placeholder:"FILE" help:"Certificates, as PEM, that the server's is held to in place of this machine's."`
	Rate    int           `default:"50" help:"Messages a second, at most."`
	Timeout time.Duration `default:"30m" help:"When to stop, whatever is left."`
	Only    []string      `placeholder:"NAME" help:"Only these checks, by name."`
}

// Help tells what it is for.
func (*selftestCommand) Help() string {
	return `Attacks a running Berth over the network with what hit other gateways and identity servers, and says what held. Each attack only reads: it makes no account, signs nobody in or out, and guesses only at names that nobody has. It goes to the server at --against alone, and to no other than a Berth. What needs more than it was given is told as not run, and with what it would be; what needs people, or a provider that lies, is checked by "make perimeter".

Attack only a server that you run. Each refusal is a line in its log.`
}

// Run recognises the server, attacks it and says what became of each check.
func (cmd *selftestCommand) Run(ctx context.Context, g *globals, o *output, p *process) error {
	target, err := cmd.target(g)
	if err != nil {
		return err
	}
	checks, err := cmd.checks()
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, cmd.Timeout)
	defer cancel()
	if target.Token, err = tokenFor(target.Base, g, p); err != nil {
		return err
	}
	if err := selftest.Recognise(limited, target); err != nil {
		return err
	}
	if !o.json {
		o.note("Attacking %s with %d checks, %d messages a second at most.", target.Base, len(checks), cmd.Rate)
	}
	report := selftestReport{Target: target.Base.String(), Checks: []selftest.Result{}}
	selftest.Run(limited, target, checks, func(r selftest.Result) {
		report.add(r)
		if !o.json {
			writeCheck(o, &r)
		}
	})
	if err := o.result(&report, func() { report.sum(o) }); err != nil {
		return err
	}
	switch {
	case report.Broken > 0:
		return errors.Join(errBroken, errSaid)
	case ctx.Err() != nil:
		return fmt.Errorf("stopped before its end: %w", ctx.Err())
	case limited.Err() != nil:
		return fault.Unavailable("the checks did not end within %s: give them longer with --timeout, or look whether the server answers", cmd.Timeout)
	}
	return nil
}

// target is what is attacked, as far as the flags say it.
func (cmd *selftestCommand) target(g *globals) (selftest.Target, error) {
	none := selftest.Target{}
	raw := cmd.Against
	if raw == "" {
		raw = g.URL
	}
	switch {
	case raw == "":
		return none, fault.Invalid("say which server with --against, such as https://berth.example.com")
	case cmd.Rate < 1 || cmd.Timeout <= 0:
		return none, fault.Invalid("--rate and --timeout are above zero")
	case cmd.Session != "" && cmd.App == "":
		return none, fault.Invalid("--session needs the page that it opens: give --app")
	case cmd.Session != "" && !isCookie(cmd.Session):
		return none, fault.Invalid("--session is a cookie as a browser keeps it: __Host-berth=…")
	}
	base, err := serverURL(raw)
	if err != nil {
		return none, err
	}
	target := selftest.Target{Base: base, Session: cmd.Session, Pace: rate.NewLimiter(rate.Limit(cmd.Rate), 1)}
	if cmd.CAFile != "" {
		if target.Roots, err = readRoots(cmd.CAFile); err != nil {
			return none, err
		}
	}
	if cmd.App == "" {
		return target, nil
	}
	app, err := serverURL(cmd.App)
	if err != nil {
		return none, err
	}
	page, err := url.Parse(cmd.App)
	if err != nil || app.Scheme != base.Scheme || app.Port() != base.Port() || app.Host == base.Host {
		return none, fault.Invalid("--app is a page of an app of %s, at a host of its own with the same scheme and port", base)
	}
	target.Guarded, target.Closed = app.Hostname(), strings.TrimRight(page.Path, "/")
	if target.Closed == "" {
		target.Closed = "/admin" // any, where nothing says which: all of the app asks for signing in
	}
	return target, nil
}

func isCookie(s string) bool {
	name, value, ok := strings.Cut(s, "=")
	return ok && name != "" && len(value) > 1 && !strings.ContainsAny(s, " ;,\r\n\t")
}

func readRoots(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file) //nolint:gosec // the person's own file
	if err != nil {
		return nil, fmt.Errorf("read --ca-file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fault.Invalid("%s holds no certificate", file)
	}
	return roots, nil
}

// tokenFor is the one that was given for a server, or is kept for it; "" for
// none. One for another server is not shown to this one.
func tokenFor(base *url.URL, g *globals, p *process) (string, error) {
	token := secret.New(g.Token)
	if g.URL != "" {
		other, err := serverURL(g.URL)
		if err != nil {
			return "", err
		}
		if *other != *base {
			token = secret.Text{}
		}
	}
	if token.Empty() {
		kept, err := readCredentials(p)
		if err != nil {
			return "", err
		}
		token = kept.of(base.String()).Token
	}
	if token.Empty() {
		return "", nil
	}
	return token.Reveal(), nil
}

// checks are those that were asked for.
func (cmd *selftestCommand) checks() ([]selftest.Check, error) {
	all := selftest.Checks()
	if len(cmd.Only) == 0 {
		return all, nil
	}
	var names []string
	for _, c := range all {
		names = append(names, c.Name)
	}
	for _, name := range cmd.Only {
		if !slices.Contains(names, name) {
			return nil, fault.Invalid("no check is named %q; there are %s", name, strings.Join(names, ", "))
		}
	}
	return slices.DeleteFunc(all, func(c selftest.Check) bool { return !slices.Contains(cmd.Only, c.Name) }), nil
}

// selftestReport is what is printed for programs.
type selftestReport struct {
	Target string            `json:"target"`
	Held   int               `json:"held"`
	Broken int               `json:"broken"`
	NotRun int               `json:"not_run"`
	Checks []selftest.Result `json:"checks"`

	partly int
}

func (s *selftestReport) add(r selftest.Result) {
	s.Checks = append(s.Checks, r)
	if r.Outcome != selftest.NotRun && len(r.Partly) > 0 {
		s.partly++
	}
	switch r.Outcome {
	case selftest.Held:
		s.Held++
	case selftest.Broken:
		s.Broken++
	case selftest.NotRun:
		s.NotRun++
	}
}

// sum says in one line what became of all.
func (s *selftestReport) sum(o *output) {
	o.printf("\n%d held, %d broken, %d not run; %d ran in part only\n", s.Held, s.Broken, s.NotRun, s.partly)
}

// writeCheck says of one check what it is and what became of it.
func writeCheck(o *output, r *selftest.Result) {
	o.printf("%-8s %s: %s\n", r.Outcome, r.Name, r.Prevents)
	o.printf("%9slearnt from: %s; %d messages\n", "", r.Learnt(), r.Sent)
	if r.Lacks != "" {
		o.printf("%9snot run without %s%s\n", "", oneLine(r.Lacks), giving(r.Missing))
	}
	for _, p := range r.Partly {
		o.printf("%9snot tried: %s\n", "", oneLine(p))
	}
	for _, p := range r.Problems {
		o.printf("%9s%s\n", "", oneLine(p))
	}
}

// giving says with which flag what is missing is given.
func giving(missing selftest.Needs) string {
	var flags []string
	for _, one := range []struct {
		need selftest.Needs
		how  string
	}{
		{selftest.NeedsGuarded, "give --app"},
		{selftest.NeedsSession, "give --session"},
		{selftest.NeedsToken, "give --token"},
		{selftest.NeedsPublic | selftest.NeedsEcho, "\"make perimeter\" brings one"},
	} {
		if missing&one.need != 0 {
			flags = append(flags, one.how)
		}
	}
	if len(flags) == 0 {
		return ""
	}
	return ": " + strings.Join(flags, ", ")
}
