package berth_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/settings"
)

func TestSettings_AreAllInTheirDocumentation(t *testing.T) {
	page, err := os.ReadFile("docs/settings.md")
	require.NoError(t, err)
	s, err := settings.Load(nil, t.TempDir())
	require.NoError(t, err)

	for _, v := range s.Describe() {
		require.Contains(t, string(page), "\n| `"+v.Name+"` |", "docs/settings.md has no line for it")
	}
}

var (
	linkForm    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	headingForm = regexp.MustCompile(`(?m)^#+ (.+)$`)
	fenceForm   = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	notInAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

func TestLinks_LeadSomewhere(t *testing.T) {
	pages := []string{"README.md"}
	require.NoError(t, filepath.WalkDir("docs", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" {
			pages = append(pages, path)
		}
		return err
	}))
	var dead []string
	for _, page := range pages {
		for _, link := range linkForm.FindAllStringSubmatch(prose(t, page), -1) {
			target, anchor, _ := strings.Cut(link[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			path := page
			if target != "" {
				path = filepath.Join(filepath.Dir(page), target)
			}
			_, err := os.Stat(path)
			if err != nil || anchor != "" && !slices.Contains(anchors(t, path), anchor) {
				dead = append(dead, page+": "+link[1])
			}
		}
	}
	require.Empty(t, dead)
}

func TestDecisions_HaveANumberEach(t *testing.T) {
	pages, err := filepath.Glob("docs/decisions/*.md")
	require.NoError(t, err)
	require.NotEmpty(t, pages)
	of := map[string]string{}
	for _, page := range pages {
		number, _, _ := strings.Cut(filepath.Base(page), "-")
		require.Empty(t, of[number], "%s has the number, too", page)
		of[number] = page
		require.True(t, strings.HasPrefix(prose(t, page), "# "+number+": "), "%s begins with another number", page)
	}
}

// prose gives a page without its code blocks.
func prose(t *testing.T, page string) string {
	t.Helper()
	raw, err := os.ReadFile(page)
	require.NoError(t, err)
	return fenceForm.ReplaceAllString(string(raw), "")
}

// anchors gives the headings as forges make anchors of them.
func anchors(t *testing.T, page string) (list []string) {
	t.Helper()
	for _, heading := range headingForm.FindAllStringSubmatch(prose(t, page), -1) {
		text := notInAnchor.ReplaceAllString(strings.ToLower(heading[1]), "")
		list = append(list, strings.ReplaceAll(text, " ", "-"))
	}
	return list
}
