package notify_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/event"
	"berth/internal/notify"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

func TestDelivery_IsTriedAgainAndKeepsItsID(t *testing.T) {
	receiver := newSink(t)
	var asked atomic.Int32
	receiver.answers(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	skip := &skippingClock{}
	r := newRig(t, receiver.trust, func(c *notify.Config) { c.Clock = skip.now })
	r.channel("hook", notify.Webhook, "https://"+receiver.host+"/hook")
	r.run()
	r.deployed("live", "1.4", "")
	d := r.await(notify.Pending, 1)[0]
	require.Eventually(t, func() bool { d = r.await(notify.Pending, 1)[0]; return d.Attempts == 1 }, 10*time.Second, time.Millisecond)
	require.Equal(t, receiver.host+" answered 503 Service Unavailable", d.Error)
	require.Equal(t, 15*time.Second, d.NextAt.Sub(d.CreatedAt).Round(time.Second))

	skip.by(16 * time.Second)
	stirred, err := r.Channel(t.Context(), "hook")
	require.NoError(t, err)
	_, _, err = r.Update(t.Context(), "ana", "hook", stirred.Version, notify.ChannelEdit{}) // has it look again
	require.NoError(t, err)
	d = r.await(notify.Sent, 1)[0]
	require.Equal(t, 2, d.Attempts)
	require.Empty(t, d.Error)
	took := receiver.took()
	require.Len(t, took, 2)
	require.Equal(t, []string{d.ID, d.ID}, []string{took[0].header.Get("webhook-id"), took[1].header.Get("webhook-id")})
	require.Equal(t, took[0].body, took[1].body)
}

// skippingClock runs as time does, and can be put forward.
type skippingClock struct{ ahead atomic.Int64 }

func (c *skippingClock) now() time.Time     { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *skippingClock) by(d time.Duration) { c.ahead.Add(int64(d)) }

func TestDelivery_IsGivenUpAtOnceWhereItWouldBeRefusedAgain(t *testing.T) {
	for name, test := range map[string]struct {
		service notify.Service
		address string
		answer  func(http.ResponseWriter, *http.Request)
		says    string
	}{
		"slack": {
			notify.Slack, "https://HOST/services/T/sEcReT", status(403, "invalid_token sEcReT"), "answered 403 Forbidden: invalid_token ••••••",
		},
		"discord": {
			notify.Discord, "https://HOST/api/webhooks/1/sEcReT", status(401, `{"message": "Invalid Webhook Token", "code": 50027}`), "answered 401 Unauthorized: Invalid Webhook Token",
		},
		"matrix": {
			notify.Matrix, "https://:sEcReT@HOST/!a:b", status(403, `{"errcode": "M_FORBIDDEN", "error": "not in the room"}`), "answered 403 Forbidden: not in the room",
		},
		"ntfy": {
			notify.Ntfy, "https://:sEcReT@HOST/a", status(403, `{"code": 40301, "http": 403, "error": "forbidden"}`), "answered 403 Forbidden: forbidden",
		},
		"teams": {
			notify.Teams, "https://HOST/workflows/sEcReT", status(400, `{"error": {"code": "X", "message": "bad card"}}`), "answered 400 Bad Request: bad card",
		},
		"a webhook, whose words are not told": {
			notify.Webhook, "https://HOST/sEcReT", status(410, "go away"), "answered 410 Gone",
		},
		"a redirect": {
			notify.Webhook, "https://HOST/sEcReT", func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://evil.example.com/sEcReT", http.StatusPermanentRedirect)
			},
			"answered 308 Permanent Redirect: it sends on to another address, which is not followed; give that one",
		},
	} {
		t.Run(name, func(t *testing.T) {
			service := newSink(t)
			service.answers(test.answer)
			r := newRig(t, service.trust)
			r.channel("ops", test.service, strings.ReplaceAll(test.address, "HOST", service.host))
			r.run()
			r.deployed("live", "1.4", "")
			d := r.await(notify.Failed, 1)[0]
			require.Equal(t, 1, d.Attempts)
			require.Equal(t, service.host+" "+test.says, d.Error)
			require.Len(t, service.took(), 1)

			facts, err := r.events.Since(t.Context(), 0, event.Filter{Kinds: []event.Kind{notify.GivenUp}}, 0)
			require.NoError(t, err)
			require.Len(t, facts, 1)
			require.Equal(t, "shop", facts[0].Project)
			require.Contains(t, string(facts[0].Data), `"channel":"ops"`)
			r.keepsSecret("sEcReT")
		})
	}
}

