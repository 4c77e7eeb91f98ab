// Command berth is Berth's server and its command line.
//
// Start with [cli], which lists the subcommands; each has a file of its own.
// `berth serve` is the server. All others but `berth config` talk to a running
// one over its API.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"berth/internal/event"
	"berth/internal/notify"
)

// cli is the whole command line.
type cli struct {
	globals

	Serve serveCommand `cmd:"" group:"server" help:"Run the server."`

	Status     statusCommand     `cmd:"" group:"apps" help:"Show projects, stages and what is live."`
	Project    projectCommand    `cmd:"" group:"apps" help:"Projects: list, show, create, edit, remove."`
	Volume     volumeCommand     `cmd:"" group:"apps" help:"Volumes: list, back up, restore, remove."`
	Stage      stageCommand      `cmd:"" group:"apps" help:"Stages: show, create, edit, remove, releases, tags, metrics, pause, maintenance."`
	Deploy     deployCommand     `cmd:"" group:"apps" help:"Deploy an image to a stage."`
	Redeploy   redeployCommand   `cmd:"" group:"apps" help:"Deploy the live image again, with today's configuration."`
	Rollback   rollbackCommand   `cmd:"" group:"apps" help:"Go back to an earlier release."`
	Promote    promoteCommand    `cmd:"" group:"apps" help:"Take what is live in the stage that this one promotes from."`
	Approve    approveCommand    `cmd:"" group:"apps" help:"Have a deployment begin that waits for approval; without one, list those."`
	Tags       stageTags         `cmd:"" group:"apps" help:"List the image's tags, which of them a stage takes, and which is the newest."`
	Continue   continueCommand   `cmd:"" group:"apps" help:"End the watch of a release early: give a canary to everybody, let a guard go."`
	Cancel     cancelCommand     `cmd:"" group:"apps" help:"Stop a deployment that is not over."`
	Deployment deploymentCommand `cmd:"" aliases:"deployments" group:"apps" help:"Deployments: list, show with steps and log."`
	Instance   instanceCommand   `cmd:"" group:"apps" help:"Instances: show, and what they use."`
	Logs       logsCommand       `cmd:"" group:"apps" help:"Show what the instances of a stage write."`
	Job        jobCommand        `cmd:"" aliases:"jobs" group:"apps" help:"Jobs of a stage: list, run, runs, logs, cancel."`
	Exec       execCommand       `cmd:"" group:"apps" help:"Run a command in an instance; its exit code is passed on."`
	Events     eventsCommand     `cmd:"" group:"apps" help:"Show what happened, and follow what happens."`
	Notify     notifyCommand     `cmd:"" group:"apps" help:"Notification channels: list, add, edit, test, sent, retry, remove."`
	Image      imageCommand      `cmd:"" group:"apps" help:"Images of the built-in registry: list, push, remove; prune those that nothing needs."`

	Apply  applyCommand  `cmd:"" group:"apps" help:"Make the server have what a YAML file says; shows a plan first."`
	Export exportCommand `cmd:"" group:"apps" help:"Export the configuration as YAML, for \"berth apply\"."`

	Login    loginCommand    `cmd:"" group:"access" help:"Sign in to a server and keep a token for it."`
	Logout   logoutCommand   `cmd:"" group:"access" help:"Forget a server and remove its token."`
	Account  accountCommand  `cmd:"" group:"access" help:"Your account: who you are, password, sessions, identities."`
	Apps     appsCommand     `cmd:"" group:"access" help:"List the apps that you may enter."`
	Token    tokenCommand    `cmd:"" group:"access" help:"API tokens: list, create, remove."`
	People   peopleCommand   `cmd:"" group:"access" help:"People: list, add, edit, password, sessions, tokens, identities, factors, remove."`
	Route    routeCommand    `cmd:"" aliases:"routes" group:"access" help:"Sign-in in front of what Berth does not run: list, show, add, edit, access, remove."`
	Access   accessCommand   `cmd:"" group:"access" help:"Who may enter: show, set, preview and explain; who administers, and how people sign in."`
	Group    groupCommand    `cmd:"" group:"access" help:"Groups of people: list, add, edit, remove."`
	Provider providerCommand `cmd:"" aliases:"providers" group:"access" help:"Where people sign in, besides with a password: list, show, add, edit, check, remove."`
	Secret   secretCommand   `cmd:"" group:"access" help:"Stored secrets: list, get, set, remove."`
	Audit    auditCommand    `cmd:"" group:"access" help:"Audit events: list, export, verify that none was altered."`
	Registry registryCommand `cmd:"" group:"access" help:"Accounts at other registries: list, set, remove."`
	Webhook  webhookCommand  `cmd:"" aliases:"webhooks" group:"access" help:"Webhooks of other registries: list, add, remove, deliveries, replay."`
	Source   sourceCommand   `cmd:"" aliases:"sources" group:"access" help:"Images in other registries that are watched: list, poll."`

	System     systemCommand     `cmd:"" group:"server" help:"Show the server's version, engine, disk and settings, and containers that are not Berth's."`
	Health     healthCommand     `cmd:"" group:"server" help:"Ask whether the server answers."`
	Selftest   selftestCommand   `cmd:"" group:"server" help:"Attack a running server as other gateways were attacked, and say what held."`
	Config     configCommand     `cmd:"" group:"server" help:"Show the settings in force and where each comes from."`
	Version    versionCommand    `cmd:"" group:"server" help:"Show the version."`
	Completion completionCommand `cmd:"" group:"server" help:"Print the code that completes this command in a shell."`
	Complete   completeCommand   `cmd:"" name:"__complete" hidden:""`
}

