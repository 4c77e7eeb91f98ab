package containertest

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
)

func (s *suite) testNetworks(t *testing.T) {
	name := s.name("net")
	id, err := s.EnsureNetwork(t.Context(), name, s.labels)
	require.NoError(t, err)
	require.NotEmpty(t, id)
	removed := false
	s.cleanUp(t, func() error {
		if removed {
			return nil
		}
		return s.RemoveNetwork(detached(t), id)
	})

	t.Run("EnsuredAgainIsTheSame", func(t *testing.T) {
		ids := make([]string, 4)
		var asking sync.WaitGroup
		for i := range ids {
			asking.Go(func() { ids[i], _ = s.EnsureNetwork(t.Context(), name, s.labels) })
		}
		asking.Wait()
		require.Equal(t, []string{id}, slices.Compact(ids))
	})
	t.Run("OfSomebodyElseIsAConflict", func(t *testing.T) {
		_, err := s.EnsureNetwork(t.Context(), name, map[string]string{label: "another"})
		require.ErrorIs(t, err, container.ErrConflict)
	})
	t.Run("ConnectsByAlias", func(t *testing.T) {
		s.serve(t, container.Spec{Network: id, Aliases: []string{"web", "www"}})
		_, other := s.serve(t, container.Spec{Network: id})
		for _, alias := range []string{"web", "www"} {
			s.awaitAlias(t, other, alias)
		}
	})
	t.Run("InUseStays", func(t *testing.T) {
		s.serve(t, container.Spec{Network: id})
		require.ErrorIs(t, s.RemoveNetwork(t.Context(), id), container.ErrConflict)
	})
	t.Run("IsRemoved", func(t *testing.T) {
		require.NoError(t, s.RemoveNetwork(t.Context(), id))
		removed = true
		require.ErrorIs(t, s.RemoveNetwork(t.Context(), id), container.ErrNotFound)
	})
}

// awaitAlias waits until one container reaches another by its alias: Podman's
// name server learns of it a moment after the start.
func (s *suite) awaitAlias(t *testing.T, address, alias string) {
	t.Helper()
	var last string
	defer func() {
		if t.Failed() {
			t.Log("the last answer was", last)
		}
	}()
	await(t, "the alias "+alias+" answers", func() bool {
		status, answer := call(t, http.MethodGet, address, "/fetch", url.Values{"url": {"http://" + alias + ":8080/"}}, "")
		last = answer
		return status == http.StatusOK && strings.Contains(answer, "hello from")
	})
}

func (s *suite) testVolumes(t *testing.T) {
	name := s.name("vol")
	labels := map[string]string{label: s.run, "kind": "data"}
	require.NoError(t, s.EnsureVolume(t.Context(), name, labels))
	require.NoError(t, s.EnsureVolume(t.Context(), name, labels), "it is there already")
	removed := false
	s.cleanUp(t, func() error {
		if removed {
			return nil
		}
		return s.RemoveVolume(detached(t), name)
	})

	t.Run("AreListedByLabels", func(t *testing.T) {
		for _, c := range []struct {
			labels map[string]string
			want   int
		}{
			{labels, 1},
			{map[string]string{label: s.run, "kind": ""}, 1},
			{map[string]string{label: s.run, "kind": "other"}, 0},
		} {
			volumes, err := s.Volumes(t.Context(), c.labels)
			require.NoError(t, err)
			require.Len(t, volumes, c.want, "%v", c.labels)
			if c.want == 1 {
				require.Equal(t, name, volumes[0].Name)
				require.Equal(t, labels, volumes[0].Labels)
				require.False(t, volumes[0].Created.IsZero())
			}
		}
	})
	t.Run("KeepsItsLabels", func(t *testing.T) {
		require.NoError(t, s.EnsureVolume(t.Context(), name, map[string]string{label: "somebody else's"}))
		found, err := s.Volume(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, name, found.Name)
		require.Equal(t, labels, found.Labels)
		require.False(t, found.Created.IsZero())
		_, err = s.Volume(t.Context(), name+"-not")
		require.ErrorIs(t, err, container.ErrNotFound)
	})
	t.Run("InUseStays", func(t *testing.T) {
		users, err := s.VolumeUsers(t.Context(), name)
		require.NoError(t, err)
		require.Empty(t, users)
		id := s.create(t, container.Spec{Mounts: []container.Mount{{Kind: container.MountVolume, Source: name, Path: "/data"}}})
		require.ErrorIs(t, s.RemoveVolume(t.Context(), name), container.ErrConflict)
		users, err = s.VolumeUsers(t.Context(), name)
		require.NoError(t, err)
		require.Len(t, users, 1)
		require.Equal(t, id, users[0].ID)
		require.Equal(t, s.run, users[0].Labels[label])
	})
	t.Run("GoesOutAndInAsTar", func(t *testing.T) { s.testArchive(t, name) })
	t.Run("IsRemoved", func(t *testing.T) {
		require.NoError(t, s.RemoveVolume(t.Context(), name))
		removed = true
		require.ErrorIs(t, s.RemoveVolume(t.Context(), name), container.ErrNotFound)
	})
}

// cleanUp takes something away when the test has ended and its containers are
// gone, as these are registered after it.
func (s *suite) cleanUp(t *testing.T, remove func() error) {
	t.Helper()
	t.Cleanup(func() { require.NoError(t, remove()) })
}

// detached is a test's context that goes on into its clean-up.
func detached(t *testing.T) context.Context {
	t.Helper()
	return context.WithoutCancel(t.Context())
}
