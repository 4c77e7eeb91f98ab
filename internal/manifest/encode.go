package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"berth/internal/deploy"
)

// heading begins every document that is exported.
const heading = `# Berth's configuration. "berth apply -f" of this file changes nothing, as long
# as nothing was changed. What it does not say is as its default.
`

// Encode gives a document as YAML: names in their order, fields in that of the
// API, and of a stage only what differs from the defaults.
func Encode(doc Document) ([]byte, error) {
	doc.Berth = format
	root, err := nodeOf(doc)
	if err != nil {
		return nil, err
	}
	for project, p := range doc.Projects {
		for stage, spec := range p.Stages {
			lean, err := leanNode(spec, deploy.StageSpec{}.Normalise())
			if err != nil {
				return nil, fmt.Errorf("encode %s/%s: %w", project, stage, err)
			}
			*source{root}.find([]string{"projects", project, "stages", stage}) = *lean
		}
	}
	for name, spec := range doc.Routes {
		lean, err := leanNode(spec, deploy.FixedSpec{}.Normalise())
		if err != nil {
			return nil, fmt.Errorf("encode the route %s: %w", name, err)
		}
		*source{root}.find([]string{"routes", name}) = *lean
	}
	var to bytes.Buffer
	to.WriteString(heading)
	if doc.adminsFrom != "" {
		fmt.Fprintf(&to, "# Who administers is not in it: BERTH_ADMINS says so, set by %s.\n", strings.Join(strings.Fields(doc.adminsFrom), " "))
	}
	encoder := yaml.NewEncoder(&to)
	encoder.SetIndent(2)
	if err := encoder.Encode(root); err != nil {
		return nil, fmt.Errorf("encode the document: %w", err)
	}
	return to.Bytes(), encoder.Close()
}

// leanNode leaves out of a spec what its defaults give back.
func leanNode[S spec[S]](spec, standard S) (*yaml.Node, error) {
	full, err := nodeOf(spec)
	if err != nil {
		return nil, err
	}
	usual, err := nodeOf(standard)
	if err != nil {
		return nil, err
	}
	lean := *full
	lean.Content = nil
	for i := 0; i+1 < len(full.Content); i += 2 {
		if other := child(usual, full.Content[i].Value); other == nil || !alike(full.Content[i+1], other) {
			lean.Content = append(lean.Content, full.Content[i], full.Content[i+1])
		}
	}
	var d decoder
	var back S
	d.value(&lean, reflect.ValueOf(&back).Elem(), &place{})
	same, err := equalSpecs(back, spec)
	if err != nil || !same || len(d.flaws) > 0 {
		return full, err // its defaults depend on one another
	}
	if len(lean.Content) == 0 {
		lean.Style = yaml.FlowStyle
	}
	return &lean, nil
}

// spec is what is saved of a stage, or of a route.
type spec[S any] interface {
	Normalise() S
	Canonical() ([]byte, error)
}

// equalSpecs says whether two specs are saved as the same.
func equalSpecs[S spec[S]](a, b S) (bool, error) {
	one, err := a.Normalise().Canonical()
	if err != nil {
		return false, err
	}
	other, err := b.Normalise().Canonical()
	return bytes.Equal(one, other), err
}

func alike(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || a.Value != b.Value || a.Tag != b.Tag || len(a.Content) != len(b.Content) {
		return false
	}
	for i := range a.Content {
		if !alike(a.Content[i], b.Content[i]) {
			return false
		}
	}
	return true
}

// nodeOf gives a value as its JSON has it, in the order of its JSON.
func nodeOf(v any) (*yaml.Node, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	tokens := json.NewDecoder(bytes.NewReader(raw))
	tokens.UseNumber()
	return readNode(tokens)
}

func readNode(from *json.Decoder) (*yaml.Node, error) {
	token, err := from.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		return readNodes(from, v)
	case string:
		return textNode(v), nil
	case json.Number:
		tag := "!!int"
		if strings.ContainsAny(v.String(), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: v.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v)}, nil
	}
	return nil, nil //nolint:nilnil // null: it is left out
}

func readNodes(from *json.Decoder, open json.Delim) (*yaml.Node, error) {
	made := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	if open == '[' {
		made = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	}
	for from.More() {
		var key *yaml.Node
		if open == '{' {
			name, err := from.Token()
			if err != nil {
				return nil, err
			}
			key = textNode(fmt.Sprint(name))
		}
		value, err := readNode(from)
		switch {
		case err != nil:
			return nil, err
		case value == nil:
		case key == nil:
			made.Content = append(made.Content, value)
		default:
			made.Content = append(made.Content, key, value)
		}
	}
	if _, err := from.Token(); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(made.Content) == 0 {
		made.Style = yaml.FlowStyle
	}
	return made, nil
}

// textNode gives a text in the style that a person reads best and that gives it
// back byte by byte.
func textNode(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: stringTag, Value: s}
	odd := func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }
	switch {
	case s == "", strings.ContainsFunc(s, odd), strings.TrimSpace(s) != strings.TrimSuffix(s, "\n"):
		n.Style = yaml.DoubleQuotedStyle
	case strings.Contains(s, "\n"):
		n.Style = yaml.LiteralStyle
	}
	return n
}
