package api

import (
	"sort"
	"strconv"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

// Page chooses a part of a list.
type Page struct {
	Cursor string `query:"cursor" maxLength:"256" doc:"What next of the part before said"`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
}

// errCursor says that a cursor is made up.
var errCursor = fault.InvalidFields([]fault.Field{{Name: "cursor", Message: "it is not one that this list gave"}})

// check looks at a cursor of a list that is in the order of its rows' ids.
func (p Page) check() error {
	if p.Cursor != "" && !sqlite.IsID(p.Cursor) {
		return errCursor
	}
	return nil
}

// id reads a cursor that is an event's id; 0 when there is none.
func (p Page) id() (int64, error) {
	if p.Cursor == "" {
		return 0, nil
	}
	id, err := strconv.ParseInt(p.Cursor, 10, 64)
	if err != nil || id < 1 {
		return 0, errCursor
	}
	return id, nil
}

// part gives the part of items that p chooses, of those that are read as a whole
// and in the order of their keys. The key is the cursor: whatever comes and goes
// between two parts, none is given twice and none that stays is left out.
func part[T any](items []T, p Page, key func(T) string) *listOutput[T] {
	from := sort.Search(len(items), func(i int) bool { return key(items[i]) > p.Cursor })
	items = items[from:]
	if len(items) <= p.Limit {
		return list(items, "")
	}
	return list(items[:p.Limit], key(items[p.Limit-1]))
}

// List is a part of a list.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"The cursor of the next part; absent in the last one"`
}

type listOutput[T any] struct{ Body List[T] }

// list makes an answer of items. It is never null.
func list[T any](items []T, next string) *listOutput[T] {
	return &listOutput[T]{Body: List[T]{Items: notNull(items), Next: next}}
}

// notNull makes an empty list of none, as the contract has it.
func notNull[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// output is an answer with a body.
type output[T any] struct{ Body T }

func answer[T any](body T) *output[T] { return &output[T]{Body: body} }
