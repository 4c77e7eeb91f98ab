package notify_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"berth/internal/notify"
)

// What each service documents that it takes; the links stand in chat.go.
func TestServices_GetWhatTheirDocumentationAsksFor(t *testing.T) {
	const link = "https://berth.example.org/deployments/d1"
	for name, test := range map[string]struct {
		service    notify.Service
		address    string // the sink's host for HOST
		method     string
		path       string
		query      string
		authorized string
		body       string // JSON; ID and AT are the delivery's
	}{
		"slack": {
			service: notify.Slack, address: "https://HOST/services/T0/B0/sEcReT", path: "/services/T0/B0/sEcReT",
			body: `{"text": "🚨 *shop prod: 1.4 failed*\nThe probe got 500 &lt;!channel&gt; &amp; more.\nDeployment 7, started by ana.\n<` + link + `|Open in Berth>"}`,
		},
		"discord": {
			service: notify.Discord, address: "https://HOST/api/webhooks/1/sEcReT", path: "/api/webhooks/1/sEcReT", query: "wait=true",
			body: `{"username": "Berth", "allowed_mentions": {"parse": []}, "embeds": [{
				"title": "shop prod: 1.4 failed", "description": "The probe got 500 \\<!channel\\> & more.\nDeployment 7, started by ana.",
				"url": "` + link + `", "color": 13643824, "timestamp": "AT"}]}`,
		},
		"discord in a thread": {
			service: notify.Discord, address: "https://HOST/api/webhooks/1/sEcReT?thread_id=77", path: "/api/webhooks/1/sEcReT", query: "thread_id=77&wait=true",
		},
		"teams": {
			service: notify.Teams, address: "https://HOST/workflows/abc/triggers/manual?sig=sEcReT", path: "/workflows/abc/triggers/manual", query: "sig=sEcReT",
			body: `{"type": "message", "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": {
				"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
				"body": [
					{"type": "TextBlock", "text": "shop prod: 1.4 failed", "weight": "bolder", "size": "medium", "color": "attention", "wrap": true},
					{"type": "TextBlock", "text": "The probe got 500 \\<!channel\\> & more.", "wrap": true},
					{"type": "TextBlock", "text": "Deployment 7, started by ana.", "wrap": true}],
				"actions": [{"type": "Action.OpenUrl", "title": "Open in Berth", "url": "` + link + `"}]}}]}`,
		},
		"ntfy": {
			service: notify.Ntfy, address: "https://HOST/ops", path: "/",
			body: `{"topic": "ops", "title": "shop prod: 1.4 failed", "message": "The probe got 500 <!channel> & more.\nDeployment 7, started by ana.",
				"priority": 4, "tags": ["rotating_light"], "click": "` + link + `"}`,
		},
		"ntfy with a token": {
			service: notify.Ntfy, address: "https://:tk_sEcReT@HOST/ops", path: "/", authorized: "Bearer tk_sEcReT",
		},
		"ntfy with a password": {
			service: notify.Ntfy, address: "https://phil:sEcReT@HOST/ops", path: "/", authorized: "Basic cGhpbDpzRWNSZVQ=",
		},
		"matrix": {
			service: notify.Matrix, address: "https://:sEcReT@HOST/!room:example.org", method: "PUT",
			path: "/_matrix/client/v3/rooms/%21room:example.org/send/m.room.message/ID", authorized: "Bearer sEcReT",
			body: `{"msgtype": "m.text", "body": "shop prod: 1.4 failed\nThe probe got 500 <!channel> & more.\nDeployment 7, started by ana.\n` + link + `",
				"format": "org.matrix.custom.html", "m.mentions": {},
				"formatted_body": "<strong>shop prod: 1.4 failed</strong><br>The probe got 500 &lt;!channel&gt; &amp; more.<br>Deployment 7, started by ana.<br><a href=\"` + link + `\">Open in Berth</a>"}`,
		},
		"webhook": {
			service: notify.Webhook, address: "https://HOST/hook?key=sEcReT", path: "/hook", query: "key=sEcReT",
			body: `{"type": "deployment.failed", "timestamp": "AT-NANO", "data": {"level": "bad", "project": "shop", "stage": "prod", "deployment": "d1",
				"release": "1.4", "actor": "ana", "reason": "the probe got 500 <!channel> & more", "title": "shop prod: 1.4 failed",
				"text": "The probe got 500 <!channel> & more.\nDeployment 7, started by ana.", "url": "` + link + `"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			service := newSink(t)
			r := newRig(t, service.trust)
			r.channel("ops", test.service, strings.ReplaceAll(test.address, "HOST", service.host))
			r.run()
			r.deployed("failed", "shop:1.4", "the probe got 500 <!channel> & more")
			d := r.await(notify.Sent, 1)[0]

			require.Len(t, service.took(), 1)
			request := service.took()[0]
			if test.method == "" {
				test.method = http.MethodPost
			}
			fill := strings.NewReplacer("ID", d.ID, "AT-NANO", d.Notice.At.Format("2006-01-02T15:04:05.999Z07:00"), "AT", d.Notice.At.Format("2006-01-02T15:04:05Z07:00"))
			require.Equal(t, test.method+" "+fill.Replace(test.path), request.method+" "+request.path)
			require.Equal(t, test.query, request.query)
			require.Equal(t, test.authorized, request.header.Get("Authorization"))
			require.Equal(t, "application/json; charset=utf-8", request.header.Get("Content-Type"))
			if test.body != "" {
				require.JSONEq(t, fill.Replace(test.body), request.body)
			}
			r.keepsSecret("sEcReT")
		})
	}
}

func TestMatrix_FindsTheRoomOfAnAlias(t *testing.T) {
	server := newSink(t)
	server.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, `{"room_id": "!abc:example.org", "servers": ["example.org"]}`)
			return
		}
		_, _ = io.WriteString(w, `{"event_id": "$1"}`)
	})
	r := newRig(t, server.trust)
	c, _ := r.channel("ops", notify.Matrix, "https://:sEcReT@"+server.host+"/#ops:example.org")
	require.Equal(t, "#ops:example.org at "+server.host, c.Hint)
	d, err := r.Test(t.Context(), "ana", "ops")
	require.NoError(t, err)
	require.Equal(t, notify.Sent, d.State)
	requests := server.took()
	require.Len(t, requests, 2)
	require.Equal(t, "/_matrix/client/v3/directory/room/%23ops:example.org", requests[0].path)
	require.Equal(t, "/_matrix/client/v3/rooms/%21abc:example.org/send/m.room.message/"+d.ID, requests[1].path)
}

// The library that the specification's authors wrote for receivers judges.
func TestWebhook_IsSignedAsStandardWebhooksHasIt(t *testing.T) {
	receiver := newSink(t)
	r := newRig(t, receiver.trust)
	c, key := r.channel("hook", notify.Webhook, "https://"+receiver.host+"/hook")
	require.True(t, strings.HasPrefix(key.Reveal(), "whsec_"))
	_, err := r.Test(t.Context(), "ana", "hook")
	require.NoError(t, err)
	judge, err := webhooks.NewWebhook(key.Reveal())
	require.NoError(t, err)
	first := receiver.took()[0]
	require.NoError(t, judge.Verify([]byte(first.body), first.header))
	require.Error(t, judge.Verify([]byte(first.body+" "), first.header))
	require.NotEmpty(t, first.header.Get("webhook-id"))
	require.NotContains(t, first.body, key.Reveal())

	// Another address keeps the secret; asked for, there is another.
	kept, none, err := r.Update(t.Context(), "ana", "hook", c.Version, notify.ChannelEdit{Address: secretText("https://" + receiver.host + "/other"), Inside: true})
	require.NoError(t, err)
	require.True(t, none.Empty())
	_, fresh, err := r.Update(t.Context(), "ana", "hook", kept.Version, notify.ChannelEdit{NewSigningSecret: true})
	require.NoError(t, err)
	require.False(t, fresh.Empty() || fresh.Equal(key))
	_, err = r.Test(t.Context(), "ana", "hook")
	require.NoError(t, err)
	second := receiver.took()[1]
	require.Equal(t, "/other", second.path)
	require.Error(t, judge.Verify([]byte(second.body), second.header))
	judge, err = webhooks.NewWebhook(fresh.Reveal())
	require.NoError(t, err)
	require.NoError(t, judge.Verify([]byte(second.body), second.header))

	var body struct {
		Type string `json:"type"`
		Data struct {
			Title string `json:"title"`
			URL   string `json:"url"`
		} `json:"data"`
	}
	require.NoError(t, json.Unmarshal([]byte(second.body), &body))
	require.Equal(t, "test", body.Type)
	require.Equal(t, "Berth: a test of hook", body.Data.Title)
	require.Equal(t, "https://berth.example.org/notifications", body.Data.URL)
	r.keepsSecret(key.Reveal(), fresh.Reveal())
}
