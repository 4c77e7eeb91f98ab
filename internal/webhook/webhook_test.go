package webhook_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/registry"
	"berth/internal/secret"
	"berth/internal/sqlite"
	"berth/internal/vault"
	"berth/internal/webhook"
)

// hinter stands for the Watcher: it takes every hint for ana's images.
type hinter struct {
	mu    sync.Mutex
	taken []registry.Hint
}

func (h *hinter) Hint(_ context.Context, _ *sqlite.Tx, project string, hints []registry.Hint) (concern []registry.Hint, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, hint := range hints {
		if strings.Contains(hint.Repository, "/ana/") && project != "other" {
			concern = append(concern, hint)
		}
	}
	h.taken = append(h.taken, concern...)
	return concern, nil
}

// desk is a Service over a real database.
type desk struct {
	*webhook.Service
	t      testing.TB
	db     *sqlite.DB
	events *event.Log
	vault  *vault.Vault
	hinter *hinter
	now    time.Time
	logged bytes.Buffer
}

func newDesk(tb testing.TB, limit rate.Limit) *desk {
	tb.Helper()
	db, err := sqlite.Open(tb.Context(), sqlite.Config{Path: filepath.Join(tb.TempDir(), "berth.db")})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	d := &desk{t: tb, db: db, hinter: &hinter{}, now: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return d.now }
	d.events = event.New(event.Config{DB: db, Clock: clock})
	d.vault, err = vault.New(vault.Config{DB: db, Events: d.events, Key: secret.New(strings.Repeat("k", 32)), Clock: clock})
	require.NoError(tb, err)
	d.Service, err = webhook.New(webhook.Config{
		DB: db, Events: d.events, Secrets: d.vault, Hinter: d.hinter, Rate: limit, Clock: clock,
		Log:     slog.New(slog.NewTextHandler(&d.logged, nil)),
		BaseURL: &url.URL{Scheme: "https", Host: "berth.example.org"},
	})
	require.NoError(tb, err)
	return d
}

// add makes a webhook and gives what its address and its secret are.
func (d *desk) add(r webhook.Request) (h webhook.Webhook, token, key string) {
	d.t.Helper()
	made, err := d.Add(d.t.Context(), "ana", r)
	require.NoError(d.t, err)
	at := made.URL.Reveal()
	prefix := "https://berth.example.org/api/webhooks/" + string(r.Source) + "/"
	require.True(d.t, strings.HasPrefix(at, prefix), at)
	key = made.Secret.Reveal()
	if key == "" {
		key = r.Secret.Reveal()
	}
	return made.Webhook, strings.TrimPrefix(at, prefix), key
}

func (d *desk) send(source webhook.Source, token string, body []byte, header ...string) (webhook.Delivery, error) {
	d.t.Helper()
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return d.Receive(d.t.Context(), webhook.Incoming{Source: source, Token: secret.New(token), Header: h, Body: body, Address: "192.0.2.1"})
}

func (d *desk) deliveries(id string) []webhook.Delivery {
	d.t.Helper()
	list, _, err := d.Deliveries(d.t.Context(), id, "", 1000)
	require.NoError(d.t, err)
	return list
}

