package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/settings"
)

const specHelp = `--set and --unset reach every field by its path in the API's "spec", such as probe.path, drain_timeout or env.NAME; values are JSON, or text as it stands. --file gives a whole spec ("-" for stdin), which the other flags then change.`

// specFlags change a stage's configuration. Each is a short word for a path
// of the spec.
type specFlags struct {
	File     string            `short:"f" placeholder:"SPEC.JSON" help:"Take the whole configuration from a file."`
	Hostname *string           `help:"Where the app is reached."`
	Path     *string           `placeholder:"/PREFIX" help:"Path prefix at that hostname."`
	Access   *string           `enum:"public,signed-in,administrators,nobody" placeholder:"WHO" help:"Who may enter: public, signed-in, administrators or nobody. \"berth access\" says it in detail."`
	Tags     *string           `placeholder:"KIND:PATTERN" help:"Tags that deploy when pushed: none, exact:1.0, glob:v*, regexp:v[0-9]+, semver:^1.2."`
	Approve  *bool             `negatable:"" help:"Have a tag that matches wait until somebody approves it."`
	From     *string           `name:"promote-from" placeholder:"STAGE" help:"Take only what is promoted from that stage; \"\" for no more."`
	Port     *int              `help:"The container's TCP port."`
	Command  *string           `placeholder:"JSON" help:"Command instead of the image's, as a JSON array."`
	Env      map[string]string `short:"e" mapsep:"none" placeholder:"NAME=VALUE" help:"Set an environment variable. Repeatable."`
	Secret   map[string]string `mapsep:"none" placeholder:"NAME=CONTEXT/SLOT" help:"Set an environment variable from a stored secret. Repeatable."`
	Volume   []string          `sep:"none" placeholder:"NAME:PATH[:ro]" help:"Mount a named volume. Repeatable."`
	Bind     []string          `sep:"none" placeholder:"/HOST/PATH:PATH[:ro]" help:"Mount a path of the server's machine; for administrators. Repeatable."`
	Tmpfs    []string          `sep:"none" placeholder:"PATH[:SIZE]" help:"Mount memory, 64MiB of it or what SIZE says. Repeatable."`
	CPUs     *float64          `name:"cpus" help:"CPU limit in cores; 0 for none."`
	Memory   *string           `placeholder:"512MiB" help:"Memory limit; 0 for none."`
	Replicas *int              `help:"How many instances."`
	Probe    *string           `placeholder:"http|tcp|none" help:"How Berth finds out that an instance is ready."`
	Health   *string           `placeholder:"/PATH" help:"Path that the HTTP probe asks for."`
	Guard    *string           `placeholder:"2m" help:"How long a new release is watched, and taken back when it does worse; 0s for not."`
	Canary   *int              `placeholder:"PERCENT" help:"How many of a hundred clients get a new release first; 0 for all at once."`
	Set      map[string]string `mapsep:"none" placeholder:"PATH=VALUE" help:"Set any field by its path. Repeatable."`
	Unset    []string          `sep:"none" placeholder:"PATH" help:"Put a field back to its default. Repeatable."`
}

// empty says that nothing is to be changed.
func (f *specFlags) empty() bool { return reflect.ValueOf(*f).IsZero() }

