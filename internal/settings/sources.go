package settings

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/joho/godotenv"

	"berth/internal/fault"
)

const (
	prefix     = "BERTH_"
	fileSuffix = "_FILE"
	// maxFile bounds a *_FILE, which holds one value.
	maxFile = 64 << 10
)

// notSettings are variables with our prefix that others of Berth read: the
// command line, and the tests.
var notSettings = []string{"ENV_FILE", "URL", "TOKEN", "SELFTEST_SESSION", "CHROMIUM"}

var notSettingsPrefixes = []string{"TEST_", "SOAK_"}

// source is one place that variables come from.
type source struct {
	name   string // "environment", or the .env file's path
	values map[string]string
}

// sources are the places, the one that wins first.
type sources struct {
	list []source
	dir  string
}

// found is a value and where it was found.
type found struct {
	value, source string
	file          string // the source's path, where it is a file of its own
}

func readSources(environ []string, dir string) (sources, error) {
	environment := source{name: "environment", values: map[string]string{}}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if short, ours := strings.CutPrefix(name, prefix); ours {
			environment.values[short] = value
		}
	}
	list := []source{environment}

	file := environment.values["ENV_FILE"]
	path := absolute(cmp.Or(file, ".env"), dir)
	raw, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	switch {
	case errors.Is(err, fs.ErrNotExist) && file == "":
	case err != nil:
		return sources{}, fmt.Errorf("BERTH_ENV_FILE: %w", err)
	default:
		values, err := godotenv.UnmarshalBytes(raw)
		if err != nil {
			// The reason may quote the file, which holds secrets.
			return sources{}, fmt.Errorf("%s is not in the form NAME=value, one a line", path)
		}
		dotenv := source{name: path, values: map[string]string{}}
		for name, value := range values {
			if short, ours := strings.CutPrefix(name, prefix); ours {
				dotenv.values[short] = value
			}
		}
		list = append(list, dotenv)
	}
	return sources{list: list, dir: dir}, nil
}

// lookup finds a variable, given plainly or as the name of a file, in the
// first place that has it. An empty value counts as not given: that is how
// compose files pass on what is not set.
func (s sources) lookup(name string) (found, error) {
	for _, from := range s.list {
		value, file := from.values[name], from.values[name+fileSuffix]
		switch {
		case value != "" && file != "":
			return found{}, fmt.Errorf("BERTH_%s: both it and BERTH_%s_FILE are set in %s; keep one", name, name, from.name)
		case value != "":
			return found{value: value, source: from.name}, nil
		case file != "":
			value, err := readValue(absolute(file, s.dir))
			if err != nil {
				return found{}, fmt.Errorf("BERTH_%s_FILE: %w", name, err)
			}
			return found{value: value, source: file, file: absolute(file, s.dir)}, nil
		}
	}
	return found{}, nil
}

// readValue reads a file that holds one value, with or without a line end.
func readValue(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Size() > maxFile {
		return "", fmt.Errorf("%s has %d bytes; it takes a file of at most %d", path, info.Size(), maxFile)
	}
	raw, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return "", err
	}
	value := strings.TrimRight(string(raw), "\r\n")
	if value == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return value, nil
}

// unknown warns of every variable with our prefix that nobody reads.
func (s sources) unknown() []string {
	var warnings []string
	for _, from := range s.list {
		for name := range from.values {
			if known(name) {
				continue
			}
			warning := fmt.Sprintf("BERTH_%s (from %s) is not a setting", name, from.name)
			if near := nearest(name); near != "" {
				warning += "; did you mean BERTH_" + near + "?"
			}
			warnings = append(warnings, warning)
		}
	}
	slices.Sort(warnings)
	return warnings
}

func known(name string) bool {
	isPrefix := func(p string) bool { return strings.HasPrefix(name, p) }
	if slices.Contains(notSettings, name) || slices.ContainsFunc(notSettingsPrefixes, isPrefix) {
		return true
	}
	if _, ok := splitProvider(name); ok {
		return true
	}
	plain := strings.TrimSuffix(name, fileSuffix)
	return slices.ContainsFunc(variables, func(v variable) bool { return v.name == name || v.name == plain })
}

// nearest gives the known name that is the fewest edits away, if that is near
// enough to be meant.
func nearest(name string) string {
	suffix := ""
	if plain, ok := strings.CutSuffix(name, fileSuffix); ok {
		name, suffix = plain, fileSuffix
	}
	names := make([]string, len(variables))
	for n, v := range variables {
		names[n] = v.name
	}
	if near := fault.Nearest(name, names); near != "" {
		return near + suffix
	}
	return ""
}