func sign(key string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// proofs are how each source shows the secret, and how it does so wrongly.
func proofs(source webhook.Source, key string, body []byte) (right, wrong [][]string) {
	other := strings.Repeat("x", 20)
	switch source { //nolint:exhaustive // the others send the secret
	case webhook.GitHub:
		good := sign(key, body)
		return [][]string{{"X-Hub-Signature-256", "sha256=" + good}, {"X-Hub-Signature-256", "sha256=" + strings.ToUpper(good)}},
			[][]string{
				{},
				{"X-Hub-Signature-256", good},
				{"X-Hub-Signature-256", "sha256=" + sign(other, body)},
				{"X-Hub-Signature-256", "sha256=" + sign(key, append(body, ' '))},
				{"X-Hub-Signature-256", "sha256=" + good[:62]},
				{"X-Hub-Signature-256", "sha256="},
				{"X-Hub-Signature-256", "sha256=zz"},
				{"X-Hub-Signature", "sha1=" + good},
				{"Authorization", key},
			}
	case webhook.Gitea:
		return [][]string{{"X-Gitea-Signature", sign(key, body)}},
			[][]string{{}, {"X-Gitea-Signature", "sha256=" + sign(key, body)}, {"X-Gitea-Signature", sign(other, body)}, {"X-Forgejo-Signature", sign(key, body)}}
	case webhook.Forgejo:
		return [][]string{{"X-Forgejo-Signature", sign(key, body)}, {"X-Gitea-Signature", sign(key, body)}},
			[][]string{{}, {"X-Forgejo-Signature", sign(other, body), "X-Gitea-Signature", sign(key, body)}}
	default:
		right = [][]string{
			{"Authorization", key},
			{"Authorization", "Bearer " + key},
			{"X-Webhook-Secret", key},
			{"X-Gitlab-Token", key},
			{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("berth:"+key))},
		}
		wrong = [][]string{
			{},
			{"Authorization", other},
			{"Authorization", "Bearer " + other},
			{"Authorization", "Bearer"},
			{"X-Webhook-Secret", key[:15]},
			{"X-Webhook-Secret", key + "x"},
			{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(key+":x"))},
			{"Authorization", "Basic !"},
		}
		return right, wrong
	}
}

func TestReceive_TakesEachFormatWhenAllIsRightAndRefusesItOtherwise(t *testing.T) {
	for _, c := range samples {
		t.Run(string(c.source)+" "+c.file, func(t *testing.T) {
			d := newDesk(t, 0)
			body := payload(t, c.file)
			signs := c.source != webhook.DockerHub && c.source != webhook.Quay
			request := webhook.Request{Name: "a", Source: c.source, Registry: c.host, Generate: signs}
			h, token, key := d.add(request)
			var eventHeader []string
			switch c.source { //nolint:exhaustive // the others name the event in the body
			case webhook.GitHub:
				eventHeader = []string{"X-GitHub-Event", c.event}
			case webhook.Gitea, webhook.Forgejo:
				eventHeader = []string{"X-Gitea-Event", c.event}
			case webhook.Zot:
				eventHeader = []string{"Ce-Type", c.event}
			}
			right, wrong := [][]string{{}}, [][]string{}
			if signs {
				right, wrong = proofs(c.source, key, body)
			}
			for _, proof := range right {
				got, err := d.send(c.source, token, body, append(proof, eventHeader...)...)
				require.NoError(t, err, proof)
				require.NotEqual(t, webhook.Refused, got.Verdict)
				require.Len(t, got.Hints, len(c.want))
			}
			for _, proof := range wrong {
				got, err := d.send(c.source, token, body, append(proof, eventHeader...)...)
				require.Equal(t, fault.Unauthenticated, fault.KindOf(err), "%v", proof)
				require.Equal(t, webhook.Refused, got.Verdict)
				require.Empty(t, got.Hints, "nothing is read before the secret is right")
			}
			// A token that is none, and that of another source.
			for _, wrongToken := range []string{"", "x", token[1:] + "A", strings.ToLower(token), token + "A"} {
				_, err := d.send(c.source, wrongToken, body, append(right[0], eventHeader...)...)
				require.Equal(t, fault.Missing, fault.KindOf(err), wrongToken)
			}
			other := webhook.Generic
			if c.source == webhook.Generic {
				other = webhook.Quay
			}
			_, err := d.send(other, token, body)
			require.Equal(t, fault.Missing, fault.KindOf(err))

			// A body that is none of this source.
			bad := []byte(`{"`)
			badProof := []string{}
			if signs {
				rightForBad, _ := proofs(c.source, key, bad)
				badProof = rightForBad[0]
			}
			got, err := d.send(c.source, token, bad, append(badProof, eventHeader...)...)
			require.Equal(t, fault.BadInput, fault.KindOf(err))
			require.Equal(t, webhook.Refused, got.Verdict)
			require.Len(t, d.deliveries(h.ID), len(right)+len(wrong)+1, "what is refused is kept too, and unknown tokens are not")
		})
	}
}

