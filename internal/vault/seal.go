package vault

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/crypto/chacha20poly1305"

	"berth/internal/secret"
)

// sealer seals with XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha): its nonce is
// long enough to be drawn at random for ever. What is stored is the form's
// number, the nonce and the sealed value.
type sealer struct{ aead cipher.AEAD }

const (
	form    = 1             // of what is stored; another one gets another number
	purpose = "berth/vault" // so that the key is good for nothing else (RFC 5869, section 3.2)
)

func newSealer(key secret.Text) (sealer, error) {
	if key.Empty() {
		return sealer{}, errors.New("vault: no secret key")
	}
	derived, err := hkdf.Key(sha256.New, []byte(key.Reveal()), nil, purpose, chacha20poly1305.KeySize)
	if err != nil {
		return sealer{}, fmt.Errorf("vault: derive the key: %w", err)
	}
	aead, err := chacha20poly1305.NewX(derived)
	if err != nil {
		return sealer{}, fmt.Errorf("vault: %w", err)
	}
	return sealer{aead}, nil
}

func (s sealer) seal(slot Slot, value secret.Text) []byte {
	stored := make([]byte, 1+chacha20poly1305.NonceSizeX, 1+chacha20poly1305.NonceSizeX+len(value.Reveal())+s.aead.Overhead())
	stored[0] = form
	nonce := stored[1:]
	_, _ = rand.Read(nonce) // never fails: the documentation of crypto/rand
	return s.aead.Seal(stored, nonce, []byte(value.Reveal()), slot.bound())
}

func (s sealer) open(slot Slot, stored []byte) (secret.Text, error) {
	if len(stored) < 1+chacha20poly1305.NonceSizeX || stored[0] != form {
		return secret.Text{}, fmt.Errorf("open secret %s/%s: stored in a form this Berth does not know", slot.Context, slot.Name)
	}
	nonce, sealed := stored[1:1+chacha20poly1305.NonceSizeX], stored[1+chacha20poly1305.NonceSizeX:]
	value, err := s.aead.Open(nil, nonce, sealed, slot.bound())
	if err != nil {
		return secret.Text{}, fmt.Errorf("open secret %s/%s: it was altered, moved, or sealed with another key: %w", slot.Context, slot.Name, err)
	}
	return secret.New(string(value)), nil
}

// bound is what a value is sealed to: copied into another slot, or brought
// back under a later version, it does not open.
func (s Slot) bound() []byte {
	return []byte(s.Context + "\x00" + s.Name + "\x00" + strconv.FormatInt(s.Version, 10))
}
