package notify

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// This file has what each service takes, as its documentation says; each is
// one request, which is why it is written here (docs/decisions).

// slackCall is https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/.
// Everything is in text, which Mattermost and others take too.
func slackCall(a address, m message) call {
	// https://docs.slack.dev/messaging/formatting-message-text/#escaping
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
	text := m.Level.sign() + " *" + escape(strings.ReplaceAll(m.Title, "*", "∗")) + "*"
	if m.Text != "" {
		text += "\n" + escape(m.Text)
	}
	return call{url: *a.url, body: map[string]any{"text": text + "\n<" + m.link + "|Open in Berth>"}}
}

// discordCall is https://discord.com/developers/docs/resources/webhook#execute-webhook.
func discordCall(a address, m message) call {
	u := *a.url
	query := u.Query()
	query.Set("wait", "true") // answer when it is stored, not before
	u.RawQuery = query.Encode()
	return call{url: u, body: map[string]any{
		"username": "Berth",
		"embeds": []map[string]any{{
			"title": clean(m.Title, 256), "description": markdown(m.Text), "url": m.link,
			"color": m.Level.color(), "timestamp": m.At.UTC().Format(time.RFC3339),
		}},
		"allowed_mentions": map[string]any{"parse": []string{}}, // a tag named @everyone calls nobody
	}}
}

// teamsCall is what a workflow "when a Teams webhook request is received"
// takes: https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using.
func teamsCall(a address, m message) call {
	color := map[Level]string{Good: "good", Ask: "warning", Bad: "attention"}[m.Level]
	body := []map[string]any{
		{"type": "TextBlock", "text": markdown(m.Title), "weight": "bolder", "size": "medium", "color": color, "wrap": true},
	}
	for line := range strings.SplitSeq(m.Text, "\n") {
		if line != "" {
			body = append(body, map[string]any{"type": "TextBlock", "text": markdown(line), "wrap": true})
		}
	}
	return call{url: *a.url, body: map[string]any{
		"type": "message",
		"attachments": []map[string]any{{
			"contentType": "application/vnd.microsoft.card.adaptive",
			"contentUrl":  nil,
			"content": map[string]any{
				"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
				"body":    body,
				"actions": []map[string]any{{"type": "Action.OpenUrl", "title": "Open in Berth", "url": m.link}},
			},
		}},
	}}
}

// ntfyCall is https://docs.ntfy.sh/publish/#publish-as-json.
func ntfyCall(a address, m message) call {
	priority, tag := 3, "white_check_mark"
	switch m.Level {
	case Good:
	case Ask:
		priority, tag = 4, "hand"
	case Bad:
		priority, tag = 4, "rotating_light"
	}
	text := m.Text
	if text == "" {
		text = m.Title
	}
	c := call{url: *a.url, header: http.Header{}, body: map[string]any{
		"topic": a.topic, "title": m.Title, "message": text, "priority": priority, "tags": []string{tag}, "click": m.link,
	}}
	switch {
	case a.user != "":
		c.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(a.user+":"+a.token)))
	case a.token != "":
		c.header.Set("Authorization", "Bearer "+a.token)
	}
	return c
}

// sendMatrix is https://spec.matrix.org/latest/client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid.
// The delivery's id is the transaction's, by which the server drops doubles.
func sendMatrix(ctx context.Context, client *http.Client, a address, m message) *sendError {
	room := a.room
	if strings.HasPrefix(room, "#") {
		answer, err := do(ctx, client, a, a.matrixCall(http.MethodGet, nil, "directory", "room", room))
		if err != nil {
			return err
		}
		var found struct {
			RoomID string `json:"room_id"`
		}
		if json.Unmarshal(answer, &found) != nil || !strings.HasPrefix(found.RoomID, "!") {
			return &sendError{text: a.scrub(a.url.Host + " does not say which room " + room + " is")}
		}
		room = found.RoomID
	}
	plain, rich := m.Title, "<strong>"+html.EscapeString(m.Title)+"</strong>"
	if m.Text != "" {
		plain += "\n" + m.Text
		rich += "<br>" + strings.ReplaceAll(html.EscapeString(m.Text), "\n", "<br>")
	}
	return post(ctx, client, a, a.matrixCall(http.MethodPut, map[string]any{
		// m.text and not m.notice: phones stay silent for a notice.
		"msgtype": "m.text", "body": plain + "\n" + m.link,
		"format": "org.matrix.custom.html", "formatted_body": rich + `<br><a href="` + html.EscapeString(m.link) + `">Open in Berth</a>`,
		"m.mentions": map[string]any{},
	}, "rooms", room, "send", "m.room.message", m.id))
}

func (a address) matrixCall(method string, body any, path ...string) call {
	u := *a.url
	u.Path, u.RawPath = "/_matrix/client/v3", "/_matrix/client/v3"
	for _, part := range path {
		u.Path += "/" + part
		u.RawPath += "/" + url.PathEscape(part)
	}
	return call{method: method, url: u, header: http.Header{"Authorization": {"Bearer " + a.token}}, body: body}
}

// markdown escapes what Discord and Teams would read as markup.
func markdown(text string) string {
	return strings.NewReplacer(
		`\`, `\\`, "*", `\*`, "_", `\_`, "~", `\~`, "`", "\\`", "|", `\|`, "<", `\<`, ">", `\>`, "[", `\[`, "]", `\]`, "#", `\#`,
	).Replace(text)
}

func (l Level) sign() string {
	switch l {
	case Good:
		return "✅"
	case Ask:
		return "✋"
	case Bad:
		return "🚨"
	}
	return "ℹ️"
}

func (l Level) color() int {
	switch l {
	case Good:
		return 0x2e8b57
	case Ask:
		return 0xd99a00
	case Bad:
		return 0xd03030
	}
	return 0x808080
}