func TestReceive_SaysWhyADeliveryConcernsNobody(t *testing.T) {
	d := newDesk(t, 0)
	_, token, _ := d.add(webhook.Request{Name: "hub", Source: webhook.Generic})
	got, err := d.send(webhook.Generic, token, []byte(`{"image":"ghcr.io/bo/shop:1"}`))
	require.NoError(t, err)
	require.Equal(t, webhook.Ignored, got.Verdict)
	require.Equal(t, "no stage takes ghcr.io/bo/shop:1", got.Reason)

	_, token, _ = d.add(webhook.Request{Name: "forge", Source: webhook.GitHub})
	got, err = d.send(webhook.GitHub, token, []byte(`{"zen":"x"}`), "X-GitHub-Event", "ping")
	require.NoError(t, err)
	require.Equal(t, webhook.Ignored, got.Verdict)
	require.Equal(t, "ping", got.Event)
	require.Equal(t, "the event tells of no package", got.Reason)
}

func TestAdd_ShowsTheTokenOnceAndKeepsOnlyItsHash(t *testing.T) {
	d := newDesk(t, 0)
	h, token, key := d.add(webhook.Request{Name: "forge", Source: webhook.GitHub, Generate: true})
	require.Len(t, token, 43, "256 bits")
	require.Len(t, key, 43)
	require.NotEqual(t, token, key)
	list, err := d.List(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, []webhook.Webhook{h}, list)

	copied := filepath.Join(t.TempDir(), "copy.db")
	require.NoError(t, d.db.CopyTo(t.Context(), copied))
	kept, err := os.ReadFile(copied)
	require.NoError(t, err)
	raw := string(kept)
	require.NotContains(t, raw, token)
	require.NotContains(t, raw, key)

	found, err := d.events.Since(t.Context(), 0, event.Filter{Kinds: []event.Kind{webhook.Created}}, 0)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.NotContains(t, string(found[0].Data), token)

	require.NoError(t, d.Remove(t.Context(), "ana", h.ID))
	slots, err := d.vault.List(t.Context(), webhook.SlotContext)
	require.NoError(t, err)
	require.Empty(t, slots)
	_, err = d.send(webhook.GitHub, token, []byte("{}"))
	require.Equal(t, fault.Missing, fault.KindOf(err))
}

func TestAdd_SaysWhatIsWrong(t *testing.T) {
	d := newDesk(t, 0)
	for _, c := range []struct {
		request webhook.Request
		want    string
	}{
		{webhook.Request{Source: webhook.GitHub}, "name"},
		{webhook.Request{Name: "a", Source: "bitbucket"}, "source"},
		{webhook.Request{Name: "a", Source: webhook.Zot}, "zot does not say its own host"},
		{webhook.Request{Name: "a", Source: webhook.GitHub, Registry: "no host"}, "registry"},
		{webhook.Request{Name: "a", Source: webhook.DockerHub, Generate: true}, "Docker Hub has no way to send one"},
		{webhook.Request{Name: "a", Source: webhook.GitHub, Secret: secret.New("short")}, "16 to 255"},
	} {
		_, err := d.Add(t.Context(), "ana", c.request)
		require.Equal(t, fault.BadInput, fault.KindOf(err))
		require.Contains(t, fault.Message(err), c.want)
	}
	d.add(webhook.Request{Name: "a", Source: webhook.GitHub})
	_, err := d.Add(t.Context(), "ana", webhook.Request{Name: "a", Source: webhook.Quay})
	require.Equal(t, fault.Clash, fault.KindOf(err))
}

