package registry

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
)

// Rule says which tags of a repository somebody wants to hear of.
type Rule struct {
	Name string // the rule in words; equal rules have equal names
	// Tag is the one tag that it takes, "" when Match decides.
	Tag   string
	Match func(tag string) bool
}

func (r Rule) takes(tag string) bool {
	if r.Tag != "" {
		return tag == r.Tag
	}
	return r.Match(tag)
}

// taken says whether any of the rules takes a tag.
func taken(rules []Rule, tag string) bool {
	return slices.ContainsFunc(rules, func(r Rule) bool { return r.takes(tag) })
}

// known is a tag as it was last seen.
type known struct {
	digest string // "" while only the name is known
	etag   string
	gone   bool
}

// How many tags one poll asks the digest of: those that are new to a pattern,
// those of a pattern that is new itself, and those that are looked at again
// in turn, since a tag that a pattern takes may move too.
const (
	mostNew   = 20
	mostFirst = 50
	mostAgain = 10
)

// picked is what a poll makes of a list of tags.
type picked struct {
	ask  []string // their digests are looked up
	note []string // only their names are kept
	rest bool     // there are more new tags, which the next poll finds as new
}

// pick decides which tags of a list to look up. before is what is known, old
// are the rules whose tags have all been seen once: what a new rule takes is
// merely taken note of, what an old one takes stays unknown until it is looked
// up. absent are new tags that were not there when they were, which come last.
// turn is the last tag that was looked at again. It gives the next turn.
func pick(listed []string, before map[string]known, rules, old []Rule, absent map[string]bool, turn string) (c picked, nextTurn string) {
	var fresh, again []string
	for _, tag := range listed {
		if !taken(rules, tag) {
			continue
		}
		if _, ok := before[tag]; ok {
			again = append(again, tag)
		} else {
			fresh = append(fresh, tag)
		}
	}
	newestFirst(fresh)
	slices.SortStableFunc(fresh, func(a, b string) int { return cmp.Compare(one(absent[a]), one(absent[b])) })
	most := mostNew
	if len(old) < len(rules) {
		most = mostFirst
	}
	cut := min(most, len(fresh))
	c.ask = fresh[:cut:cut]
	for _, tag := range fresh[cut:] {
		switch {
		case !taken(old, tag):
			c.note = append(c.note, tag)
		case !absent[tag]:
			c.rest = true
		}
	}

	// First those of which only the name is known, then in turn.
	newestFirst(again)
	slices.SortStableFunc(again, func(a, b string) int {
		return cmp.Compare(rank(before[a], a, turn), rank(before[b], b, turn))
	})
	again = again[:min(mostAgain, len(again))]
	for _, tag := range again {
		if before[tag].digest != "" {
			turn = tag
		}
	}
	c.ask = append(c.ask, again...)
	return c, turn
}

func one(is bool) int {
	if is {
		return 1
	}
	return 0
}

// rank orders tags that are looked at again: unknown digests, then those that
// come after the turn, which is to say older, then the others.
func rank(k known, tag, turn string) int {
	switch {
	case k.digest == "":
		return 0
	case turn == "" || CompareTags(tag, turn) < 0:
		return 1
	}
	return 2
}

// Found is a tag whose image is new: the data of an ImageFound event.
type Found struct {
	Repository string `json:"repository"`
	Tag        string `json:"tag"`
	Digest     string `json:"digest"`
	By         string `json:"by"` // ByWebhook or ByPoll
	// New says that the tag was not there before, rather than that it moved.
	New bool `json:"new,omitempty"`
	// Created is when the image was made; the zero time when it does not say.
	Created time.Time `json:"created,omitzero"`
}

// What found an image.
const (
	ByWebhook = "webhook"
	ByPoll    = "poll"
)

// compare decides which of the tags that were seen are news. A tag that was
// hinted at is when its digest is not the one that is known. Any other is when
// it is new, or has moved, for a rule that has a baseline: whose tags have all
// been seen once before.
func compare(seen map[string]answered, before map[string]known, rules []Rule, baseline []string, hinted map[string]bool) (found []Found) {
	old := seenOnce(rules, baseline)
	for tag, a := range seen {
		was, ok := before[tag]
		switch {
		case a.same || a.gone || a.digest == "" || a.digest == was.digest:
		case hinted[tag] && taken(rules, tag):
			found = append(found, Found{Tag: tag, Digest: a.digest, By: ByWebhook, New: !ok})
		case (!ok || was.digest != "") && taken(old, tag):
			found = append(found, Found{Tag: tag, Digest: a.digest, By: ByPoll, New: !ok})
		}
	}
	return found
}

// seenOnce gives the rules that have a baseline.
func seenOnce(rules []Rule, baseline []string) []Rule {
	old := make([]Rule, 0, len(rules))
	for _, r := range rules {
		if slices.Contains(baseline, r.Name) {
			old = append(old, r)
		}
	}
	return old
}

// inOrder says of what was found when its images were made, and sorts it so
// that the newest comes last, which is what stays deployed: by that time, and
// of equals by [CompareTags]. Whoever goes by versions passes over the lower
// of them.
func inOrder(found []Found, made func(digest string) time.Time) {
	at := map[string]time.Time{}
	for i, f := range found {
		created, ok := at[f.Digest]
		if !ok {
			created = made(f.Digest)
			at[f.Digest] = created
		}
		found[i].Created = created
	}
	slices.SortFunc(found, func(a, b Found) int {
		return cmp.Or(a.Created.Compare(b.Created), CompareTags(a.Tag, b.Tag))
	})
}

// newestFirst sorts tags by what their names tell, which is all that a list of
// them has.
func newestFirst(tags []string) {
	slices.SortFunc(tags, func(a, b string) int { return CompareTags(b, a) })
}

// CompareTags orders tags by their names alone: versions after all others, by
// their order, and the rest by the alphabet. The last looks newest.
func CompareTags(a, b string) int {
	va, vb := version(a), version(b)
	switch {
	case va != nil && vb != nil:
		return cmp.Or(va.Compare(vb), strings.Compare(a, b))
	case va != nil:
		return 1
	case vb != nil:
		return -1
	}
	return strings.Compare(a, b)
}

// version reads "1.4.2" and "v1.4.2"; nil for anything else.
func version(tag string) *semver.Version {
	v, err := semver.StrictNewVersion(strings.TrimPrefix(tag, "v"))
	if err != nil {
		return nil
	}
	return v
}

// The pace of polls.
const (
	shortestBackOff = time.Minute // after "too many requests" without a time
	longestBackOff  = time.Hour
)

// nextPoll is the wait until a repository is polled again: its interval, after
// failures in a row twice as long each time up to an hour, never sooner than
// the registry asked for; random, in [0, 1), spreads it by a tenth either way.
func nextPoll(interval time.Duration, failures int, limited bool, asked time.Duration, random float64) time.Duration {
	wait := interval
	if failures > 0 {
		wait = min(interval<<min(failures, 7), max(longestBackOff, interval))
	}
	if limited {
		wait = max(wait, shortestBackOff, asked)
		return wait + time.Duration(random*float64(wait)/10) // never sooner than asked
	}
	return wait + time.Duration((random-0.5)*float64(wait)/5)
}
