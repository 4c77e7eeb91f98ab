package deploy

import (
	"context"
	"errors"
	"iter"

	"berth/internal/container"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// Instance gives one instance.
func (s *Service) Instance(ctx context.Context, id string) (i Instance, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		i, err = findInstance(ctx, tx, id)
		return err
	})
	return i, err
}

// InstanceLogs gives what an instance's container wrote; see
// container.Runtime.Logs. fault.NotFound when the container is gone.
func (s *Service) InstanceLogs(ctx context.Context, id string, o container.LogOptions) iter.Seq2[container.LogLine, error] {
	return func(yield func(container.LogLine, error) bool) {
		i, err := s.ownContainer(ctx, id)
		if err != nil {
			yield(container.LogLine{}, err)
			return
		}
		for line, err := range s.runtime.Logs(ctx, i.Container, o) {
			if err != nil {
				err = wordEngine(err)
			}
			if !yield(line, err) {
				return
			}
		}
	}
}

// InstanceStats gives what an instance's container uses. fault.NotFound when
// the container is gone, fault.Unavailable when the engine can't say.
func (s *Service) InstanceStats(ctx context.Context, id string) (container.Stats, error) {
	i, err := s.ownContainer(ctx, id)
	if err != nil {
		return container.Stats{}, err
	}
	stats, err := s.runtime.Stats(ctx, i.Container)
	if err != nil {
		return stats, wordEngine(err)
	}
	return stats, nil
}

// ownContainer gives an instance whose container is there and its own.
func (s *Service) ownContainer(ctx context.Context, id string) (Instance, error) {
	i, err := s.Instance(ctx, id)
	if err != nil {
		return i, err
	}
	if _, err := s.inspect(ctx, i); err != nil {
		return i, wordEngine(err)
	}
	return i, nil
}

// wordEngine words what an engine answered to a question about a container.
func wordEngine(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, container.ErrNotFound):
		return fault.NotFound("the instance's container is gone").Because(err)
	case errors.Is(err, container.ErrUnsupported):
		return fault.Unavailable("this container engine does not tell that").Because(err)
	}
	return engineAway(err)
}
