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

const form = 1 // of what is stored; another one gets another number

// purpose has a key of its own, which is good for nothing else (RFC 5869,
// section 3.2).
type purpose string

const (
	forSlots  purpose = "berth/vault"
	forGrants purpose = "berth/vault/grants"
)

func newSealer(key secret.Text, what purpose) (sealer, error) {
	if key.Empty() {
		return sealer{}, errors.New("vault: no secret key")
	}
	derived, err := hkdf.Key(sha256.New, []byte(key.Reveal()), nil, string(what), chacha20poly1305.KeySize)
	if err != nil {
		return sealer{}, fmt.Errorf("vault: derive the key: %w", err)
	}
	aead, err := chacha20poly1305.NewX(derived)
	if err != nil {
		return sealer{}, fmt.Errorf("vault: %w", err)
	}
	return sealer{aead}, nil
}

// seal seals a value to what it is bound to: it opens with nothing else.
func (s sealer) seal(to []byte, value string) []byte {
	stored := make([]byte, 1+chacha20poly1305.NonceSizeX, 1+chacha20poly1305.NonceSizeX+len(value)+s.aead.Overhead())
	stored[0] = form
	nonce := stored[1:]
	_, _ = rand.Read(nonce) // never fails: the documentation of crypto/rand
	return s.aead.Seal(stored, nonce, []byte(value), to)
}

func (s sealer) open(to, stored []byte) (string, error) {
	if len(stored) < 1+chacha20poly1305.NonceSizeX || stored[0] != form {
		return "", errors.New("stored in a form this Berth does not know")
	}
	nonce, sealed := stored[1:1+chacha20poly1305.NonceSizeX], stored[1+chacha20poly1305.NonceSizeX:]
	value, err := s.aead.Open(nil, nonce, sealed, to)
	if err != nil {
		return "", fmt.Errorf("it was altered, moved, or sealed with another key: %w", err)
	}
	return string(value), nil
}

func (s sealer) sealSlot(slot Slot, value secret.Text) []byte {
	return s.seal(slot.bound(), value.Reveal())
}

func (s sealer) openSlot(slot Slot, stored []byte) (secret.Text, error) {
	value, err := s.open(slot.bound(), stored)
	if err != nil {
		return secret.Text{}, fmt.Errorf("open secret %s/%s: %w", slot.Context, slot.Name, err)
	}
	return secret.New(value), nil
}

// bound is what a value is sealed to: copied into another slot, or brought
// back under a later version, it does not open.
func (s Slot) bound() []byte {
	return []byte(s.Context + "\x00" + s.Name + "\x00" + strconv.FormatInt(s.Version, 10))
}
