package deploy

import (
	"archive/tar"
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
)

func archiveOf(t *testing.T, entries ...tar.Header) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		if h.Typeflag == tar.TypeReg {
			h.Size = 2
		}
		require.NoError(t, w.WriteHeader(&h))
		if h.Size > 0 {
			_, err := w.Write([]byte("hi"))
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	return &b
}

func TestCheckArchive_RefusesWhatLeadsOutOfTheVolume(t *testing.T) {
	file := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg} }
	link := func(name, to string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}
	}
	hard := func(name, to string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: to} }
	for name, entries := range map[string][]tar.Header{
		"dots":                {file("../x")},
		"dots within":         {file("a/../../x")},
		"dots that come back": {file("a/../b")},
		"absolute":            {file("/etc/passwd")},
		"through a link":      {link("a", "/etc"), file("a/passwd")},
		"through a link deep": {link("./a/b", "../.."), file("a/b/c/d")},
		"hard link out":       {hard("a", "../x")},
		"hard link absolute":  {hard("a", "/etc/passwd")},
		"hard link to a link": {link("a", "/etc/passwd"), hard("b", "a")},
		"device":              {{Name: "a", Typeflag: tar.TypeBlock}},
		"character device":    {{Name: "a", Typeflag: tar.TypeChar}},
		"nothing":             {},
	} {
		err := checkArchive(archiveOf(t, entries...), io.Discard)
		require.Equal(t, fault.BadInput, fault.KindOf(err), "%s: %v", name, err)
	}
	good := archiveOf(t, tar.Header{Name: "./", Typeflag: tar.TypeDir}, file("a"), link("b", "/etc"), hard("c", "a"), link("d", "x"), file("d"), file("d..e/..f"))
	var out bytes.Buffer
	require.NoError(t, checkArchive(bytes.NewReader(good.Bytes()), &out))
	require.Equal(t, good.Bytes(), out.Bytes())

	require.Equal(t, fault.BadInput, fault.KindOf(checkArchive(bytes.NewReader(good.Bytes()[:1200]), io.Discard)), "it ends in the middle")
	require.Equal(t, fault.BadInput, fault.KindOf(checkArchive(bytes.NewReader(bytes.Repeat([]byte("no tar "), 1000)), io.Discard)))
}
