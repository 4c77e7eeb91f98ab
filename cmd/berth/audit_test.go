package main

import (
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/event"
)

func TestAudit_IsListedExportedAndVerified(t *testing.T) {
	h := newHouse(t)
	h.must("project", "create", "shop")
	h.must("group", "add", "ops")
	require.Zero(t, h.local("hunter2\n", "secret", "set", "project/shop", "KEY").code)

	listed := h.must("audit")
	require.Regexp(t, `configuration +project.created +local +shop`, listed)
	require.Regexp(t, `groups +group.created +local`, listed)
	listed = h.must("audit", "list", "--category", "groups,secrets", "--since", "1h")
	require.NotContains(t, listed, "project.created")
	require.Contains(t, listed, "group.created")
	require.Empty(t, h.must("audit", "list", "--until", "1h"))
	require.Empty(t, h.must("audit", "list", "--actor", "nobody"))
	require.Equal(t, exitInput, h.local("", "audit", "--category", "nonsense").code)

	file := filepath.Join(h.home, "audit.jsonl")
	h.must("audit", "export", "-o", file, "--text", "SHOP")
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	require.GreaterOrEqual(t, len(lines), 2)
	for _, line := range lines {
		var r event.Record
		require.NoError(t, json.Unmarshal([]byte(line), &r), line)
		require.Len(t, r.Hash, 64)
		require.Positive(t, r.Position)
		require.NotContains(t, line, "hunter2")
	}
	require.NotZero(t, h.local("", "audit", "export", "-o", file).code, "nothing is written over")

	require.Contains(t, h.must("audit", "verify"), "is as it was written")
	var v event.Verification
	require.NoError(t, json.Unmarshal([]byte(h.must("--json", "audit", "verify")), &v))
	require.True(t, v.OK)
	h.must("group", "add", "dev")
	require.Contains(t, h.must("audit", "verify", "--since", v.Head), "is as it was written")
	require.Equal(t, exitInput, h.local("", "audit", "verify", "--since", "x").code)
	other := h.local("", "audit", "verify", "--since", "1-"+strings.Repeat("0", 64))
	require.Equal(t, exitAltered, other.code)
	require.Contains(t, other.out, "is another than the one of the head that was noted")

	// Somebody who has the file.
	db, err := sql.Open("sqlite", filepath.Join(h.data, "berth.db"))
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), `UPDATE events SET actor = 'eve' WHERE kind = 'project.created'`)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	altered := h.local("", "audit", "verify")
	require.Equal(t, exitAltered, altered.code)
	require.Regexp(t, `The event log was altered. Event \d+ is not as it was written`, altered.out)
	require.Empty(t, altered.err)
	require.Equal(t, exitAltered, h.local("", "--json", "audit", "verify").code)
}
