package deploy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth/internal/fault"
)

// Normalise gives the spec with its defaults filled in and its spelling made
// one. It is the same when applied twice.
func (s StageSpec) Normalise() StageSpec {
	s.Hostname = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(s.Hostname)), ".")
	s.PathPrefix = "/" + strings.Trim(strings.TrimSpace(s.PathPrefix), "/")
	s.Tags.Pattern = strings.TrimSpace(s.Tags.Pattern)
	s.Tags.Kind = orElse(s.Tags.Kind, TagNone)
	s.Protocol = orElse(s.Protocol, HTTP1)
	s.Replicas = orElse(s.Replicas, 1)
	s.DrainTimeout = orElse(s.DrainTimeout, Duration(30*time.Second))
	s.StreamDrainTimeout = orElse(s.StreamDrainTimeout, Duration(30*time.Second))
	s.StopTimeout = orElse(s.StopTimeout, Duration(10*time.Second))
	s.RequestTimeout = orElse(s.RequestTimeout, Duration(60*time.Second))
	s.Probe = s.Probe.normalise()
	if len(s.Mounts) > 0 { // the caller's list stays as it is
		s.Mounts = slices.Clone(s.Mounts)
		for i, m := range s.Mounts {
			s.Mounts[i] = m.normalise()
		}
	}
	s.normaliseGuard()
	s.BeforeSwitch = s.BeforeSwitch.normalise(defaultTaskTime)
	s.AfterSwitch = s.AfterSwitch.normalise()
	access := usualAccess()
	if s.Access != nil {
		access = s.Access.Normalise()
	}
	s.Access = &access
	s.Jobs = slices.Clone(s.Jobs)
	for n, j := range s.Jobs {
		s.Jobs[n] = j.normalise()
	}
	return s
}

// running gives the part of the spec that what runs is made of: without what
// counts as soon as it is saved, which is what says which images come to the
// stage and which stay, who may enter, and its jobs.
func (s StageSpec) running() StageSpec {
	s.Access = nil
	s.Tags, s.Approve, s.Jobs = TagRule{}, false, nil
	s.PromoteFrom, s.PromoteAfter, s.AutoPromote, s.PromoteApproval = "", 0, false, false
	s.KeepReleases, s.KeepFor = 0, 0
	return s
}

func (p Probe) normalise() Probe {
	p.Kind = orElse(p.Kind, ProbeHTTP)
	if p.Kind == ProbeHTTP {
		p.Path = orElse(p.Path, "/")
	}
	p.Interval = orElse(p.Interval, Duration(2*time.Second))
	p.Timeout = orElse(p.Timeout, Duration(2*time.Second))
	p.Successes = orElse(p.Successes, 1)
	p.StartDeadline = orElse(p.StartDeadline, Duration(60*time.Second))
	return p
}

// orElse gives v, or what stands for its zero value.
func orElse[T comparable](v, standard T) T {
	var zero T
	if v == zero {
		return standard
	}
	return v
}

// hash gives the same text for equal specs.
func (s StageSpec) hash() (string, error) {
	canonical, err := s.Canonical()
	if err != nil {
		return "", fmt.Errorf("encode the configuration: %w", err)
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:]), nil
}

// defaultPort is the container's port when neither the spec nor the image
// says one.
const defaultPort = 8080

// containerPort decides which TCP port of the container requests go to.
func containerPort(s StageSpec, exposed []int) (int, error) {
	switch {
	case s.Port != 0:
		return s.Port, nil
	case len(exposed) == 0:
		return defaultPort, nil
	case len(exposed) == 1:
		return exposed[0], nil
	}
	ports := make([]string, len(exposed))
	for i, p := range exposed {
		ports[i] = strconv.Itoa(p)
	}
	return 0, fault.Invalid("the image exposes the ports %s: say in the stage which one takes requests", strings.Join(ports, ", "))
}

// volumeName is what a volume of a stage is known by, and what the engine calls
// it until it is restored for the first time.
func volumeName(project, stage string, v Volume) string {
	return "berth_" + project + "_" + stage + "_" + v.Name
}

// VolumeNames gives what the engine calls the volumes that the settings name:
// they stay when the stage is removed.
func (s Stage) VolumeNames() []string {
	var names []string
	for _, v := range s.Spec.Volumes {
		names = append(names, volumeName(s.Project, s.Name, v))
	}
	return names
}

// hostnameTrouble says what is wrong with a hostname, in lower case and without
// a port; "" when nothing is.
// RFC 1123 section 2.1; internationalised names are given as RFC 5891 A-labels.
func hostnameTrouble(host string) string {
	switch {
	case host == "":
		return "a hostname is missing, such as shop.example.com"
	case len(host) > 253:
		return "a hostname has at most 253 characters"
	case net.ParseIP(strings.Trim(host, "[]")) != nil:
		return "an address is no hostname"
	case strings.Contains(host, ":"):
		return "a hostname has no port and no scheme"
	}
	numeric := true
	for label := range strings.SplitSeq(host, ".") {
		if !labelForm.MatchString(label) {
			return fmt.Sprintf("%q is no part of a hostname: 1 to 63 letters a to z, digits and inner hyphens", label)
		}
		numeric = strings.Trim(label, "0123456789") == ""
	}
	if numeric {
		return "a hostname does not end in a number"
	}
	return ""
}
