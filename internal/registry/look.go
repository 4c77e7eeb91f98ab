package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// keepGone is how long a tag is remembered that the list no longer has, so
// that a registry which forgets for a while deploys nothing when it remembers.
const keepGone = 7 * 24 * time.Hour

// sight is what one look at a repository sees, and what was known before it.
type sight struct {
	repository string
	spellings  []string
	rules      []Rule
	state      watchState
	full       bool // not only what was hinted at
	before     map[string]known
	hints      []pendingHint

	seen    map[string]answered
	note    []string // tags of which only the name is known
	rest    bool     // there are new tags that are not looked up yet
	gone    []string // tags that the list lacks
	missing []string // tags of rules for one tag that are not there
	listed  answered
	hash    string
	found   []Found
	err     error
}

// look polls a repository, or only looks up what was hinted at, and writes
// down what it saw.
func (w *Watcher) look(ctx context.Context, it *watching) {
	s, err := w.begin(ctx, it)
	if err == nil {
		s.err = w.see(ctx, it, s)
		if ctx.Err() != nil {
			return // nothing is known that was not known before
		}
		err = w.settle(ctx, it, s)
	}
	if err != nil && ctx.Err() == nil {
		w.log.ErrorContext(ctx, "what was seen at a registry not written down; trying again", "repository", it.repository, "error", err)
		w.mu.Lock()
		it.state.next, it.notYet = w.clock().Add(hintRetry), w.clock().Add(hintRetry)
		w.mu.Unlock()
	}
}

// begin reads what is known, and what is to be looked up.
func (w *Watcher) begin(ctx context.Context, it *watching) (*sight, error) {
	now := w.clock()
	w.mu.Lock()
	s := &sight{
		repository: it.repository, spellings: it.spellings, rules: it.rules, state: it.state, seen: map[string]answered{},
		full: it.asked || it.interval > 0 && !it.state.next.After(now),
	}
	it.asked = false
	w.mu.Unlock()
	return s, w.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
		if s.before, err = selectWatchedTags(ctx, tx, it.repository); err != nil {
			return err
		}
		if s.hints, err = selectHints(ctx, tx, it.repository); err != nil {
			return err
		}
		s.full = s.full || slices.ContainsFunc(s.hints, func(h pendingHint) bool { return h.tag == "" })
		return nil
	})
}

// see asks the registry. What it saw before an error counts, but for new tags
// that nobody hinted at: they wait for a poll that ends, to be told in order.
func (w *Watcher) see(ctx context.Context, it *watching, s *sight) error {
	a, err := w.asker(ctx, it)
	if err != nil {
		return err
	}
	err = s.askAll(ctx, a, it)
	made := func(d string) time.Time { return a.created(ctx, d) }
	hinted := s.hinted()
	if err != nil {
		made = func(string) time.Time { return time.Time{} } // it is asked no more
		maps.DeleteFunc(s.seen, func(tag string, _ answered) bool {
			_, ok := s.before[tag]
			return !ok && !hinted[tag]
		})
	}
	s.found = compare(s.seen, s.before, s.rules, s.state.baseline, hinted)
	inOrder(s.found, made)
	return err
}

// askAll looks up what was hinted at, and all that a poll does.
func (s *sight) askAll(ctx context.Context, a *asker, it *watching) error {
	for _, h := range s.hints {
		if h.tag != "" && taken(s.rules, h.tag) {
			if err := s.ask(ctx, a, h.tag); err != nil {
				return err
			}
		}
	}
	if s.full {
		return s.poll(ctx, a, it)
	}
	return nil
}

func (s *sight) hinted() map[string]bool {
	tags := map[string]bool{}
	for _, h := range s.hints {
		tags[h.tag] = true
	}
	return tags
}

// asker gives the client of a repository, made anew when the account changed.
func (w *Watcher) asker(ctx context.Context, it *watching) (*asker, error) {
	account, _, err := w.resolver.findAccount(ctx, it.host)
	if err != nil {
		return nil, err
	}
	if it.asker != nil && it.asker.account == account {
		return it.asker, nil
	}
	account, password, err := w.resolver.account(ctx, it.host)
	if err != nil {
		return nil, err
	}
	_, path := splitHost(it.repository)
	it.asker, err = w.resolver.outside.asker(it.host, path, account, password)
	return it.asker, err
}

// ask looks one tag up.
func (s *sight) ask(ctx context.Context, a *asker, tag string) error {
	if _, ok := s.seen[tag]; ok {
		return nil
	}
	got, err := a.digest(ctx, tag, s.before[tag].etag)
	if err == nil {
		s.seen[tag] = got
	}
	return err
}

// poll looks up the tags that rules name, and those that patterns take.
func (s *sight) poll(ctx context.Context, a *asker, it *watching) error {
	var patterns []Rule
	for _, r := range s.rules {
		if r.Tag == "" {
			patterns = append(patterns, r)
			continue
		}
		if err := s.ask(ctx, a, r.Tag); err != nil {
			return err
		}
		if s.seen[r.Tag].gone {
			s.missing = append(s.missing, r.Tag)
		}
	}
	if len(patterns) == 0 {
		return nil
	}
	first := newRule(s.baselined(), patterns)
	tags, err := s.list(ctx, a, first)
	if err != nil {
		return err
	}
	c, turn := pick(tags, s.before, patterns, seenOnce(patterns, s.state.baseline), it.absent, it.turn)
	absent := map[string]bool{}
	for _, tag := range c.ask {
		if err := s.ask(ctx, a, tag); err != nil {
			return err
		}
		if _, ok := s.before[tag]; !ok && s.seen[tag].gone {
			absent[tag] = true
		}
	}
	it.turn, s.note, s.rest = turn, c.note, c.rest
	if c.rest {
		maps.Copy(absent, it.absent)
		it.absent = absent
	} else {
		it.absent = nil
	}
	return nil
}

