package deploy

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"berth/internal/container"
	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// LoggedLine is a line of an instance's log.
type LoggedLine struct {
	Instance string `json:"instance"`
	Ordinal  int    `json:"ordinal"`
	container.LogLine
}

// LogQuery chooses lines of a log. The zero LogQuery is all of it.
type LogQuery struct {
	Since  time.Time // Podman tells whole seconds only
	Until  time.Time // before it; what is followed has none
	Search string    // in a line's text, without regard to case
	Regexp bool      // Search is a regular expression (RE2)
	Tail   int       // only the newest of those that match; 0 is all
	Follow bool      // go on with what comes
}

const maxSearch = 256

// check gives what says whether a line matches.
func (q LogQuery) check() (func(container.LogLine) bool, error) {
	var wrong checks
	if len(q.Search) > maxSearch {
		wrong.add("search", "has more than %d bytes", maxSearch)
	}
	if q.Follow && !q.Until.IsZero() {
		wrong.add("until", "can't be with follow")
	}
	if !q.Until.IsZero() && q.Until.Before(q.Since) {
		wrong.add("until", "is before since")
	}
	has := func(string) bool { return true }
	switch {
	case q.Search == "":
	case q.Regexp:
		form, err := regexp.Compile("(?i)" + q.Search)
		if err != nil {
			wrong.add("search", "is no regular expression of RE2: %v", err)
		} else {
			has = form.MatchString
		}
	default:
		wanted := strings.ToLower(q.Search)
		has = func(text string) bool { return strings.Contains(strings.ToLower(text), wanted) }
	}
	return func(l container.LogLine) bool {
		return !l.At.Before(q.Since) && (q.Until.IsZero() || l.At.Before(q.Until)) && has(plainText(l.Text))
	}, fault.InvalidFields(wrong)
}

// coloured are the control sequences of terminals that colour a text.
var coloured = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)

func plainText(text string) string {
	if !strings.Contains(text, "\x1b") {
		return text
	}
	return coloured.ReplaceAllString(text, "")
}

// Check says what is wrong with a query, if anything.
func (q LogQuery) Check() error {
	_, err := q.check()
	return err
}

// Instance gives one instance.
func (s *Service) Instance(ctx context.Context, id string) (i Instance, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		i, err = findInstance(ctx, tx, id)
		return err
	})
	return i, err
}

// InstancesNamed gives instances by their ids, those of the newest deployment
// first; ids that nothing has are left out.
func (s *Service) InstancesNamed(ctx context.Context, ids []string) (list []Instance, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		list, err = instancesNamed(ctx, tx, ids)
		return err
	})
	return list, err
}

// InstanceLogs gives what an instance wrote: what was kept of containers of it
// that are gone, and what the engine has. With Follow it goes on until the
// container ends, ctx ends, or the loop is left. fault.NotFound when nothing
// is left of it.
func (s *Service) InstanceLogs(ctx context.Context, id string, q LogQuery) iter.Seq2[LoggedLine, error] {
	return func(yield func(LoggedLine, error) bool) {
		i, err := s.Instance(ctx, id)
		if err == nil {
			err = s.hasLog(ctx, i)
		}
		if err != nil {
			yield(LoggedLine{}, err)
			return
		}
		s.read(ctx, q, []Instance{i}, nil)(yield)
	}
}

// StageLogs gives what the instances of a stage wrote, in the order of their
// times: those of what it serves, and with previous also those that are gone.
// With Follow it goes on until ctx ends or the loop is left, with the instances
// that come, too.
func (s *Service) StageLogs(ctx context.Context, project, stage string, previous bool, q LogQuery) iter.Seq2[LoggedLine, error] {
	return func(yield func(LoggedLine, error) bool) {
		status, err := s.Stage(ctx, project, stage)
		if err != nil {
			yield(LoggedLine{}, err)
			return
		}
		list := status.Instances
		if previous {
			all, err := s.StageInstances(ctx, project, stage)
			if err != nil {
				yield(LoggedLine{}, err)
				return
			}
			list = nil
			for _, i := range all {
				if i.Log != LogNone {
					list = append(list, i.Instance)
				}
			}
		}
		s.read(ctx, q, list, &status.Stage)(yield)
	}
}

// LogState says where an instance's log is.
type LogState string

// Where a log is.
const (
	LogLive LogState = "live" // in the engine
	LogKept LogState = "kept" // its container is gone
	LogNone LogState = "none" // nothing is left
)

// SeenInstance is an instance of a stage, also one that is gone.
type SeenInstance struct {
	Instance
	Log LogState `json:"log"`
}

