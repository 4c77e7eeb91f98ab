package deploy

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
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
		"dots":                          {file("../x")},
		"dots within":                   {file("a/../../x")},
		"dots that come back":           {file("a/../b")},
		"absolute":                      {file("/etc/passwd")},
		"through a link":                {link("a", "/etc"), file("a/passwd")},
		"through a link deep":           {link("./a/b", "../.."), file("a/b/c/d")},
		"hard link out":                 {hard("a", "../x")},
		"hard link absolute":            {hard("a", "/etc/passwd")},
		"through a hard link to a link": {link("a", "/etc"), hard("b", "a"), file("b/passwd")},
		"hard link through a link":      {link("a", "/etc"), hard("b", "a/passwd")},
		"hard link through such a one":  {link("a", "/etc"), hard("b", "./a"), hard("c", "b/passwd")},
		"hard link to the volume":       {hard("a", "./")},
		"the volume as a link":          {link("./", "/etc"), file("passwd")},
		"the volume as a hard link":     {file("a"), hard(".", "a")},
		"the volume as a file":          {file(".")},
		"no name":                       {link("", "/etc")},
		"device":                        {{Name: "a", Typeflag: tar.TypeBlock}},
		"character device":              {{Name: "a", Typeflag: tar.TypeChar}},
		"nothing":                       {},
	} {
		err := checkArchive(archiveOf(t, entries...), io.Discard)
		require.Equal(t, fault.BadInput, fault.KindOf(err), "%s: %v", name, err)
	}
	good := archiveOf(t, tar.Header{Name: "./", Typeflag: tar.TypeDir}, file("a"), link("b", "/etc"), hard("c", "a"), link("d", "x"), file("d"), file("d..e/..f"))
	var out bytes.Buffer
	require.NoError(t, checkArchive(bytes.NewReader(good.Bytes()), &out))
	require.Equal(t, good.Bytes(), out.Bytes())

	// A hard link to a symbolic one is another symbolic one; what takes its
	// name is none any more.
	out.Reset()
	require.NoError(t, checkArchive(archiveOf(t, link("d/a", "../b"), hard("c", "./d/a"), hard("e", "c"), hard("c", "c"), file("d/a"), hard("f", "d/a")), &out))
	require.Equal(t, archiveOf(t, link("d/a", "../b"), link("c", "../b"), link("e", "../b"), link("c", "../b"), file("d/a"), hard("f", "d/a")).Bytes(), out.Bytes())

	require.Equal(t, fault.BadInput, fault.KindOf(checkArchive(bytes.NewReader(good.Bytes()[:1200]), io.Discard)), "it ends in the middle")
	require.Equal(t, fault.BadInput, fault.KindOf(checkArchive(bytes.NewReader(bytes.Repeat([]byte("no tar "), 1000)), io.Discard)))
}

func TestCheckArchive_SaysThatFilesWithHolesAreNotTaken(t *testing.T) {
	dir := t.TempDir()
	holed, err := os.Create(filepath.Join(dir, "holed"))
	require.NoError(t, err)
	_, err = holed.WriteAt([]byte("end"), 1<<20)
	require.NoError(t, err)
	require.NoError(t, holed.Close())
	for _, format := range []string{"gnu", "posix"} {
		made, err := exec.Command("tar", "--sparse", "--format="+format, "-C", dir, "-cf", "-", "holed").Output()
		require.NoError(t, err)
		require.Less(t, len(made), 1<<20, "it has the holes left out")
		err = checkArchive(bytes.NewReader(made), io.Discard)
		require.Equal(t, fault.BadInput, fault.KindOf(err), "%s: %v", format, err)
		require.Contains(t, fault.Message(err), "--sparse")
	}
}

func TestCheckArchive_BoundsWhatItRemembers(t *testing.T) {
	var many []tar.Header
	for n := range 40 {
		many = append(many, tar.Header{Name: strconv.Itoa(n), Typeflag: tar.TypeSymlink, Linkname: strings.Repeat("x", 1<<20-100)})
	}
	require.Equal(t, fault.TooLarge, fault.KindOf(checkArchive(archiveOf(t, many...), io.Discard)))
}