// apply gives spec with the flags' changes. The server checks what they mean.
func (f *specFlags) apply(spec deploy.StageSpec, p *process) (deploy.StageSpec, error) {
	if f.File != "" {
		raw, err := readFile(f.File, p.stdin)
		if err != nil {
			return spec, err
		}
		if spec, err = decodeSpec(raw); err != nil {
			return spec, fault.Invalid("%s: %v", f.File, err)
		}
	}
	raw, err := spec.Canonical()
	if err != nil {
		return spec, fmt.Errorf("encode spec: %w", err)
	}
	for _, path := range f.Unset {
		if raw, err = setPath(raw, path, nil); err != nil {
			return spec, fault.Invalid("--unset %s: %v", path, err)
		}
	}
	edits, err := f.edits(spec)
	if err != nil {
		return spec, err
	}
	for _, e := range edits {
		if raw, err = setPath(raw, e.path, e.value); err != nil {
			return spec, fault.Invalid("%s: %v", e.flag, err)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(f.Set)) {
		if raw, err = setText(raw, path, f.Set[path]); err != nil {
			return spec, fault.Invalid("--set %s: %v", path, err)
		}
	}
	if spec, err = decodeSpec(raw); err == nil && spec.Tags.Kind == "" {
		spec.Tags.Kind = deploy.TagNone
	}
	return spec, err
}

// edit is one flag's change of one path.
type edit struct {
	flag, path string
	value      any
}

func (f *specFlags) edits(spec deploy.StageSpec) (list []edit, err error) {
	add := func(flag, path string, value any) { list = append(list, edit{flag, path, value}) }
	for _, e := range []struct {
		flag, path string
		value      any
	}{
		{"--hostname", "hostname", f.Hostname},
		{"--path", "path_prefix", f.Path},
		{"--port", "port", f.Port},
		{"--cpus", "cpus", f.CPUs},
		{"--replicas", "replicas", f.Replicas},
		{"--approve", "approve", f.Approve},
		{"--promote-from", "promote_from", f.From},
		{"--probe", "probe.kind", f.Probe},
		{"--health", "probe.path", f.Health},
		{"--guard", "guard.window", f.Guard},
		{"--canary", "canary.share", f.Canary},
	} {
		if v := reflect.ValueOf(e.value); !v.IsNil() {
			add(e.flag, e.path, v.Elem().Interface())
		}
	}
	if f.Access != nil {
		add("--access", "access", accessNamed(*f.Access))
	}
	if f.Tags != nil {
		kind, pattern, _ := strings.Cut(*f.Tags, ":")
		add("--tags", "tags", deploy.TagRule{Kind: deploy.TagKind(kind), Pattern: pattern})
	}
	if f.Command != nil {
		var command []string
		if err := json.Unmarshal([]byte(*f.Command), &command); err != nil {
			return nil, fault.Invalid(`--command takes a JSON array, such as '["serve", "--verbose"]'`)
		}
		add("--command", "command", command)
	}
	if f.Memory != nil {
		memory, err := settings.ParseSize(*f.Memory)
		if err != nil {
			return nil, fault.Invalid("--memory takes bytes, or a size such as 512MiB; %q %v", *f.Memory, err)
		}
		add("--memory", "memory", memory)
	}
	for name, value := range f.Env {
		add("--env", "env."+name, value)
	}
	for name, value := range f.Secret {
		at := strings.LastIndex(value, "/")
		if at < 0 {
			return nil, fault.Invalid("--secret takes NAME=CONTEXT/SLOT; %q names no slot", value)
		}
		add("--secret", "secrets."+name, deploy.SecretRef{Context: value[:at], Name: value[at+1:]})
	}
	if len(f.Volume) > 0 {
		volumes, err := mergeVolumes(spec.Volumes, f.Volume)
		if err != nil {
			return nil, err
		}
		add("--volume", "volumes", volumes)
	}
	if len(f.Bind)+len(f.Tmpfs) > 0 {
		mounts, err := f.mergeMounts(spec.Mounts)
		if err != nil {
			return nil, err
		}
		add("--bind and --tmpfs", "mounts", mounts)
	}
	return list, nil
}

// mergeMounts adds mounts to those there are; one at the same path is
// replaced.
func (f *specFlags) mergeMounts(mounts []deploy.Mount) ([]deploy.Mount, error) {
	mounts = slices.Clone(mounts)
	add := func(m deploy.Mount) {
		mounts = slices.DeleteFunc(mounts, func(old deploy.Mount) bool { return old.Path == m.Path })
		mounts = append(mounts, m)
	}
	for _, text := range f.Bind {
		parts := strings.Split(text, ":")
		if len(parts) < 2 || len(parts) > 3 || (len(parts) == 3 && parts[2] != "ro") {
			return nil, fault.Invalid("--bind takes /HOST/PATH:PATH or /HOST/PATH:PATH:ro; got %q", text)
		}
		add(deploy.Mount{Kind: deploy.MountBind, Source: parts[0], Path: parts[1], ReadOnly: len(parts) == 3})
	}
	for _, text := range f.Tmpfs {
		m := deploy.Mount{Kind: deploy.MountTmpfs}
		var size string
		var err error
		if m.Path, size, _ = strings.Cut(text, ":"); size != "" {
			if m.Size, err = settings.ParseSize(size); err != nil {
				return nil, fault.Invalid("--tmpfs takes PATH or PATH:SIZE, as in /cache:64MiB; %q %v", size, err)
			}
		}
		add(m)
	}
	return mounts, nil
}

// mergeVolumes adds volumes to those there are; one of the same name is
// replaced.
func mergeVolumes(volumes []deploy.Volume, given []string) ([]deploy.Volume, error) {
	volumes = slices.Clone(volumes)
	for _, text := range given {
		parts := strings.Split(text, ":")
		if len(parts) < 2 || len(parts) > 3 || (len(parts) == 3 && parts[2] != "ro") {
			return nil, fault.Invalid("--volume takes NAME:PATH or NAME:PATH:ro; got %q", text)
		}
		v := deploy.Volume{Name: parts[0], Path: parts[1], ReadOnly: len(parts) == 3}
		volumes = slices.DeleteFunc(volumes, func(old deploy.Volume) bool { return old.Name == v.Name })
		volumes = append(volumes, v)
	}
	return volumes, nil
}

// setText sets a path to a value a person typed: JSON where that fits the
// field, else text.
func setText(raw []byte, path, text string) ([]byte, error) {
	var value any
	if json.Unmarshal([]byte(text), &value) == nil {
		changed, err := setPath(raw, path, value)
		if err != nil {
			return nil, err
		}
		if _, err = decodeSpec(changed); err == nil {
			return changed, nil
		}
	}
	changed, err := setPath(raw, path, text)
	if err != nil {
		return nil, err
	}
	if _, err := decodeSpec(changed); err != nil {
		return nil, err
	}
	return changed, nil
}

// setPath sets, or with nil removes, what is at a path such as "probe.path".
// Environment variables and secrets have names that may hold dots, so those
// paths have two parts.
func setPath(raw []byte, path string, value any) ([]byte, error) {
	parts := strings.Split(path, ".")
	if parts[0] == "env" || parts[0] == "secrets" {
		parts = strings.SplitN(path, ".", 2)
	}
	if slices.Contains(parts, "") {
		return nil, errors.New("is not a path")
	}
	root := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&root); err != nil {
		return nil, err
	}
	at := root
	for _, part := range parts[:len(parts)-1] {
		next, ok := at[part].(map[string]any)
		if !ok {
			if at[part] != nil {
				return nil, fmt.Errorf("%s has no parts", part)
			}
			next = map[string]any{}
			at[part] = next
		}
		at = next
	}
	last := parts[len(parts)-1]
	if value == nil {
		delete(at, last)
	} else {
		at[last] = value
	}
	return json.Marshal(root)
}

// decodeSpec refuses names that no spec has.
func decodeSpec(raw []byte) (spec deploy.StageSpec, err error) {
	return spec, decodeStrictly(raw, &spec)
}

// decodeStrictly refuses fields that into does not have.
func decodeStrictly(raw []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// maxSpec bounds a configuration's file.
const maxSpec = 1 << 20

func readFile(path string, stdin io.Reader) ([]byte, error) {
	r := stdin
	if path != "-" {
		f, err := os.Open(path) //nolint:gosec // the person names the file
		if err != nil {
			return nil, fault.Invalid("%v", err)
		}
		defer f.Close()
		r = f
	}
	raw, err := io.ReadAll(io.LimitReader(r, maxSpec+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(raw) > maxSpec {
		return nil, fault.Large("%s has more than %d bytes", path, maxSpec)
	}
	return raw, nil
}