func (s *sight) baselined() (rules []Rule) {
	for _, name := range s.state.baseline {
		rules = append(rules, Rule{Name: name})
	}
	return rules
}

// list gives the tags there are. When they are the same as in the poll before,
// which the registry may say by the list's ETag, they are those that are known.
func (s *sight) list(ctx context.Context, a *asker, first bool) (tags []string, err error) {
	etag := s.state.listETag
	if first {
		etag = ""
	}
	tags, s.listed, err = a.tags(ctx, etag)
	if err != nil {
		return nil, err
	}
	s.hash = s.state.listHash
	if !s.listed.same {
		s.hash = s.hashOf(tags)
	}
	if s.hash == s.state.listHash && !first {
		tags = tags[:0:0]
		for tag, k := range s.before {
			if !k.gone {
				tags = append(tags, tag)
			}
		}
		return tags, nil
	}
	if len(tags) < mostTags {
		s.markGone(tags)
	}
	return tags, nil
}

func (s *sight) hashOf(tags []string) string {
	h := sha256.New()
	for _, r := range s.rules {
		fmt.Fprintln(h, r.Name)
	}
	fmt.Fprint(h, strings.Join(tags, "\n"))
	return hex.EncodeToString(h.Sum(nil))
}

func (s *sight) markGone(tags []string) {
	there := make(map[string]bool, len(tags))
	for _, tag := range tags {
		there[tag] = true
	}
	for tag := range s.before {
		if !there[tag] {
			s.gone = append(s.gone, tag)
		}
	}
}

// settle writes down what was seen, with the events of what is new, and says
// when to look again.
func (w *Watcher) settle(ctx context.Context, it *watching, s *sight) error {
	now := w.clock()
	w.mu.Lock()
	interval := it.interval
	w.mu.Unlock()
	next := s.next(now, interval)
	limited := fault.KindOf(s.err) == fault.TooOften
	hinted := len(s.hints) > 0
	quiet := s.quiet(next) && turned(s.state, next) == ""
	if !quiet {
		if err := w.commit(ctx, s, next, now, &hinted); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	before := it.state
	it.state, it.unsaved = next, quiet
	it.notYet = now.Add(hintPause)
	switch {
	case s.err != nil:
		it.asker = nil // signs in anew the next time
		it.notYet = now.Add(min(hintRetry<<min(next.failures-1, 10), longestBackOff))
	case s.full:
		it.missing = s.missing
	}
	if hinted && s.err == nil {
		it.notYet = now.Add(hintRetry) // a tag that is not there yet
	}
	if !hinted {
		it.hinted = false
	}
	if limited {
		w.paused[it.host] = later(w.paused[it.host], now.Add(nextPoll(0, 0, true, fault.RetryAfter(s.err), jitter())))
	}
	w.meter.count(s)
	w.tell(ctx, it.repository, before, next, s.err)
	return nil
}

// tell logs when a repository begins to fail, and when it no longer does.
func (w *Watcher) tell(ctx context.Context, repository string, before, next watchState, err error) {
	switch {
	case err != nil && before.failures == 0:
		w.log.WarnContext(ctx, "a watched image can't be looked at", "repository", repository, "error", err, "next", next.next)
	case err == nil && before.failures > 0 && next.failures == 0:
		w.log.InfoContext(ctx, "a watched image can be looked at again", "repository", repository)
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// next is the state after this look.
func (s *sight) next(now time.Time, interval time.Duration) watchState {
	n := s.state
	limited := fault.KindOf(s.err) == fault.TooOften
	switch {
	case s.err != nil:
		n.failures++
		n.trouble = fault.Message(s.err)
		n.polled = now
		n.next = now.Add(nextPoll(interval, n.failures, limited, fault.RetryAfter(s.err), jitter()))
	case s.full:
		n.failures, n.trouble, n.polled, n.succeeded = 0, "", now, now
		n.next = now.Add(nextPoll(interval, 0, false, 0, jitter()))
		n.baseline = nil
		for _, r := range s.rules {
			n.baseline = append(n.baseline, r.Name)
		}
		slices.Sort(n.baseline)
		n.listETag, n.listHash = s.listed.etag, s.hash
		if s.rest { // the next poll has to read the list again, and comes sooner
			n.listETag, n.listHash = "", ""
			n.next = now.Add(nextPoll(min(interval, shortestInterval), 0, false, 0, jitter()))
		}
	default:
		n.failures, n.trouble, n.succeeded = 0, "", now
	}
	return n
}

// failingAfter is how many looks in a row fail until that is an event: a
// registry that hiccups once is none.
const failingAfter = 3

// turned gives the kind of event that it is when looks have begun to fail, or
// no longer do; "" when neither.
func turned(before, next watchState) event.Kind {
	switch {
	case before.failures < failingAfter && next.failures >= failingAfter:
		return SourceFails
	case before.failures >= failingAfter && next.failures == 0:
		return SourceRecovers
	}
	return ""
}

// quiet says that nothing was seen that must be written down at once.
func (s *sight) quiet(next watchState) bool {
	if len(s.hints)+len(s.note)+len(s.gone)+len(s.found) > 0 || !slices.Equal(next.baseline, s.state.baseline) {
		return false
	}
	for tag, a := range s.seen {
		was, ok := s.before[tag]
		if !a.same && !a.gone && (!ok || was.gone || a.digest != was.digest || a.etag != was.etag) {
			return false
		}
	}
	return true
}
