package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"berth/internal/api"
	"berth/internal/fault"
)

type imagePush struct {
	File  string `arg:"" type:"existingfile" help:"What \"docker save\" or \"podman save\" wrote."`
	Image string `arg:"" help:"REPOSITORY:TAG to push it as."`
}

// Help tells when to use it.
func (*imagePush) Help() string {
	return `"docker push" and "podman push" work as well, with a username and an API token. This one needs neither on the server's own machine, and no trust in its registry to be set up.

Example:
  podman build -t shop . && podman save -o shop.tar shop && berth image push shop.tar shop:1.4`
}

// Run pushes an image.
func (cmd *imagePush) Run(ctx context.Context, c *client, o *output) error {
	var system api.System
	// An API token that is bound to a project is not told.
	if err := c.get(ctx, "/api/system", &system); err != nil && fault.KindOf(err) != fault.Denied {
		return err
	}
	// As "docker push" has it, with the registry's host before it, will do.
	for _, host := range []string{system.RegistryHost, c.base.Host} {
		cmd.Image = strings.TrimPrefix(cmd.Image, host+"/")
	}
	options := []name.Option{name.WithDefaultRegistry(c.base.Host), name.WithDefaultTag("latest")}
	if c.base.Scheme == "http" {
		options = append(options, name.Insecure)
	}
	to, err := name.NewTag(c.base.Host+"/"+cmd.Image, options...)
	if err != nil {
		return fault.Invalid("%q is not an image such as shop:1.4", cmd.Image)
	}
	image, err := tarball.ImageFromPath(cmd.File, nil)
	if err != nil {
		return fault.Invalid("%s is not a file with one image, as \"docker save\" writes it: %v", cmd.File, err)
	}
	auth, err := c.registryAuth(ctx)
	if err != nil {
		return err
	}
	if err := remote.Write(to, image, remote.WithContext(ctx), remote.WithAuth(auth), remote.WithTransport(c.http.Transport)); err != nil {
		return pushFault(err)
	}
	return cmd.done(o, image, to)
}

func (*imagePush) done(o *output, image v1.Image, to name.Tag) error {
	digest, err := image.Digest()
	if err != nil {
		return fmt.Errorf("digest of what was pushed: %w", err)
	}
	pushed := map[string]string{"repository": to.RepositoryStr(), "tag": to.TagStr(), "digest": digest.String()}
	return o.result(pushed, func() { o.printf("Pushed %s:%s (%s).\n", to.RepositoryStr(), to.TagStr(), short(digest.String())) })
}

// registryAuth is what the registry asks for: a username beside the token.
// The local socket needs neither.
func (c *client) registryAuth(ctx context.Context) (authn.Authenticator, error) {
	if c.socket != "" {
		return authn.Anonymous, nil
	}
	var session api.SessionInfo
	if err := c.get(ctx, "/api/session", &session); err != nil {
		return nil, err
	}
	return &authn.Basic{Username: session.Person.Username, Password: c.token.Reveal()}, nil
}

// pushFault says in words what the registry refused.
func pushFault(err error) error {
	refused, ok := errors.AsType[*transport.Error](err)
	if !ok {
		return fmt.Errorf("push: %w", err)
	}
	said := make([]string, len(refused.Errors))
	for i, e := range refused.Errors {
		said[i] = e.Message
	}
	message := "the registry refused the push: " + strings.Join(said, "; ")
	if len(said) == 0 {
		message = fmt.Sprintf("the registry refused the push with status %d", refused.StatusCode)
	}
	return (&fault.Error{Kind: kindOfStatus(refused.StatusCode), Message: message}).Because(err)
}
