package event

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// Every event but log lines is a link of a chain: its hash is a MAC over the
// hash before it and all of its own row. Whoever has the file of the database
// and not the secret key can neither alter, remove, add nor move one without
// [Log.Verify] seeing it. Two records hold the ends, each with a MAC of its
// own: the anchor, which is the last event that pruning removed, and the head,
// which is the newest.

// link is a place in the chain: after the event of this id.
type link struct {
	id       int64
	position int64 // counts from 1; 0 before the first
	hash     []byte
}

// chain is the record of both ends.
type chain struct {
	began     time.Time
	anchor    link
	anchorMAC []byte
	head      link
	headMAC   []byte
}

// chainKey makes the MACs.
type chainKey []byte

func newChainKey(key secret.Text) chainKey {
	if key.Empty() {
		return nil
	}
	derived, err := hkdf.Key(sha256.New, []byte(key.Reveal()), nil, "berth/audit", sha256.Size)
	if err != nil {
		panic("event: " + err.Error()) // only for a length that SHA-256 does not give
	}
	return derived
}

// mac is over what it is made for and the parts, each with its length before
// it: no two lists of parts read the same.
func (k chainKey) mac(purpose string, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, k)
	var length [8]byte
	write := func(part []byte) {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write(part)
	}
	write([]byte(purpose))
	for _, part := range parts {
		write(part)
	}
	return h.Sum(nil)
}

func number(n int64) []byte { return strconv.AppendInt(nil, n, 10) }

// event gives the hash of an event that follows before.
func (k chainKey) event(before link, e Event) []byte {
	return k.mac("event", before.hash, number(before.position+1), number(e.ID), number(sqlite.Millis(e.At)),
		[]byte(e.Kind), []byte(e.Actor), []byte(e.Project), []byte(e.Stage), []byte(e.Deployment), []byte(e.Instance), e.Data)
}

func (k chainKey) end(which string, began time.Time, at link) []byte {
	return k.mac(which, number(sqlite.Millis(began)), number(at.id), number(at.position), at.hash)
}

func (k chainKey) anchor(c chain) []byte { return k.end("anchor", c.began, c.anchor) }
func (k chainKey) head(c chain) []byte   { return k.end("head", c.began, c.head) }

// begin makes a chain that starts behind the event last.
func (k chainKey) begin(now time.Time, last int64) chain {
	c := chain{began: now, anchor: link{id: last}}
	c.anchor.hash = k.mac("begin", number(sqlite.Millis(now)), number(last))
	c.anchorMAC = k.anchor(c)
	c.head = c.anchor
	c.headMAC = k.head(c)
	return c
}

// appendLink writes e as the chain's next link. All is read in tx, so that one
// that is rolled back leaves nothing behind.
func (l *Log) appendLink(ctx context.Context, tx *sqlite.Tx, e Event) error {
	c, found, last, err := selectChain(ctx, tx)
	if err != nil {
		return err
	}
	if !found {
		c = l.key.begin(l.clock(), last)
		if err := insertChain(ctx, tx, c); err != nil {
			return err
		}
	}
	before := c.head
	if !hmac.Equal(c.headMAC, l.key.head(c)) {
		// To go on from it would put our name under it. So there is a gap,
		// which Verify tells of from now on.
		l.log.ErrorContext(ctx, "the record of the newest event was altered: see berth audit verify")
		before.position++
	}
	e.ID = last + 1
	c.head = link{e.ID, before.position + 1, l.key.event(before, e)}
	c.headMAC = l.key.head(c)
	if err := insertLink(ctx, tx, e, c.head); err != nil {
		return err
	}
	return updateHead(ctx, tx, c)
}

// Head names the newest event of a chain: noted down elsewhere, it shows later
// that nothing up to it was exchanged, not even for an older copy of all.
type Head struct {
	Position int64
	Hash     string // hexadecimal
}

func headOf(at link) Head { return Head{at.position, hex.EncodeToString(at.hash)} }

// String gives "position-hash"; nothing of the zero Head.
func (h Head) String() string {
	if h == (Head{}) {
		return ""
	}
	return strconv.FormatInt(h.Position, 10) + "-" + h.Hash
}

