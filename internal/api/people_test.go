package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/api"
)

func TestSignOutEverywhere_EndsAllSessionsOfOnePersonAtOnce(t *testing.T) {
	s := newServer(t)
	laptop, phone := s.browser(), s.browser()
	laptop.signIn(t)
	phone.signIn(t)
	require.Equal(t, http.StatusOK, laptop.do(t, "GET", "/api/session", "").StatusCode) // and it is cached now

	var ended api.Ended
	s.do(admin, "POST", "/api/people/bo/sessions/end", "").decode(t, &ended)
	require.Equal(t, 2, ended.Ended)
	for _, b := range []*browser{laptop, phone} {
		require.Equal(t, http.StatusUnauthorized, b.do(t, "GET", "/api/session", "").StatusCode)
	}
	require.Equal(t, http.StatusOK, s.do(admin, "GET", "/api/session", "").StatusCode, "nobody else's")
}
