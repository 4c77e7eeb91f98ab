package deploy

import (
	"cmp"
	"slices"
	"time"

	"berth/internal/registry"
)

// TagMade is a tag and when its image was created; the zero time when the
// image does not say.
type TagMade struct {
	Name    string
	Created time.Time
}

// NewestBy is how the newest tag was told from the others.
type NewestBy string

// The ways to tell which tag is the newest.
const (
	NewestByVersion NewestBy = "version"
	NewestByCreated NewestBy = "created"
	NewestByName    NewestBy = "name" // when its image was created is not known
)

// Newest gives the newest of the tags that the rule takes, and by what; "" when
// it takes none. By a semver rule it is the highest version, by all others the
// tag whose image was created last, and of equals the last by
// [registry.CompareTags], which is also the order in which found ones deploy.
func (r TagRule) Newest(tags []TagMade) (string, NewestBy) {
	takes := r.Matcher()
	tags = slices.DeleteFunc(slices.Clone(tags), func(t TagMade) bool { return !takes(t.Name) })
	if len(tags) == 0 {
		return "", ""
	}
	newest := slices.MaxFunc(tags, r.compare)
	switch {
	case r.Kind == TagSemver:
		return newest.Name, NewestByVersion
	case newest.Created.IsZero():
		return newest.Name, NewestByName
	}
	return newest.Name, NewestByCreated
}

func (r TagRule) compare(a, b TagMade) int {
	first := a.Created.Compare(b.Created)
	if r.Kind == TagSemver {
		first = compareVersions(a.Name, b.Name)
	}
	return cmp.Or(first, registry.CompareTags(a.Name, b.Name))
}

// passesOver says that a push deploys nothing though the rule takes it: the
// stage has, or was asked for, a newer one that the rule takes. By a semver
// rule that is a higher version. By the others it is an image that was created
// later, where both times are known and a poll found the tag, which does not
// tell when it was pushed. A push that is told of, and a tag that was moved,
// are somebody's will.
func (r TagRule) passesOver(p pushed, has TagMade) bool {
	if !r.Match(has.Name) {
		return false
	}
	if r.Kind == TagSemver {
		return compareVersions(p.Tag, has.Name) < 0
	}
	return p.By == registry.ByPoll && p.New && !p.Created.IsZero() && p.Created.Before(has.Created)
}

// compareVersions orders two tags as semantic versions; 0 when one is none.
func compareVersions(a, b string) int {
	x, is := versionOf(a)
	y, are := versionOf(b)
	if !is || !are {
		return 0
	}
	return x.Compare(y)
}