// ParseHead reads what String gave; the zero Head from nothing.
func ParseHead(s string) (Head, error) {
	if s == "" {
		return Head{}, nil
	}
	position, hash, _ := strings.Cut(strings.TrimSpace(s), "-")
	n, err := strconv.ParseInt(position, 10, 64)
	raw, hexErr := hex.DecodeString(hash)
	if err != nil || hexErr != nil || n < 0 || len(raw) != sha256.Size {
		return Head{}, fault.InvalidFields([]fault.Field{{Name: "since", Message: `is a head as "berth audit verify" shows it: a number, a dash and 64 hexadecimal digits`}})
	}
	return Head{n, strings.ToLower(hash)}, nil
}

// Verification is what a look over the whole chain found.
type Verification struct {
	OK      bool      `json:"ok"`
	Checked int64     `json:"checked" doc:"How many events were found to be as they were written"`
	BeganAt time.Time `json:"began_at,omitzero" doc:"When the chain began; absent while it holds nothing"`
	First   int64     `json:"first,omitempty" doc:"The position of the oldest event that is kept"`
	Head    string    `json:"head,omitempty" doc:"The newest event's position and hash: note it down elsewhere, and compare with it later"`
	Broken  *Break    `json:"broken,omitempty" doc:"The first thing that is wrong"`
}

// Break is where a chain is broken.
type Break struct {
	Event int64  `json:"event,omitempty" doc:"The id of the first event that does not fit; absent when it is an end that does not"`
	Why   string `json:"why"`
}

// Verify reads the whole chain, and says whether it is as it was written. With
// a head that was noted before, it also says whether the chain is still the one
// of then; the zero Head compares with nothing. A head from before what is kept
// is fault.BadInput.
func (l *Log) Verify(ctx context.Context, since Head) (v Verification, err error) {
	if l.key == nil {
		return v, fault.Unavailable("this log keeps no chain")
	}
	err = l.db.Read(ctx, func(tx *sqlite.Tx) error {
		v, err = l.verify(ctx, tx, since)
		return err
	})
	return v, err
}

func (l *Log) verify(ctx context.Context, tx *sqlite.Tx, since Head) (Verification, error) {
	c, found, _, err := selectChain(ctx, tx)
	if err != nil {
		return Verification{}, err
	}
	w := walk{key: l.key, chain: c, at: c.anchor}
	if !found {
		w.chain.anchor.id = math.MaxInt64 // all that there is, is from before
		if since != (Head{}) {
			w.stop(0, "the chain is gone: nothing is known of the head that was noted")
		}
	} else {
		if since != (Head{}) && since.Position < c.anchor.position {
			return Verification{}, fault.InvalidFields([]fault.Field{{Name: "since", Message: fmt.Sprintf("is older than what is kept, which begins behind position %d: note a newer head", c.anchor.position)}})
		}
		w.ends()
	}
	w.compare(since, c.anchor)
	err = eachLink(ctx, tx, func(e Event, at link) bool {
		w.take(e, at)
		w.compare(since, w.at)
		if e.Kind == broken {
			var was finding
			_ = json.Unmarshal(e.Data, &was) // it is as we wrote it, or the walk has stopped
			w.stop(e.ID, "tells of a break among events that are removed by now: %s", was)
		}
		return w.broken == nil
	})
	if err != nil {
		return Verification{}, err
	}
	if found {
		w.finish(since)
	}
	v := Verification{OK: w.broken == nil, Checked: w.checked, Broken: w.broken}
	if found {
		v.BeganAt, v.First = c.began, w.first
		v.Head = headOf(c.head).String()
	}
	return v, nil
}

// walk goes along a chain from its anchor and stops at the first thing that is
// wrong.
type walk struct {
	key     chainKey
	chain   chain
	at      link
	checked int64
	first   int64
	broken  *Break
}

func (w *walk) stop(event int64, format string, args ...any) {
	if w.broken == nil {
		w.broken = &Break{event, fmt.Sprintf(format, args...)}
	}
}

