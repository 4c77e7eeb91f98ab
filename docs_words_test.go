package berth_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// found gives what a form finds in the sources below the roots, tests left out.
func found(t *testing.T, form string, roots ...string) []string {
	t.Helper()
	find := regexp.MustCompile(form)
	var all []string
	for _, root := range roots {
		require.NoError(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			raw, err := os.ReadFile(path)
			for _, m := range find.FindAllStringSubmatch(string(raw), -1) {
				all = append(all, m[1])
			}
			return err
		}))
	}
	require.NotEmpty(t, all, form)
	slices.Sort(all)
	return slices.Compact(all)
}

// missing gives those that a page does not have.
func missing(t *testing.T, page string, wanted []string, spelled func(string) string) (without []string) {
	t.Helper()
	raw, err := os.ReadFile(page)
	require.NoError(t, err)
	for _, w := range wanted {
		if !strings.Contains(string(raw), spelled(w)) {
			without = append(without, w)
		}
	}
	return without
}

func TestCommands_AreAllInTheirDocumentation(t *testing.T) {
	names := found(t, "(?m)^\\s+(\\w+)\\s+\\w+Command\\s+`cmd:\"\" +[agh]", "cmd/berth/main.go")
	require.Empty(t, missing(t, "docs/cli.md", names, func(name string) string {
		return "`" + strings.ToLower(name)
	}), "docs/cli.md has no line for it")
	names = found(t, "(?m)^\\s+(\\w+)\\s+system\\w+\\s+`cmd:\"\" help", "cmd/berth/system.go")
	require.Empty(t, missing(t, "docs/cli.md", names, func(name string) string {
		return "`berth system " + strings.ToLower(name)
	}), "docs/cli.md does not name it")
}

func TestStageFlags_AreAllInTheirDocumentation(t *testing.T) {
	names := found(t, "(?m)^\t([A-Z]\\w+) +[^ ]+ +`[^`]*help:", "cmd/berth/stage_spec.go")
	require.Contains(t, names, "Guard")
	require.Empty(t, missing(t, "docs/cli.md", names, func(name string) string {
		if name == "From" {
			name = "promote-from"
		}
		return "`--" + strings.ToLower(name)
	}), "docs/cli.md has no line for it")
}

func TestRoutes_AreAllInTheirDocumentation(t *testing.T) {
	raw, err := os.ReadFile("docs/openapi.json")
	require.NoError(t, err)
	var document struct {
		Paths map[string]any `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(raw, &document))
	var words []string
	for path := range document.Paths {
		for word := range strings.SplitSeq(strings.TrimPrefix(path, "/api/"), "/") {
			if !strings.HasPrefix(word, "{") {
				words = append(words, word)
			}
		}
	}
	require.NotEmpty(t, words)
	slices.Sort(words)
	require.Empty(t, missing(t, "docs/api.md", slices.Compact(words), func(word string) string { return "/" + word }),
		"docs/api.md has no route with it")
}

func TestEvents_AreAllInTheirDocumentation(t *testing.T) {
	kinds := found(t, `event\.Kind\s*=\s*"([a-z_]+\.[a-z_]+)"`, "internal")
	page, err := os.ReadFile("docs/api.md")
	require.NoError(t, err)
	var without []string
	for _, kind := range kinds {
		noun, verb, _ := strings.Cut(kind, ".")
		line := regexp.MustCompile("(?m)^\\| .*`"+noun+`\.(…|[a-z_]+).*$`).FindAllString(string(page), -1)
		if !slices.ContainsFunc(line, func(l string) bool {
			return strings.Contains(l, "`"+noun+".…`") || strings.Contains(l, "."+verb+"`")
		}) {
			without = append(without, kind)
		}
	}
	require.Empty(t, without, "docs/api.md has no line for it")
}

func TestMetrics_AreAllInTheirDocumentation(t *testing.T) {
	names := found(t, `"(berth_[a-z_]+)"`, "internal")
	require.Empty(t, missing(t, "docs/gateway.md", names, func(name string) string { return "`" + name }), "docs/gateway.md has no line for it")
}

func TestSecurity_NamesTestsThatAreThere(t *testing.T) {
	raw, err := os.ReadFile("docs/security.md")
	require.NoError(t, err)
	var named []string
	for _, m := range regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(string(raw), -1) {
		named = append(named, m[1])
	}
	require.NotEmpty(t, named)
	there := map[string]bool{}
	for _, root := range []string{"cmd", "internal", "e2e"} {
		require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if d != nil && d.Name() == "node_modules" {
				return filepath.SkipDir
			}
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			raw, err := os.ReadFile(path)
			for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllStringSubmatch(string(raw), -1) {
				there[m[1]] = true
			}
			return err
		}))
	}
	for _, name := range named {
		require.True(t, there[name], "docs/security.md names %s", name)
	}
}
