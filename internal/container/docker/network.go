package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"berth/internal/container"
)

// EnsureNetwork gives the id of a network, making it when there is none.
func (e *Engine) EnsureNetwork(ctx context.Context, name string, labels map[string]string) (string, error) {
	e.networks.Lock()
	defer e.networks.Unlock()
	id, err := e.findNetwork(ctx, name, labels)
	if id != "" || err != nil {
		return id, err
	}
	made, err := e.createNetwork(ctx, name, labels)
	if err != nil && !errors.Is(meaning(err), container.ErrConflict) {
		return "", wrap(err, "create network %s", name)
	}
	// Docker 20.10 makes a second network of the same name when two ask at
	// once: both then take the older one, and whose is the younger removes it.
	id, err = e.findNetwork(ctx, name, labels)
	if err != nil {
		return "", err
	}
	if made.ID != "" && made.ID != id {
		if err := e.RemoveNetwork(ctx, made.ID); err != nil {
			return "", err
		}
	}
	return id, nil
}

// createNetwork makes a network, looking again when Podman was disturbed.
func (e *Engine) createNetwork(ctx context.Context, name string, labels map[string]string) (client.NetworkCreateResult, error) {
	for tries := 1; ; tries++ {
		made, err := e.api.NetworkCreate(ctx, name, client.NetworkCreateOptions{Driver: "bridge", Labels: labels})
		if err == nil || tries == 10 || !strings.Contains(err.Error(), passingInterface) {
			return made, err
		}
	}
}

// findNetwork gives the oldest network of that name; "" when there is none,
// and a conflict when it does not carry the labels.
func (e *Engine) findNetwork(ctx context.Context, name string, labels map[string]string) (string, error) {
	said, err := e.api.NetworkList(ctx, client.NetworkListOptions{})
	if err != nil {
		return "", wrap(err, "list networks")
	}
	found := slices.DeleteFunc(said.Items, func(n network.Summary) bool { return n.Name != name })
	if len(found) == 0 {
		return "", nil
	}
	oldest := slices.MinFunc(found, func(a, b network.Summary) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	if !carries(oldest.Labels, labels) {
		return "", fmt.Errorf("network %s: %w: it is there without Berth's labels", name, container.ErrConflict)
	}
	return oldest.ID, nil
}

// RemoveNetwork removes a network.
func (e *Engine) RemoveNetwork(ctx context.Context, id string) error {
	var err error
	if e.facts.Load().podman {
		err = e.removePodmanNetwork(ctx, id)
	} else {
		_, err = e.api.NetworkRemove(ctx, id, client.NetworkRemoveOptions{})
	}
	return wrap(err, "remove network %s", id)
}

// removePodmanNetwork asks in Podman's own API, as over Docker's the
// containers in the network go with it; and by name, as Podman 4.3 finds no
// container in a network that it is told by id.
func (e *Engine) removePodmanNetwork(ctx context.Context, id string) error {
	said, err := e.api.NetworkInspect(ctx, id, client.NetworkInspectOptions{})
	if err != nil {
		return err
	}
	return e.libpodRemove(ctx, "/networks/"+url.PathEscape(said.Network.Name), url.Values{"force": {"false"}})
}
