package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
)

// visits is what clients saw that ask again and again, each on a connection of
// its own, and never retry.
type visits struct {
	mu       sync.Mutex
	bad      int // answers of 500 and above
	firstBad time.Time
	lastBad  time.Time
	slow     map[string][]time.Time // when answers came that took half a second, by version
	lost     []string               // requests without an answer
	requests atomic.Int64
	byClient map[int]map[string]int // versions that answered, by client
	stop     func()
}

// visit has so many clients ask a project's app, each under a name of its own,
// a hundred times a second in all.
func (b *berth) visit(project string, clients int) *visits {
	b.t.Helper()
	v := &visits{byClient: map[int]map[string]int{}, slow: map[string][]time.Time{}}
	done := make(chan struct{})
	var group sync.WaitGroup
	for n := range clients {
		transport := &http.Transport{DisableKeepAlives: n%2 == 0}
		group.Go(func() {
			defer transport.CloseIdleConnections()
			tick := time.NewTicker(time.Duration(clients) * 10 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-done:
					return
				case <-tick.C:
				}
				request, err := http.NewRequest(http.MethodPost, "http://"+b.address+"/echo", http.NoBody)
				if err != nil {
					continue
				}
				request.Host = project + ".localhost"
				request.Header.Set("User-Agent", fmt.Sprintf("visitor %d", n))
				v.note(n, transport, request)
			}
		})
	}
	v.stop = sync.OnceFunc(func() { close(done); group.Wait() })
	b.t.Cleanup(v.stop)
	return v
}

// answeredEnough waits until there is something to compare a new release with.
func (b *berth) answeredEnough(v *visits) {
	b.t.Helper()
	b.eventually("the release before has answered enough", func() error {
		if v.requests.Load() < 100 {
			return fmt.Errorf("%d answers", v.requests.Load())
		}
		return nil
	})
}

func (v *visits) note(client int, transport *http.Transport, request *http.Request) {
	asked := time.Now()
	response, err := transport.RoundTrip(request)
	answered := time.Now()
	v.requests.Add(1)
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		v.lost = append(v.lost, err.Error())
		return
	}
	_ = response.Body.Close()
	if response.StatusCode >= 500 {
		v.bad++
		v.lastBad = time.Now()
		if v.firstBad.IsZero() {
			v.firstBad = v.lastBad
		}
	}
	if version := response.Header.Get("X-App-Version"); answered.Sub(asked) >= 500*time.Millisecond {
		v.slow[version] = append(v.slow[version], answered)
	}
	if v.byClient[client] == nil {
		v.byClient[client] = map[string]int{}
	}
	v.byClient[client][response.Header.Get("X-App-Version")]++
}

// A release that answers 500 after 20 seconds is gone within 5 seconds.
func TestGuard_TakesAReleaseBackThatBreaksLate(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		b := start(t, e)
		project := projectPrefix(t)
		b.stage(project, func(s *deploy.StageSpec) {
			s.Replicas = 2
			s.Guard = deploy.Guard{Window: deploy.Duration(2 * time.Minute)}
		})
		b.push(project, "good", image(t, "1"))
		b.push(project, "bad", image(t, "2", "APP_FAIL_AFTER=20s"))
		b.live(project, "good")
		v := b.visit(project, 20)
		b.answeredEnough(v)
		b.live(project, "bad")
		back := b.reverted(project, "bad")
		b.eventually("the release before answers", func() error { return b.answers(project, "1") })
		time.Sleep(time.Second) // for what would still come
		v.stop()
		v.mu.Lock()
		defer v.mu.Unlock()
		took := v.lastBad.Sub(v.firstBad)
		t.Logf("%s: %d requests, none without an answer; %d bad answers within %d ms of the first: %s",
			e.name, v.requests.Load(), v.bad, took.Milliseconds(), back.Error)
		require.Empty(t, v.lost)
		require.Positive(t, v.bad)
		require.Less(t, took, 5*time.Second)
		require.Contains(t, back.Error, "answers were errors")
		require.Equal(t, deploy.GuardStep, back.FailedStep)
		b.eventually("the new containers are gone", func() error {
			if n := len(b.containers(project)); n != 2 {
				return fmt.Errorf("%d containers", n)
			}
			return nil
		})
	})
}

// A release whose answers take much longer after 5 seconds is gone within 5
// seconds of that.
func TestGuard_TakesAReleaseBackThatGetsSlow(t *testing.T) {
	b := start(t, anyEngine(t))
	project := projectPrefix(t)
	b.stage(project, func(s *deploy.StageSpec) {
		s.Guard = deploy.Guard{Window: deploy.Duration(2 * time.Minute), LatencyFactor: 3}
	})
	b.push(project, "quick", image(t, "1"))
	b.push(project, "slow", image(t, "2", "APP_SLOW_AFTER=5s"))
	b.live(project, "quick")
	v := b.visit(project, 40)
	b.answeredEnough(v)
	b.live(project, "slow")
	d := b.reverted(project, "slow")
	b.eventually("the release before answers", func() error { return b.answers(project, "1") })
	v.stop()
	v.mu.Lock()
	defer v.mu.Unlock()
	slow := v.slow["2"]
	require.NotEmpty(t, slow)
	took := slow[len(slow)-1].Sub(slow[0])
	t.Logf("%d requests, slow answers came for %d ms: %s", v.requests.Load(), took.Milliseconds(), d.Error)
	require.Empty(t, v.lost)
	require.Less(t, took, 5*time.Second)
	require.Contains(t, d.Error, "95th percentile")
	require.Equal(t, deploy.GuardStep, d.FailedStep)
}

