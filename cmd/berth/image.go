package main

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"berth/internal/fault"
	"berth/internal/registry"
)

type imageCommand struct {
	List   imageList   `cmd:"" default:"withargs" help:"List repositories."`
	Tags   imageTags   `cmd:"" help:"List a repository's tags."`
	Push   imagePush   `cmd:"" help:"Push an image from a file that \"docker save\" or \"podman save\" wrote."`
	Remove imageRemove `cmd:"" help:"Remove a tag, or a whole repository."`
	Prune  imagePrune  `cmd:"" help:"Remove the images that no release needs, or say which."`
}

type imageList struct{}

// Run lists repositories.
func (*imageList) Run(ctx context.Context, c *client, o *output) error {
	list, err := all[registry.Repository](ctx, c, "/api/images", 0)
	if err != nil {
		return err
	}
	return o.result(list, func() {
		rows := make([][]string, len(list))
		for i, r := range list {
			rows[i] = []string{r.Name, strconv.Itoa(r.Tags), bytesText(r.Size), ago(r.PushedAt, time.Now())}
		}
		o.table([]string{"repository", "tags", "size", "pushed"}, rows)
	})
}

type imageTags struct {
	Repository string `arg:"" help:"The repository's name."`
}

// Run lists tags.
func (cmd *imageTags) Run(ctx context.Context, c *client, o *output) error {
	list, err := all[registry.Tag](ctx, c, "/api/images/tags?"+url.Values{"repository": {cmd.Repository}}.Encode(), 0)
	if err != nil {
		return err
	}
	return o.result(list, func() {
		rows := make([][]string, len(list))
		for i, t := range list {
			rows[i] = []string{t.Name, short(t.Digest), bytesText(t.Size), ago(t.UpdatedAt, time.Now())}
		}
		o.table([]string{"tag", "digest", "size", "pushed"}, rows)
	})
}

type imageRemove struct {
	Image string `arg:"" help:"REPOSITORY:TAG, or REPOSITORY for all of it."`
	Yes   bool   `short:"y" help:"Do not ask."`
}

// Run removes a tag or a repository.
func (cmd *imageRemove) Run(ctx context.Context, c *client, o *output, p *process) error {
	repository, tag, hasTag := strings.Cut(cmd.Image, ":")
	path, query, what := "/api/images", url.Values{"repository": {repository}}, "repository "+repository+" with all its tags"
	if hasTag {
		if tag == "" {
			return fault.Invalid("%q names no tag", cmd.Image)
		}
		path, what = "/api/images/tags", "tag "+cmd.Image
		query.Set("tag", tag)
	}
	if err := p.confirm(cmd.Yes, "The "+what+" will be removed from the registry. What runs goes on."); err != nil {
		return err
	}
	if err := c.call(ctx, http.MethodDelete, path+"?"+query.Encode(), nil, nil); err != nil {
		return err
	}
	return o.result(map[string]string{"removed": cmd.Image}, func() { o.printf("Removed the %s.\n", what) })
}
