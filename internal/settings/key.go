package settings

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"berth/internal/secret"
)

func (s *Settings) keyFile() string { return filepath.Join(s.DataDir, "secret.key") }

// findSecretKey takes the key that an earlier start has generated.
func (s *Settings) findSecretKey() error {
	if !s.SecretKey.Empty() {
		return nil
	}
	v := s.values["SECRET_KEY"]
	v.Source = "generated at the first start, kept in " + s.keyFile()
	s.values["SECRET_KEY"] = v

	key, err := readValue(s.keyFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the generated secret key: %w", err)
	}
	if len(key) < 32 {
		return fmt.Errorf("the secret key in %s is damaged: it has %d characters and had 64", s.keyFile(), len(key))
	}
	s.SecretKey = secret.New(key)
	v.Value = s.SecretKey.String()
	s.values["SECRET_KEY"] = v
	return nil
}

// EnsureSecretKey generates a key, kept in the data folder with mode 0600,
// when none was given and none is there. [Load] has made sure that this is
// allowed. It says whether one was generated.
func (s *Settings) EnsureSecretKey() (generated bool, err error) {
	if !s.SecretKey.Empty() {
		return false, nil
	}
	var raw [32]byte
	_, _ = rand.Read(raw[:])
	key := hex.EncodeToString(raw[:])
	if err := os.MkdirAll(s.DataDir, 0o700); err != nil {
		return false, fmt.Errorf("make the data folder: %w", err)
	}
	// Written aside and linked, so that no crash leaves half a key, and never
	// over a key that is there.
	aside, err := os.CreateTemp(s.DataDir, "secret.key.*") // mode 0600
	if err != nil {
		return false, fmt.Errorf("keep the secret key: %w", err)
	}
	defer os.Remove(aside.Name())
	_, err = aside.WriteString(key + "\n")
	if err = errors.Join(err, aside.Sync(), aside.Close()); err == nil {
		err = os.Link(aside.Name(), s.keyFile())
	}
	if err != nil {
		return false, fmt.Errorf("keep the secret key: %w", err)
	}
	s.SecretKey = secret.New(key)
	return true, nil
}
