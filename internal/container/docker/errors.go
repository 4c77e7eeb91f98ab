package docker

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"berth/internal/container"
)

// wrap says what was being done and puts the container package's meaning of
// the engine's error into its chain.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	doing := fmt.Sprintf(format, args...)
	if kind := meaning(err); kind != nil {
		return fmt.Errorf("%s: %w: %w", doing, kind, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// meaning finds what an engine's error says to a caller; nil when it says
// nothing that a caller acts on. Podman answers many conflicts with status
// 500, so that only the text tells.
func meaning(err error) error {
	switch {
	case err == nil, known(err):
		return nil
	case cerrdefs.IsNotFound(err):
		return container.ErrNotFound
	case cerrdefs.IsConflict(err):
		return container.ErrConflict
	case cerrdefs.IsNotImplemented(err):
		return container.ErrUnsupported
	case isAway(err):
		return container.ErrUnavailable
	}
	text := strings.ToLower(err.Error())
	for _, t := range texts {
		if strings.Contains(text, t.part) {
			return t.kind
		}
	}
	if cerrdefs.IsUnauthorized(err) {
		return container.ErrDenied
	}
	return nil
}

// texts are parts of what engines say, in lower case, most telling first.
var texts = []struct {
	part string
	kind error
}{
	{"no such image", container.ErrNotFound},
	{"no such container", container.ErrNotFound},
	{"no such volume", container.ErrNotFound},
	{passingInterface, nil},
	{"no such network", container.ErrNotFound},
	{"image not known", container.ErrNotFound},
	{"network not found", container.ErrNotFound},
	{"is already in use", container.ErrConflict}, // a container's name
	{"already exists", container.ErrConflict},    // a network's, a volume's
	{"is being used", container.ErrConflict},
	{"in use by", container.ErrConflict},
	{"has active endpoints", container.ErrConflict},
	{"has associated containers", container.ErrConflict},
	{"address already in use", container.ErrConflict}, // a published port's
	{"is not running", container.ErrConflict},
	{"container state improper", container.ErrConflict},
	{"device or resource busy", container.ErrConflict}, // a file system that is still being let go of
	{"can only create exec sessions on running containers", container.ErrConflict},
}

// passingInterface is in Podman's words when an interface of the machine went
// away while it was looking at all of them.
const passingInterface = "no such network interface"

// known says whether err has been given its meaning already.
func known(err error) bool {
	for _, kind := range []error{
		container.ErrNotFound, container.ErrConflict, container.ErrDenied,
		container.ErrUnavailable, container.ErrUnsupported,
	} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// isAway says whether the engine is not there, or went away during the call.
func isAway(err error) bool {
	return client.IsErrConnectionFailed(err) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrUnexpectedEOF)
}

// pullMeaning is meaning for what a registry said through the engine.
func pullMeaning(err error) error {
	if kind := meaning(err); kind != nil && !errors.Is(kind, container.ErrNotFound) {
		return kind
	}
	text := strings.ToLower(err.Error())
	for _, t := range pullTexts {
		if strings.Contains(text, t.part) {
			return t.kind
		}
	}
	return meaning(err)
}

var pullTexts = []struct {
	part string
	kind error
}{
	{"no basic auth credentials", container.ErrDenied},
	{"unauthorized", container.ErrDenied},
	{"authentication required", container.ErrDenied},
	{"invalid username/password", container.ErrDenied},
	{"denied", container.ErrDenied},
	{"status code 401", container.ErrDenied},
	{"status code 403", container.ErrDenied},
	{"manifest unknown", container.ErrNotFound},
	{"manifest_unknown", container.ErrNotFound}, // Docker 26 passes on some registries' answers as they are
	{"name unknown", container.ErrNotFound},
	{"name_unknown", container.ErrNotFound},
	{"not found", container.ErrNotFound},
	{"status code 404", container.ErrNotFound},
}
