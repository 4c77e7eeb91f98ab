package deploy

import (
	"archive/tar"
	"errors"
	"io"
	"path"
	"strings"

	"berth/internal/fault"
)

// What is remembered of an archive while it goes through is bounded.
const (
	maxLinks     = 100_000
	maxLinkBytes = 32 << 20 // of their names and of where they lead
)

// checkArchive copies a tar stream, entry by entry, and refuses what would
// lead out of the folder that it is put into: names with "..", links to
// elsewhere that a later entry goes through, the folder itself as a link,
// devices. What an engine does with such an archive is its own matter; it
// never gets one. A hard link to a symbolic one goes on as a symbolic link to
// the same place: engines differ in which of the two they take for its target.
func checkArchive(from io.Reader, to io.Writer) error {
	whole := ending{from: from}
	reader, writer := tar.NewReader(&whole), tar.NewWriter(to)
	links := symlinks{to: map[string]string{}}
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
		if err := checkEntry(header, &links); err != nil {
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

// symlinks are those that an archive has so far, by their cleaned names.
type symlinks struct {
	to    map[string]string
	bytes int
}

func (l *symlinks) add(name, to string) error {
	l.to[name] = to
	l.bytes += len(name) + len(to)
	if len(l.to) > maxLinks || l.bytes > maxLinkBytes {
		return fault.Large("the backup has too many links: at most %d, with %d MiB of names", maxLinks, maxLinkBytes>>20)
	}
	return nil
}

func (l *symlinks) forget(name string) {
	if to, was := l.to[name]; was {
		delete(l.to, name)
		l.bytes -= len(name) + len(to)
	}
}

// above gives the first link that a path goes through on its way, nearest
// first; its last part is not asked about.
func (l *symlinks) above(clean string) (link string, through bool) {
	for at := path.Dir(clean); at != "."; at = path.Dir(at) {
		if _, is := l.to[at]; is {
			return at, true
		}
	}
	return "", false
}

// checkEntry makes sure that an entry stays within the folder, and remembers
// links.
func checkEntry(h *tar.Header, links *symlinks) error {
	name := h.Name
	if strings.HasPrefix(name, "/") || strings.ContainsRune(name, 0) || outside(name) {
		return fault.Invalid("the backup has an entry %q, which is not within the volume", name)
	}
	clean := path.Clean(name)
	if clean == "." && h.Typeflag != tar.TypeDir {
		return fault.Invalid("the backup has an entry %q that is not a folder: it is the volume itself", name)
	}
	if link, through := links.above(clean); through {
		return fault.Invalid("the backup has an entry %q, which goes through the link %q", name, link)
	}
	if err := hardLink(h, links); err != nil {
		return err
	}
	links.forget(clean)
	switch {
	case sparse(h):
		return fault.Invalid("the backup has a file %q with holes, as tar --sparse writes it: make it without that option", name)
	case h.Typeflag == tar.TypeSymlink: // wherever it leads: only the app follows it, within its container
		return links.add(clean, h.Linkname)
	case h.Typeflag == tar.TypeReg, h.Typeflag == tar.TypeDir, h.Typeflag == tar.TypeFifo, h.Typeflag == tar.TypeLink:
		return nil
	}
	return fault.Invalid("the backup has an entry %q that is neither a file, a folder nor a link", name)
}

// hardLink makes sure that a hard link leads to a file of the archive. One to
// a symbolic link it makes a symbolic link like that: the same to whoever
// looks, and remembered, so that nothing goes through it either.
func hardLink(h *tar.Header, links *symlinks) error {
	if h.Typeflag != tar.TypeLink {
		return nil
	}
	clean := path.Clean(h.Linkname)
	if strings.HasPrefix(h.Linkname, "/") || strings.ContainsRune(h.Linkname, 0) || outside(h.Linkname) || clean == "." {
		return fault.Invalid("the backup has a link %q to %q, which is no file within the volume", h.Name, h.Linkname)
	}
	if link, through := links.above(clean); through {
		return fault.Invalid("the backup has a link %q that goes through the link %q", h.Name, link)
	}
	if to, is := links.to[clean]; is {
		h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, to, 0
	}
	return nil
}

// sparse says that a file is written with holes left out. Such a file is as
// large as it says, however little there is of it.
func sparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for record := range h.PAXRecords {
		if strings.HasPrefix(record, "GNU.sparse.") {
			return true
		}
	}
	return false
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
