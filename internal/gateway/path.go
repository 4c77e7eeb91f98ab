package gateway

import (
	"net/url"
	"strings"
)

// A path is forwarded as it came. Apps read paths in different ways: some
// take an encoded slash for a slash, some a backslash, some merge slashes,
// some drop what follows a semicolon, or an encoded "?" or "#", some drop
// spaces at a name's end, and some decode twice. So a path is taken only when each of
// these readings leads to the same route, and never when one of them has a
// dot segment or a control character: what was decided on is then what the
// app sees, however it reads. See [readings.route].

// readings are the ways to read one path.
type readings struct {
	path    string // decoded
	literal string // decoded but for slashes, which stay "%2F"; "" when the same
	merged  string // as the most forgiving app reads it; "" when the same
	twice   string // as that app reads it which decodes it once more; "" when the same
}

// read gives the readings of a request's path; it says false when one of them
// is not safe.
func read(u *url.URL) (readings, bool) {
	path := u.Path
	if path == "" {
		return readings{path: "/"}, true // an absolute-form target may have none
	}
	if path[0] != '/' {
		return readings{}, false
	}
	plain, again := u.RawPath == "", false
	for i := range len(path) {
		switch c := path[i]; {
		case c < ' ' || c == 0x7f, overlong(path[i:]):
			return readings{}, false
		case strings.HasPrefix(path[i:], "\xef\xbc"): // where the wide forms of punctuation are
			plain = false
		case c == '%': // what some decode once more
			plain, again = false, true
		case c == '\\' || c == ';' || c == '#' || c == '?' || c == ' ':
			plain = false
		case c == '/' && i+1 < len(path) && (path[i+1] == '/' || path[i+1] == '.'):
			plain = false
		}
	}
	if plain {
		return readings{path: path}, true
	}
	merged, ok := merge(path)
	if !ok {
		return readings{}, false
	}
	r := readings{path: path, merged: merged}
	if again {
		if r.twice, ok = readTwice(path); !ok {
			return readings{}, false
		}
	}
	if u.RawPath != "" {
		r.literal = literal(u.EscapedPath())
	}
	return r, true
}

// readTwice is merge of a decoded path that is decoded once more.
func readTwice(path string) (string, bool) {
	again := decoded(path, "/")
	for i := range len(again) {
		if c := again[i]; c < ' ' || c == 0x7f || overlong(again[i:]) {
			return "", false
		}
	}
	return merge(again)
}

// overlong says that a character is written longer than it has to be, which is
// no UTF-8 (RFC 3629 section 3); some read it all the same, and a slash in it.
func overlong(s string) bool {
	if s[0] < 0xc0 {
		return false
	}
	return s[0] <= 0xc1 || len(s) > 1 && (s[0] == 0xe0 && s[1]&0xe0 == 0x80 || s[0] == 0xf0 && s[1]&0xf0 == 0x80)
}

// slashed gives the plain forms of what some take for a slash or a dot.
var slashed = strings.NewReplacer(`\`, "/", "\uff0f", "/", "\uff3c", "/", "\uff0e", ".")

// merge reads path with backslashes and wide forms as slashes, without path
// parameters, empty segments and spaces around names, up to where a query or a
// fragment would begin; it says false when there is a dot segment anywhere.
func merge(path string) (string, bool) {
	var b strings.Builder
	b.Grow(len(path))
	over := false
	for segment := range strings.SplitSeq(slashed.Replace(path), "/") {
		name := segment
		if end := strings.IndexAny(segment, ";?#"); end >= 0 {
			name = segment[:end]
		}
		if name = strings.Trim(name, " "); name == "." || name == ".." {
			return "", false
		}
		if name != "" && !over {
			b.WriteByte('/')
			b.WriteString(name)
		}
		over = over || strings.ContainsAny(segment, "?#")
	}
	if b.Len() == 0 {
		return "/", true
	}
	return b.String(), true
}

// literal decodes an escaped path but for its encoded slashes.
func literal(escaped string) string { return decoded(escaped, "%2F") }

// decoded decodes what is encoded well, once, and has slash where a slash was.
func decoded(text, slash string) string {
	var b strings.Builder
	b.Grow(len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '%' || i+2 >= len(text) || !isHex(text[i+1]) || !isHex(text[i+2]) {
			b.WriteByte(text[i])
			continue
		}
		if c := unhex(text[i+1])<<4 | unhex(text[i+2]); c == '/' {
			b.WriteString(slash)
		} else {
			b.WriteByte(c)
		}
		i += 2
	}
	return b.String()
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	default:
		return c - 'A' + 10
	}
}

// route finds where a path goes; it says false when its readings go to
// different places. One that differs by case is a reading, too: two routes of a
// host may lead to one app that reads paths without case.
func (s *snapshot) route(host string, r readings) (*route, bool) {
	routes := s.hosts[host]
	found := find(routes, r.path, false)
	if len(routes) > 1 && find(routes, r.path, true) != found {
		return nil, false
	}
	for _, other := range [...]string{r.literal, r.merged, r.twice} {
		if other != "" && (find(routes, other, false) != found || find(routes, other, true) != found) {
			return nil, false
		}
	}
	return found, true
}

// ownPath is where Berth itself answers on every app's host.
const ownPath = "/.berth"

// toBerth says whether a path is Berth's own on an app's host. same is false
// when only some of its readings are: what is under ownPath never reaches an
// app, however the app reads.
func (r readings) toBerth() (ours, same bool) {
	if len(r.path) < len(ownPath) {
		return false, true
	}
	ours = underOwn(r.path)
	for _, other := range [...]string{r.literal, r.merged, r.twice} {
		if other != "" && underOwn(other) != ours {
			return false, false
		}
	}
	return ours, true
}

func underOwn(path string) bool {
	return len(path) >= len(ownPath) && strings.EqualFold(path[:len(ownPath)], ownPath) &&
		(len(path) == len(ownPath) || path[len(ownPath)] == '/')
}

// appPath gives the escaped path that the app gets: of another proxy all of it.
func (x *exchange) appPath() string {
	if x.asked != nil {
		return escaped(x.r.URL)
	}
	return x.route.targetPath(x.r.URL)
}

func escaped(u *url.URL) string {
	if path := u.EscapedPath(); path != "" {
		return path
	}
	return "/"
}

// targetPath gives the escaped path that the app gets.
func (r *route) targetPath(u *url.URL) string {
	escaped := escaped(u)
	if !r.StripPrefix || r.PathPrefix == "/" {
		return escaped
	}
	// The prefix is as long as it is when decoded, so walk that far. Where it
	// ends is a slash that is not encoded, or the end: the literal reading
	// went to this route too.
	at := 0
	for range len(r.PathPrefix) {
		if escaped[at] == '%' {
			at += 2
		}
		at++
	}
	if at >= len(escaped) {
		return "/"
	}
	return escaped[at:]
}
