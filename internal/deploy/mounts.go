package deploy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"berth/internal/container"
	"berth/internal/fault"
)

// Mount puts a path of the host, or memory, at a path of each instance.
type Mount struct {
	Kind MountKind `json:"kind" enum:"bind,tmpfs"`
	// Source is the path of the host; bind only. It is one that the setting
	// BERTH_BIND_PATHS allows, and only administrators set it.
	Source   string `json:"source,omitempty"`
	Path     string `json:"path"`
	ReadOnly bool   `json:"read_only,omitempty"` // bind only
	// Size is how much memory it may fill, in bytes; tmpfs only, 64 MiB by
	// default.
	Size int64 `json:"size,omitempty"`
}

// MountKind is what is mounted.
type MountKind string

// The kinds of mounts beside volumes.
const (
	MountBind  MountKind = "bind"  // a folder or file of the host
	MountTmpfs MountKind = "tmpfs" // memory, empty at each start
)

const (
	maxMounts  = 20
	usualTmpfs = 64 << 20
	leastTmpfs = 64 << 10
)

// Allowance is something that not everybody may do who may edit a stage.
type Allowance string

// AllowBinds lets an edit mount paths of the host: whoever deploys to the
// stage can read what is there, and write to it.
const AllowBinds Allowance = "binds"

// AllowAccess lets an edit say who may enter, and whose tokens of a provider
// the app may have: whoever deploys to the stage can act there on their behalf.
// It also puts a stage beside a fixed route, whose paths it then decides on.
const AllowAccess Allowance = "access"

func (m Mount) normalise() Mount {
	if m.Kind == MountTmpfs {
		m.Size = orElse(m.Size, usualTmpfs)
	}
	return m
}

// HostPaths says which paths of the host stages may mount. The zero value
// allows none.
type HostPaths struct {
	Allowed []string // absolute; what is below one is allowed, too
	// Never are paths that no stage gets, whatever is allowed: neither they
	// nor what is below or above them.
	Never []string
}

// always are the kernel's: they lead out of every folder.
var always = []string{"/proc", "/sys", "/dev"}

// Resolve gives the path that source leads to, with every link followed, or
// the fault that says why no stage may mount it. What it allows is looked at
// again each time that containers are made: a link may have been put in its
// place meanwhile.
func (h HostPaths) Resolve(source string) (string, error) {
	switch {
	case !filepath.IsAbs(source) || filepath.Clean(source) != source || source == "/" || strings.ContainsAny(source, ":,\x00"):
		return "", fault.Invalid("it is an absolute path of the host below \"/\", such as \"/srv/media\"")
	case len(h.Allowed) == 0:
		return "", fault.Invalid("no path of the host may be mounted: the setting BERTH_BIND_PATHS names those that may, as in BERTH_BIND_PATHS=%s", source)
	case !slices.ContainsFunc(h.Allowed, func(root string) bool { return within(root, source) }):
		return "", fault.Invalid("it is in none of the paths that BERTH_BIND_PATHS allows: %s", strings.Join(h.Allowed, ", "))
	}
	found, err := filepath.EvalSymlinks(source)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fault.Invalid("Berth sees no such path on this machine; where Berth runs in a container, mount it there at the same path")
	}
	if err != nil {
		return "", fault.Invalid("Berth can't look at it").Because(err)
	}
	if !slices.ContainsFunc(h.Allowed, func(root string) bool { return within(behind(root), found) }) {
		return "", fault.Invalid("a link leads from it to %s, which is in none of the paths that BERTH_BIND_PATHS allows", found)
	}
	for _, p := range slices.Concat(always, h.Never) {
		if never := behind(p); within(never, found) || within(found, never) {
			return "", fault.Invalid("%s is never mounted, whatever BERTH_BIND_PATHS allows", p)
		}
	}
	info, err := os.Stat(found)
	if err != nil {
		return "", fault.Invalid("Berth can't look at it").Because(err)
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return "", fault.Invalid("it is neither a folder nor a file")
	}
	return found, nil
}

// behind gives the path that links lead to, or p when it is not there.
func behind(p string) string {
	if found, err := filepath.EvalSymlinks(p); err == nil {
		return found
	}
	return p
}

// within says that p is root or below it. Both are clean.
func within(root, p string) bool {
	return p == root || root == "/" || strings.HasPrefix(p, root+"/")
}

// mounts names every field of a spec's mounts that is wrong.
func (c *checks) mounts(s StageSpec, host HostPaths) {
	c.when(len(s.Mounts) > maxMounts, "spec.mounts", "there are at most %d mounts", maxMounts)
	paths := map[string]bool{}
	for _, v := range s.Volumes {
		paths[v.Path] = true
	}
	for i, m := range s.Mounts {
		field := fmt.Sprintf("spec.mounts[%d]", i)
		c.mountPoint(field, m.Path)
		c.when(paths[m.Path], field+".path", "something else is mounted at %s", m.Path)
		paths[m.Path] = true
		switch m.Kind {
		case MountBind:
			if _, err := host.Resolve(m.Source); err != nil {
				c.add(field+".source", "%s", fault.Message(err))
			}
			c.when(m.Size != 0, field+".size", "only a tmpfs has a size")
		case MountTmpfs:
			c.when(m.Source != "", field+".source", "only a bind mount has a source")
			c.when(m.ReadOnly, field+".read_only", "a tmpfs that nobody can write to stays empty")
			c.when(m.Size < leastTmpfs || m.Size > maxBytes, field+".size", "it is %d bytes (64 KiB) at least", leastTmpfs)
		default:
			c.add(field+".kind", "it is %q or %q", MountBind, MountTmpfs)
		}
	}
}

// mountPoint says what is wrong with where something is mounted.
func (c *checks) mountPoint(field, p string) {
	c.when(len(p) > 500 || !path.IsAbs(p) || path.Clean(p) != p || p == "/" || strings.ContainsAny(p, ":,\x00"),
		field+".path", "it is an absolute path below \"/\", such as \"/data\"")
}

// binds names the mounts of the host that an edit brings and that its author
// may not. One that was there before stays.
func (c *checks) binds(before, after []Mount, allow []Allowance) {
	if slices.Contains(allow, AllowBinds) {
		return
	}
	for i, m := range after {
		c.when(m.Kind == MountBind && !slices.Contains(before, m), fmt.Sprintf("spec.mounts[%d].source", i),
			"only administrators mount paths of the host: whoever deploys to the stage can read what is there")
	}
}

// mountsOf gives what the containers of a stage have mounted. A path of the
// host is the one that its links lead to now, and allowed now; a volume is in
// the one of its copies that is current.
func (s *Service) mountsOf(project, stage string, spec StageSpec, known copies) ([]container.Mount, error) {
	var list []container.Mount
	for _, v := range spec.Volumes {
		list = append(list, container.Mount{
			Kind: container.MountVolume, Source: known.current(volumeName(project, stage, v)), Path: v.Path, ReadOnly: v.ReadOnly,
		})
	}
	var trouble checks
	for i, m := range spec.Mounts {
		made := container.Mount{Kind: container.MountKind(m.Kind), Path: m.Path, ReadOnly: m.ReadOnly, Size: m.Size}
		if m.Kind == MountBind {
			source, err := s.hostPaths.Resolve(m.Source)
			if err != nil {
				trouble.add(fmt.Sprintf("spec.mounts[%d].source", i), "%s: %s", m.Source, fault.Message(err))
			}
			made.Source = source
		}
		list = append(list, made)
	}
	return list, fault.InvalidFields(trouble)
}
