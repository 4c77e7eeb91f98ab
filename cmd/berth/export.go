package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"berth/internal/manifest"
)

type exportCommand struct {
	Project      string   `placeholder:"NAME" help:"Only this project, with the secrets that its stages use."`
	AgeRecipient []string `placeholder:"age1…" help:"Seal the secrets for this public key of age; repeatable. For administrators, on the server's machine: an API token gets none. Without one, secrets are named and their values left out."`
	Output       string   `short:"o" placeholder:"FILE" help:"Write to a file, which nobody else may read, instead of stdout."`
}

// Help gives examples.
func (*exportCommand) Help() string {
	return `With --age-recipient it is for administrators on the server's machine, over its
socket, as "berth secret get" is: an API token takes no secret away. From
elsewhere, download it in the dashboard, under System and Configuration. It is
written down who did.

Examples:
  berth export -o berth.yaml
  berth --data-dir /var/lib/berth export --age-recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p`
}

// Run exports the configuration.
func (cmd *exportCommand) Run(ctx context.Context, c *client, o *output) error {
	raw, err := cmd.fetch(ctx, c)
	if err != nil {
		return err
	}
	if cmd.Output != "" {
		if err := os.WriteFile(cmd.Output, raw, 0o600); err != nil {
			return fmt.Errorf("write the file: %w", err)
		}
		return o.result(map[string]any{"file": cmd.Output, "bytes": len(raw)}, func() { o.printf("Wrote %s.\n", cmd.Output) })
	}
	if !o.json {
		o.printf("%s", raw)
		return nil
	}
	doc, err := manifest.Parse(raw)
	if err != nil {
		return err
	}
	return o.result(doc, nil)
}

func (cmd *exportCommand) fetch(ctx context.Context, c *client) ([]byte, error) {
	method, path, body := http.MethodGet, "/api/manifest", io.Reader(nil)
	if len(cmd.AgeRecipient) > 0 {
		said := map[string]any{"recipients": cmd.AgeRecipient}
		if cmd.Project != "" {
			said["project"] = cmd.Project
		}
		raw, err := json.Marshal(said)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		method, path, body = http.MethodPost, "/api/manifest/export", strings.NewReader(string(raw))
	} else if cmd.Project != "" {
		path += "?" + url.Values{"project": {cmd.Project}}.Encode()
	}
	response, err := c.send(ctx, method, path, body, "application/yaml, application/problem+json")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", c.where(), err)
	}
	return raw, nil
}
