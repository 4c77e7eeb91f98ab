package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

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
