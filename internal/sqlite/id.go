package sqlite

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"
)

var base32Hex = base32.HexEncoding.WithPadding(base32.NoPadding)

// NewID makes an identifier: 26 lower-case letters and digits that sort by
// the millisecond they were made in, with 80 random bits.
func NewID(now time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16)
	_, _ = rand.Read(b[6:])
	return strings.ToLower(base32Hex.EncodeToString(b[:]))
}

// IsID says whether s has the form of an identifier.
func IsID(s string) bool {
	raw, err := base32Hex.DecodeString(strings.ToUpper(s))
	return err == nil && len(raw) == 16 && s == strings.ToLower(s)
}

// Millis is how a time is stored: Unix milliseconds, 0 for the zero time.
func Millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Time reads what Millis stored; the zero time for 0.
func Time(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
