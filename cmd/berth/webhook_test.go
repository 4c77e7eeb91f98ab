package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/api"
)

func TestWebhook_HasASecretWhereTheSenderCanShowOne(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		args []string
		has  bool
	}{
		{[]string{"packages", "github"}, true},
		{[]string{"script", "generic"}, true},
		{[]string{"again", "github", "--secret"}, true},
		{[]string{"open", "github", "--no-secret"}, false},
		{[]string{"hub", "dockerhub"}, false}, // which has no way to
	} {
		var made api.NewWebhook
		require.NoError(t, json.Unmarshal([]byte(h.must(append([]string{"--json", "webhook", "add"}, c.args...)...)), &made))
		require.Equal(t, c.has, made.Secret, c.args)
		require.Equal(t, c.has, made.SecretText != "", c.args)
	}
	refused := h.local("", "webhook", "add", "hub-2", "dockerhub", "--secret")
	require.Equal(t, exitInput, refused.code)
	require.Contains(t, refused.err, "its address is the secret")
}
