package deploy

import (
	"fmt"
	"maps"
	"math"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"berth/internal/fault"
	"berth/internal/vault"
)

// The bounds of what a person may ask for.
const (
	maxName        = 40
	maxDescription = 1000
	maxVariables   = 200
	maxValue       = 32 << 10 // bytes of one variable
	maxArguments   = 100
	maxVolumes     = 20
	maxReplicas    = 32
	maxCPUs        = 1024
	minMemory      = 6 << 20 // what engines take at least
	maxBytes       = 1 << 50

	maxKeepReleases = 1000
	maxKeepFor      = 10 * 365 * 24 * time.Hour

	maxPromoteAfter = 30 * 24 * time.Hour
)

var (
	labelForm    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	variableForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
	slotForm     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$`)
	prefixForm   = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)
	// repositoryForm is a repository with or without its host.
	// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests
	repositoryForm = regexp.MustCompile(`^([a-zA-Z0-9.-]+(:[0-9]{1,5})?/)?` +
		`[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
)

// checks collects what is wrong, field by field.
type checks []fault.Field

func (c *checks) add(field, format string, args ...any) {
	*c = append(*c, fault.Field{Name: field, Message: fmt.Sprintf(format, args...)})
}

func (c *checks) when(wrong bool, field, format string, args ...any) {
	if wrong {
		c.add(field, format, args...)
	}
}

func (c *checks) name(field, name string) {
	c.when(len(name) > maxName || !labelForm.MatchString(name), field,
		"a name has 1 to %d letters a to z, digits and inner hyphens", maxName)
}

func (c *checks) between(field string, d Duration, least, most time.Duration) {
	c.when(time.Duration(d) < least || time.Duration(d) > most, field, "it is between %s and %s", least, most)
}

// validate names every field of a project that is wrong.
func (p Project) validate() error {
	var c checks
	c.name("name", p.Name)
	c.image(p.Image)
	c.description(p.Description)
	return fault.InvalidFields(c)
}

func (c *checks) image(image string) {
	c.when(len(image) > 255 || !repositoryForm.MatchString(image), "image",
		"it is a repository without a tag: %q in the built-in registry, or with its host, %q", "shop", "ghcr.io/ana/shop")
}

func (c *checks) description(text string) {
	c.when(len(text) > maxDescription, "description", "it has at most %d characters", maxDescription)
}

// spec names every field of a normalised spec that is wrong.
func (c *checks) spec(s StageSpec, reserved map[string]bool, host HostPaths) {
	if trouble := hostnameTrouble(s.Hostname); trouble != "" {
		c.add("spec.hostname", "%s", trouble)
	}
	c.when(reserved[s.Hostname], "spec.hostname", "%s is Berth's own", s.Hostname)
	c.prefix(s.PathPrefix)
	c.takes(s)
	c.when(s.Port < 0 || s.Port > 65535, "spec.port", "a port is between 1 and 65535")
	c.when(s.Protocol != HTTP1 && s.Protocol != H2C, "spec.protocol", "it is %q or %q", HTTP1, H2C)
	c.arguments("spec.command", s.Command)
	c.variables(s)
	c.volumes(s.Volumes)
	c.mounts(s, host)
	c.when(math.IsNaN(s.CPUs) || s.CPUs < 0 || s.CPUs > maxCPUs, "spec.cpus", "it is between 0 (no limit) and %d", maxCPUs)
	c.when(s.CPUs > 0 && s.CPUs < 0.01, "spec.cpus", "it is 0.01 at least, or 0 for no limit")
	c.when(s.Memory != 0 && (s.Memory < minMemory || s.Memory > maxBytes), "spec.memory",
		"it is %d bytes (6 MiB) at least, or 0 for no limit", minMemory)
	c.when(s.Replicas < 1 || s.Replicas > maxReplicas, "spec.replicas", "it is between 1 and %d", maxReplicas)
	c.probe(s.Probe)
	c.between("spec.drain_timeout", s.DrainTimeout, time.Millisecond, time.Hour)
	c.between("spec.stream_drain_timeout", s.StreamDrainTimeout, time.Millisecond, 24*time.Hour)
	c.between("spec.keep_old", s.KeepOld, 0, 7*24*time.Hour)
	c.when(s.KeepReleases < 0 || s.KeepReleases > maxKeepReleases, "spec.keep_releases",
		"it is between 1 and %d, or 0 for what the server's settings say", maxKeepReleases)
	if s.KeepFor != 0 {
		c.between("spec.keep_for", s.KeepFor, time.Second, maxKeepFor)
	}
	c.guard(s)
	c.task("spec.before_switch", s.BeforeSwitch)
	c.task("spec.after_switch", s.AfterSwitch.task())
	c.jobs(s.Jobs)
	c.between("spec.stop_timeout", s.StopTimeout, time.Second, 10*time.Minute)
	c.between("spec.request_timeout", s.RequestTimeout, time.Millisecond, time.Hour)
	if s.Access != nil {
		*c = append(*c, s.Access.Check("spec.access")...)
	}
	c.when(s.MaxBodyBytes < 0 || s.MaxBodyBytes > maxBytes, "spec.max_body_bytes", "it is 0 (the gateway's own limit) or a number of bytes")
}

// takes names what is wrong with what says which images come to a stage.
func (c *checks) takes(s StageSpec) {
	from := s.PromoteFrom
	if err := s.Tags.Validate(); err != nil {
		c.add("spec.tags", "%s", err)
	} else if from != "" && s.Tags.Kind != TagNone {
		c.add("spec.tags", "a stage that promotes from another takes no tags: the kind is %q", TagNone)
	}
	c.when(s.Approve && s.Tags.Kind == TagNone && from == "", "spec.approve", "it is for a stage that takes tags; no tag deploys here by itself")
	c.when(s.Approve && from != "", "spec.approve", "it is for a stage that takes tags; for promotions there is promote_approval")
	if from != "" {
		c.name("spec.promote_from", from)
	}
	const needs = "it is for a stage that promotes from another: promote_from says which"
	c.when(from == "" && s.PromoteAfter != 0, "spec.promote_after", needs)
	c.when(from == "" && s.AutoPromote, "spec.auto_promote", needs)
	c.when(from == "" && s.PromoteApproval, "spec.promote_approval", needs)
	c.between("spec.promote_after", s.PromoteAfter, 0, maxPromoteAfter)
}

func (c *checks) prefix(p string) {
	if p == "/" {
		return
	}
	c.when(len(p) > 200 || !prefixForm.MatchString(p) || path.Clean(p) != p, "spec.path_prefix",
		"it is \"/\" or a path such as \"/shop\", of letters, digits, \".\", \"_\", \"~\" and \"-\"")
}

func (c *checks) arguments(field string, args []string) {
	c.when(len(args) > maxArguments, field, "it has at most %d arguments", maxArguments)
	for i, a := range args {
		c.when(len(a) > maxValue || strings.ContainsRune(a, 0), fmt.Sprintf("%s[%d]", field, i), "it has at most %d bytes, none of them zero", maxValue)
	}
}

func (c *checks) variables(s StageSpec) {
	c.when(len(s.Env)+len(s.Secrets) > maxVariables, "spec.env", "there are at most %d variables", maxVariables)
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		field, value := "spec.env."+name, s.Env[name]
		c.variable(field, name)
		c.when(len(value) > maxValue || strings.ContainsRune(value, 0), field, "it has at most %d bytes, none of them zero", maxValue)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Secrets)) {
		field, ref := "spec.secrets."+name, s.Secrets[name]
		c.variable(field, name)
		_, plain := s.Env[name]
		c.when(plain, field, "the variable is in env too")
		c.when(!slotForm.MatchString(ref.Context), field+".context", "it names a context of slots, such as %q", "shop")
		// Else whoever may edit a stage could read the passwords of registry accounts, which only administrators set.
		c.when(vault.Own(ref.Context, ref.Name), field+".context", "these slots are for Berth alone")
		c.when(!slotForm.MatchString(ref.Name), field+".name", "it names a slot, such as %q", "database-password")
	}
}

