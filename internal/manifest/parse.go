package manifest

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"berth/internal/fault"
)

// Parse reads a document. The fault of kind BadInput names each flaw with its
// path, line and column; TooLarge says that there is more than [MaxSize].
func Parse(raw []byte) (Document, error) {
	doc, _, err := parse(raw)
	return doc, err
}

// source is the tree that a document was read from: it knows where things are.
type source struct{ root *yaml.Node }

func parse(raw []byte) (doc Document, from source, err error) {
	if len(raw) > MaxSize {
		return doc, from, fault.Large("the document has %d bytes; at most %d are taken", len(raw), MaxSize)
	}
	if !utf8.Valid(raw) {
		return doc, from, fault.Invalid("the document is not UTF-8")
	}
	root, err := tree(raw)
	if err != nil {
		return doc, from, err
	}
	var d decoder
	top := &place{}
	d.value(root, reflect.ValueOf(&doc).Elem(), top)
	if doc.Berth != format && len(d.flaws) == 0 {
		d.flaw(root, top.field("berth"), "the document says which form it has: berth: %d is the one there is", format)
	}
	if len(d.flaws) == 0 {
		d.references(doc, root)
	}
	if err := fault.InvalidFields(d.flaws); err != nil {
		return Document{}, from, err
	}
	return doc, source{root}, nil
}

// tree parses YAML: one document, not empty.
func tree(raw []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	var root, more yaml.Node
	switch err := decoder.Decode(&root); {
	case errors.Is(err, io.EOF) || (err == nil && (root.Kind != yaml.DocumentNode || len(root.Content) == 0)):
		return nil, fault.Invalid("the document is empty; it begins with berth: %d", format)
	case err != nil:
		return nil, notYAML(err)
	}
	if err := decoder.Decode(&more); err == nil {
		return nil, fault.Invalid("line %d: a second document begins here; one file has one", more.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, notYAML(err)
	}
	return root.Content[0], nil
}

var lineForm = regexp.MustCompile(`^line \d+: `)

func notYAML(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if !lineForm.MatchString(text) {
		return fault.Invalid("the document is not YAML: %s", cut(text))
	}
	return fault.Invalid("the document is not YAML: %s", text)
}

// references checks what stands instead of passwords.
func (d *decoder) references(doc Document, root *yaml.Node) {
	for host, r := range doc.Registries {
		if p := r.Password; p != nil && *p == (Password{}) {
			d.notReference(root, "registries", host, "password")
			continue
		}
		d.reference(r.Password, root, "registries", host, "password")
	}
	for slug, p := range doc.Providers {
		d.reference(p.ClientSecret, root, "providers", slug, "client_secret")
	}
}

// reference checks one; an empty one refers to nothing.
func (d *decoder) reference(p *Password, root *yaml.Node, at ...string) {
	if p == nil || *p == (Password{}) {
		return
	}
	named := p.Context != "" || p.Name != ""
	if named == (p.Sealed != "") || named && (p.Context == "" || p.Name == "") {
		d.notReference(root, at...)
	}
}

func (d *decoder) notReference(root *yaml.Node, at ...string) {
	where := &place{}
	for _, step := range at {
		where = where.field(step)
	}
	d.flaw(source{root}.find(at), where, "it is a stored secret, with its context and its name, or a sealed text")
}

// find gives the node at a path, or the nearest one above it.
func (s source) find(path []string) *yaml.Node {
	at := s.root
	for _, step := range path {
		next := child(at, step)
		if next == nil {
			break
		}
		at = next
	}
	return at
}

func child(n *yaml.Node, step string) *yaml.Node {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			if (&place{}).item(i).step == step {
				return c
			}
		}
	case yaml.ScalarNode, yaml.DocumentNode, yaml.AliasNode:
	}
	return nil
}

var stepForm = regexp.MustCompile(`\[\d+\]|[^.\[\]]+`)

// flaws puts what a package says is wrong with something into the words of the
// document: below path, with line and column. prefix is what that package
// calls the thing.
func (s source) flaws(path []string, prefix string, err error) []fault.Field {
	fields := fault.FieldsOf(err)
	if len(fields) == 0 {
		fields = []fault.Field{{Message: fault.Message(err)}}
	}
	found := make([]fault.Field, len(fields))
	for n, f := range fields {
		steps := stepForm.FindAllString(strings.TrimPrefix(strings.TrimPrefix(f.Name, prefix), "."), -1)
		node := s.find(append(slices.Clip(path), steps...))
		at := &place{}
		for _, step := range path {
			at = at.field(step)
		}
		for _, step := range steps {
			if strings.HasPrefix(step, "[") {
				at = &place{at, step, 0}
			} else {
				at = at.field(step)
			}
		}
		found[n] = fault.Field{Name: at.String(), Message: position(node) + f.Message}
	}
	return found
}
