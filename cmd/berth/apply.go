package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/manifest"
	"berth/internal/secret"
)

type applyCommand struct {
	File        string        `short:"f" required:"" help:"The configuration, as \"berth export\" gives it; - reads stdin."`
	Plan        bool          `help:"Change nothing: show what would change, and exit with 11 when that is something."`
	Prune       bool          `help:"Also remove what the file's sections do not name."`
	Deploy      bool          `help:"Have the stages in the file take up what is saved and not deployed."`
	AgeIdentity string        `placeholder:"FILE" help:"The private key of age that opens what is sealed in the file. It is used here and sent nowhere."`
	Yes         bool          `short:"y" help:"Do not ask."`
	Wait        bool          `short:"w" help:"With --deploy: show progress until the deployments are over; exit with 10 when one does not go live."`
	Timeout     time.Duration `default:"30m" help:"How long --wait waits for each."`
}

// Help tells what is not done.
func (*applyCommand) Help() string {
	return `What is created and changed is saved together or not at all. What runs stays
as it is until the next deployment, which --deploy asks for. Nothing is removed
without --prune, and secrets never are.

Examples:
  berth apply -f berth.yaml
  berth apply -f berth.yaml --plan
  berth apply -f berth.yaml --prune --deploy --wait --yes`
}

// Run plans, shows the plan, asks, and applies that plan and no other.
func (cmd *applyCommand) Run(ctx context.Context, c *client, o *output, p *process) error {
	raw, err := cmd.read(p)
	if err != nil {
		return err
	}
	body, err := cmd.body(raw)
	if err != nil {
		return err
	}
	var plan manifest.Plan
	if err := c.call(ctx, http.MethodPost, "/api/manifest/plan", body, &plan); err != nil {
		return err
	}
	if cmd.Plan {
		if err := o.result(plan, func() { o.plan(plan) }); err != nil {
			return err
		}
		if len(plan.Changes) > 0 {
			return fmt.Errorf("%w: %w", errSaid, errWouldChange)
		}
		return nil
	}
	if !o.json {
		o.plan(plan)
	}
	if len(plan.Changes) > 0 {
		if err := p.confirm(cmd.Yes, question(plan)); err != nil {
			return err
		}
	}
	body["fingerprint"], body["deploy"] = plan.Fingerprint, cmd.Deploy
	var result manifest.Result
	if err := c.call(ctx, http.MethodPost, "/api/manifest/apply", body, &result); err != nil {
		return err
	}
	if err := o.result(result, func() { o.applied(result) }); err != nil {
		return err
	}
	return errors.Join(cmd.await(ctx, c, o, result.Deployments), notAll(result))
}

// read reads the document, from a file or from stdin.
func (cmd *applyCommand) read(p *process) ([]byte, error) {
	if cmd.File == "-" {
		return readBounded(p.stdin, "stdin")
	}
	f, err := os.Open(cmd.File)
	if err != nil {
		return nil, fault.Invalid("%v", err)
	}
	defer f.Close()
	return readBounded(f, cmd.File)
}

func readBounded(r io.Reader, name string) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, manifest.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(raw) > manifest.MaxSize {
		return nil, fault.Large("%s has more than %d bytes", name, manifest.MaxSize)
	}
	return raw, nil
}

// body makes the request of a document, with what is sealed in it opened here:
// the key does not leave this machine.
func (cmd *applyCommand) body(raw []byte) (map[string]any, error) {
	body := map[string]any{"document": string(raw), "prune": cmd.Prune}
	if cmd.AgeIdentity == "" {
		return body, nil
	}
	doc, err := manifest.Parse(raw)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(cmd.AgeIdentity)
	if err != nil {
		return nil, fault.Invalid("%v", err)
	}
	defer f.Close()
	key, err := readBounded(f, cmd.AgeIdentity)
	if err != nil {
		return nil, err
	}
	identities, err := manifest.Identities(secret.New(string(key)))
	if err != nil {
		return nil, err
	}
	values, err := doc.Open(identities)
	if err != nil {
		return nil, err
	}
	opened := make([]map[string]string, 0, len(values))
	for slot, value := range values {
		opened = append(opened, map[string]string{"context": slot.Context, "name": slot.Name, "value": value.Reveal()})
	}
	body["opened"] = opened
	return body, nil
}

