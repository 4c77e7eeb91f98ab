package factor

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"sync"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"
	"golang.org/x/crypto/chacha20poly1305"

	"berth/internal/fault"
	"berth/internal/secret"
)

// purpose is what a challenge is for: one made for one thing proves no other.
type purpose string

const (
	forSignIn       purpose = "sign in"
	forSecondFactor purpose = "second factor"
	forStepUp       purpose = "step up"
	forAdding       purpose = "add"
)

// challengeLives is how long a browser may take to answer.
const challengeLives = 5 * time.Minute

// challenge is what a browser was asked, as it carries it itself: sealed, with
// a key that lives as long as the process. Nothing is stored for those who ask
// and never answer.
type challenge struct {
	Purpose purpose              `json:"purpose"`
	Holder  string               `json:"holder,omitempty"` // the session or the attempt that asked
	Asked   webauthn.SessionData `json:"asked"`
	Expires time.Time            `json:"expires"`
}

// challenges seals them, and knows those that were answered: each counts once.
type challenges struct {
	aead cipher.AEAD

	mu    sync.Mutex
	spent map[string]time.Time // until they expire
}

func newChallenges() *challenges {
	key := make([]byte, chacha20poly1305.KeySize)
	_, _ = rand.Read(key)
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic(err) // only for a key of another length
	}
	return &challenges{aead: aead, spent: map[string]time.Time{}}
}

func errStale() error {
	return fault.SignIn("the question to your passkey is too old, or was answered already: try again")
}

func (c *challenges) seal(one challenge) (secret.Text, error) {
	plain, err := json.Marshal(one)
	if err != nil {
		return secret.Text{}, err
	}
	nonce := make([]byte, c.aead.NonceSize())
	_, _ = rand.Read(nonce)
	return secret.New(base64.RawURLEncoding.EncodeToString(c.aead.Seal(nonce, nonce, plain, nil))), nil
}

// open gives what was sealed for that purpose and holder, when it is not too
// old.
func (c *challenges) open(sealed secret.Text, is purpose, holder string, now time.Time) (webauthn.SessionData, error) {
	raw, err := base64.RawURLEncoding.DecodeString(sealed.Reveal())
	if err != nil || len(raw) < c.aead.NonceSize() {
		return webauthn.SessionData{}, errStale()
	}
	plain, err := c.aead.Open(nil, raw[:c.aead.NonceSize()], raw[c.aead.NonceSize():], nil)
	if err != nil {
		return webauthn.SessionData{}, errStale()
	}
	var one challenge
	if err := json.Unmarshal(plain, &one); err != nil {
		return webauthn.SessionData{}, err
	}
	if one.Purpose != is || one.Holder != holder || !now.Before(one.Expires) {
		return webauthn.SessionData{}, errStale()
	}
	return one.Asked, nil
}

// spend takes a challenge whose answer was right; it fails when another answer
// to it was.
func (c *challenges) spend(text string, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, spent := c.spent[text]; spent {
		return errStale()
	}
	c.spent[text] = now.Add(challengeLives)
	return nil
}

func (c *challenges) sweep(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for text, until := range c.spent {
		if !now.Before(until) {
			delete(c.spent, text)
		}
	}
}