func TestReplay_TakesADeliveryAgain(t *testing.T) {
	d := newDesk(t, 0)
	for _, c := range samples {
		if !strings.Contains(c.want[0], "/ana/") {
			continue
		}
		h, token, _ := d.add(webhook.Request{Name: string(c.source) + c.file, Source: c.source, Registry: c.host})
		_, err := d.send(c.source, token, payload(t, c.file), "X-GitHub-Event", c.event, "X-Gitea-Event", c.event)
		require.NoError(t, err)
		old := d.deliveries(h.ID)[0]
		before := len(d.hinter.taken)
		d.now = d.now.Add(time.Second)
		again, err := d.Replay(t.Context(), "bo", h.ID, old.ID)
		require.NoError(t, err)
		require.Equal(t, webhook.Accepted, again.Verdict)
		require.Equal(t, old.Hints, again.Hints)
		require.Equal(t, old.ID, again.ReplayOf)
		require.Equal(t, "bo", again.Actor)
		require.Len(t, d.hinter.taken, before+len(c.want))
		d.now = d.now.Add(time.Second)
		third, err := d.Replay(t.Context(), "bo", h.ID, again.ID)
		require.NoError(t, err)
		require.Equal(t, webhook.Accepted, third.Verdict, "a replay can be replayed")
	}
	h, token, _ := d.add(webhook.Request{Name: "signed", Source: webhook.Generic, Generate: true})
	_, err := d.send(webhook.Generic, token, payload(t, "generic.json"))
	require.Error(t, err)
	_, err = d.Replay(t.Context(), "bo", h.ID, d.deliveries(h.ID)[0].ID)
	require.Equal(t, fault.Clash, fault.KindOf(err), "what did not show the secret can't be replayed")
	_, err = d.Replay(t.Context(), "bo", h.ID, "none")
	require.Equal(t, fault.Missing, fault.KindOf(err))
}

