package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"mime"
	"net/url"
	"slices"
	"strings"

	"berth/internal/fault"
	"berth/internal/registry"
)

// Parsed is what a delivery says.
type Parsed struct {
	Event string // as the sender names it
	// Hints are what it says was pushed, each once; none when the event tells
	// of no push, which Ignored explains.
	Hints   []registry.Hint
	Ignored string
	// Usual says of such an event that registries tell of it all the time: of
	// each pull, and of each layer that is pushed.
	Usual bool
}

// maxHints bounds what one delivery may hint at.
const maxHints = 100

// Parse reads what a source sent. event is what the headers name, mediaType
// the Content-Type, host the registry that images are of where the sender does
// not say one, or says another; "" is as the sender says. Its faults are
// Invalid and say what is wrong with the body. It is a pure function.
func Parse(source Source, event, mediaType string, body []byte, host string) (Parsed, error) {
	p, ok := products[source]
	if !ok {
		return Parsed{}, fault.Invalid("no such source: %q", source)
	}
	body, err := unwrapForm(mediaType, body)
	if err != nil {
		return Parsed{}, err
	}
	parsed, err := p.parse(event, body)
	if err != nil {
		return Parsed{Event: event}, err
	}
	if parsed.Event == "" {
		parsed.Event = event
	}
	parsed.Hints, err = normalise(parsed.Hints, host)
	return parsed, err
}

// unwrapForm takes JSON out of a form's field "payload", which forges can send
// instead of JSON alone.
func unwrapForm(mediaType string, body []byte) ([]byte, error) {
	if kind, _, _ := mime.ParseMediaType(mediaType); kind != "application/x-www-form-urlencoded" {
		return body, nil
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || form.Get("payload") == "" {
		return nil, fault.Invalid("the body is a form without a field named payload")
	}
	return []byte(form.Get("payload")), nil
}

// normalise gives hints their one spelling and leaves out doubles. In what
// parsers give, a repository may lack its host and a tag may be a digest.
func normalise(raw []registry.Hint, host string) ([]registry.Hint, error) {
	var hints []registry.Hint
	for _, r := range raw {
		repository := strings.ToLower(r.Repository) // some registries show names as their owners write them
		if host != "" {
			repository = host + "/" + withoutHost(repository)
		}
		tag, digest := r.Tag, r.Digest
		if strings.Contains(tag, ":") {
			tag, digest = "", tag
		}
		if strings.Trim(repository, "/") == "" {
			return nil, fault.Invalid("the body names no repository")
		}
		h, err := registry.NewHint(repository, tag)
		if err != nil {
			return nil, err
		}
		if digest != "" {
			if with, err := registry.NewHint(repository, digest); err == nil {
				h.Digest = with.Digest
			}
		}
		if h.Tag == "" && h.Digest == "" && tag == "" && r.Tag != "" {
			return nil, fault.Invalid("%q is neither a tag nor a digest", r.Tag)
		}
		if !slices.Contains(hints, h) {
			hints = append(hints, h)
		}
		if len(hints) > maxHints {
			return nil, fault.Invalid("the body tells of more than %d images", maxHints)
		}
	}
	return hints, nil
}

// withoutHost takes the host off a repository that begins with one.
func withoutHost(repository string) string {
	first, rest, ok := strings.Cut(repository, "/")
	if ok && (strings.ContainsAny(first, ".:") || first == "localhost") {
		return rest
	}
	return repository
}

// decode reads JSON, and says for a person when it is none.
func decode(body []byte, into any) error {
	err := json.Unmarshal(body, into)
	if err == nil {
		if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
			return fault.Invalid("the body is no JSON object")
		}
		return nil
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fault.Invalid("the body has a %s where %s has a %s", wrong.Value, wrong.Field, wrong.Type).Because(err)
	}
	return fault.Invalid("the body is no JSON").Because(err)
}

// lacking is the fault of a body that is not what the source sends.
func lacking(product, what string) error {
	return fault.Invalid("the body is not what %s sends of a push: it has no %s", product, what)
}