func status(code int, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

func TestDelivery_ThatFailedCanBeAskedForAgain(t *testing.T) {
	service := newSink(t)
	service.answers(status(403, "no_service"))
	r := newRig(t, service.trust)
	r.channel("ops", notify.Slack, "https://"+service.host+"/services/T")
	r.run()
	r.deployed("live", "1.4", "")
	d := r.await(notify.Failed, 1)[0]
	service.answers(nil)
	_, err := r.Retry(t.Context(), d.ID)
	require.NoError(t, err)
	again := r.await(notify.Sent, 1)[0]
	require.Equal(t, d.ID, again.ID)
	_, err = r.Retry(t.Context(), d.ID)
	require.ErrorContains(t, err, "this message is sent, not failed")
}

// The process ends after the message went out and before that was stored.
func TestDelivery_GoesOutAgainUnderItsIDAfterACrashBeforeItWasStored(t *testing.T) {
	receiver := newSink(t)
	arrived, hold := make(chan struct{}), make(chan struct{})
	receiver.answers(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	})
	r := newRig(t, receiver.trust)
	r.channel("hook", notify.Webhook, "https://"+receiver.host+"/hook")
	stop := r.run()
	r.deployed("live", "1.4", "")
	<-arrived
	stop() // after a moment it cuts what has not ended, as a kill does
	close(hold)
	d := r.await(notify.Pending, 1)[0]
	require.Zero(t, d.Attempts, "nothing was stored")

	receiver.answers(nil)
	r.again()
	r.run()
	d = r.await(notify.Sent, 1)[0]
	took := receiver.took()
	require.Len(t, took, 2)
	require.Equal(t, []string{d.ID, d.ID}, []string{took[0].header.Get("webhook-id"), took[1].header.Get("webhook-id")})
}

func TestFollow_TellsEachEventOnceOverRestarts(t *testing.T) {
	receiver := newSink(t)
	r := newRig(t, receiver.trust)
	r.channel("hook", notify.Webhook, "https://"+receiver.host+"/hook")
	r.deployed("live", "1.0", "") // before anybody runs
	for _, release := range []string{"1.1", "1.2", "1.3"} {
		stop := r.run()
		r.deployed("live", release, "")
		r.happen(event.Event{Kind: "stage.updated", Project: "shop", Stage: "prod"}, nil)
		require.Eventually(t, func() bool { return len(receiver.took()) > 0 && strings.Contains(last(receiver.took()).body, release) }, 10*time.Second, time.Millisecond)
		stop()
		r.again()
	}
	var releases []string
	for _, d := range r.sent() {
		require.Equal(t, notify.Sent, d.State)
		releases = append(releases, d.Notice.Release)
	}
	require.Equal(t, []string{"1.0", "1.1", "1.2", "1.3"}, releases)
	require.Len(t, receiver.took(), 4)

	// Also when the cursor was not stored: the record knows the event.
	require.NoError(t, r.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(t.Context(), "UPDATE notify_cursor SET event_id = 0")
		return err
	}))
	r.run()
	r.deployed("live", "1.4", "")
	r.await(notify.Sent, 5)
	require.Len(t, receiver.took(), 5)
}

func last(list []got) got { return list[len(list)-1] }

func TestChannels_HearOnlyWhatTheyAskFor(t *testing.T) {
	receiver := newSink(t)
	r := newRig(t, receiver.trust)
	hook := func(name string, change func(*notify.NewChannel)) {
		r.channel(name, notify.Webhook, "https://"+receiver.host+"/"+name, change)
	}
	ofProject := []notify.Kind{notify.DeploymentLive, notify.DeploymentFailed, notify.InstanceDown}
	hook("all", func(*notify.NewChannel) {})
	hook("shop", func(c *notify.NewChannel) { c.Project, c.Kinds = "shop", ofProject })
	hook("blog", func(c *notify.NewChannel) { c.Project, c.Kinds = "blog", ofProject })
	hook("failures", func(c *notify.NewChannel) { c.Kinds = []notify.Kind{notify.DeploymentFailed} })
	hook("off", func(c *notify.NewChannel) { c.Enabled = false })
	hook("nowhere", func(c *notify.NewChannel) { c.Address = secret.Text{} })
	r.run()
	r.deployed("waiting", "1.4", "")
	r.deployed("live", "1.4", "")
	r.deployed("failed", "1.5", "no")
	r.happen(event.Event{Kind: "instance.state", Actor: "berth", Project: "blog", Stage: "prod"}, map[string]any{"state": "down", "ordinal": 0, "detail": "gone"})
	for range 7 {
		r.happen(event.Event{Kind: "signin.failed"}, map[string]any{"address": "203.0.113.7"})
	}
	r.await(notify.Sent, 4+2+1+1)
	var heard []string
	for _, d := range r.sent() {
		heard = append(heard, d.Channel+" "+string(d.Notice.Kind))
	}
	slices.Sort(heard)
	require.Equal(t, []string{
		"all deployment.failed", "all deployment.live", "all instance.down", "all signin.failures",
		"blog instance.down", "failures deployment.failed", "shop deployment.failed", "shop deployment.live",
	}, heard)
}

