package containertest

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
)

// testArchive puts files into a volume, and finds them there as they were.
func (s *suite) testArchive(t *testing.T, name string) {
	labels := map[string]string{label: s.run, "for": "archive"}
	large := strings.Repeat("large ", 1<<18)
	entries := []tar.Header{
		{Name: "./", Typeflag: tar.TypeDir, Mode: 0o750, Uid: 12, Gid: 13},
		{Name: "./sub/", Typeflag: tar.TypeDir, Mode: 0o711},
		{Name: "./sub/file", Typeflag: tar.TypeReg, Mode: 0o640, Uid: 12, Gid: 13, Size: int64(len(large))},
		{Name: "./sub/ünder a näme", Typeflag: tar.TypeReg, Mode: 0o600},
		{Name: "./link", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
		{Name: "./twin", Typeflag: tar.TypeLink, Linkname: "./sub/file", Mode: 0o640, Uid: 12, Gid: 13},
	}
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	for _, h := range entries {
		require.NoError(t, writer.WriteHeader(&h))
		if h.Size > 0 {
			_, err := io.WriteString(writer, large)
			require.NoError(t, err)
		}
	}
	require.NoError(t, writer.Close())
	require.NoError(t, s.ImportVolume(t.Context(), name, labels, &archive))

	var out bytes.Buffer
	require.NoError(t, s.ExportVolume(t.Context(), name, labels, &out))
	found := map[string]*tar.Header{}
	for reader := tar.NewReader(&out); ; {
		h, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		content, err := io.ReadAll(reader)
		require.NoError(t, err)
		found[h.Name] = h
		if h.Size > 0 {
			require.Equal(t, large, string(content), h.Name)
		}
	}
	require.Len(t, found, len(entries))
	for _, want := range entries {
		got := found[want.Name]
		require.NotNil(t, got, "%s is not in %v", want.Name, found)
		if want.Typeflag == tar.TypeLink || got.Typeflag == tar.TypeLink { // either of the two may be the link
			continue
		}
		require.Equal(t, want.Typeflag, got.Typeflag, want.Name)
		if want.Typeflag != tar.TypeSymlink {
			require.Equal(t, want.Mode, got.Mode&0o777, want.Name)
			if !s.lacks(container.LacksOwners) {
				require.Equal(t, []int{want.Uid, want.Gid}, []int{got.Uid, got.Gid}, want.Name)
			}
		} else {
			require.Equal(t, want.Linkname, got.Linkname)
		}
	}

	require.Equal(t, s.lacks(container.LacksOwners), strings.Contains(strings.Join(s.info.Warnings, "\n"), "who owns its files"), "it is told to a person")

	sizes, err := s.VolumeSizes(t.Context())
	require.NoError(t, err)
	require.GreaterOrEqual(t, sizes[name], int64(len(large)))
	_, address := s.serve(t, container.Spec{Mounts: []container.Mount{{Kind: container.MountVolume, Source: name, Path: "/data"}}})
	status, answer := call(t, http.MethodGet, address, "/file", url.Values{"path": {"/data/sub/file"}}, "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, large, answer)

	left, err := s.List(t.Context(), labels)
	require.NoError(t, err)
	require.Empty(t, left, "a container stayed")
	require.ErrorIs(t, s.ExportVolume(t.Context(), name+"-not", labels, io.Discard), container.ErrNotFound)
	require.NoError(t, s.ImportVolume(t.Context(), name, labels, strings.NewReader(strings.Repeat("\x00", 1024))), "nothing in it")
}
