package server

import (
	"context"
	"time"
)

// pruneEvery is how often old events go.
const pruneEvery = time.Hour

// prune removes what the settings do not keep, until ctx ends.
func (s *Server) prune(ctx context.Context) error {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		now := s.clock()
		_, err := s.events.Prune(ctx, now.Add(-s.settings.LogRetention), now.Add(-s.settings.EventRetention))
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.log.ErrorContext(ctx, "old events not removed", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