func TestChannels_AreNotFloodedByWhatComesAndGoes(t *testing.T) {
	receiver := newSink(t)
	skip := &skippingClock{}
	r := newRig(t, receiver.trust, func(c *notify.Config) { c.Clock = skip.now })
	r.channel("hook", notify.Webhook, "https://"+receiver.host+"/")
	r.run()
	down := func(stage string) {
		r.happen(event.Event{Kind: "instance.state", Project: "shop", Stage: stage}, map[string]any{"state": "down", "ordinal": 0, "detail": "gone"})
	}
	for range 20 {
		down("prod")
	}
	down("staging")
	r.await(notify.Sent, 2)
	skip.by(11 * time.Minute)
	down("prod")
	r.await(notify.Sent, 3)
}

func TestDeliver_AChannelThatDoesNotAnswerHoldsUpNobodyElse(t *testing.T) {
	stuck, well := newSink(t), newSink(t)
	stuck.Config.WriteTimeout = 0
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	stuck.answers(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	r := newRig(t, stuck.trust, func(c *notify.Config) { c.Roots.AddCert(well.Certificate()) })
	r.channel("stuck", notify.Webhook, "https://"+stuck.host+"/")
	r.channel("well", notify.Webhook, "https://"+well.host+"/")
	r.run()
	for range 12 { // more than there are senders
		r.deployed("live", "1.4", "")
	}
	r.await(notify.Sent, 12)
	require.Len(t, well.took(), 12)
	require.LessOrEqual(t, len(stuck.took()), 1, "one at a time to a channel")
}

func TestProject_TakesItsChannelsWithIt(t *testing.T) {
	r := newRig(t)
	r.channel("shop", notify.Ntfy, "https://ntfy.sh/sEcReT", func(c *notify.NewChannel) { c.Project, c.Kinds = "shop", []notify.Kind{notify.DeploymentLive} })
	r.channel("all", notify.Ntfy, "https://ntfy.sh/sEcReT")
	r.run()
	r.happen(event.Event{Kind: "project.removed", Actor: "ana", Project: "shop"}, nil)
	require.Eventually(t, func() bool {
		list, err := r.Channels(t.Context(), "")
		return err == nil && len(list) == 1 && list[0].Name == "all"
	}, 10*time.Second, time.Millisecond)
	slots, err := r.vault.List(t.Context(), notify.SlotContext)
	require.NoError(t, err)
	require.Len(t, slots, 1)
	r.keepsSecret("sEcReT")
}

func TestDelivery_ThatCouldNotBeSentForADayIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Nothing listens there, and nothing but time passes.
		r := newRig(t, func(c *notify.Config) { c.Secrets = nil })
		r.config.Secrets = away{r.vault}
		r.again()
		r.channel("hook", notify.Webhook, "https://hook.invalid/")
		stop := r.run()
		r.deployed("live", "1.4", "")
		var waits []time.Duration
		began := time.Now()
		for attempts := 0; ; {
			synctest.Wait()
			d := r.sent()[0]
			if d.Attempts > attempts {
				attempts = d.Attempts
				waits = append(waits, time.Since(began).Round(time.Second))
			}
			if d.State == notify.Failed {
				require.Equal(t, 10, d.Attempts)
				require.Equal(t, `the address of channel "hook" can't be read; give it again`, d.Error)
				break
			}
			time.Sleep(time.Second)
		}
		require.Equal(t, []time.Duration{
			0, 15 * time.Second, time.Minute, 195 * time.Second, 10 * time.Minute, 1815 * time.Second,
			5415 * time.Second, 9015 * time.Second, 12615 * time.Second, 16215 * time.Second,
		}, waits)
		stop()
	})
}

// away is a vault that gives nothing.
type away struct{ notify.Secrets }

func (away) Get(context.Context, string, string) (secret.Text, error) {
	return secret.Text{}, errors.New("the vault is away")
}
