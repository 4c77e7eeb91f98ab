package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/notify"
)

func TestNotify_ChannelsAreAddedTestedChangedAndRemoved(t *testing.T) {
	h := newHouse(t)
	var took atomic.Int32
	ntfy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		took.Add(1)
		if r.Header.Get("Authorization") != "Bearer tk_right" {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer ntfy.Close()
	host := strings.TrimPrefix(ntfy.URL, "http://")

	added := h.local("http://:tk_wrong@"+host+"/ops\n", "notify", "add", "ops", "ntfy", "--kind", "deployment.failed,disk.low")
	require.Zero(t, added.code, added.err)
	require.Contains(t, added.out, "Added channel ops, to "+host)
	require.NotContains(t, added.out+added.err, "tk_wrong")

	refused := h.local("", "notify", "test", "ops")
	require.Equal(t, exitNotNow, refused.code)
	require.Contains(t, refused.err, "answered 403 Forbidden")
	changed := h.local("http://:tk_right@"+host+"/ops", "notify", "edit", "ops", "--address", "--rename", "on-call", "--kind", "deployment.live")
	require.Zero(t, changed.code, changed.err)
	require.Contains(t, h.must("notify", "test", "on-call"), "Sent.")
	require.EqualValues(t, 2, took.Load())

	list := h.must("notify", "list")
	require.Contains(t, list, "on-call")
	require.Contains(t, list, "all of Berth")
	require.Contains(t, list, "deployment.live")
	sent := h.must("notify", "sent", "on-call")
	require.Contains(t, sent, "failed")
	require.Contains(t, sent, "Berth: a test of on-call")
	var failed []notify.Delivery
	require.NoError(t, json.Unmarshal([]byte(h.must("--json", "notify", "sent", "--state", "failed")), &failed))
	require.Len(t, failed, 1)
	require.Equal(t, exitClash, h.local("", "notify", "retry", failed[0].ID).code, "a test is not sent again")

	require.Contains(t, h.must("notify", "edit", "on-call", "--no-on"), "Changed")
	require.Contains(t, h.must("notify"), "(off)")
	require.Equal(t, exitInput, h.local("", "notify", "edit", "on-call").code)
	h.must("notify", "remove", "on-call", "--yes")
	require.Equal(t, "[]\n", h.must("--json", "notify", "list"))
}

func TestNotify_TheSigningSecretOfAWebhookIsShownOnce(t *testing.T) {
	h := newHouse(t)
	added := h.local("https://example.org/hook", "--json", "notify", "add", "hook", "webhook")
	require.Zero(t, added.code, added.err)
	var made api.SavedChannel
	require.NoError(t, json.Unmarshal([]byte(added.out), &made))
	require.True(t, strings.HasPrefix(made.SigningSecret, "whsec_"))
	require.NotContains(t, h.must("--json", "notify", "list"), "whsec_")
	fresh := h.must("notify", "edit", "hook", "--new-signing-secret")
	require.Contains(t, fresh, "whsec_")
	require.NotContains(t, fresh, made.SigningSecret)
}