func (cmd *applyCommand) await(ctx context.Context, c *client, o *output, deployments []deploy.Deployment) error {
	if !cmd.Wait {
		return nil
	}
	var errs []error
	for _, d := range deployments {
		errs = append(errs, waitFor(ctx, c, o, d, cmd.Timeout))
	}
	return errors.Join(errs...)
}

// notAll says that some of the plan is still to be done.
func notAll(r manifest.Result) error {
	if len(r.Failed) == 0 {
		return nil
	}
	said := make([]string, len(r.Failed))
	for n, f := range r.Failed {
		said[n] = fmt.Sprintf("%s %s: %s", f.Action, thing(f.Kind, f.Name), f.Reason)
	}
	return fmt.Errorf("not all was done; what was is listed above, and the same command goes on: %s", strings.Join(said, "; "))
}

// question asks about a plan, with what can't be undone in it.
func question(plan manifest.Plan) string {
	var live, gone []string
	for _, c := range plan.Changes {
		switch {
		case c.Action == manifest.Remove && c.Live:
			live = append(live, thing(c.Kind, c.Name))
		case c.Action == manifest.Remove:
			gone = append(gone, thing(c.Kind, c.Name))
		}
	}
	said := "This is applied: " + tally(plan.Changes) + "."
	if len(live) > 0 {
		said += " What runs in " + strings.Join(live, ", ") + " ends."
	}
	if len(gone) > 0 {
		said += " Also removed: " + strings.Join(gone, ", ") + "."
	}
	if slices.ContainsFunc(plan.Changes, func(c manifest.Change) bool { return c.Action == manifest.Remove && c.Kind == manifest.KindProvider }) {
		said += " Whoever came by a provider that is removed is signed out."
	}
	return said
}

// thing names what a change is of.
func thing(k manifest.Kind, name string) string {
	return strings.ReplaceAll(string(k), "_", " ") + " " + oneLine(name)
}

func tally(changes []manifest.Change) string {
	count := map[manifest.Action]int{}
	for _, c := range changes {
		count[c.Action]++
	}
	return fmt.Sprintf("%d to create, %d to change, %d to remove",
		count[manifest.Create], count[manifest.Update], count[manifest.Remove])
}

// plan prints what would be done, as a diff.
func (o *output) plan(p manifest.Plan) {
	for _, c := range p.Changes {
		o.change(c)
	}
	if len(p.Left) > 0 {
		names := make([]string, len(p.Left))
		for n, c := range p.Left {
			names[n] = thing(c.Kind, c.Name)
			if c.Live {
				names[n] += " (live)"
			}
		}
		o.note("Not in the file, and left alone without --prune: %s.", strings.Join(names, ", "))
	}
	for _, n := range p.Notes {
		o.note("Note: %s.", oneLine(n))
	}
	if len(p.Changes) == 0 {
		o.printf("Nothing to change.\n")
		return
	}
	o.printf("%s.\n", tally(p.Changes))
}

func (o *output) change(c manifest.Change) {
	sign := map[manifest.Action]string{manifest.Create: "+", manifest.Update: "~", manifest.Remove: "-"}[c.Action]
	said := sign + " " + thing(c.Kind, c.Name)
	if c.Live {
		said += " (live)"
	}
	o.printf("%s\n", said)
	for _, f := range c.Fields {
		o.printf("    %s\n", fieldChange(c.Action, f))
	}
	if len(c.KeptVolumes) > 0 {
		o.printf("    these volumes stay: %s\n", strings.Join(c.KeptVolumes, ", "))
	}
}

func fieldChange(a manifest.Action, f deploy.Change) string {
	const most = 200
	cut := func(s string) string {
		if r := []rune(s); len(r) > most {
			s = string(r[:most]) + "…"
		}
		return fmt.Sprintf("%q", s)
	}
	name := oneLine(f.Field)
	switch {
	case a == manifest.Create || f.From == "":
		return name + ": " + cut(f.To)
	case f.To == "":
		return name + ": " + cut(f.From) + " is taken away"
	}
	return name + ": " + cut(f.From) + " -> " + cut(f.To)
}

// applied prints what was done.
func (o *output) applied(r manifest.Result) {
	if len(r.Applied) > 0 {
		o.printf("Applied.\n")
	}
	if len(r.KeptVolumes) > 0 {
		o.printf("These volumes stay, with their data: %s\n", strings.Join(r.KeptVolumes, ", "))
	}
	for _, d := range r.Deployments {
		o.printf("%s\n", standing(d))
	}
}
