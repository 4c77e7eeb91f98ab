package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"berth/internal/container"
	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

const (
	// resolveTime bounds one Resolve, over the network or not.
	resolveTime = 30 * time.Second
	// maxImageConfig bounds an image's configuration, in bytes.
	maxImageConfig = 8 << 20
	// maxDepth bounds how many indexes lead to an image.
	maxDepth = 3
	// fewTags is how many tags a fault names.
	fewTags = 5
)

// Resolution is an image that a reference was found to mean.
type Resolution struct {
	Reference string `json:"reference"` // as asked for: "shop:1.4"
	Digest    string `json:"digest"`    // of the manifest for the platform
	// ConfigDigest is the digest of the image's configuration, which is the
	// image's id on Docker and Podman.
	ConfigDigest string   `json:"config_digest"`
	Size         int64    `json:"size"` // bytes to fetch: compressed
	Platform     Platform `json:"platform"`
	ExposedPorts []int    `json:"exposed_ports"` // TCP, ascending
	// Created is when the image was made; the zero time when it does not say.
	Created time.Time `json:"created,omitzero"`
}

// Secrets keeps passwords. It is the vault's, in the three calls that are
// needed here; SetIn and RemoveIn are a part of a transaction.
type Secrets interface {
	Get(ctx context.Context, slotContext, name string) (secret.Text, error)
	SetIn(ctx context.Context, tx *sqlite.Tx, actor, slotContext, name string, value secret.Text) error
	RemoveIn(ctx context.Context, tx *sqlite.Tx, actor, slotContext, name string) error
}

// ResolverConfig is what a Resolver needs.
type ResolverConfig struct {
	Registry *Registry
	DB       *sqlite.DB
	Events   *event.Log
	Secrets  Secrets
	// Engine tells where the container engine reaches the built-in registry:
	// the host of the internal listener and its credential.
	Engine func() (host, username string, password secret.Text)
	Clock  func() time.Time // time.Now when nil
	Log    *slog.Logger
}

// Resolver finds out what a reference means. Its methods may be called from
// many goroutines.
type Resolver struct {
	registry *Registry
	db       *sqlite.DB
	events   *event.Log
	secrets  Secrets
	engine   func() (host, username string, password secret.Text)
	clock    func() time.Time
	log      *slog.Logger
	outside  *outside
	lists    tagLists
}

// NewResolver makes a Resolver of c, whose fields but Clock and Log are needed.
func NewResolver(c ResolverConfig) *Resolver {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Resolver{
		registry: c.Registry, db: c.DB, events: c.Events, secrets: c.Secrets,
		engine: c.Engine, clock: c.Clock, log: c.Log, outside: newOutside(),
	}
}

// source is where manifests of one repository come from. Its errors are
// faults; a manifest or tag that is not there is errNoManifest.
type source interface {
	manifest(ctx context.Context, reference string) (*storedManifest, error)
	config(ctx context.Context, d digest.Digest) ([]byte, error)
	// tags gives some tags, the newest first where that is known.
	tags(ctx context.Context, limit int) ([]string, error)
}