const description = `Berth deploys containers without dropping a request.

It finds the server by --url and --token (or BERTH_URL and BERTH_TOKEN), by --data-dir (or BERTH_DATA_DIR), by what "berth login" keeps, or by ./data on this machine, in this order.

Exit codes: 0 done, 1 something broke, 2 wrong input, 3 not signed in, 4 not allowed, 5 no such thing, 6 changed or taken meanwhile, 7 too large, 8 too often, 9 a part is away, 10 the release did not go live, 11 a plan has changes, 12 the audit was altered, 13 an attack of the self-test went through.`

func main() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	// It lives as long as the process: the first signal asks for the end, the
	// second one is the end.
	go func() {
		<-signals
		stop()
		<-signals
		os.Exit(exitInternal)
	}()
	p := process{
		args: os.Args[1:], environ: os.Environ(),
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
	}
	code := p.run(ctx)
	os.Exit(code) //nolint:gocritic // stop has nothing left to stop
}

// process is what a run of the command reads and writes.
type process struct {
	args    []string
	environ []string
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
}

// run parses the arguments, runs the subcommand and gives the exit code.
func (p process) run(ctx context.Context) int {
	var c cli
	exit := -1
	parser, err := kong.New(&c,
		kong.Name("berth"), kong.Description(description),
		kong.Writers(p.stdout, p.stderr),
		kong.Exit(func(code int) { exit = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.ExplicitGroups([]kong.Group{
			{Key: "apps", Title: "Apps:"}, {Key: "access", Title: "Access:"}, {Key: "server", Title: "Server:"},
		}),
		kong.Vars{"kinds": joinWords(notify.Kinds), "categories": joinWords(event.Categories), "presets": presetWords()},
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(&p),
		kong.BindToProvider(func() (*output, error) { return newOutput(p.stdout, p.stderr, c.JSON), nil }),
		kong.BindToProvider(func() (*client, error) { return connect(&c.globals, &p) }),
		kong.Bind(&c.globals),
	)
	if err != nil {
		fmt.Fprintln(p.stderr, "berth:", err)
		return exitInternal
	}
	command, err := parser.Parse(p.args)
	if exit >= 0 {
		return exit // --help has been answered
	}
	if err != nil {
		fmt.Fprintf(p.stderr, "berth: %v\nTry \"berth --help\".\n", err)
		return exitInput
	}
	err = command.Run()
	if err != nil && !errors.Is(err, errSaid) {
		newOutput(p.stdout, p.stderr, c.JSON).problem(err)
	}
	return exitCode(err)
}
