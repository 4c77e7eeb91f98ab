package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"

	"berth/internal/container"
)

// Pull fetches an image by digest.
func (e *Engine) Pull(ctx context.Context, p container.Pull, progress func(line string)) (container.Image, error) {
	host, digest, err := splitReference(p.Reference)
	if err != nil {
		return container.Image{}, err
	}
	if image, err := e.imageOfDigest(ctx, digest); err == nil || !errors.Is(err, container.ErrNotFound) {
		return image, err
	}
	if progress == nil {
		progress = func(string) {}
	}
	credentials, err := authconfig.Encode(registry.AuthConfig{
		Username: p.Username, Password: p.Password.Reveal(), ServerAddress: host,
	})
	if err != nil {
		return container.Image{}, fmt.Errorf("pull %s: %w", p.Reference, err)
	}
	if p.Username == "" && p.Password.Empty() {
		credentials = ""
	}
	stream, err := e.pull(ctx, p, credentials)
	if err == nil {
		err = readPull(stream, progress)
		_ = stream.Close()
	}
	if err != nil {
		if kind := pullMeaning(err); kind != nil {
			return container.Image{}, fmt.Errorf("pull %s: %w: %w", p.Reference, kind, err)
		}
		return container.Image{}, fmt.Errorf("pull %s: %w", p.Reference, err)
	}
	return e.Image(ctx, p.Reference)
}

// pull starts the pull and gives the stream of its messages. Podman's Docker
// API has no word for a registry without TLS, so Podman is asked in its own.
func (e *Engine) pull(ctx context.Context, p container.Pull, credentials string) (io.ReadCloser, error) {
	if !e.facts.Load().podman {
		return e.api.ImagePull(ctx, p.Reference, client.ImagePullOptions{RegistryAuth: credentials})
	}
	query := url.Values{
		"reference": {"docker://" + p.Reference},
		"tlsVerify": {strconv.FormatBool(!p.PlainHTTP)},
	}
	header := http.Header{}
	if credentials != "" {
		header.Set(registry.AuthHeader, credentials)
	}
	response, err := e.libpodDo(ctx, http.MethodPost, "/images/pull", query, header)
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

// readPull reads the messages to the end: Podman, and Docker once it has
// begun, report a failure in the stream only.
func readPull(stream io.Reader, progress func(line string)) error {
	decoder := json.NewDecoder(stream)
	for {
		var said message
		if err := decoder.Decode(&said); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := said.failure(); err != nil {
			return err
		}
		if line := said.line(); line != "" {
			progress(line)
		}
	}
}

// message is one message in the stream of a pull or a load. Docker and Podman
// each set some of the fields.
type message struct {
	Status   string          `json:"status"`
	Stream   string          `json:"stream"`
	ID       string          `json:"id"`
	Progress json.RawMessage `json:"progressDetail"`
	Error    string          `json:"error"`
}

func (m message) failure() error {
	if m.Error == "" {
		return nil
	}
	return errors.New(strings.TrimSpace(m.Error))
}

// line gives what is worth a line in a log: not the counting of bytes.
func (m message) line() string {
	switch {
	case m.Stream != "":
		return strings.TrimSpace(m.Stream)
	case m.Status == "" || len(m.Progress) > len("{}"):
		return ""
	case m.ID != "":
		return m.ID + ": " + m.Status
	}
	return m.Status
}

// imageOfDigest finds an image that was pulled by this digest before, by
// whatever name: the digest says that it is the same, and Berth's own registry
// has another port at each start.
//
// Podman looks at every image once more for each one that it lists, which takes
// seconds where there are a hundred: it is asked for this one alone. Docker has
// no such filter, as its pattern takes no host, and needs none.
func (e *Engine) imageOfDigest(ctx context.Context, digest string) (container.Image, error) {
	var options client.ImageListOptions
	if e.facts.Load().podman {
		options.Filters = client.Filters{}.Add("reference", "*@"+digest)
	}
	said, err := e.api.ImageList(ctx, options)
	if err != nil {
		return container.Image{}, wrap(err, "list images")
	}
	for _, s := range said.Items {
		if slices.ContainsFunc(s.RepoDigests, func(r string) bool { return strings.HasSuffix(r, "@"+digest) }) {
			return e.Image(ctx, s.ID)
		}
	}
	return container.Image{}, fmt.Errorf("image with digest %s: %w", digest, container.ErrNotFound)
}

// splitReference takes the host and the digest from "host/repository@sha256:…".
func splitReference(reference string) (host, digest string, err error) {
	name, digest, found := strings.Cut(reference, "@")
	host, _, named := strings.Cut(name, "/")
	if !found || !named || !strings.HasPrefix(digest, "sha256:") {
		return "", "", fmt.Errorf("pull %q: it takes host/repository@sha256:…", reference)
	}
	return host, digest, nil
}
