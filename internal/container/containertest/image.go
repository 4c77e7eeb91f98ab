package containertest

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
	"berth/internal/secret"
)

func (s *suite) testInfo(t *testing.T) {
	require.NotEmpty(t, s.info.Version)
	require.NotEmpty(t, s.info.APIVersion)
	require.Equal(t, "linux", s.info.OS)
	require.NotEmpty(t, s.info.Arch)
	require.NotEmpty(t, s.info.Socket)
	require.True(t, strings.HasPrefix(s.info.DataDir, "/"), "data folder %q", s.info.DataDir)
	require.Equal(t, len(s.info.Lacks) > 0, len(s.info.Warnings) > 0, "a person is told what is lacking: %+v", s.info)
}

// testPull also gets the image that the other tests use.
func (s *suite) testPull(t *testing.T) {
	pull := s.registry.push(t)

	t.Run("RefusedWithWrongPassword", func(t *testing.T) {
		wrong := pull
		wrong.Password = secret.New("wrong")
		_, err := s.Pull(t.Context(), wrong, nil)
		require.ErrorIs(t, err, container.ErrDenied)
		require.NotContains(t, err.Error(), "wrong\"", "the password is in the error")
	})
	t.Run("RefusedWithoutCredentials", func(t *testing.T) {
		_, err := s.Pull(t.Context(), container.Pull{Reference: pull.Reference, PlainHTTP: true}, nil)
		require.ErrorIs(t, err, container.ErrDenied)
	})
	t.Run("OfWhatIsNotThere", func(t *testing.T) {
		missing := pull
		missing.Reference = s.registry.host + "/team/app@sha256:" + strings.Repeat("0", 64)
		_, err := s.Pull(t.Context(), missing, nil)
		require.ErrorIs(t, err, container.ErrNotFound)
	})
	t.Run("OfWhatIsNoDigestReference", func(t *testing.T) {
		for _, reference := range []string{"", "app", "host/app:1", "host/app@md5:1", "@sha256:1"} {
			_, err := s.Pull(t.Context(), container.Pull{Reference: reference}, nil)
			require.Error(t, err, "%q", reference)
		}
	})
	t.Run("StopsWithItsContext", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Pull(ctx, pull, nil)
		require.ErrorIs(t, err, context.Canceled)
	})
	t.Run("ByDigestWithCredentials", func(t *testing.T) {
		var lines []string
		image, err := s.Pull(t.Context(), pull, func(line string) { lines = append(lines, line) })
		require.NoError(t, err)
		require.NotEmpty(t, lines)
		require.NotContains(t, lines, "")
		require.True(t, strings.HasPrefix(image.ID, "sha256:"), image.ID)
		require.Contains(t, image.Digests, pull.Reference)
		require.Equal(t, "linux", image.OS)
		require.Equal(t, s.info.Arch, image.Arch)
		require.Equal(t, []int{8080}, image.Ports)
		require.Equal(t, s.registry.name, image.Labels[label])
		require.Positive(t, image.Size)
		s.image = image
	})
	t.Run("AgainAsksNoRegistry", func(t *testing.T) {
		asked := s.registry.asked.Load()
		elsewhere := pull
		elsewhere.Reference = strings.Replace(pull.Reference, s.registry.host+"/team/app", "127.0.0.1:9/other/name", 1)
		for _, p := range []container.Pull{pull, elsewhere} {
			image, err := s.Pull(t.Context(), p, nil)
			require.NoError(t, err)
			require.Equal(t, s.image.ID, image.ID)
		}
		require.Equal(t, asked, s.registry.asked.Load())
	})
}

func (s *suite) testImages(t *testing.T) {
	tag := s.name("loaded") + ":1"
	stream, want := s.registry.archive(t, tag)
	ids, err := s.Load(t.Context(), stream)
	require.NoError(t, err)
	require.Len(t, ids, 1)
	id := ids[0]
	t.Cleanup(func() { _ = s.RemoveImage(context.WithoutCancel(t.Context()), id) })

	t.Run("LoadedIsFoundByIDAndTag", func(t *testing.T) {
		require.Equal(t, want, id)
		for _, reference := range []string{id, tag} {
			image, err := s.Image(t.Context(), reference)
			require.NoError(t, err)
			require.Equal(t, id, image.ID)
			require.Len(t, image.Tags, 1)
			require.True(t, strings.HasSuffix(image.Tags[0], tag), image.Tags)
		}
	})
	t.Run("PulledIsFoundByIDAndDigest", func(t *testing.T) {
		for _, reference := range []string{s.image.ID, s.image.Digests[0]} {
			image, err := s.Image(t.Context(), reference)
			require.NoError(t, err)
			require.Equal(t, s.image, image)
		}
	})
	t.Run("ThatIsNotThere", func(t *testing.T) {
		_, err := s.Image(t.Context(), "sha256:"+strings.Repeat("0", 64))
		require.ErrorIs(t, err, container.ErrNotFound)
		require.ErrorIs(t, s.RemoveImage(t.Context(), s.name("nothing")), container.ErrNotFound)
	})
	t.Run("ListWhileOneComesAndGoes", func(t *testing.T) {
		streams := make([]io.Reader, 10)
		for i := range streams {
			streams[i], _ = s.registry.archive(t, s.name("passing")+":1")
		}
		done := make(chan error, 1)
		go func() {
			for _, stream := range streams {
				ids, err := s.Load(t.Context(), stream)
				if err == nil {
					err = s.RemoveImage(t.Context(), ids[0])
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		for {
			_, listed := s.Images(t.Context())
			select {
			case err := <-done:
				require.NoError(t, err)
				return
			default:
				if listed != nil {
					require.NoError(t, <-done)
					require.NoError(t, listed)
				}
			}
		}
	})
	t.Run("ListHasBoth", func(t *testing.T) {
		images, err := s.Images(t.Context())
		require.NoError(t, err)
		for _, want := range []string{id, s.image.ID} {
			at := slices.IndexFunc(images, func(i container.Image) bool { return i.ID == want })
			require.NotEqual(t, -1, at, "%s is not in %v", want, images)
			require.Equal(t, s.registry.name, images[at].Labels[label])
		}
	})
	t.Run("InUseStays", func(t *testing.T) {
		c := s.create(t, container.Spec{Image: id})
		require.ErrorIs(t, s.RemoveImage(t.Context(), id), container.ErrConflict)
		image, err := s.Image(t.Context(), tag)
		require.NoError(t, err, "its tag was taken away")
		require.Equal(t, id, image.ID)
		require.NoError(t, s.Remove(t.Context(), c))
	})
	t.Run("IsRemovedWithItsTags", func(t *testing.T) {
		require.NoError(t, s.RemoveImage(t.Context(), id))
		for _, reference := range []string{id, tag} {
			_, err := s.Image(t.Context(), reference)
			require.ErrorIs(t, err, container.ErrNotFound)
		}
	})
	t.Run("LoadOfWhatIsNoArchiveFails", func(t *testing.T) {
		_, err := s.Load(t.Context(), strings.NewReader("not a tar"))
		require.Error(t, err)
	})
}