// ends looks at the records of both ends.
func (w *walk) ends() {
	if !hmac.Equal(w.chain.anchorMAC, w.key.anchor(w.chain)) {
		w.stop(0, "the record of where the kept events begin was altered: older events may have been removed")
	}
	if !hmac.Equal(w.chain.headMAC, w.key.head(w.chain)) {
		w.stop(0, "the record of the newest event was altered: newer events may have been removed")
	}
}

// take goes on to an event, and stands at what its row says even where that
// does not fit, so that one wrong link makes no other wrong.
func (w *walk) take(e Event, row link) {
	next := w.at.position + 1
	switch {
	case e.ID <= w.chain.anchor.id && w.chain.anchor.position == 0 && row.hash == nil:
		return // from before the chain began
	case e.ID <= w.chain.anchor.id:
		w.stop(e.ID, "stands before the place where the kept events begin: it was put in, or the record of the chain was exchanged")
	case row.hash == nil:
		w.stop(e.ID, "has no place in the chain: it was not written by this Berth, or its place was erased")
		return
	case row.position > next:
		w.stop(e.ID, "%s before it", missing(row.position-next))
	case row.position < next:
		w.stop(e.ID, "is not in its place: it says it is number %d, where number %d is due", row.position, next)
	case !hmac.Equal(row.hash, w.key.event(w.at, e)):
		w.stop(e.ID, "is not as it was written: it, or what it follows, was altered or exchanged")
	default:
		w.checked++
	}
	if w.first == 0 {
		w.first = row.position
	}
	w.at = row
}

func (f finding) String() string {
	if f.Event == 0 {
		return f.Why
	}
	return fmt.Sprintf("event %d %s", f.Event, f.Why)
}

// finish compares where the walk ended with the record of the newest event.
func (w *walk) finish(since Head) {
	if behind := w.chain.head.position - w.at.position; behind > 0 {
		w.stop(0, "%s at the end", missing(behind))
	} else if behind < 0 || !hmac.Equal(w.chain.head.hash, w.at.hash) {
		w.stop(0, "the record of the newest event is not that of the newest event: it was exchanged for an older one")
	}
	if since.Position > w.at.position {
		w.stop(0, "the chain ends at position %d, before the head that was noted: newer events were removed, or an older copy was put in the place of all", w.at.position)
	}
}

// compare stops where the chain has another event than the head that was noted.
func (w *walk) compare(since Head, at link) {
	if since != (Head{}) && since.Position == at.position && since != headOf(at) {
		w.stop(at.id, "is another than the one of the head that was noted: the events up to it were exchanged")
	}
}

func missing(n int64) string {
	if n == 1 {
		return "one event is missing"
	}
	return fmt.Sprintf("%d events are missing", n)
}

// pruneFacts removes up to limit events that are no log lines and older than
// before, from the oldest on up to the first that is young enough: what stays
// is one piece. The anchor moves behind them; what was wrong with them is
// written down as an event of its own.
func (l *Log) pruneFacts(ctx context.Context, tx *sqlite.Tx, before time.Time, limit int) (int64, error) {
	c, found, _, err := selectChain(ctx, tx)
	if err != nil {
		return 0, err
	}
	chained := found && l.key != nil
	w := walk{key: l.key, chain: c, at: c.anchor}
	if chained {
		w.ends()
	}
	var newest Event
	count := 0
	err = eachLink(ctx, tx, func(e Event, at link) bool {
		if count == limit || !e.At.Before(before) {
			return false
		}
		newest = e
		count++
		if chained {
			w.take(e, at)
		}
		return true
	})
	if err != nil || count == 0 {
		return 0, err
	}
	removed, err := deleteFacts(ctx, tx, newest.ID)
	if err != nil || !chained {
		return removed, err
	}
	if newest.ID > c.anchor.id {
		c.anchor = link{newest.ID, w.at.position, w.at.hash}
		c.anchorMAC = l.key.anchor(c)
		if err := updateAnchor(ctx, tx, c); err != nil {
			return 0, err
		}
	}
	if w.broken == nil {
		return removed, nil
	}
	l.log.ErrorContext(ctx, "events that were altered are removed with age", "event", w.broken.Event, "why", w.broken.Why)
	return removed, l.Append(ctx, tx, Event{Kind: broken, Actor: "berth"}, finding{w.broken.Event, w.broken.Why, newest.At})
}
