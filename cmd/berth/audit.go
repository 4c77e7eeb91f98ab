package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"berth/internal/event"
)

// errAltered says that the audit is not as it was written.
var errAltered = errors.New("the event log was altered")

type auditCommand struct {
	List   auditList   `cmd:"" default:"withargs" help:"List audit events, oldest first."`
	Export auditExport `cmd:"" help:"Export audit events as JSON lines, each with its hash."`
	Verify auditVerify `cmd:"" help:"Say whether the event log is as it was written."`
}

type auditChoice struct {
	Category []string      `help:"Only these: ${categories}."`
	Kind     []string      `help:"Only these kinds, such as signin.failed."`
	Actor    string        `help:"Only what this one did: a username, or what acted."`
	Person   string        `help:"Only what this one did or what was done to them, by username."`
	Project  string        `predictor:"project" help:"Only this project."`
	Since    time.Duration `help:"Only what happened this long ago or later, such as 24h."`
	Until    time.Duration `help:"Only what happened longer ago than this."`
	Text     string        `short:"t" help:"Only what has this in it somewhere."`
}

func (c auditChoice) query(now time.Time) url.Values {
	query := url.Values{}
	for name, value := range map[string]string{
		"category": strings.Join(c.Category, ","), "kind": strings.Join(c.Kind, ","),
		"actor": c.Actor, "person": c.Person, "project": c.Project, "text": c.Text,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for name, ago := range map[string]time.Duration{"since": c.Since, "until": c.Until} {
		if ago > 0 {
			query.Set(name, now.Add(-ago).UTC().Format(time.RFC3339Nano))
		}
	}
	return query
}

type auditList struct {
	auditChoice
	Limit int `short:"n" default:"50" help:"How many of the newest; 0 for all."`
}

// Run lists events, the newest at the end.
func (cmd *auditList) Run(ctx context.Context, c *client, o *output) error {
	list, err := all[event.Record](ctx, c, "/api/audit?"+cmd.query(time.Now()).Encode(), cmd.Limit)
	if err != nil {
		return err
	}
	slices.Reverse(list) // the API gives the newest first
	for _, r := range list {
		err := o.line(r, func() {
			place := strings.Trim(r.Project+"/"+r.Stage, "/")
			o.printf("%s  %-14s %-22s %-12s %-16s %s\n", r.At.Local().Format("2006-01-02 15:04:05"),
				r.Category, oneLine(string(r.Kind)), oneLine(r.Actor), oneLine(place), oneLine(eventText(r.Event)))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

type auditExport struct {
	auditChoice
	Output string `short:"o" type:"path" help:"The file to write, which must not be there yet; standard output without one."`
}

// Run writes what the server sends, as it comes.
func (cmd *auditExport) Run(ctx context.Context, c *client, p *process) (err error) {
	response, err := c.send(ctx, http.MethodGet, "/api/audit/export?"+cmd.query(time.Now()).Encode(), nil, "application/jsonl")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	into := p.stdout
	if cmd.Output != "" {
		file, err := os.OpenFile(cmd.Output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return fmt.Errorf("open the file: %w", err)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		into = file
	}
	if _, err := io.Copy(into, response.Body); err != nil {
		return fmt.Errorf("the export ended early: %w", err)
	}
	return nil
}

type auditVerify struct {
	Since string `help:"A head that was noted before: say also whether the chain is still the one of then."`
}

// Run says what was found; when that is a break, as the exit code too.
func (cmd *auditVerify) Run(ctx context.Context, c *client, o *output) error {
	path := "/api/audit/verify"
	if cmd.Since != "" {
		path += "?" + url.Values{"since": {cmd.Since}}.Encode()
	}
	var v event.Verification
	if err := c.get(ctx, path, &v); err != nil {
		return err
	}
	err := o.result(v, func() {
		switch {
		case v.OK:
			o.printf("The event log is as it was written: %d events checked.\n", v.Checked)
		case v.Broken.Event == 0:
			o.printf("The event log was altered: %s.\n", oneLine(v.Broken.Why))
		default:
			o.printf("The event log was altered. Event %d %s.\n", v.Broken.Event, oneLine(v.Broken.Why))
		}
		if !v.BeganAt.IsZero() {
			o.pairs([2]string{"chain began", v.BeganAt.Local().Format("2006-01-02 15:04:05")}, [2]string{"head", v.Head})
		}
	})
	if err != nil || v.OK {
		return err
	}
	return errors.Join(errAltered, errSaid)
}
