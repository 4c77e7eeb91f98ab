package event

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNouns_DecideOnEveryKindThereIs fails when a package writes events of
// which nobody has said whether they are audit.
func TestNouns_DecideOnEveryKindThereIs(t *testing.T) {
	form := regexp.MustCompile(`(?:event\.)?\bKind\s+?=\s*"([a-z_]+)\.[a-z_]+"|event\.Kind\("([a-z_]+)\.[a-z_]+"\)`)
	var undecided []string
	seen := 0
	root := os.DirFS("../..")
	require.NoError(t, fs.WalkDir(root, "internal", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := fs.ReadFile(root, path)
		for _, found := range form.FindAllStringSubmatch(string(source), -1) {
			seen++
			if _, known := nouns[found[1]+found[2]]; !known {
				undecided = append(undecided, path+": "+found[0])
			}
		}
		return err
	}))
	require.Greater(t, seen, 60, "the form finds what it is for")
	require.Empty(t, undecided, "say in nouns what they are about")
}

func TestCategories_AreAllThatNounsHave(t *testing.T) {
	for noun, c := range nouns {
		if c != "" {
			require.True(t, slices.Contains(Categories, c), noun)
			require.Equal(t, c, Kind(noun+".anything").Category())
		}
	}
	for _, k := range []Kind{DeploymentLog, "deployment.step", "instance.state", "yet.unknown", ""} {
		require.Empty(t, k.Category(), k)
	}
}
