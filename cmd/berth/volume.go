package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"berth/internal/deploy"
	"berth/internal/fault"
)

type volumeCommand struct {
	List    volumeList    `cmd:"" default:"1" help:"List the volumes of stages."`
	Backup  volumeBackup  `cmd:"" help:"Write what is in a volume as a tar stream."`
	Restore volumeRestore `cmd:"" help:"Make a volume hold what a tar stream has."`
	Remove  volumeRemove  `cmd:"" help:"Remove a volume that nothing uses, and what is in it."`
}

type volumeList struct{}

// Run lists volumes.
func (*volumeList) Run(ctx context.Context, c *client, o *output) error {
	var found page[deploy.VolumeStatus]
	if err := c.get(ctx, "/api/volumes", &found); err != nil {
		return err
	}
	return o.result(found.Items, func() {
		rows := make([][]string, len(found.Items))
		for i, v := range found.Items {
			size := "unknown"
			if v.Size != nil {
				size = bytesText(*v.Size)
			}
			owner := v.Project + "/" + v.Stage
			switch v.Owner {
			case deploy.OwnerStage:
			case deploy.OwnerUnlisted:
				owner += ", not in its settings"
			case deploy.OwnerGone:
				owner += ", which is gone"
			case deploy.OwnerRestore:
				owner += ", of a restore, not used"
			}
			users := make([]string, len(v.UsedBy))
			for n, u := range v.UsedBy {
				users[n] = u.Container
			}
			rows[i] = []string{v.Name, v.EngineName, size, owner, strings.Join(users, ", "), ago(v.CreatedAt, time.Now()), restoreText(v)}
		}
		o.table([]string{"volume", "in the engine", "size", "stage", "used by", "made", "restore"}, rows)
	})
}

// restoreText says what restores of a volume do, or left.
func restoreText(v deploy.VolumeStatus) string {
	var parts []string
	if r := v.Restoring; r != nil {
		parts = append(parts, "a backup arrives, by "+r.By+", begun "+ago(r.Since, time.Now()))
	}
	if len(v.Left) > 0 {
		parts = append(parts, "being removed: "+strings.Join(v.Left, ", "))
	}
	return strings.Join(parts, "; ")
}

type volumeBackup struct {
	Volume string `arg:"" help:"The volume's name, as the list has it."`
	Output string `short:"o" default:"-" placeholder:"FILE.TAR" help:"Where to; standard output when not given."`
}

// Run downloads a volume. A file is there only when it is whole.
func (cmd *volumeBackup) Run(ctx context.Context, c *client, p *process) (err error) {
	response, err := c.send(ctx, http.MethodGet, pathf("/api/volumes/%s/backup", cmd.Volume), nil, "application/x-tar")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	to := p.stdout
	if cmd.Output != "-" {
		part := cmd.Output + ".part"
		f, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600) //nolint:gosec // the person names the file
		if err != nil {
			return fault.Invalid("%v", err)
		}
		defer func() { _ = os.Remove(part) }() // when it was not renamed
		if err := copyWhole(f, response.Body); err != nil {
			return errors.Join(err, f.Close())
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("write %s: %w", part, err)
		}
		return os.Rename(part, cmd.Output)
	}
	return copyWhole(to, response.Body)
}

func copyWhole(to io.Writer, from io.Reader) error {
	if _, err := io.Copy(to, from); err != nil {
		return fault.Unavailable("the backup is not whole: the server's log says why").Because(err)
	}
	return nil
}

type volumeRestore struct {
	Volume  string `arg:"" help:"The volume's name. One that is not there is made when a stage's settings name it."`
	File    string `arg:"" optional:"" default:"-" help:"The tar file; standard input when not given."`
	Confirm string `placeholder:"NAME" help:"The volume's name again, when there is something in it: it is replaced."`
	Force   bool   `help:"End the instances that use it meanwhile: the stage is down until it is restored."`
}

// Run uploads a tar stream.
func (cmd *volumeRestore) Run(ctx context.Context, c *client, o *output, p *process) error {
	from := p.stdin
	if cmd.File != "-" {
		f, err := os.Open(cmd.File)
		if err != nil {
			return fault.Invalid("%v", err)
		}
		defer f.Close()
		from = f
	}
	query := url.Values{"confirm": {cmd.Confirm}}
	if cmd.Force {
		query.Set("force", "true")
	}
	response, err := c.sendAs(ctx, http.MethodPost, pathf("/api/volumes/%s/restore?", cmd.Volume)+query.Encode(), io.NopCloser(from), "application/x-tar", "application/json")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var v deploy.VolumeStatus
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&v); err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.where(), err)
	}
	return o.result(v, func() { o.printf("Restored volume %s.\n", v.Name) })
}

type volumeRemove struct {
	Volume  string `arg:"" help:"The volume's name, as the list has it."`
	Confirm string `placeholder:"NAME" help:"The volume's name again. Without it you are asked for it."`
}

// Run removes a volume once its name was typed.
func (cmd *volumeRemove) Run(ctx context.Context, c *client, o *output, p *process) error {
	confirm := cmd.Confirm
	if _, ok := p.terminal(); ok && confirm == "" {
		fmt.Fprintf(p.stderr, "What is in %s is lost. Type its name to go on: ", cmd.Volume)
		typed, err := bufio.NewReader(p.stdin).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the answer: %w", err)
		}
		confirm = strings.TrimSpace(typed)
	}
	if err := c.call(ctx, http.MethodDelete, pathf("/api/volumes/%s?", cmd.Volume)+url.Values{"confirm": {confirm}}.Encode(), nil, nil); err != nil {
		return err
	}
	return o.result(map[string]string{"removed": cmd.Volume}, func() { o.printf("Removed volume %s.\n", cmd.Volume) })
}
