package registry

import "sync"

// busy is the uploads that a request writes to. Each has one writer at a time.
type busy struct {
	mu  sync.Mutex
	ids map[string]bool
}

// take gives an upload to the caller, unless somebody has it.
func (b *busy) take(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ids[id] {
		return false
	}
	if b.ids == nil {
		b.ids = map[string]bool{}
	}
	b.ids[id] = true
	return true
}

func (b *busy) release(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.ids, id)
}
