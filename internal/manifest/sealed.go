package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"berth/internal/fault"
	"berth/internal/registry"
	"berth/internal/secret"
	"berth/internal/signin"
	"berth/internal/vault"
)

// Slot names a stored secret.
type Slot struct{ Context, Name string }

// Values are secrets in the clear, by their slots. The password of the account
// at a registry is in the slot of its own, [PasswordOf], and the client secret
// of a provider in [ClientSecretOf].
type Values map[Slot]secret.Text

// PasswordOf is the slot of a registry account's password.
func PasswordOf(host string) Slot { return Slot{registry.SecretContext, host} }

// Recipients reads the public keys of age that values are sealed for, such as
// "age1…".
func Recipients(texts []string) ([]age.Recipient, error) {
	made := make([]age.Recipient, 0, len(texts))
	for _, t := range texts {
		found, err := age.ParseRecipients(strings.NewReader(t))
		if err != nil || len(found) != 1 {
			return nil, fault.Invalid("%q is no public key of age, such as age-keygen prints: it begins with age1", cut(t))
		}
		made = append(made, found...)
	}
	return made, nil
}

// Identities reads the private keys of age in a file as age-keygen writes it.
func Identities(file secret.Text) ([]age.Identity, error) {
	found, err := age.ParseIdentities(strings.NewReader(file.Reveal()))
	if err != nil { // its reason may quote the key
		return nil, fault.Invalid("this holds no private key of age: it is a file as age-keygen writes it, with a line AGE-SECRET-KEY-1…")
	}
	return found, nil
}

// seal seals a value for recipients, as armored text.
func seal(value secret.Text, to []age.Recipient) (string, error) {
	var text bytes.Buffer
	armored := armor.NewWriter(&text)
	w, err := age.Encrypt(armored, to...)
	if err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	if _, err := io.WriteString(w, value.Reveal()); err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	if err := errors.Join(w.Close(), armored.Close()); err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	return text.String(), nil
}

// unseal opens what seal, or age itself with --armor, made.
func unseal(sealed string, with []age.Identity) (secret.Text, error) {
	r, err := age.Decrypt(armor.NewReader(strings.NewReader(strings.TrimSpace(sealed))), with...)
	if _, other := errors.AsType[*age.NoIdentityMatchError](err); other {
		return secret.Text{}, fault.Invalid("it is sealed for another key than the one given")
	}
	if err != nil {
		return secret.Text{}, fault.Invalid("it is not what age --armor makes, or it was changed").Because(err)
	}
	raw, err := io.ReadAll(io.LimitReader(r, vault.MaxSize+1))
	switch {
	case err != nil:
		return secret.Text{}, fault.Invalid("it was changed since it was sealed").Because(err)
	case len(raw) > vault.MaxSize:
		return secret.Text{}, fault.Large("the secret has more than %d bytes", vault.MaxSize)
	case len(raw) == 0:
		return secret.Text{}, fault.Invalid("the secret is empty")
	}
	return secret.New(string(raw)), nil
}

// sealedTexts gives what a document has sealed, by slot.
func (doc Document) sealedTexts() map[Slot]string {
	found := map[Slot]string{}
	for slotContext, names := range doc.Secrets {
		for name, s := range names {
			if s.Sealed != "" {
				found[Slot{slotContext, name}] = s.Sealed
			}
		}
	}
	for host, r := range doc.Registries {
		if r.Password != nil && r.Password.Sealed != "" {
			found[PasswordOf(host)] = r.Password.Sealed
		}
	}
	for slug, p := range doc.Providers {
		if p.ClientSecret != nil && p.ClientSecret.Sealed != "" {
			found[ClientSecretOf(slug)] = p.ClientSecret.Sealed
		}
	}
	return found
}

// HasSealed says whether there is anything to open in a document.
func (doc Document) HasSealed() bool { return len(doc.sealedTexts()) > 0 }

// Open opens what is sealed in a document. The fault names what can't be
// opened.
func (doc Document) Open(with []age.Identity) (Values, error) {
	opened := Values{}
	var wrong []fault.Field
	texts := doc.sealedTexts()
	for _, slot := range slices.SortedFunc(maps.Keys(texts), compareSlots) {
		value, err := unseal(texts[slot], with)
		if err != nil {
			wrong = append(wrong, fault.Field{Name: slot.path(), Message: fault.Message(err)})
			continue
		}
		opened[slot] = value
	}
	return opened, fault.InvalidFields(wrong)
}

// path is where a slot's value stands in a document.
func (s Slot) path() string { return strings.Join(s.steps(), ".") }

func (s Slot) steps() []string {
	switch s.Context {
	case registry.SecretContext:
		return []string{"registries", s.Name, "password"}
	case signin.SlotContext:
		return []string{"providers", s.Name, "client_secret"}
	}
	return []string{"secrets", s.Context, s.Name}
}

func compareSlots(a, b Slot) int { return strings.Compare(a.path(), b.path()) }
