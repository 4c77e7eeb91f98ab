package gateway

import "time"

// bounds are the upper ends of the latency histogram's buckets; one more
// bucket takes what is longer. Between neighbours a percentile is a straight
// line.
var bounds = [...]time.Duration{
	250 * time.Microsecond, 500 * time.Microsecond,
	1 * time.Millisecond, 2 * time.Millisecond, 3 * time.Millisecond, 5 * time.Millisecond, 7500 * time.Microsecond,
	10 * time.Millisecond, 15 * time.Millisecond, 25 * time.Millisecond, 35 * time.Millisecond, 50 * time.Millisecond, 75 * time.Millisecond,
	100 * time.Millisecond, 150 * time.Millisecond, 250 * time.Millisecond, 350 * time.Millisecond, 500 * time.Millisecond, 750 * time.Millisecond,
	1 * time.Second, 1500 * time.Millisecond, 2500 * time.Millisecond, 5 * time.Second, 7500 * time.Millisecond,
	10 * time.Second, 15 * time.Second, 30 * time.Second, 60 * time.Second,
}

const buckets = len(bounds) + 1

// histogram counts durations by bucket.
type histogram [buckets]int64

// bucket gives the index of the bucket that holds d.
func bucket(d time.Duration) int {
	low, high := 0, len(bounds)
	for low < high {
		if middle := (low + high) / 2; d <= bounds[middle] {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low
}

// percentile estimates the duration, in milliseconds, that share of the
// counted ones did not pass; 0 when none were counted.
func (h *histogram) percentile(share float64) float64 {
	var total int64
	for _, n := range h {
		total += n
	}
	if total == 0 {
		return 0
	}
	rank, before := share*float64(total), 0.0
	for i, n := range h {
		if n == 0 || before+float64(n) < rank {
			before += float64(n)
			continue
		}
		from := 0.0
		if i > 0 {
			from = milliseconds(bounds[i-1])
		}
		if i == len(bounds) {
			return from // all that is known is that it was longer
		}
		return from + (milliseconds(bounds[i])-from)*(rank-before)/float64(n)
	}
	return milliseconds(bounds[len(bounds)-1])
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// add adds what other counted.
func (h *histogram) add(other histogram) {
	for i, n := range other {
		h[i] += n
	}
}

// since gives what was counted after before.
func (h histogram) since(before histogram) histogram {
	for i := range h {
		h[i] -= before[i]
	}
	return h
}
