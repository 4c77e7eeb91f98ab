package deploy

import (
	"iter"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
)

// readAll gives the texts that are kept of an instance, and what kept it from
// reading more.
func readAll(t *testing.T, b *logBook, instance string) (texts []string, failed error) {
	t.Helper()
	files, err := b.files(instance)
	require.NoError(t, err)
	for _, k := range files {
		for line, err := range k.lines() {
			if err != nil {
				return texts, err
			}
			texts = append(texts, line.Text)
		}
	}
	return texts, nil
}

func written(texts ...string) iter.Seq2[container.LogLine, error] {
	return func(yield func(container.LogLine, error) bool) {
		for _, text := range texts {
			if !yield(container.LogLine{At: time.Unix(1, 0).UTC(), Stream: "stdout", Text: text}, nil) {
				return
			}
		}
	}
}

func TestLogBook_ReadsPastLongLinesOfAnyBytes(t *testing.T) {
	b := &logBook{dir: t.TempDir(), clock: time.Now}
	for name, line := range map[string]string{
		"no UTF-8":        strings.Repeat("\xff", maxKeptLine),
		"here and there":  strings.Repeat("a\xff", maxKeptLine/2),
		"zeros":           strings.Repeat("\x00", maxKeptLine),
		"line separators": strings.Repeat("\u2028", maxKeptLine/3),
		"quotes":          strings.Repeat(`"`, maxKeptLine),
	} {
		require.NoError(t, b.keep("instance", "container", written("before", line, "after")), name)
		texts, err := readAll(t, b, "instance")
		require.NoError(t, err, name)
		require.Equal(t, []string{"before", strings.ToValidUTF8(line, "\uFFFD"), "after"}, texts, name)
	}
}

func TestLogBook_SaysWhenAFileCanNotBeReadToItsEnd(t *testing.T) {
	b := &logBook{dir: t.TempDir(), clock: time.Now}
	long := make([]string, 5000)
	for n := range long {
		long[n] = strings.Repeat(string(rune('a'+n%26)), n%97)
	}
	require.NoError(t, b.keep("instance", "container", written(long...)))
	path, err := b.path("instance", "container")
	require.NoError(t, err)
	require.NoError(t, os.Truncate(path, sizeOf(path)/2))
	texts, err := readAll(t, b, "instance")
	require.Error(t, err)
	require.NotEmpty(t, texts)
	require.Equal(t, slices.Clone(long[:len(texts)]), texts, "what can be read comes first")
}