// Resolve finds the image that a reference ("" is latest) means for a
// platform. An image of the built-in registry is looked up in storage; any
// other is asked for at its registry, within 30 seconds. The faults: NotFound
// (no such image or tag, and which tags there are), Invalid (a bad reference,
// or not for this platform, and which there are), Forbidden, TooOften and
// Unavailable from the registry.
func (r *Resolver) Resolve(ctx context.Context, repository, reference string, p Platform) (Resolution, error) {
	if reference == "" {
		reference = "latest"
	}
	text := join(repository, reference)
	repository, reference, err := ParseReference(text)
	if err != nil {
		return Resolution{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	from, err := r.source(ctx, repository)
	if err != nil {
		return Resolution{}, fmt.Errorf("resolve %s: %w", text, err)
	}
	found := Resolution{Reference: text}
	if err := found.fill(ctx, from, reference, p.normal()); err != nil {
		if errors.Is(err, errNoManifest) {
			err = noSuch(ctx, from, repository, reference)
		}
		return Resolution{}, fmt.Errorf("resolve %s: %w", text, err)
	}
	return found, nil
}

// Pull says how the container engine gets an image by its digest.
func (r *Resolver) Pull(ctx context.Context, repository, d string) (container.Pull, error) {
	repository, err := normalRepository(repository)
	if err != nil {
		return container.Pull{}, err
	}
	host, _ := splitHost(repository)
	if host == "" {
		host, username, password := r.engine()
		return container.Pull{Reference: host + "/" + repository + "@" + d, Username: username, Password: password, PlainHTTP: true}, nil
	}
	a, password, err := r.account(ctx, host)
	if err != nil {
		return container.Pull{}, err
	}
	return container.Pull{
		Reference: repository + "@" + d, Username: a.Username, Password: password,
		PlainHTTP: a.Insecure || isLoopback(host),
	}, nil
}

func (r *Resolver) source(ctx context.Context, repository string) (source, error) {
	host, name := splitHost(repository)
	if host == "" {
		return inside{registry: r.registry, repository: name}, nil
	}
	a, password, err := r.account(ctx, host)
	if err != nil {
		return nil, err
	}
	return r.outside.source(host, name, a, password)
}

// join writes a reference as people do.
func join(repository, reference string) string {
	if strings.Contains(reference, ":") {
		return repository + "@" + reference
	}
	return repository + ":" + reference
}

// errNoManifest says that a source has no manifest of that reference.
var errNoManifest = errors.New("no such manifest")

// noSuch says what is not there, and what is.
func noSuch(ctx context.Context, from source, repository, reference string) error {
	tags, err := from.tags(ctx, fewTags)
	switch {
	case err != nil || len(tags) == 0:
		return fault.NotFound("no image named %s", join(repository, reference)).Because(err)
	case strings.Contains(reference, ":"):
		return fault.NotFound("%s has no image with the digest %s", repository, reference)
	}
	return fault.NotFound("%s has no tag %q; some that it has: %s", repository, reference, strings.Join(tags, ", "))
}

// fill follows a reference through indexes to the image for a platform.
func (found *Resolution) fill(ctx context.Context, from source, reference string, p Platform) error {
	for range maxDepth {
		m, err := from.manifest(ctx, reference)
		if err != nil {
			return err
		}
		doc, err := readDocument(m.content, m.mediaType)
		if err != nil {
			return fault.Invalid("%s is not an image that can be run here: %v", found.Reference, err)
		}
		if doc.isImage() {
			found.Digest = string(m.digest)
			return found.image(ctx, from, doc, p)
		}
		entry, ok := choose(doc.Manifests, p)
		if !ok {
			return notFor(found.Reference, p, platformsIn(doc.Manifests))
		}
		reference = string(entry.Digest)
	}
	return fault.Invalid("%s is an index of indexes of indexes", found.Reference)
}

func notFor(reference string, p Platform, there string) error {
	if there == "" {
		return fault.Invalid("%s has no image for %s, nor for any platform", reference, p)
	}
	return fault.Invalid("%s has no image for %s; there are images for %s", reference, p, there)
}

func (found *Resolution) image(ctx context.Context, from source, doc document, p Platform) error {
	if t := doc.Config.MediaType; t != ocispec.MediaTypeImageConfig && t != "application/vnd.docker.container.image.v1+json" {
		return fault.Invalid("%s is not an image that can be run: its configuration is of type %s", found.Reference, t)
	}
	raw, err := from.config(ctx, doc.Config.Digest)
	if err != nil {
		return err
	}
	var image ocispec.Image
	if err := json.Unmarshal(raw, &image); err != nil {
		return fault.Invalid("the configuration of %s can't be read", found.Reference).Because(err)
	}
	found.ConfigDigest = string(doc.Config.Digest)
	found.Platform = platformOf(image.Platform).normal()
	if found.Platform.fit(p) < 0 {
		return notFor(found.Reference, p, found.Platform.String())
	}
	found.Size = doc.Config.Size
	for _, layer := range doc.Layers {
		found.Size += layer.Size
	}
	if image.Created != nil {
		found.Created = plausible(*image.Created, time.Now())
	}
	found.ExposedPorts = portsOf(image.Config.ExposedPorts)
	return nil
}

// portsOf reads "8080/tcp" and "8080"; what is not TCP or no port is left out.
func portsOf(exposed map[string]struct{}) []int {
	ports := []int{}
	for text := range exposed {
		number, protocol, _ := strings.Cut(text, "/")
		port, err := strconv.Atoi(number)
		if err == nil && port > 0 && port < 1<<16 && (protocol == "" || protocol == "tcp") {
			ports = append(ports, port)
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}
