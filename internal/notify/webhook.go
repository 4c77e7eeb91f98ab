package notify

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// signingPrefix stands before a signing secret, as Standard Webhooks has it:
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
const signingPrefix = "whsec_"

// newSigningKey makes a signing secret of 192 random bits, as the
// specification recommends.
func newSigningKey() string {
	var b [24]byte
	_, _ = rand.Read(b[:])
	return signingPrefix + base64.StdEncoding.EncodeToString(b[:])
}

// payload is the body of a webhook. Fields are added to it and never taken
// away.
type payload struct {
	Type      Kind        `json:"type"`
	Timestamp time.Time   `json:"timestamp"` // when it happened
	Data      payloadData `json:"data"`
}

type payloadData struct {
	Level      Level  `json:"level"`
	Project    string `json:"project,omitempty"`
	Stage      string `json:"stage,omitempty"`
	Deployment string `json:"deployment,omitempty"`
	Instance   string `json:"instance,omitempty"`
	Release    string `json:"release,omitempty"`
	Actor      string `json:"actor,omitempty"`
	Reason     string `json:"reason,omitempty"`
	Title      string `json:"title"`
	Text       string `json:"text"`
	URL        string `json:"url"`
}

func webhookCall(a address, key string, m message) call {
	body, err := json.Marshal(payload{
		Type: m.Kind, Timestamp: m.At, Data: payloadData{
			Level: m.Level, Project: m.Project, Stage: m.Stage, Deployment: m.Deployment, Instance: m.Instance,
			Release: m.Release, Actor: m.Actor, Reason: m.Reason, Title: m.Title, Text: m.Text, URL: m.link,
		},
	})
	if err != nil {
		panic("notify: a payload of strings is always JSON: " + err.Error())
	}
	header := http.Header{}
	stamp := strconv.FormatInt(m.at.Unix(), 10)
	header.Set("Webhook-Id", m.id)
	header.Set("Webhook-Timestamp", stamp)
	header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(sign(key, m.id, stamp, body)))
	if a.user != "" || a.token != "" {
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(a.user+":"+a.token)))
	}
	return call{url: *a.url, header: header, body: body}
}

// sign gives HMAC-SHA256 of "id.timestamp.body" under the bytes of a key.
func sign(key, id, stamp string, body []byte) []byte {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(key, signingPrefix))
	if err != nil {
		panic("notify: a signing secret of ours is always base64")
	}
	mac := hmac.New(sha256.New, raw)
	mac.Write([]byte(id + "." + stamp + "."))
	mac.Write(body)
	return mac.Sum(nil)
}
