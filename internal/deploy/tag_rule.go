package deploy

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// maxPattern bounds a tag pattern's length in bytes.
const maxPattern = 200

// tagForm is what a tag may be.
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests
var tagForm = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)

// Validate says, for a person, what is wrong with the rule.
func (r TagRule) Validate() error {
	if len(r.Pattern) > maxPattern {
		return fmt.Errorf("a pattern has at most %d characters", maxPattern)
	}
	switch r.Kind {
	case TagNone:
		if r.Pattern != "" {
			return fmt.Errorf("the kind %q takes no pattern", TagNone)
		}
	case TagExact:
		if !tagForm.MatchString(r.Pattern) {
			return fmt.Errorf("%q is no tag: letters, digits, \"_\", \".\" and \"-\", at most 128", r.Pattern)
		}
	case TagGlob:
		if r.Pattern == "" {
			return errors.New("a glob is missing, such as \"release-*\"")
		}
		if _, err := path.Match(r.Pattern, ""); err != nil || strings.ContainsAny(r.Pattern, "/\x00") {
			return fmt.Errorf("%q is no glob: \"*\" stands for any characters, \"?\" for one, \"[a-z]\" for one of these", r.Pattern)
		}
	case TagRegexp:
		if _, err := wholeTag(r.Pattern); err != nil || r.Pattern == "" {
			return fmt.Errorf("%q is no regular expression, such as \"v[0-9]+\"; the whole tag must fit it", r.Pattern)
		}
	case TagSemver:
		if _, err := semver.NewConstraint(r.Pattern); err != nil || r.Pattern == "" {
			return fmt.Errorf("%q is no range of versions such as \"^1.2\" or \">=2.0 <3.0\"", r.Pattern)
		}
	default:
		return fmt.Errorf("the kind is one of %q, %q, %q, %q and %q", TagNone, TagExact, TagGlob, TagRegexp, TagSemver)
	}
	return nil
}

// Match says whether a push of tag deploys. A rule that is not valid matches
// nothing. A semver range looks at whole versions only ("1.4.2" or "v1.4.2"):
// the moving tags that come with them ("1.4", "1") would deploy a push twice.
func (r TagRule) Match(tag string) bool { return r.Matcher()(tag) }

// Matcher is Match for many tags: the rule is read once.
func (r TagRule) Matcher() func(tag string) bool {
	takes := func(string) bool { return false }
	if r.Validate() != nil {
		return takes
	}
	switch r.Kind {
	case TagNone:
	case TagExact:
		takes = func(tag string) bool { return tag == r.Pattern }
	case TagGlob:
		takes = func(tag string) bool {
			matched, err := path.Match(r.Pattern, tag)
			return err == nil && matched
		}
	case TagRegexp:
		if form, err := wholeTag(r.Pattern); err == nil {
			takes = form.MatchString
		}
	case TagSemver:
		if versions, err := semver.NewConstraint(r.Pattern); err == nil {
			takes = func(tag string) bool {
				version, ok := versionOf(tag)
				return ok && versions.Check(version)
			}
		}
	}
	return func(tag string) bool { return tagForm.MatchString(tag) && takes(tag) }
}

// wholeTag compiles a regular expression that a tag must fit from its first
// to its last character. RE2 matches in time linear to the tag's length.
func wholeTag(pattern string) (*regexp.Regexp, error) {
	// By itself first: what is no expression alone must not become one
	// between the brackets, as "a)|(b" would.
	if _, err := regexp.Compile(pattern); err != nil {
		return nil, err
	}
	return regexp.Compile(`^(?:` + pattern + `)$`)
}

// versionOf reads a whole version, "1.4.2" or "v1.4.2".
func versionOf(tag string) (*semver.Version, bool) {
	version, err := semver.StrictNewVersion(strings.TrimPrefix(tag, "v"))
	return version, err == nil
}