func (c *checks) variable(field, name string) {
	c.when(!variableForm.MatchString(name), field, "a variable's name has letters, digits and \"_\", and does not begin with a digit")
}

func (c *checks) volumes(volumes []Volume) {
	c.when(len(volumes) > maxVolumes, "spec.volumes", "there are at most %d volumes", maxVolumes)
	names, paths := map[string]bool{}, map[string]bool{}
	for i, v := range volumes {
		field := fmt.Sprintf("spec.volumes[%d]", i)
		c.name(field+".name", v.Name)
		c.when(names[v.Name], field+".name", "there is another volume named %q", v.Name)
		c.mountPoint(field, v.Path)
		c.when(paths[v.Path], field+".path", "another volume is at %s", v.Path)
		names[v.Name], paths[v.Path] = true, true
	}
}

func (c *checks) probe(p Probe) {
	switch p.Kind {
	case ProbeHTTP:
		c.when(!strings.HasPrefix(p.Path, "/") || len(p.Path) > 1000 || strings.ContainsFunc(p.Path, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }),
			"spec.probe.path", "it is a path such as \"/health\"")
		c.when(p.Status != 0 && (p.Status < 200 || p.Status > 599), "spec.probe.status", "a status is between 200 and 599, or 0 for any of 200 to 299")
	case ProbeTCP, ProbeNone:
		c.when(p.Path != "", "spec.probe.path", "only an HTTP probe has a path")
		c.when(p.Status != 0, "spec.probe.status", "only an HTTP probe has a status")
	default:
		c.add("spec.probe.kind", "it is %q, %q or %q", ProbeHTTP, ProbeTCP, ProbeNone)
	}
	c.between("spec.probe.interval", p.Interval, 10*time.Millisecond, 5*time.Minute)
	c.between("spec.probe.timeout", p.Timeout, 10*time.Millisecond, time.Minute)
	c.when(p.Successes < 1 || p.Successes > 100, "spec.probe.successes", "it is between 1 and 100")
	c.between("spec.probe.start_deadline", p.StartDeadline, 100*time.Millisecond, time.Hour)
}