func TestReceive_KeepsTheNewestDeliveriesOnly(t *testing.T) {
	d := newDesk(t, 10_000)
	h, token, _ := d.add(webhook.Request{Name: "a", Source: webhook.Generic})
	for range 250 {
		d.now = d.now.Add(time.Second)
		_, err := d.send(webhook.Generic, token, payload(t, "generic.json"))
		require.NoError(t, err)
	}
	list := d.deliveries(h.ID)
	require.Len(t, list, 200)
	require.Equal(t, d.now, list[0].At)

	large := []byte(`{"image":"ghcr.io/ana/shop:1","more":"` + strings.Repeat("x", 100_000) + `"}`)
	d.now = d.now.Add(time.Second)
	_, err := d.send(webhook.Generic, token, large)
	require.NoError(t, err)
	kept, raw, err := d.Payload(t.Context(), h.ID, d.deliveries(h.ID)[0].ID)
	require.NoError(t, err)
	require.Nil(t, raw)
	require.EqualValues(t, len(large), kept.Size)
	again, err := d.Replay(t.Context(), "ana", h.ID, kept.ID)
	require.NoError(t, err)
	require.Equal(t, webhook.Accepted, again.Verdict, "what was too large to keep is replayed by its hints")

	d.now = d.now.Add(91 * 24 * time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	require.Eventually(t, func() bool { return len(d.deliveries(h.ID)) == 0 }, 20*time.Second, 5*time.Millisecond, "old ones go")
	cancel()
	require.NoError(t, <-ended)
}

func TestReceive_BoundsHowOftenAnybodyComes(t *testing.T) {
	d := newDesk(t, 2)
	_, token, _ := d.add(webhook.Request{Name: "a", Source: webhook.Generic})
	_, other, _ := d.add(webhook.Request{Name: "b", Source: webhook.Generic})
	var err error
	for range 20 {
		_, err = d.send(webhook.Generic, token, payload(t, "generic.json"))
		require.NoError(t, err)
	}
	_, err = d.send(webhook.Generic, token, payload(t, "generic.json"))
	require.Equal(t, fault.TooOften, fault.KindOf(err))
	require.Equal(t, 500*time.Millisecond, fault.RetryAfter(err))
	_, err = d.send(webhook.Generic, other, payload(t, "generic.json"))
	require.NoError(t, err, "another webhook is not held up")
	d.now = d.now.Add(time.Second)
	_, err = d.send(webhook.Generic, token, payload(t, "generic.json"))
	require.NoError(t, err)

	for range 10 {
		_, err = d.send(webhook.Generic, "guess", nil)
		require.Equal(t, fault.Missing, fault.KindOf(err))
	}
	_, err = d.send(webhook.Generic, "guess", nil)
	require.Equal(t, fault.TooOften, fault.KindOf(err), "an address may not guess on")
	_, err = d.send(webhook.Generic, other, payload(t, "generic.json"))
	require.NoError(t, err, "who knows a token is not held up by those who guess behind the same address")
}

// TestReceive_KeepsPushesHoweverManyPullsAreToldOf has a registry tell of each
// of Berth's own polls, as CNCF Distribution does.
func TestReceive_KeepsPushesHoweverManyPullsAreToldOf(t *testing.T) {
	d := newDesk(t, 10_000)
	h, token, _ := d.add(webhook.Request{Name: "a", Source: webhook.Distribution})
	send := func(body []byte) {
		d.now = d.now.Add(time.Second)
		_, err := d.send(webhook.Distribution, token, body)
		require.NoError(t, err)
	}
	push := payload(t, "distribution.json")
	send(push)
	d.logged.Reset()
	pull := []byte(`{"events":[{"action":"pull","target":{"mediaType":"application/vnd.oci.image.manifest.v1+json","repository":"ana/shop"},"request":{"host":"registry.example.org","method":"HEAD"}}]}`)
	for range 250 {
		send(pull)
	}
	list := d.deliveries(h.ID)
	require.Len(t, list, 21)
	require.Equal(t, "pull", list[0].Event)
	require.Equal(t, d.now, list[0].At)
	require.NotEmpty(t, list[20].Hints, "the push is there to be replayed")
	require.NotContains(t, d.logged.String(), "level=INFO")

	for range 3 {
		send(push)
	}
	require.Len(t, d.deliveries(h.ID), 24)
	require.Contains(t, d.logged.String(), "level=INFO", "a push that no stage takes is told of")
}

// TestReceive_LogsWhatItDoesNotKnow: what registries tell of all the time, of
// pulls and layers, is for who debugs.
func TestReceive_LogsWhatItDoesNotKnow(t *testing.T) {
	d := newDesk(t, 10_000)
	distribution := func(action, mediaType string) string {
		return fmt.Sprintf(`{"events":[{"action":%q,"target":{"mediaType":%q,"repository":"ana/shop"},"request":{"host":"registry.example.org"}}]}`, action, mediaType)
	}
	const manifest = "application/vnd.oci.image.manifest.v1+json"
	for n, c := range []struct {
		source webhook.Source
		body   string
		level  string
	}{
		{webhook.Distribution, distribution("pull", manifest), ""},
		{webhook.Distribution, distribution("push", "application/octet-stream"), ""},
		{webhook.Harbor, `{"type":"PULL_ARTIFACT","event_data":{}}`, ""},
		{webhook.Harbor, `{"specversion":"1.0","type":"harbor.artifact.pulled","data":{}}`, ""},
		{webhook.Distribution, distribution("delete", manifest), "INFO"},
		{webhook.Distribution, distribution("newer", manifest), "INFO"},
		{webhook.Distribution, `{"events":[]}`, "INFO"},
		{webhook.Harbor, `{"type":"SCANNING_COMPLETED","event_data":{}}`, "INFO"},
		{webhook.Quay, `{"docker_url":"quay.io/ana/shop"}`, "INFO"},
		{webhook.Zot, `{"specversion":"1.0","type":"zotregistry.image.deleted","data":{}}`, "INFO"},
	} {
		_, token, _ := d.add(webhook.Request{Name: fmt.Sprint("hook ", n), Source: c.source, Registry: "registry.example.org"})
		d.logged.Reset()
		got, err := d.send(c.source, token, []byte(c.body))
		require.NoError(t, err, c.body)
		require.Equal(t, webhook.Ignored, got.Verdict)
		if c.level == "" {
			require.Empty(t, d.logged.String(), c.body)
		} else {
			require.Contains(t, d.logged.String(), "level="+c.level, c.body)
			require.Contains(t, d.logged.String(), "reason=", c.body)
		}
	}
}
