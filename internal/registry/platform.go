package registry

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Platform is what an image runs on, in the words of the OCI image
// specification.
type Platform struct {
	OS      string `json:"os"`
	Arch    string `json:"architecture"`
	Variant string `json:"variant,omitempty"`
}

func (p Platform) String() string {
	s := p.OS + "/" + p.Arch
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// normal gives a platform its one spelling: engines say aarch64 and x86_64,
// and leave out the variant that every machine of an architecture has.
func (p Platform) normal() Platform {
	p.OS, p.Arch, p.Variant = strings.ToLower(p.OS), strings.ToLower(p.Arch), strings.ToLower(p.Variant)
	if p.OS == "" {
		p.OS = "linux"
	}
	switch p.Arch {
	case "x86_64", "x86-64":
		p.Arch = "amd64"
	case "aarch64":
		p.Arch = "arm64"
	case "armhf", "armv7l":
		p.Arch, p.Variant = "arm", "v7"
	case "armel", "armv6l":
		p.Arch, p.Variant = "arm", "v6"
	case "i386", "i686":
		p.Arch = "386"
	}
	switch {
	case p.Arch == "arm64" && (p.Variant == "v8" || p.Variant == "8"),
		p.Arch == "amd64" && p.Variant == "v1":
		p.Variant = ""
	case p.Arch == "arm" && p.Variant == "":
		p.Variant = "v7"
	case p.Variant != "" && p.Variant[0] != 'v':
		p.Variant = "v" + p.Variant
	}
	return p
}

// fit says how well an image for platform p runs on machine m: below 0 not at
// all, otherwise the more the better. A machine runs what was made for its
// variant or for an earlier one.
func (p Platform) fit(m Platform) int {
	p, m = p.normal(), m.normal()
	if p.OS != m.OS || p.Arch != m.Arch {
		return -1
	}
	if p.Variant == m.Variant {
		return 1000
	}
	made, has := p.level(), m.level()
	if made < 0 || has < 0 || made > has {
		return -1
	}
	return made
}

// level gives a variant's number; -1 for one that is none.
func (p Platform) level() int {
	if p.Variant == "" {
		if p.Arch == "arm64" {
			return 8
		}
		return 1
	}
	n, err := strconv.Atoi(strings.TrimPrefix(p.Variant, "v"))
	if err != nil || n < 0 || n >= 1000 {
		return -1
	}
	return n
}

// choose gives the entry of an index that runs best on a machine. Of equals
// the first is taken, as the image specification asks; one that names no
// platform is better than none, and its configuration has the last word.
func choose(entries []ocispec.Descriptor, m Platform) (best ocispec.Descriptor, found bool) {
	fit := -1
	for _, e := range entries {
		f := 0
		if e.Platform != nil {
			f = platformOf(*e.Platform).fit(m)
		}
		if f > fit {
			best, fit = e, f
		}
	}
	return best, fit >= 0
}

func platformOf(p ocispec.Platform) Platform {
	return Platform{OS: p.OS, Arch: p.Architecture, Variant: p.Variant}
}

// platformsIn names what an index has images for; attestations, which say
// "unknown", are no images.
func platformsIn(entries []ocispec.Descriptor) string {
	var names []string
	for _, e := range entries {
		if e.Platform == nil || e.Platform.OS == "unknown" {
			continue
		}
		if name := platformOf(*e.Platform).normal().String(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	const shown = 10
	if len(names) > shown {
		names = append(names[:shown:shown], fmt.Sprintf("%d more", len(names)-shown))
	}
	return strings.Join(names, ", ")
}
