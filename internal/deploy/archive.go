package deploy

import (
	"archive/tar"
	"errors"
	"io"
	"path"
	"strings"

	"berth/internal/fault"
)

// maxLinks bounds what is remembered of an archive while it goes through.
const maxLinks = 100_000

// checkArchive copies a tar stream, entry by entry, and refuses what would
// lead out of the folder that it is put into: names with "..", links to
// elsewhere that a later entry goes through, devices. What an engine does with
// such an archive is its own matter; it never gets one.
func checkArchive(from io.Reader, to io.Writer) error {
	whole := ending{from: from}
	reader, writer := tar.NewReader(&whole), tar.NewWriter(to)
	links := map[string]bool{}
	for entries := 0; ; entries++ {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) && entries == 0 {
			return fault.Invalid("the backup is empty: it is a tar stream, as berth volume backup writes it")
		}
		if errors.Is(err, io.EOF) && whole.ended { // two blocks of zeros come before that
			return broken(io.ErrUnexpectedEOF)
		}
		if errors.Is(err, io.EOF) {
			return writer.Close()
		}
		if err != nil {
			return broken(err)
		}
		if err := checkEntry(header, links); err != nil {
			return err
		}
		if err := writer.WriteHeader(header); err != nil {
			return broken(err)
		}
		if _, err := io.Copy(writer, reader); err != nil { //nolint:gosec // a volume takes what its disk has room for
			return broken(err)
		}
	}
}

// ending notes that a stream was read to its very end.
type ending struct {
	from  io.Reader
	ended bool
}

func (e *ending) Read(b []byte) (int, error) {
	n, err := e.from.Read(b)
	if n > 0 && errors.Is(err, io.EOF) {
		return n, nil
	}
	e.ended = e.ended || errors.Is(err, io.EOF)
	return n, err
}

// broken is a stream that ends early, or is no tar stream.
func broken(err error) error {
	switch {
	case errors.Is(err, io.ErrClosedPipe): // the engine took no more, and says why
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.Invalid("the backup is not whole: it ends in the middle").Because(err)
	case errors.Is(err, tar.ErrHeader):
		return fault.Invalid("that is no tar stream; one that is compressed is unpacked first").Because(err)
	}
	return err
}

// checkEntry makes an entry's name one within the folder, and remembers links.
func checkEntry(h *tar.Header, links map[string]bool) error {
	name := h.Name
	if strings.HasPrefix(name, "/") || strings.ContainsRune(name, 0) || outside(name) {
		return fault.Invalid("the backup has an entry %q, which is not within the volume", name)
	}
	clean := path.Clean(name)
	for at := path.Dir(clean); at != "."; at = path.Dir(at) {
		if links[at] {
			return fault.Invalid("the backup has an entry %q, which goes through the link %q", name, at)
		}
	}
	delete(links, clean)
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir, tar.TypeFifo:
	case tar.TypeSymlink: // wherever it leads: only the app follows it, within its container
		if links[clean] = true; len(links) > maxLinks {
			return fault.Large("the backup has more than %d links", maxLinks)
		}
	case tar.TypeLink:
		if strings.HasPrefix(h.Linkname, "/") || outside(h.Linkname) {
			return fault.Invalid("the backup has a link %q to %q, which is not within the volume", name, h.Linkname)
		}
		for at := path.Clean(h.Linkname); at != "."; at = path.Dir(at) {
			if links[at] {
				return fault.Invalid("the backup has a link %q that goes through the link %q", name, at)
			}
		}
	default:
		return fault.Invalid("the backup has an entry %q that is neither a file, a folder nor a link", name)
	}
	return nil
}

// outside says that a relative path has a step out of where it begins, also
// when it comes back.
func outside(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}