// Clients of a canary keep their release to the end, and a bad one costs only
// its share.
func TestCanary_StaysWithItsClients(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		b := start(t, e)
		project := projectPrefix(t)
		b.stage(project, func(s *deploy.StageSpec) {
			s.Canary = deploy.CanaryRule{Share: 30, Duration: deploy.Duration(10 * time.Minute)}
		})
		b.push(project, "1", image(t, "1"))
		b.push(project, "2", image(t, "2"))
		b.push(project, "3", image(t, "3", "APP_FAIL_AFTER=1ms"))
		b.live(project, "1")

		d := b.deploy(project, "2")
		canary := func(id string) func() error {
			return func() error {
				var now deploy.Deployment
				if err := b.try("GET", "/api/deployments/"+id, nil, &now); err != nil {
					return err
				}
				if len(now.Watches) == 0 || now.Watches[0].Seen.Requests == 0 && now.State == deploy.Running {
					return fmt.Errorf("it is %s, %+v", now.State, now.Watches)
				}
				return nil
			}
		}
		strangers := 0
		b.eventually("the canary is routed to", func() error {
			strangers++
			version, status, err := b.getAs(fmt.Sprintf("stranger %d", strangers), project, "/")
			if err != nil || status != http.StatusOK || version != "2" {
				return fmt.Errorf("status %d, version %q: %w", status, version, err)
			}
			return nil
		})
		v := b.visit(project, 40)
		b.eventually("every client has asked often", func() error {
			v.mu.Lock()
			defer v.mu.Unlock()
			for client := range 40 {
				asked := 0
				for _, n := range v.byClient[client] {
					asked += n
				}
				if asked < 5 {
					return fmt.Errorf("client %d has %d answers", client, asked)
				}
			}
			return nil
		})
		v.stop()
		on := map[string]int{}
		for client, versions := range v.byClient {
			require.Len(t, versions, 1, "client %d had more than one release: %v", client, versions)
			for version := range versions {
				on[version]++
			}
		}
		t.Logf("%s: of 40 clients %d had the canary and %d did not, in %d requests; none changed", e.name, on["2"], on["1"], v.requests.Load())
		require.Positive(t, on["1"])
		require.Positive(t, on["2"])
		require.Empty(t, v.lost)
		require.Zero(t, v.bad)
		b.call("POST", "/api/deployments/"+d.ID+"/continue", map[string]any{}, nil)
		require.Equal(t, deploy.Live, b.wait(d.ID).State)
		b.eventually("everybody has it", func() error { return b.answers(project, "2") })

		v = b.visit(project, 40)
		d = b.deploy(project, "3")
		b.eventually("the bad canary is asked", canary(d.ID))
		done := b.wait(d.ID)
		require.Equal(t, deploy.Failed, done.State)
		require.Equal(t, deploy.CanaryStep, done.FailedStep)
		v.stop()
		t.Logf("%s: the bad canary cost %d of %d answers in %s: %s", e.name, v.bad, v.requests.Load(), v.lastBad.Sub(v.firstBad).Round(time.Millisecond), done.Error)
		require.Empty(t, v.lost)
		require.NoError(t, b.answers(project, "2"))
	})
}

func TestStage_IsMaintainedAndPaused(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		b := start(t, e)
		project := projectPrefix(t)
		b.stage(project, func(s *deploy.StageSpec) { s.Tags = deploy.TagRule{Kind: deploy.TagGlob, Pattern: "*"} })
		b.push(project, "1", image(t, "1"))
		b.eventually("the push is live", func() error { return b.answers(project, "1") })
		path := "/api/projects/" + project + "/stages/prod"
		b.call("POST", path+"/maintenance", map[string]any{"on": true, "message": "Back at noon."}, nil)
		_, status, err := b.get(project, "/health")
		require.NoError(t, err)
		require.Equal(t, http.StatusServiceUnavailable, status)
		b.kill()
		b.launch()
		b.eventually("it is still maintained after a crash", func() error {
			if _, status, err = b.get(project, "/"); err != nil || status != http.StatusServiceUnavailable {
				return fmt.Errorf("status %d: %w", status, err)
			}
			return nil
		})
		b.call("POST", path+"/maintenance", map[string]any{"on": false}, nil)
		b.eventually("the app answers again", func() error { return b.answers(project, "1") })

		b.call("POST", path+"/pause", map[string]any{"reason": "holidays"}, nil)
		b.push(project, "2", image(t, "2"))
		b.eventually("it is known what was missed", func() error {
			var s deploy.StageStatus
			if err := b.try("GET", path, nil, &s); err != nil {
				return err
			}
			if s.Paused == nil || s.Paused.Missed != "2" {
				return fmt.Errorf("%+v", s.Paused)
			}
			return nil
		})
		require.ErrorContains(t, b.try("POST", path+"/deployments", map[string]any{"reference": "2"}, nil), "resume it first")
		require.NoError(t, b.answers(project, "1"))
		b.call("POST", path+"/resume", map[string]any{}, nil)
		b.live(project, "2")
		require.NoError(t, b.answers(project, "2"))
	})
}
