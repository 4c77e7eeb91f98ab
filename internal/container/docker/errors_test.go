package docker

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/stretchr/testify/require"

	"berth/internal/container"
)

func TestWrap_GivesAnEnginesErrorItsMeaning(t *testing.T) {
	for _, c := range []struct {
		said error
		kind error
	}{
		{fmt.Errorf("x: %w", cerrdefs.ErrNotFound), container.ErrNotFound},
		{fmt.Errorf("x: %w", cerrdefs.ErrConflict), container.ErrConflict},
		{fmt.Errorf("x: %w", cerrdefs.ErrNotImplemented), container.ErrUnsupported},
		{fmt.Errorf("dial: %w", syscall.ECONNREFUSED), container.ErrUnavailable},
		{io.ErrUnexpectedEOF, container.ErrUnavailable},
		// Podman, with status 500.
		{errors.New(`creating container storage: the container name "a" is already in use by 12`), container.ErrConflict},
		{errors.New(`"n" has associated containers with it. Use -f to forcibly delete containers and pods: network is being used`), container.ErrConflict},
		{errors.New("sending SIGKILL to container 12: container state improper: stopped"), container.ErrConflict},
		{errors.New("network name n already used: network already exists"), container.ErrConflict},
		{errors.New("rootlessport listen tcp 127.0.0.1:33175: bind: address already in use"), container.ErrConflict},
		{errors.New("foo: image not known"), container.ErrNotFound},
		// Docker, with status 403.
		{errors.New("error while removing network: network n id 12 has active endpoints"), container.ErrConflict},
		{errors.New("container 12: driver \"overlay2\" failed to remove root filesystem: unlinkat /a/merged: device or resource busy"), container.ErrConflict},
	} {
		err := wrap(c.said, "do %s", "it")
		require.ErrorIs(t, err, c.kind)
		require.ErrorIs(t, err, c.said)
		require.Contains(t, err.Error(), "do it: ")
		require.EqualError(t, wrap(err, "again"), "again: "+err.Error(), "a meaning is given once")
	}
	require.NoError(t, wrap(nil, "do it"))
	passing := errors.New("route ip+net: no such network interface")
	require.NotErrorIs(t, wrap(passing, "do it"), container.ErrNotFound)
	plain := errors.New("out of luck")
	require.EqualError(t, wrap(plain, "do it"), "do it: out of luck")
}

func TestPullMeaning_TellsRefusedFromMissing(t *testing.T) {
	for said, kind := range map[string]error{
		`Get "http://127.0.0.1:5000/v2/": no basic auth credentials`:                                               container.ErrDenied,
		"pull access denied for a/b, repository does not exist or may require 'docker login'":                      container.ErrDenied,
		"initializing source docker://h/a: reading manifest sha256:0 in h/a: unauthorized":                         container.ErrDenied,
		"unable to retrieve auth token: invalid username/password: unauthorized":                                   container.ErrDenied,
		"reading manifest sha256:0 in h/a: manifest unknown":                                                       container.ErrNotFound,
		`unknown: {"errors":[{"code":"MANIFEST_UNKNOWN","message":"Unknown manifest"}]}`:                           container.ErrNotFound,
		`unknown: {"errors":[{"code":"NAME_UNKNOWN","message":"Unknown name"}]}`:                                   container.ErrNotFound,
		"manifest for h/a@sha256:0 not found: manifest unknown: Unknown manifest":                                  container.ErrNotFound,
		"pinging container registry h: Get \"http://h/v2/\": dial tcp 127.0.0.1:5000: connect: connection timeout": nil,
	} {
		kindGot := pullMeaning(errors.New(said))
		require.Equal(t, kind, kindGot, said)
	}
}
