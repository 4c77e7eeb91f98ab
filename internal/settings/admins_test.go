package settings_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/settings"
)

func TestParseAdmins_ReadsEveryForm(t *testing.T) {
	list, err := settings.ParseAdmins("# the crew\nlocal:Carol, github:Alice ,\n  corp:Bob@Example.org\ncorp:#00Ab|1,github:Alice\n")
	require.NoError(t, err)
	require.Equal(t, []settings.Admin{
		{Provider: "local", Kind: settings.AdminByName, Value: "carol"},
		{Provider: "github", Kind: settings.AdminByName, Value: "Alice"},
		{Provider: "corp", Kind: settings.AdminByEmail, Value: "bob@example.org"},
		{Provider: "corp", Kind: settings.AdminByID, Value: "00Ab|1"},
	}, list)
	require.Equal(t, "corp:#00Ab|1", list[3].String())
}

func TestParseAdmins_NamesTheEntryThatIsWrong(t *testing.T) {
	for text, says := range map[string]string{
		"local:carol, alice":                 `has "alice", which does not say at which provider`,
		"local:carol,Git Hub:ana":            `has "Git Hub:ana", which has no name of a provider`,
		":ana":                               "no name of a provider",
		"github:":                            `has "github:", which names nobody`,
		"corp:#":                             "names nobody",
		"corp:@example.org":                  "is no e-mail address",
		"corp:Bob <b@example.org>":           "is no e-mail address",
		"local:b@example.org":                "write local:username",
		"github:a\x00b":                      "printable",
		"github:" + strings.Repeat("x", 256): "1 to 255",
		"":                                   "names nobody",
		"# nobody\n,":                        "names nobody",
		strings.Repeat("github:a", 1) + numbered(201): "takes at most 200",
	} {
		_, err := settings.ParseAdmins(text)
		require.ErrorContains(t, err, says, "%.40s", text)
	}
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("\ngithub:x" + strings.Repeat("y", i))
	}
	return b.String()
}

func TestLoad_RefusesABadListByTheNameOfTheEntry(t *testing.T) {
	_, err := settings.Load([]string{"BERTH_ADMINS=local:carol,alice"}, t.TempDir())
	require.ErrorContains(t, err, `BERTH_ADMINS`)
	require.ErrorContains(t, err, `has "alice", which does not say at which provider`)
}

func TestReadAdmins_ReadsTheFileAgain(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "admins")
	require.NoError(t, os.WriteFile(file, []byte("local:carol\n"), 0o600))
	s, err := settings.Load([]string{"BERTH_ADMINS_FILE=admins"}, dir)
	require.NoError(t, err)
	require.Equal(t, file, s.AdminsFile())
	require.Equal(t, file, s.AdminsSource())
	require.Len(t, s.Admins, 1)

	require.NoError(t, os.WriteFile(file, []byte("local:carol\ngithub:alice\n"), 0o600))
	list, err := s.ReadAdmins()
	require.NoError(t, err)
	require.Len(t, list, 2)
	for text, says := range map[string]string{"": "is empty", "alice": `has "alice"`} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		_, err = s.ReadAdmins()
		require.ErrorContains(t, err, "BERTH_ADMINS_FILE")
		require.ErrorContains(t, err, says)
	}

	plain, err := settings.Load([]string{"BERTH_ADMINS=local:carol"}, dir)
	require.NoError(t, err)
	require.Empty(t, plain.AdminsFile())
	require.Equal(t, "environment", plain.AdminsSource())
}
