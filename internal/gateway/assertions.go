package gateway

import (
	"crypto/sha256"
	"maps"
	"sync"
	"time"
)

const (
	// assertionServes is how long an assertion is given again for the same
	// thing: what it says is the same, and signing costs more than all else that
	// is done to let somebody in.
	assertionServes = 10 * time.Second
	// assertionsMost bounds what is kept of all visitors, in bytes. Whoever asks
	// for much has others' signed anew, and nothing else.
	assertionsMost = 32 << 20
	// assertedMost bounds the bytes of method and path of what is kept. They are
	// the client's to choose: longer ones are signed each time.
	assertedMost = 1 << 10
	// assertionCosts is what keeping one takes beside its text: its key, its
	// time, and its place.
	assertionCosts = 128
)

// assertions are those that requests went on with of late. They are in shards,
// so that requests do not wait for each other.
type assertions struct{ shards [16]assertionShard }

type assertionShard struct {
	mu    sync.Mutex
	made  map[assertedTo]asserted
	bytes int // of all that is in made
	_     [64]byte
}

// assertedTo is a digest of whom an assertion tells of and of what it is bound
// to, so that neither is kept.
type assertedTo [sha256.Size]byte

type asserted struct {
	text string
	at   time.Time
}

func (a asserted) good(now time.Time) bool {
	return now.Sub(a.at) < assertionServes && !now.Before(a.at)
}

// get gives what was made of late; "" for nothing.
func (a *assertions) get(to assertedTo, now time.Time) string {
	s := a.shard(to)
	s.mu.Lock()
	defer s.mu.Unlock()
	if one, ok := s.made[to]; ok && one.good(now) {
		return one.text
	}
	return ""
}

// put keeps what was just made. Where there is no more room, what was kept goes.
func (a *assertions) put(to assertedTo, text string, now time.Time) {
	cost := assertionCosts + len(text)
	s := a.shard(to)
	s.mu.Lock()
	defer s.mu.Unlock()
	if before, ok := s.made[to]; ok {
		s.bytes -= assertionCosts + len(before.text)
	}
	if most := assertionsMost / len(a.shards); s.bytes+cost > most {
		s.made, s.bytes = nil, 0
		if cost > most {
			return
		}
	}
	if s.made == nil {
		s.made = map[assertedTo]asserted{}
	}
	s.made[to] = asserted{text: text, at: now}
	s.bytes += cost
}

// sweep drops those that are not given again.
func (a *assertions) sweep(now time.Time) {
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.Lock()
		maps.DeleteFunc(s.made, func(_ assertedTo, one asserted) bool {
			if !one.good(now) {
				s.bytes -= assertionCosts + len(one.text)
			}
			return !one.good(now)
		})
		if len(s.made) == 0 {
			s.made = nil // a map keeps the room that it once had
		}
		s.mu.Unlock()
	}
}

func (a *assertions) shard(to assertedTo) *assertionShard {
	return &a.shards[int(to[0])%len(a.shards)]
}
