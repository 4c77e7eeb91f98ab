package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/event"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

func auditKinds(t *testing.T, got reply) (kinds []string, next string) {
	t.Helper()
	require.Equal(t, http.StatusOK, got.StatusCode, got.body)
	var list struct {
		Items []event.Record `json:"items"`
		Next  string         `json:"next"`
	}
	require.NoError(t, json.Unmarshal([]byte(got.body), &list))
	for _, r := range list.Items {
		kinds = append(kinds, string(r.Kind))
	}
	return kinds, list.Next
}

func TestAudit_IsFilteredAndRead(t *testing.T) {
	s := newServer(t)
	as := s.as(admin)
	_, _, err := s.identity.SignIn(t.Context(), "bo", secret.New("wrong"), identity.Origin{Address: "192.0.2.9"})
	require.Error(t, err)
	for query, want := range map[string][]string{
		"category=secrets":                                          {"secret.set"},
		"kind=signin.failed":                                        {"signin.failed"},
		"person=bo&category=people":                                 {"person.created"},
		"actor=ana&category=configuration":                          {"stage.created", "project.created"},
		"project=shop":                                              {"stage.created", "project.created"},
		"text=192.0.2.9":                                            {"signin.failed"},
		"until=2020-01-01T00:00:00Z":                                nil,
		"since=2020-01-01T00:00:00Z&kind=project.created":           {"project.created"},
		"kind=project.created&category=secrets":                     nil,
		"category=secrets,configuration&since=2020-01-01T00:00:00Z": {"secret.set", "stage.created", "project.created"},
	} {
		kinds, _ := auditKinds(t, s.do(nobody, "GET", "/api/audit?"+query, "", as))
		require.Equal(t, want, kinds, query)
	}
	first, next := auditKinds(t, s.do(nobody, "GET", "/api/audit?project=shop&limit=1", "", as))
	require.Equal(t, []string{"stage.created"}, first)
	second, _ := auditKinds(t, s.do(nobody, "GET", "/api/audit?project=shop&limit=1&cursor="+next, "", as))
	require.Equal(t, []string{"project.created"}, second)

	for _, query := range []string{"category=nonsense", "cursor=x", "since=yesterday", "text=" + strings.Repeat("x", 300)} {
		got := s.do(nobody, "GET", "/api/audit?"+query, "", as)
		require.Equal(t, http.StatusUnprocessableEntity, got.StatusCode, "%s: %s", query, got.body)
	}
}

func TestAudit_IsExportedAsJSONLines(t *testing.T) {
	s := newServer(t)
	require.NoError(t, s.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		for range 2 * event.Batch {
			if err := s.events.Append(context.Background(), tx, event.Event{Kind: "group.updated", Actor: "ana"}, nil); err != nil {
				return err
			}
		}
		return nil
	}))
	got := s.do(admin, "GET", "/api/audit/export?category=groups", "")
	require.Equal(t, http.StatusOK, got.StatusCode)
	require.Equal(t, "application/jsonl", got.Header.Get("Content-Type"))
	require.Contains(t, got.Header.Get("Content-Disposition"), "berth-audit.jsonl")
	lines := strings.Split(strings.TrimSuffix(got.body, "\n"), "\n")
	require.Len(t, lines, 2*event.Batch)
	position := int64(0)
	for _, line := range lines {
		var r event.Record
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		require.Greater(t, r.Position, position)
		require.Len(t, r.Hash, 64)
		position = r.Position
	}
}

func TestAudit_SaysWhetherItWasAltered(t *testing.T) {
	s := newServer(t)
	as := s.as(admin)
	look := func(query string) (v event.Verification) {
		got := s.do(nobody, "GET", "/api/audit/verify"+query, "", as)
		require.Equal(t, http.StatusOK, got.StatusCode, got.body)
		require.NoError(t, json.Unmarshal([]byte(got.body), &v))
		return v
	}
	v := look("")
	require.True(t, v.OK)
	require.True(t, look("?since="+v.Head).OK)
	got := s.do(nobody, "GET", "/api/audit/verify?since=x", "", as)
	require.Equal(t, http.StatusUnprocessableEntity, got.StatusCode)
	require.Contains(t, got.body, `body.since`)

	require.NoError(t, s.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(t.Context(), `DELETE FROM events WHERE kind = 'stage.created'`)
		return err
	}))
	v = look("")
	require.False(t, v.OK)
	require.Contains(t, v.Broken.Why, "one event is missing before it")
}
