package registry

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"berth/internal/fault"
)

const (
	// listTime bounds the listing of another registry's tags.
	listTime = 10 * time.Second
	// listedFor is how long such a list, or why there is none, is good: a form
	// asks for it with every letter that is typed.
	listedFor = time.Minute
	// mostLists bounds how many are kept.
	mostLists = 100
)

// AllTags lists a repository's tags, wherever it is, at most 10,000: of the
// built-in registry the one put last first. Of another registry only the names
// are known, and those as they were within the last minute. The faults are
// those of Resolve.
func (r *Resolver) AllTags(ctx context.Context, repository string) ([]Tag, error) {
	repository, err := normalRepository(repository)
	if err != nil {
		return nil, err
	}
	if host, name := splitHost(repository); host == "" {
		return r.registry.Tags(ctx, name)
	}
	if l, ok := r.lists.get(repository, r.clock()); ok {
		return l.tags, l.err
	}
	// Whoever asks first lists for all, and not only as long as it waits.
	found, err, _ := r.lists.group.Do(repository, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), listTime)
		defer cancel()
		tags, err := r.list(ctx, repository)
		r.lists.put(repository, tagList{tags, err, r.clock().Add(listedFor)})
		return tags, err
	})
	tags, _ := found.([]Tag)
	return tags, err
}

// list asks another registry for the names of a repository's tags.
func (r *Resolver) list(ctx context.Context, repository string) ([]Tag, error) {
	host, name := splitHost(repository)
	account, password, err := r.account(ctx, host)
	if err != nil {
		return nil, err
	}
	a, err := r.outside.asker(host, name, account, password)
	if err != nil {
		return nil, err
	}
	names, _, err := a.tags(ctx, "")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fault.NotFound("%s has no image named %s", host, name)
	}
	tags := make([]Tag, len(names))
	for i, n := range names {
		tags[i] = Tag{Name: n}
	}
	return tags, nil
}

// tagList is what a registry answered, and until when that is good.
type tagList struct {
	tags  []Tag
	err   error
	until time.Time
}

// tagLists keeps lists for a while. Its zero value is empty.
type tagLists struct {
	mu    sync.Mutex
	kept  map[string]tagList
	group singleflight.Group
}

func (l *tagLists) get(repository string, now time.Time) (tagList, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found, ok := l.kept[repository]
	return found, ok && now.Before(found.until)
}

func (l *tagLists) put(repository string, list tagList) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept == nil || len(l.kept) >= mostLists {
		l.kept = map[string]tagList{}
	}
	l.kept[repository] = list
}
