package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errDrained ends what is left of a deployment past its budget.
var errDrained = errors.New("the release was replaced and its time to end is over")

// cutGrace is how long what was cut may take to unwind.
const cutGrace = 5 * time.Second

// drain waits until closed instances serve nothing, and cuts requests and
// streams at their budgets.
func drain(ctx context.Context, instances []*instance, requests, streams time.Duration) (cut int, err error) {
	requestsEnd, streamsEnd := time.NewTimer(requests), time.NewTimer(streams)
	defer requestsEnd.Stop()
	defer streamsEnd.Stop()
	var over <-chan time.Time

	cutAll := func(ofStreams bool) {
		for _, in := range instances {
			cut += in.cutClaims(ofStreams, errDrained)
		}
	}
	requestsOver, streamsOver := false, false
	for _, in := range instances {
		for {
			r, s, changed := in.busy()
			if r+s == 0 {
				break
			}
			select {
			case <-changed:
			case <-requestsEnd.C:
				requestsOver = true
				cutAll(false)
			case <-streamsEnd.C:
				streamsOver = true
				cutAll(true)
			case <-over:
				return cut, fmt.Errorf("drain: %d requests and %d streams do not end", r, s)
			case <-ctx.Done():
				return cut, ctx.Err()
			}
			if requestsOver && streamsOver && over == nil {
				timer := time.NewTimer(cutGrace)
				defer timer.Stop()
				over = timer.C
			}
		}
	}
	return cut, nil
}
