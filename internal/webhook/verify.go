package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"

	"berth/internal/secret"
)

// verify says whether a delivery shows the secret: by its signature over the
// body where the source signs, else in a header. All compares take the same
// time whatever differs.
func verify(p product, header http.Header, body []byte, key secret.Text) bool {
	if p.auth == authHMAC {
		return verifySignature(p.signatures, header, body, key)
	}
	known := 0
	for _, shown := range shownSecrets(header) {
		known |= equal(shown, key.Reveal())
	}
	return known == 1
}

// verifySignature checks an HMAC-SHA256 over the body as it came.
func verifySignature(kinds []signature, header http.Header, body []byte, key secret.Text) bool {
	for _, kind := range kinds {
		said := header.Values(kind.header)
		if len(said) == 0 {
			continue
		}
		digits, ok := strings.CutPrefix(said[0], kind.prefix)
		signed, err := hex.DecodeString(digits)
		if !ok || err != nil || len(said) > 1 {
			return false
		}
		mac := hmac.New(sha256.New, []byte(key.Reveal()))
		mac.Write(body)
		return hmac.Equal(signed, mac.Sum(nil))
	}
	return false
}

// shownSecrets are the places where a sender that does not sign can show a
// secret: Authorization as it is, as a bearer token (RFC 6750) or as the
// password of Basic (RFC 7617), or a header for it.
func shownSecrets(header http.Header) []string {
	shown := []string{header.Get("X-Gitlab-Token"), header.Get("X-Webhook-Secret")}
	said := header.Get("Authorization")
	shown = append(shown, said)
	scheme, rest, ok := strings.Cut(said, " ")
	switch {
	case ok && strings.EqualFold(scheme, "Bearer"):
		shown = append(shown, strings.TrimSpace(rest))
	case ok && strings.EqualFold(scheme, "Basic"):
		if raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest)); err == nil {
			_, password, _ := strings.Cut(string(raw), ":")
			shown = append(shown, password)
		}
	}
	return shown
}

// equal compares texts of any length in a time that tells nothing of them.
func equal(a, b string) int {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:])
}
