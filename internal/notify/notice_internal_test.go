package notify

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/event"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func TestNoticeOf_SaysWhatHappenedInOneOrTwoLines(t *testing.T) {
	for name, test := range map[string]struct {
		kind              event.Kind
		data              string
		actor             string
		told              Kind // "" for nothing
		level             Level
		title, text, path string
	}{
		"live": {
			deploymentState, `{"state": "live", "kind": "deploy", "trigger": "push", "generation": 12, "reference": "shop:1.4.2"}`, "ana",
			DeploymentLive, Good, "shop prod: 1.4.2 is live", "Deployment 12, started by a push of ana.", "/deployments/d1",
		},
		"live by the command line": {
			deploymentState, `{"state": "live", "kind": "deploy", "trigger": "api", "generation": 3, "reference": "localhost:5000/shop"}`, "",
			DeploymentLive, Good, "shop prod: localhost:5000/shop is live", "Deployment 3, started.", "/deployments/d1",
		},
		"live because the image changed": {
			deploymentState, `{"state": "live", "kind": "deploy", "trigger": "poll", "generation": 3, "reference": "ghcr.io/ana/shop@sha256:0123456789abcdef0123"}`, "",
			DeploymentLive, Good, "shop prod: sha256:0123456789ab is live", "Deployment 3, started because its image changed.", "/deployments/d1",
		},
		"promoted": {
			deploymentState, `{"state": "live", "kind": "promote", "trigger": "promote", "generation": 3, "reference": "1.4", "source": {"stage": "staging"}}`, "bo",
			DeploymentLive, Good, "shop prod: 1.4 is live", "Deployment 3, promoted from staging by bo.", "/deployments/d1",
		},
		"rolled back": {
			deploymentState, `{"state": "live", "kind": "rollback", "trigger": "person", "generation": 13, "reference": "shop:1.4.1"}`, "ana",
			DeploymentRolledBack, Ask, "shop prod: rolled back to 1.4.1", "Deployment 13, started by ana.", "/deployments/d1",
		},
		"failed": {
			deploymentState, `{"state": "failed", "kind": "deploy", "trigger": "person", "generation": 14, "reference": "1.5", "failed_step": "probe", "error": "instance 1 answered 500"}`, "ana",
			DeploymentFailed, Bad, "shop prod: 1.5 failed at probe", "Instance 1 answered 500.\nDeployment 14, started by ana.", "/deployments/d1",
		},
		"failed with lines and marks of a terminal": {
			deploymentState, "{\"state\": \"failed\", \"generation\": 14, \"reference\": \"1.5\", \"error\": \"one\\ntwo\\u001b[31m\\u202e three!\"}", "ana",
			DeploymentFailed, Bad, "shop prod: 1.5 failed", "One two [31m three!\nDeployment 14, started by ana.", "/deployments/d1",
		},
		"held": {
			deploymentState, `{"state": "held", "kind": "deploy", "trigger": "webhook", "generation": 15, "reference": "2.0"}`, "",
			DeploymentHeld, Ask, "shop prod: 2.0 waits for approval", "Deployment 15, started because its image changed.", "/deployments/d1",
		},
		"held for another person": {
			deploymentState, `{"state": "held", "kind": "promote", "trigger": "person", "generation": 15, "reference": "2.0", "approval": "other", "source": {"stage": "staging"}}`, "ana",
			DeploymentHeld, Ask, "shop prod: 2.0 waits for approval", "Somebody other than who asked for it has to approve it.\nDeployment 15, promoted from staging by ana.", "/deployments/d1",
		},
		"taken back by the guard": {
			deploymentState, `{"state": "reverted", "kind": "deploy", "trigger": "push", "generation": 16, "reference": "2.1", "failed_step": "guard", "error": "12 of 80 answers were errors"}`, "ana",
			DeploymentRolledBack, Bad, "shop prod: 2.1 was taken back by the guard", "12 of 80 answers were errors.\nThe release before it serves again. Deployment 16.", "/deployments/d1",
		},
		"taken back after its command failed": {
			deploymentState, `{"state": "reverted", "kind": "deploy", "generation": 16, "reference": "2.1", "failed_step": "after_switch", "error": "the command after the switch exited with code 3"}`, "berth",
			DeploymentRolledBack, Bad, "shop prod: 2.1 was taken back after its command failed", "The command after the switch exited with code 3.\nThe release before it serves again. Deployment 16.", "/deployments/d1",
		},
		"live with a command that failed": {
			deploymentWarn, `{"step": "after_switch", "generation": 16, "reference": "2.1", "error": "the command after the switch exited with code 3"}`, "berth",
			DeploymentFailed, Bad, "shop prod: 2.1 is live, and its command failed", "The command after the switch exited with code 3.\nThe release stays live. Deployment 16.", "/deployments/d1",
		},
		"rolled back to what still ran": {
			deploymentState, `{"state": "reverted", "kind": "deploy", "generation": 16, "reference": "2.1", "error": "ana rolled back to shop:2.0"}`, "ana",
			DeploymentRolledBack, Ask, "shop prod: 2.1 was rolled back", "ana rolled back to shop:2.0.\nThe release before it serves again. Deployment 16.", "/deployments/d1",
		},
		"a job": {
			jobFailed, `{"job": "nightly", "error": "it ended with code 1"}`, "berth",
			JobFailed, Bad, "shop prod: nightly failed", "It ended with code 1.", "/projects/shop/stages/prod",
		},
		"a source": {
			sourceFailing, `{"repository": "ghcr.io/ana/shop", "error": "the registry says no"}`, "berth",
			SourceFailing, Bad, "ghcr.io/ana/shop can't be watched", "The registry says no.\nNew images of it are not deployed until this is mended.", "/sources",
		},
		"a source that is well again": {
			sourceRecovered, `{"repository": "ghcr.io/ana/shop"}`, "berth",
			SourceFailing, Good, "ghcr.io/ana/shop is watched again", "", "/sources",
		},
		"a disk": {
			diskLow, `{"path": "/var/lib/berth", "free": 1610612736, "total": 107374182400}`, "berth",
			DiskLow, Bad, "Berth: the disk is nearly full", "1.5 of 100.0 GiB are free at /var/lib/berth.", "/system",
		},
		"a disk that has room again": {
			diskRecovered, `{"free": 32212254720, "total": 107374182400}`, "berth",
			DiskLow, Good, "Berth: the disk has room again", "30.0 of 100.0 GiB are free.", "/system",
		},
		"waiting":    {kind: deploymentState, data: `{"state": "waiting", "generation": 15, "reference": "2.0"}`},
		"replaced":   {kind: deploymentState, data: `{"state": "replaced", "generation": 15, "reference": "2.0"}`},
		"canceled":   {kind: deploymentState, data: `{"state": "canceled", "generation": 15, "reference": "2.0"}`},
		"unreadable": {kind: deploymentState, data: `[]`},
		"instance down": {
			instanceState, `{"state": "down", "ordinal": 1, "detail": "its container exited with code 137"}`, "berth",
			InstanceDown, Bad, "shop prod: instance 2 is down", "Its container exited with code 137.", "/projects/shop/stages/prod",
		},
		"instance ready": {kind: instanceState, data: `{"state": "ready", "ordinal": 1}`},
		"something else": {kind: "stage.updated", data: `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			e := event.Event{ID: 1, At: noon, Kind: test.kind, Actor: test.actor, Project: "shop", Stage: "prod", Deployment: "d1", Data: json.RawMessage(test.data)}
			n, says := noticeOf(e, nil)
			require.Equal(t, test.told != "", says)
			require.Equal(t, []any{test.told, test.level, test.title, test.text, test.path}, []any{n.Kind, n.Level, n.Title, n.Text, n.Path})
		})
	}
}

func TestNoticeOf_TellsOfSignInsThatFailWhenThereAreManyInAShortTime(t *testing.T) {
	failures := func(gap time.Duration, count int) (recent []event.Event) {
		for i := range count {
			data := `{"username": "ana", "address": "203.0.113.` + strconv.Itoa(i%2) + `"}`
			recent = append(recent, event.Event{At: noon.Add(-time.Duration(i) * gap), Kind: signInFailed, Data: json.RawMessage(data)})
		}
		return recent
	}
	say := func(recent []event.Event) (Notice, bool) {
		return noticeOf(event.Event{At: noon, Kind: signInFailed}, recent)
	}
	_, says := say(failures(time.Second, signInMany-1))
	require.False(t, says, "too few")
	_, says = say(failures(3*time.Minute, signInMany))
	require.False(t, says, "too far apart")
	n, says := say(failures(time.Minute, signInMany))
	require.True(t, says)
	require.Equal(t, "Berth: many sign-ins failed", n.Title)
	require.Equal(t, "The last 5 within 4 minutes, for ana, from 203.0.113.0, 203.0.113.1.", n.Text)
	require.Equal(t, "/activity", n.Path)
}

// A tag or an error may be anything that somebody could push or print.
func FuzzNoticeOf(f *testing.F) {
	f.Add(`{"state": "failed", "reference": "shop:1", "error": "no"}`)
	f.Add(`{"state": "down", "ordinal": -3, "detail": "\u0000"}`)
	f.Fuzz(func(t *testing.T, data string) {
		for _, kind := range followed {
			e := event.Event{At: noon, Kind: kind, Project: "shop", Stage: "prod", Deployment: "d1", Data: json.RawMessage(data)}
			n, says := noticeOf(e, []event.Event{e, e, e, e, e})
			if !says {
				continue
			}
			require.NotContains(t, n.Title, "\n")
			require.LessOrEqual(t, len([]rune(n.Title)), 400)
			require.LessOrEqual(t, len([]rune(n.Text)), 1500)
			a := address{service: Slack, url: mustURL("https://hooks.example.org/a")}
			for _, c := range []call{slackCall(a, message{Notice: n}), discordCall(a, message{Notice: n}), teamsCall(a, message{Notice: n}), ntfyCall(a, message{Notice: n})} {
				_, err := c.request(t.Context())
				require.NoError(t, err)
			}
		}
	})
}

func TestSettle_WaitsLongerAndLongerAndGivesUp(t *testing.T) {
	d := Delivery{State: Pending, CreatedAt: noon, queuedAt: noon}
	now, waits := noon, []time.Duration{}
	for d.State == Pending {
		d = settle(d, &sendError{text: "no answer in time"}, now, 0)
		if d.State == Pending {
			waits = append(waits, d.NextAt.Sub(now))
			now = d.NextAt
		}
	}
	require.Equal(t, []time.Duration{
		15 * time.Second, 45 * time.Second, 135 * time.Second, 405 * time.Second, 1215 * time.Second,
		time.Hour, time.Hour, time.Hour, time.Hour,
	}, waits)
	require.Equal(t, mostAttempts, d.Attempts)
	require.Equal(t, Failed, d.State)
	require.Equal(t, "no answer in time", d.Error)

	fresh := Delivery{State: Pending, queuedAt: noon}
	require.Equal(t, 18*time.Second, settle(fresh, &sendError{}, noon, 1).NextAt.Sub(noon), "a fifth of jitter")
	require.Equal(t, 2*time.Minute, settle(fresh, &sendError{after: 2 * time.Minute}, noon, 0).NextAt.Sub(noon), "as it was asked to")
	require.Equal(t, time.Hour, settle(fresh, &sendError{after: 48 * time.Hour}, noon, 0).NextAt.Sub(noon), "but not for days")
	require.Equal(t, Failed, settle(fresh, &sendError{final: true}, noon, 0).State)
	require.Equal(t, Failed, settle(fresh, &sendError{}, noon.Add(longestAge), 0).State, "too old")
	sent := settle(Delivery{State: Pending, Error: "earlier", NextAt: noon}, nil, noon, 0)
	require.Equal(t, Delivery{State: Sent, Attempts: 1, SentAt: noon}, sent)
}

// The values are those of the specification's example.
func TestSign_GivesWhatTheSpecificationDoes(t *testing.T) {
	got := sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	require.Equal(t, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", base64.StdEncoding.EncodeToString(got))
}
