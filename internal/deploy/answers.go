package deploy

import (
	"slices"
	"time"
)

// Meter counts how deployments answer at the router. *gateway.Table is one.
// Its methods may be called from many goroutines; a deployment that it does
// not know has answered nothing.
type Meter interface {
	// Answers gives what a deployment answered since it was first routed to,
	// in this process.
	Answers(deployment string) Answers
	// Lately gives what it answered in the last minutes, five at most.
	Lately(deployment string) Answers
}

// noMeter has counted nothing.
type noMeter struct{}

func (noMeter) Answers(string) Answers { return Answers{} }
func (noMeter) Lately(string) Answers  { return Answers{} }

// Answers is what was counted of a deployment's answers. Its counts only grow
// while the deployment is routed to.
type Answers struct {
	// Errors are answers of 500 and above, those included that the router gave
	// because an instance did not answer, and answers that broke off.
	Errors int64
	// Took has a count for each bucket of Bounds, and one more for what took
	// longer: the time to an answer's end, or of a stream to its beginning.
	Took   []int64
	Bounds []time.Duration // upper ends, ascending
}

// Requests is how many answers were counted.
func (a Answers) Requests() (n int64) {
	for _, c := range a.Took {
		n += c
	}
	return n
}

// Since gives what was counted after before. Counts that are lower than before
// were begun anew, and count as a whole.
func (a Answers) Since(before Answers) Answers {
	if len(before.Took) != len(a.Took) || a.Requests() < before.Requests() || a.Errors < before.Errors {
		return a
	}
	since := Answers{Errors: a.Errors - before.Errors, Took: slices.Clone(a.Took), Bounds: a.Bounds}
	for i, n := range before.Took {
		since.Took[i] -= n
	}
	return since
}

// ErrorRate is the share of errors, from 0 to 1; 0 of no requests.
func (a Answers) ErrorRate() float64 {
	n := a.Requests()
	if n == 0 {
		return 0
	}
	return min(float64(a.Errors)/float64(n), 1)
}

// Within gives the time that a share of the answers did not take longer than,
// as the upper end of its bucket; 0 of no requests. Of what took longer than
// the last bound, it is that bound.
func (a Answers) Within(share float64) time.Duration {
	rank, before := share*float64(a.Requests()), 0.0
	if rank == 0 || len(a.Bounds) == 0 {
		return 0
	}
	for i, n := range a.Took {
		if before += float64(n); before >= rank {
			return a.Bounds[min(i, len(a.Bounds)-1)]
		}
	}
	return a.Bounds[len(a.Bounds)-1]
}

// slower counts the answers that surely took longer than limit: those in
// buckets that begin there or later.
func (a Answers) slower(limit time.Duration) (n int64) {
	for i, count := range a.Took {
		if i > 0 && a.Bounds[i-1] >= limit {
			n += count
		}
	}
	return n
}
