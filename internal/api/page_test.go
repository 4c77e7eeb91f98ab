package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLists_GiveEachThingOnceToWhoeverFollowsNext walks through the parts of
// the lists that grow.
func TestLists_GiveEachThingOnceToWhoeverFollowsNext(t *testing.T) {
	s := newServer(t)
	for n := range 4 {
		made := s.do(member, "POST", "/api/projects", fmt.Sprintf(`{"name":"more-%d","image":"more"}`, n))
		require.Equal(t, http.StatusCreated, made.StatusCode, made.body)
		asked := s.do(member, "POST", "/api/projects/shop/stages/prod/deployments", `{"reference":"1.4"}`)
		require.Equal(t, http.StatusAccepted, asked.StatusCode, asked.body)
	}
	part := func(path, cursor string, limit int) (items []string, next string) {
		t.Helper()
		got := s.do(member, "GET", fmt.Sprintf("%s?limit=%d&cursor=%s", path, limit, url.QueryEscape(cursor)), "")
		require.Equal(t, http.StatusOK, got.StatusCode, got.body)
		var list struct {
			Items []json.RawMessage `json:"items"`
			Next  string            `json:"next"`
		}
		require.NoError(t, json.Unmarshal([]byte(got.body), &list))
		require.LessOrEqual(t, len(list.Items), limit)
		for _, i := range list.Items {
			items = append(items, string(i))
		}
		return items, list.Next
	}
	for _, path := range []string{"/api/projects", "/api/deployments", "/api/activity"} {
		whole, next := part(path, "", 200)
		require.Empty(t, next, path)
		require.GreaterOrEqual(t, len(whole), 4, path)
		var walked []string
		for items, next := part(path, "", 2); ; items, next = part(path, next, 2) {
			walked = append(walked, items...)
			if next == "" {
				break
			}
			require.LessOrEqual(t, len(walked), len(whole), "%s goes round", path)
		}
		require.Equal(t, whole, walked, path)
	}
}

// TestPart_GivesEachOnceWhateverComesBetween reads secrets part by part while
// one comes and one goes.
func TestPart_GivesEachOnceWhateverComesBetween(t *testing.T) {
	s := newServer(t)
	for n := range 7 {
		s.do(admin, http.MethodPut, fmt.Sprintf("/api/secrets/many/KEY_%d", n), `{"value":"x"}`)
	}
	var names []string
	for cursor := ""; ; {
		got := s.do(admin, http.MethodGet, "/api/secrets?context=many&limit=3&cursor="+url.QueryEscape(cursor), "")
		require.Equal(t, http.StatusOK, got.StatusCode)
		var part struct {
			Items []struct{ Name string }
			Next  string
		}
		require.NoError(t, json.Unmarshal([]byte(got.body), &part))
		require.LessOrEqual(t, len(part.Items), 3)
		for _, i := range part.Items {
			names = append(names, i.Name)
		}
		if cursor = part.Next; cursor == "" {
			break
		}
		if len(names) == 3 {
			s.do(admin, http.MethodDelete, "/api/secrets/many/KEY_2", "") // the cursor's own
			s.do(admin, http.MethodPut, "/api/secrets/many/AAA", `{"value":"x"}`)
		}
	}
	require.Equal(t, []string{"KEY_0", "KEY_1", "KEY_2", "KEY_3", "KEY_4", "KEY_5", "KEY_6"}, names)
}
