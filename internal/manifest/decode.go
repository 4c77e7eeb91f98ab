package manifest

import (
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"berth/internal/fault"
)

// The bounds of a document beyond its size: an alias stands for what it names,
// so that a small one could be made endless.
const (
	maxNodes  = 250_000 // with what aliases stand for
	maxDepth  = 40
	maxKey    = 256 // bytes
	maxFlaws  = 30  // that are told
	mergeKey  = "<<"
	nullTag   = "!!null"
	stringTag = "!!str"
)

// place is where in a document something stands.
type place struct {
	above *place
	step  string // ".name" or "[0]"
	depth int
}

func (p *place) field(name string) *place { return &place{p, "." + name, p.depth + 1} }

func (p *place) item(n int) *place { return &place{p, "[" + strconv.Itoa(n) + "]", p.depth + 1} }

func (p *place) String() string {
	var steps []string
	for at := p; at != nil; at = at.above {
		steps = append(steps, at.step)
	}
	slices.Reverse(steps)
	return strings.TrimPrefix(strings.Join(steps, ""), ".")
}

// decoder fills Go values from a tree of YAML by their JSON tags. It is strict:
// what has no field, comes twice or is of another type is a flaw, and it goes
// on to find the others.
type decoder struct {
	flaws []fault.Field
	nodes int
	over  bool // the bounds
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// flaw notes what is wrong and where: by the path in the document, and by the
// line and the column.
func (d *decoder) flaw(n *yaml.Node, at *place, format string, args ...any) {
	d.flaws = append(d.flaws, fault.Field{Name: at.String(), Message: position(n) + fmt.Sprintf(format, args...)})
}

func position(n *yaml.Node) string { return fmt.Sprintf("line %d, column %d: ", n.Line, n.Column) }

// enter counts a node and gives what it stands for; nil when that is beyond the
// bounds, which is told once.
func (d *decoder) enter(n *yaml.Node, at *place) *yaml.Node {
	for range maxDepth {
		if d.nodes++; d.nodes > maxNodes || at.depth > maxDepth {
			d.tooLarge(n, at)
			return nil
		}
		if n.Kind != yaml.AliasNode || n.Alias == nil {
			return n
		}
		n = n.Alias
	}
	return nil
}

// tooLarge is told once; nothing more is read then.
func (d *decoder) tooLarge(n *yaml.Node, at *place) {
	if !d.over {
		d.flaw(n, at, "the document is too large or too deep, with what its aliases stand for")
	}
	d.over, d.nodes = true, maxNodes
}

// full says whether there are enough flaws to stop.
func (d *decoder) full() bool { return d.over || len(d.flaws) >= maxFlaws }

func (d *decoder) value(n *yaml.Node, into reflect.Value, at *place) {
	if n = d.enter(n, at); n == nil || d.full() {
		return
	}
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}
	switch pointer := reflect.PointerTo(into.Type()); {
	case n.Kind == yaml.ScalarNode && n.ShortTag() == nullTag:
		d.flaw(n, at, "nothing stands here; write %s, or leave the field out", emptyOf(into.Kind()))
	case pointer.Implements(jsonUnmarshaler):
		d.byJSON(n, into, at)
	case pointer.Implements(textUnmarshaler):
		d.text(n, at, func(s string) error {
			return into.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s))
		})
	default:
		d.plain(n, into, at)
	}
}

func emptyOf(k reflect.Kind) string {
	switch k { //nolint:exhaustive // all others are scalars
	case reflect.Map, reflect.Struct:
		return "{} for an empty one"
	case reflect.Slice:
		return "[] for an empty list"
	}
	return `"" for an empty text`
}

func (d *decoder) plain(n *yaml.Node, into reflect.Value, at *place) {
	switch into.Kind() { //nolint:exhaustive // nothing in a document is of another kind
	case reflect.Struct:
		d.mapping(n, at, structFields(into), nil)
	case reflect.Map:
		made := reflect.MakeMap(into.Type())
		d.mapping(n, at, nil, func(key string, n *yaml.Node, at *place) {
			item := reflect.New(into.Type().Elem()).Elem()
			d.value(n, item, at)
			made.SetMapIndex(reflect.ValueOf(key).Convert(into.Type().Key()), item)
		})
		into.Set(made)
	case reflect.Slice:
		d.list(n, into, at)
	case reflect.String:
		d.text(n, at, func(s string) error { into.SetString(s); return nil })
	case reflect.Bool:
		d.scalar(n, at, "true or false", []string{"!!bool"}, func(s string) error {
			v, err := strconv.ParseBool(strings.ToLower(s))
			into.SetBool(v)
			return err
		})
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		d.scalar(n, at, "a whole number", []string{"!!int"}, func(s string) error {
			v, err := strconv.ParseInt(s, 0, into.Type().Bits())
			into.SetInt(v)
			return err
		})
	case reflect.Float32, reflect.Float64:
		d.scalar(n, at, "a number", []string{"!!float", "!!int"}, func(s string) error {
			v, err := strconv.ParseFloat(s, into.Type().Bits())
			if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
				err = strconv.ErrRange
			}
			into.SetFloat(v)
			return err
		})
	default:
		d.byJSON(n, into, at)
	}
}

