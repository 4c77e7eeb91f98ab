package registry

import (
	"context"
	"slices"

	"github.com/opencontainers/go-digest"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

// Hint is what somebody says was pushed. It is only a reason to look: what is
// there is asked of the registry, with Berth's own account.
type Hint struct {
	Repository string `json:"repository"` // with its host
	Tag        string `json:"tag,omitempty"`
	Digest     string `json:"digest,omitempty"`
}

// String writes a hint as a reference.
func (h Hint) String() string {
	switch {
	case h.Tag != "":
		return h.Repository + ":" + h.Tag
	case h.Digest != "":
		return h.Repository + "@" + h.Digest
	}
	return h.Repository
}

// NewHint checks what a sender says and gives it its one spelling. reference
// is a tag, a digest or nothing. Its faults are Invalid.
func NewHint(repository, reference string) (Hint, error) {
	h := Hint{Repository: repository}
	if reference != "" && digest.Digest(reference).Validate() == nil {
		h.Digest = reference
		reference = ""
	}
	text := repository
	if reference != "" {
		text += ":" + reference
	}
	var err error
	if h.Repository, h.Tag, err = ParseReference(text); err != nil {
		return Hint{}, err
	}
	if reference == "" {
		h.Tag = ""
	}
	if host, _ := splitHost(h.Repository); host == "" {
		return Hint{}, fault.Invalid("%q has no host: name the registry that it is in", repository)
	}
	return h, nil
}

// Hint takes what somebody says was pushed, to look it up soon, and gives back
// what of it concerns anybody: tags that a rule takes, and repositories that
// are watched. With a project it is of concern to that project only. The rest
// is dropped. It is remembered in tx, so that it is not lost with this process.
func (w *Watcher) Hint(ctx context.Context, tx *sqlite.Tx, project string, hints []Hint) (concern []Hint, err error) {
	for _, h := range hints {
		if !w.concerns(project, h) {
			continue
		}
		if err := insertHint(ctx, tx, h.Repository, h.Tag); err != nil {
			return nil, err
		}
		tx.OnCommit(func() { w.hinted(h.Repository) })
		if !slices.Contains(concern, h) {
			concern = append(concern, h)
		}
	}
	return concern, nil
}

// concerns says whether a watched repository is what a hint is about.
func (w *Watcher) concerns(project string, h Hint) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	it := w.watched[h.Repository]
	return it != nil && (project == "" || slices.Contains(it.projects, project)) &&
		(h.Tag == "" || taken(it.rules, h.Tag))
}

// hinted has a repository looked at soon.
func (w *Watcher) hinted(repository string) {
	w.mu.Lock()
	if it, ok := w.watched[repository]; ok {
		it.hinted = true
	}
	w.mu.Unlock()
	w.nudge()
}
