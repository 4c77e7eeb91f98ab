package berth_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"testing"
)

// layers lists our packages from the ground up. A package imports only from
// the lines above its own, so two packages on one line never know each other.
// Adding a package means adding it here.
var layers = []string{
	"internal/fault internal/secret internal/needs internal/network internal/container/containertest/app",
	"internal/sqlite internal/container internal/settings internal/probe internal/outgoing internal/selftest web packaging",
	"internal/event internal/container/docker internal/container/containertest internal/cookie",
	"internal/identity",
	"internal/registry internal/vault internal/factor internal/backup internal/notify",
	"internal/deploy internal/environment internal/webhook",
	"internal/gateway internal/signin internal/indieauth internal/npm",
	"internal/manifest",
	"internal/api",
	"internal/server",
	"cmd/berth",
}

func TestLayers(t *testing.T) {
	const module = "berth/"

	height := map[string]int{}
	for i, line := range layers {
		for pkg := range strings.FieldsSeq(line) {
			height[pkg] = i + 1
		}
	}

	// Reading the sources ourselves, rather than asking `go list`, lets the
	// test cache see when an import changes.
	src := os.DirFS(".")
	for _, root := range []string{"cmd", "internal", "web", "packaging"} {
		err := fs.WalkDir(src, root, func(file string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
				return err
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				return err
			}
			pkg := path.Dir(file)
			if height[pkg] == 0 {
				t.Errorf("%s has no layer", pkg)
			}
			for _, spec := range parsed.Imports {
				target, _ := strconv.Unquote(spec.Path.Value)
				if dep, ours := strings.CutPrefix(target, module); ours && height[dep] >= height[pkg] {
					t.Errorf("%s: layer %d imports %s, layer %d", file, height[pkg], dep, height[dep])
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
