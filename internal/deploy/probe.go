package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"berth/internal/container"
	"berth/internal/fault"
	"berth/internal/probe"
)

// firstPause is the wait after the first probe that failed.
const firstPause = 5 * time.Millisecond

// probePause is the wait before the next probe, that long after the first:
// an eighth of the time it took already, so that it costs little beside it,
// and never more than the interval.
func probePause(since, interval time.Duration) time.Duration {
	return min(max(since/8, firstPause), interval)
}

// exitedError ends the probing of an instance whose container ended.
type exitedError struct{ code int }

func (e exitedError) Error() string { return fmt.Sprintf("exited with code %d", e.code) }

// awaitReady probes an instance until it is ready, its container ends, or its
// time is over. Its error says which, for a person.
func (s *Service) awaitReady(ctx context.Context, spec StageSpec, i Instance) error {
	deadline := time.Duration(spec.Probe.StartDeadline)
	ctx, stop := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		// An engine that can't say is no reason to stop: the probe finds out.
		if code, err := s.runtime.Wait(ctx, i.Container); err == nil {
			stop(exitedError{code})
		}
	}()
	defer func() { stop(nil); <-watched }()

	err := s.probeUntil(ctx, spec, i.Address, deadline)
	if err == nil {
		return nil
	}
	if _, exited := errors.AsType[exitedError](context.Cause(ctx)); exited {
		return s.describeExit(context.WithoutCancel(ctx), spec, i, context.Cause(ctx))
	}
	if ctx.Err() != nil {
		return err
	}
	return fault.Unavailable("it was not ready after %s: %s", deadline, err)
}

// probeUntil gives the last probe's error when the deadline comes first.
func (s *Service) probeUntil(ctx context.Context, spec StageSpec, address string, deadline time.Duration) error {
	began := time.Now()
	row := 0
	for {
		err := s.probeOnce(ctx, spec, address)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if row++; err != nil {
			row = 0
		}
		if row >= spec.Probe.Successes {
			return nil
		}
		since := time.Since(began)
		if since >= deadline {
			return orFew(err, row, spec.Probe.Successes)
		}
		if !pause(ctx, min(probePause(since, time.Duration(spec.Probe.Interval)), deadline-since), nil) {
			return ctx.Err()
		}
	}
}

func orFew(err error, row, wanted int) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("it answered well %d of %d times in a row", row, wanted)
}

func (s *Service) probeOnce(ctx context.Context, spec StageSpec, address string) error {
	ctx, stop := context.WithTimeout(ctx, time.Duration(spec.Probe.Timeout))
	defer stop()
	switch spec.Probe.Kind {
	case ProbeHTTP:
		return s.prober.HTTP(ctx, probe.Request{
			Address: address, Host: spec.Hostname, Path: spec.Probe.Path, Status: spec.Probe.Status, H2C: spec.Protocol == H2C,
		})
	case ProbeTCP:
		return s.prober.TCP(ctx, address)
	case ProbeNone:
	}
	return nil
}

// probeTarget is one beat.
func (s *Service) probeTarget(ctx context.Context, t target) error {
	return s.probeOnce(ctx, t.spec, t.Address)
}

// describeExit says how a container ended, as the engine knows it.
func (s *Service) describeExit(ctx context.Context, spec StageSpec, i Instance, exit error) error {
	ctx, stop := context.WithTimeout(ctx, logTime)
	defer stop()
	how := exit.Error()
	if c, err := s.inspect(ctx, i); err == nil && (c.State == container.StateExited || c.State == container.StateDead) {
		how = ended(c, spec)
	}
	return fault.Unavailable("the container %s before it was ready", how)
}

// faultText gives what a person may read of an error.
func faultText(err error) string { return fault.Message(err) }