// mapping walks a mapping: its keys are fields, or when there are none, any.
func (d *decoder) mapping(n *yaml.Node, at *place, fields map[string]reflect.Value, each func(key string, n *yaml.Node, at *place)) {
	if n.Kind != yaml.MappingNode {
		d.flaw(n, at, "here stand names with values, and this is %s", kindWord(n))
		return
	}
	seen := map[string]bool{}
	for _, pair := range d.pairs(n, at, 0) {
		key := pair.key.Value
		switch {
		case d.full():
			return
		case pair.key.Kind != yaml.ScalarNode || len(key) > maxKey || key == "":
			d.flaw(pair.key, at, "a name is a text of 1 to %d bytes", maxKey)
			continue
		case seen[key]:
			if !pair.merged {
				d.flaw(pair.key, at.field(key), "this stands here twice")
			}
			continue
		}
		seen[key] = true
		if fields == nil {
			each(key, pair.value, at.field(key))
			continue
		}
		if into, ok := fields[key]; ok {
			d.value(pair.value, into, at.field(key))
			continue
		}
		d.flaw(pair.key, at.field(key), "there is no such field%s", didYouMean(key, fields))
	}
}

func didYouMean(key string, fields map[string]reflect.Value) string {
	known := make([]string, 0, len(fields))
	for name := range fields {
		known = append(known, name)
	}
	slices.Sort(known)
	if near := fault.Nearest(key, known); near != "" {
		return fmt.Sprintf("; did you mean %s?", near)
	}
	return "; here is one of " + strings.Join(known, ", ")
}

type pair struct {
	key, value *yaml.Node
	merged     bool
}

// pairs gives a mapping's own pairs, and after them those that it merges in by
// "<<": the first of a name counts.
// https://yaml.org/type/merge.html
func (d *decoder) pairs(n *yaml.Node, at *place, depth int) (own []pair) {
	var merged []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Value != mergeKey || key.ShortTag() != "!!merge" {
			own = append(own, pair{key: key, value: value})
			continue
		}
		from := d.enter(value, at)
		if from == nil {
			return nil
		}
		if depth > maxDepth {
			d.tooLarge(value, at)
			return nil
		}
		list := []*yaml.Node{from}
		if from.Kind == yaml.SequenceNode {
			list = from.Content
		}
		for _, m := range list {
			if m = d.enter(m, at); m == nil {
				return nil
			}
			if m.Kind != yaml.MappingNode {
				d.flaw(m, at, "<< takes names with values, and this is %s", kindWord(m))
				continue
			}
			for _, p := range d.pairs(m, at, depth+1) {
				p.merged = true
				merged = append(merged, p)
			}
			if d.nodes += len(merged); d.nodes > maxNodes {
				d.tooLarge(m, at)
				return nil
			}
		}
	}
	return append(own, merged...)
}

func (d *decoder) list(n *yaml.Node, into reflect.Value, at *place) {
	if n.Kind != yaml.SequenceNode {
		d.flaw(n, at, "here stands a list, and this is %s", kindWord(n))
		return
	}
	made := reflect.MakeSlice(into.Type(), 0, min(len(n.Content), 64))
	for i, c := range n.Content {
		if d.full() {
			break
		}
		item := reflect.New(into.Type().Elem()).Elem()
		d.value(c, item, at.item(i))
		made = reflect.Append(made, item)
	}
	into.Set(made)
}

// text takes a scalar as it is written: 8080, true and 1.10 are texts too where
// a text stands.
func (d *decoder) text(n *yaml.Node, at *place, set func(string) error) {
	d.scalar(n, at, "a text", []string{stringTag, "!!int", "!!float", "!!bool", "!!timestamp"}, set)
}

func (d *decoder) scalar(n *yaml.Node, at *place, what string, tags []string, set func(string) error) {
	if n.Kind != yaml.ScalarNode || !slices.Contains(tags, n.ShortTag()) {
		d.flaw(n, at, "here stands %s, and this is %s", what, kindWord(n))
		return
	}
	switch err := set(n.Value); {
	case err == nil:
	case what == "a text":
		d.flaw(n, at, "%s", err)
	default:
		d.flaw(n, at, "here stands %s, and this is %q", what, cut(n.Value))
	}
}

// byJSON leaves the reading to a type that reads JSON itself.
func (d *decoder) byJSON(n *yaml.Node, into reflect.Value, at *place) {
	raw, err := json.Marshal(d.tree(n, at))
	if err == nil {
		err = json.Unmarshal(raw, into.Addr().Interface())
	}
	if err != nil {
		d.flaw(n, at, "%s", err)
	}
}

func (d *decoder) tree(n *yaml.Node, at *place) any {
	if n = d.enter(n, at); n == nil {
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		made := map[string]any{}
		d.mapping(n, at, nil, func(key string, n *yaml.Node, at *place) { made[key] = d.tree(n, at) })
		return made
	case yaml.SequenceNode:
		made := []any{}
		for i, c := range n.Content {
			made = append(made, d.tree(c, at.item(i)))
		}
		return made
	case yaml.ScalarNode:
		var v any
		if err := n.Decode(&v); err != nil {
			d.flaw(n, at, "this can't be read")
		}
		return v
	case yaml.DocumentNode, yaml.AliasNode:
	}
	return nil
}

func kindWord(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "names with values"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if n.ShortTag() == nullTag {
			return "nothing"
		}
		return strconv.Quote(cut(n.Value))
	case yaml.DocumentNode, yaml.AliasNode:
	}
	return "something else"
}

// cut keeps what is quoted short.
func cut(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}

// structFields gives a struct's fields by their names in JSON; those of a
// struct that it embeds are its own.
func structFields(v reflect.Value) map[string]reflect.Value {
	found := map[string]reflect.Value{}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			maps.Copy(found, structFields(v.Field(i)))
		case !f.IsExported() || name == "-":
		case name == "":
			found[f.Name] = v.Field(i)
		default:
			found[name] = v.Field(i)
		}
	}
	return found
}