// seenMost bounds how many instances of a stage are looked back at.
const seenMost = 100

// StageInstances gives a stage's instances, the newest first.
func (s *Service) StageInstances(ctx context.Context, project, stage string) ([]SeenInstance, error) {
	st, err := s.Stage(ctx, project, stage)
	if err != nil {
		return nil, err
	}
	var list []Instance
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		list, err = newestInstances(ctx, tx, st.ID, seenMost)
		return err
	})
	if err != nil {
		return nil, err
	}
	files, err := s.logs.files("")
	if err != nil {
		return nil, err
	}
	isKept := map[string]bool{}
	for _, k := range files {
		isKept[k.instance] = true
	}
	seen := make([]SeenInstance, len(list))
	for n, i := range list {
		seen[n] = SeenInstance{i, LogNone}
		switch {
		case i.State != InstanceStopped && i.Container != "":
			seen[n].Log = LogLive
		case isKept[i.ID]:
			seen[n].Log = LogKept
		}
	}
	return seen, nil
}

// hasLog says that something is left of an instance's log.
func (s *Service) hasLog(ctx context.Context, i Instance) error {
	_, err := s.inspect(ctx, i)
	if err == nil || !errors.Is(err, container.ErrNotFound) {
		return wordEngineOrNil(err)
	}
	files, failed := s.logs.files(i.ID)
	if failed != nil {
		return failed
	}
	if len(files) == 0 {
		return fault.NotFound("the instance's container is gone, and nothing of its log is kept").Because(err)
	}
	return nil
}

func wordEngineOrNil(err error) error {
	if err == nil {
		return nil
	}
	return wordEngine(err)
}

// read gives what matches of what there is, and then, when q says so, of what
// comes. Those that come later are of the stage, when it is named.
func (s *Service) read(ctx context.Context, q LogQuery, list []Instance, stage *Stage) iter.Seq2[LoggedLine, error] {
	return func(yield func(LoggedLine, error) bool) {
		matches, err := q.check()
		if err != nil {
			yield(LoggedLine{}, err)
			return
		}
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		// Taken before anything is read, so that no instance slips in between.
		after, err := s.events.Last(ctx)
		if err != nil {
			yield(LoggedLine{}, err)
			return
		}
		readers := make([]*logReader, len(list))
		for n, i := range list {
			readers[n] = &logReader{s: s, instance: i, since: q.Since}
			if !q.Follow && q.Search == "" && q.Until.IsZero() {
				readers[n].tail = q.Tail // no more than these are needed
			}
		}
		newest := tail{lines: q.Tail}
		for line, err := range merged(ctx, readers) {
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				yield(LoggedLine{}, err)
				return
			}
			switch {
			case !matches(line.LogLine):
			case q.Tail > 0:
				newest.add(line)
			case !yield(line, nil):
				return
			}
		}
		for line := range newest.all() {
			if !yield(line, nil) {
				return
			}
		}
		if !q.Follow || ctx.Err() != nil {
			return
		}
		for line, err := range s.followAll(ctx, readers, stage, after) {
			if err == nil && !matches(line.LogLine) {
				continue
			}
			if !yield(line, err) {
				return
			}
		}
	}
}

// logReader reads one instance's log: what there is, and then what comes after
// the last line that it has given.
type logReader struct {
	s        *Service
	instance Instance
	since    time.Time
	tail     int

	last  time.Time // of the line given last
	at    int       // lines given with that time
	ended bool      // there is nothing to follow
}

func (r *logReader) line(l container.LogLine) LoggedLine {
	return LoggedLine{r.instance.ID, r.instance.Ordinal, l}
}

// there gives what was kept, and what the engine has.
func (r *logReader) there(ctx context.Context) iter.Seq2[LoggedLine, error] {
	return func(yield func(LoggedLine, error) bool) {
		files, err := r.s.logs.files(r.instance.ID)
		if err != nil {
			yield(LoggedLine{}, err)
			return
		}
		_, missing := r.s.inspect(ctx, r.instance)
		r.ended = errors.Is(missing, container.ErrNotFound)
		for _, k := range files {
			if !r.ended && strings.HasPrefix(r.instance.Container, k.container) {
				continue // it was not removed after all
			}
			for line, err := range k.lines() {
				if err != nil { // the others are worth seeing all the same
					r.s.log.WarnContext(ctx, "log of a container that is gone not read to its end", "instance", r.instance.ID, "error", err)
					line = container.LogLine{At: k.at, Stream: streamBerth, Text: "What else was kept of this container's log can't be read."}
				}
				if !yield(r.line(line), nil) {
					return
				}
			}
		}
		if r.ended {
			return
		}
		options := container.LogOptions{Since: r.since, Tail: r.tail}
		for line, err := range r.s.runtime.Logs(ctx, r.instance.Container, options) {
			if errors.Is(err, container.ErrNotFound) {
				r.ended = true // it went meanwhile
				return
			}
			if err != nil {
				yield(LoggedLine{}, wordEngine(err))
				return
			}
			r.given(line)
			if !yield(r.line(line), nil) {
				return
			}
		}
	}
}

