package deploy

import (
	"cmp"
	"slices"
	"time"
)

// TagMade is a tag and when its image was created; the zero time when the
// image does not say.
type TagMade struct {
	Name    string
	Created time.Time
}

// Newest gives the newest of the tags that the rule takes; "" when it takes
// none. Versions go by the order of semantic versioning, all others by when
// their image was created. Of equals the one that comes last by name is the
// newest.
func (r TagRule) Newest(tags []TagMade) string {
	takes := r.Matcher()
	tags = slices.DeleteFunc(slices.Clone(tags), func(t TagMade) bool { return !takes(t.Name) })
	if len(tags) == 0 {
		return ""
	}
	return slices.MaxFunc(tags, r.compare).Name
}

func (r TagRule) compare(a, b TagMade) int {
	first := a.Created.Compare(b.Created)
	if r.Kind == TagSemver {
		first = compareVersions(a.Name, b.Name)
	}
	return cmp.Or(first, cmp.Compare(a.Name, b.Name))
}

// passesOver says that a push of tag deploys nothing though the rule takes it:
// the stage has, or was asked for, a higher version.
func (r TagRule) passesOver(tag, has string) bool {
	return r.Kind == TagSemver && r.Match(has) && compareVersions(tag, has) < 0
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
