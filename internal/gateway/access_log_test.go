package gateway

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// accessLine waits for the first line about a request.
func (r *rig) accessLine() (line map[string]any) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		in := bufio.NewScanner(strings.NewReader(r.log.String()))
		for in.Scan() {
			if strings.Contains(in.Text(), `"msg":"request"`) {
				return json.Unmarshal(in.Bytes(), &line) == nil
			}
		}
		return false
	}, 20*time.Second, time.Millisecond)
	return line
}

func TestAccessLog_HasTheRequestWithoutItsQuery(t *testing.T) {
	r := newRig(t, func(c *Config) { c.AccessLog = AccessLogOn })
	route := routeTo("shop.localhost", "d1", addressOf(app(t, echo)))
	route.Reference = "1.4.2"
	r.route(route)
	r.send(http.MethodPost, "http://shop.localhost/a?token=secret", strings.NewReader("four"), func(q *http.Request) {
		q.Header.Set("X-Request-Id", "request-0001")
	})
	line := r.accessLine()
	for key, want := range map[string]any{
		"project": "shop", "stage": "prod", "tag": "1.4.2", "deployment": "d1", "instance": "d1-a", "request_id": "request-0001",
		"method": "POST", "host": "shop.localhost", "path": "/a", "status": 200.0, "bytes_in": 4.0, "address": "127.0.0.1",
	} {
		assert.Equal(t, want, line[key], key)
	}
	assert.Positive(t, line["bytes_out"])
	assert.Contains(t, line, "duration_ms")
	assert.NotContains(t, r.log.String(), "secret")
}

func TestAccessLog_HasRequestsToBerthByTheirPattern(t *testing.T) {
	base := http.NewServeMux()
	base.HandleFunc("POST /api/webhooks/{source}/{token}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "taken")
	})
	r := newRig(t, func(c *Config) { c.AccessLog, c.Base = AccessLogOn, base })
	r.send(http.MethodPost, "http://localhost/api/webhooks/forgejo/s3cret?key=s3cret", strings.NewReader("four"), func(q *http.Request) {
		q.Header.Set("X-Request-Id", "request-0001")
	})
	line := r.accessLine()
	for key, want := range map[string]any{
		"request_id": "request-0001", "method": "POST", "host": "localhost", "path": "/api/webhooks/{source}/{token}",
		"status": 202.0, "bytes_in": 4.0, "bytes_out": 5.0, "address": "127.0.0.1",
	} {
		assert.Equal(t, want, line[key], key)
	}
	assert.NotContains(t, line, "project")
	assert.NotContains(t, r.log.String(), "s3cret")
}

func TestAccessLog_HasNoPathOfARequestToBerthThatFitsNothing(t *testing.T) {
	r := newRig(t, func(c *Config) { c.AccessLog, c.Base = AccessLogOn, http.NewServeMux() })
	r.get("http://localhost/webhooks/s3cret")
	line := r.accessLine()
	assert.InDelta(t, http.StatusNotFound, line["status"], 0)
	assert.Empty(t, line["path"])
	assert.NotContains(t, r.log.String(), "s3cret")
}

func TestAccessLog_HasARequestToBerthThatWasBrokenOff(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.AccessLog = AccessLogOn
		c.Base = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	})
	_, err := r.client.Get("http://localhost/")
	require.Error(t, err)
	assert.InDelta(t, statusGone, r.accessLine()["status"], 0)
}

func TestAccessLogMode_TakesAllOrNothingAtItsEnds(t *testing.T) {
	assert.False(t, AccessLogOff.takes())
	assert.True(t, AccessLogOn.takes())
}

func TestAccessLogMode_TakesItsShare(t *testing.T) {
	taken := 0
	for range 10_000 {
		if AccessLogMode(0.25).takes() {
			taken++
		}
	}
	assert.InDelta(t, 2500, taken, 300) // seven standard deviations
}