func (r *logReader) given(line container.LogLine) {
	if !line.At.Equal(r.last) {
		r.last, r.at = line.At, 0
	}
	r.at++
}

// coming gives what is written after what was given, until the container ends.
func (r *logReader) coming(ctx context.Context) iter.Seq2[LoggedLine, error] {
	return func(yield func(LoggedLine, error) bool) {
		// The lines of the last one's moment are read again, and left out.
		options := container.LogOptions{Follow: true, Since: cmp.Or(r.last, r.since)}
		last, again := r.last, r.at
		for line, err := range r.s.runtime.Logs(ctx, r.instance.Container, options) {
			if errors.Is(err, container.ErrNotFound) {
				return
			}
			if err != nil {
				yield(LoggedLine{}, wordEngine(err))
				return
			}
			if !last.IsZero() && (line.At.Before(last) || (line.At.Equal(last) && again > 0)) {
				if line.At.Equal(last) {
					again--
				}
				continue
			}
			if !yield(r.line(line), nil) {
				return
			}
		}
	}
}

// merged gives what there is of several logs in the order of their times.
func merged(ctx context.Context, readers []*logReader) iter.Seq2[LoggedLine, error] {
	if len(readers) == 1 {
		return readers[0].there(ctx)
	}
	return func(yield func(LoggedLine, error) bool) {
		type head struct {
			line LoggedLine
			next func() (LoggedLine, error, bool)
		}
		var heads []*head
		for _, r := range readers {
			next, stop := iter.Pull2(r.there(ctx))
			defer stop()
			line, err, more := next()
			if err != nil {
				yield(LoggedLine{}, err)
				return
			}
			if more {
				heads = append(heads, &head{line, next})
			}
		}
		for len(heads) > 0 {
			n := 0
			for i, h := range heads {
				if h.line.At.Before(heads[n].line.At) {
					n = i
				}
			}
			h := heads[n]
			if !yield(h.line, nil) {
				return
			}
			line, err, more := h.next()
			if err != nil {
				yield(LoggedLine{}, err)
				return
			}
			h.line = line
			if !more {
				heads = slices.Delete(heads, n, n+1)
			}
		}
	}
}

// followAll gives what comes of several logs, as it comes.
func (s *Service) followAll(ctx context.Context, readers []*logReader, stage *Stage, after int64) iter.Seq2[LoggedLine, error] {
	return func(yield func(LoggedLine, error) bool) {
		ctx, stop := context.WithCancel(ctx)
		type item struct {
			line LoggedLine
			err  error
		}
		items := make(chan item, 256)
		var group sync.WaitGroup
		defer func() {
			stop()
			group.Wait()
		}()
		send := func(i item) bool {
			select {
			case items <- i:
				return true
			case <-ctx.Done():
				return false
			}
		}
		follow := func(r *logReader) {
			group.Go(func() {
				for line, err := range r.coming(ctx) {
					if ctx.Err() != nil || !send(item{line, err}) || err != nil {
						return
					}
				}
			})
		}
		known := map[string]bool{}
		for _, r := range readers {
			if known[r.instance.Container] = true; !r.ended {
				follow(r)
			}
		}
		if stage != nil {
			group.Go(func() {
				of := event.Filter{Project: stage.Project, Stage: stage.Name, Kinds: []event.Kind{eventInstance}}
				for e, err := range s.events.Follow(ctx, after, of) {
					if err != nil {
						send(item{err: err})
						return
					}
					i, err := s.Instance(ctx, e.Instance)
					if err != nil || i.Container == "" || known[i.Container] || (i.State != InstanceStarting && i.State != InstanceReady) {
						continue // it is gone again, or is followed
					}
					known[i.Container] = true
					follow(&logReader{s: s, instance: i})
				}
			})
		}
		over := make(chan struct{})
		go func() {
			defer close(over)
			group.Wait()
		}()
		for {
			select {
			case i := <-items:
				if !yield(i.line, i.err) || i.err != nil {
					return
				}
			case <-over:
				for {
					select {
					case i := <-items:
						if !yield(i.line, i.err) {
							return
						}
					default:
						return
					}
				}
			case <-ctx.Done():
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
