package outgoing

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// RetryAfter reads what a Retry-After header says, seconds or a date (RFC 9110
// section 10.2.3), as a time to wait of at most as long as given; 0 when it
// says nothing.
func RetryAfter(said string, now time.Time, most time.Duration) time.Duration {
	if seconds, err := strconv.ParseInt(strings.TrimSpace(said), 10, 64); err == nil {
		return time.Duration(min(max(seconds, 0), int64(most/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(said); err == nil {
		return min(max(at.Sub(now), 0), most)
	}
	return 0
}
