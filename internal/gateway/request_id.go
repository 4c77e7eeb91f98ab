package gateway

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
)

// idMost is the longest request id that is taken from a client, in bytes.
const idMost = 64

// requestID gives the client's X-Request-Id when it is one that can stand in
// a log line and a header as it is, and a new one otherwise. An id tells
// requests apart; it proves nothing, so it need not be hard to guess.
func requestID(r *http.Request) string {
	if given := r.Header["X-Request-Id"]; len(given) == 1 && wellFormedID(given[0]) {
		return given[0]
	}
	var b [16]byte
	binary.NativeEndian.PutUint64(b[:8], rand.Uint64()) //nolint:gosec // see above
	binary.NativeEndian.PutUint64(b[8:], rand.Uint64()) //nolint:gosec // see above
	var text [32]byte
	hex.Encode(text[:], b[:])
	return string(text[:])
}

func wellFormedID(s string) bool {
	if len(s) < 8 || len(s) > idMost {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}
