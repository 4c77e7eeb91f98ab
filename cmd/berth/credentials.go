package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"berth/internal/secret"
)

// maxCredentials bounds the file.
const maxCredentials = 1 << 20

// credentials are the servers that "berth login" has signed in to.
type credentials struct {
	Current string             // a key of Servers; empty for none
	Servers map[string]account // by URL
	path    string
}

// account is what is kept of one server.
type account struct {
	Username string
	TokenID  string // to remove it again; empty when the token was given
	Token    secret.Text
}

// storedCredentials is how they lie on the disk, where the token has to be
// readable.
type storedCredentials struct {
	Current string                   `json:"current"`
	Servers map[string]storedAccount `json:"servers"`
}

type storedAccount struct {
	Username string `json:"username"`
	TokenID  string `json:"token_id,omitempty"`
	Token    string `json:"token"`
}

// of gives the account at a server, the zero one when there is none.
func (c *credentials) of(rawURL string) account {
	u, err := serverURL(rawURL)
	if err != nil {
		return account{}
	}
	return c.Servers[u.String()]
}

func credentialsPath(p *process) (string, error) {
	environment := map[string]string{}
	for _, pair := range p.environ {
		name, value, _ := strings.Cut(pair, "=")
		environment[name] = value
	}
	if dir := environment["XDG_CONFIG_HOME"]; filepath.IsAbs(dir) {
		return filepath.Join(dir, "berth", "credentials"), nil
	}
	if home := environment["HOME"]; home != "" {
		return filepath.Join(home, ".config", "berth", "credentials"), nil
	}
	return "", errors.New("no home folder is set: HOME is empty")
}

func readCredentials(p *process) (*credentials, error) {
	path, err := credentialsPath(p)
	if err != nil {
		return &credentials{Servers: map[string]account{}}, nil //nolint:nilerr // without a home nothing is kept
	}
	kept := &credentials{Servers: map[string]account{}, path: path}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return kept, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	if info.Size() > maxCredentials {
		return nil, fmt.Errorf("read credentials: %s has %d bytes", path, info.Size())
	}
	raw, err := os.ReadFile(path) //nolint:gosec // the person's own file
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	var stored storedCredentials
	if err := json.Unmarshal(raw, &stored); err != nil {
		return nil, fmt.Errorf("%s is damaged; remove it and sign in again", path)
	}
	kept.Current = stored.Current
	for url, a := range stored.Servers {
		kept.Servers[url] = account{a.Username, a.TokenID, secret.New(a.Token)}
	}
	return kept, nil
}

// write keeps c where only its owner reads it.
func (c *credentials) write() error {
	if c.path == "" {
		return errors.New("keep credentials: no home folder is set: HOME is empty")
	}
	stored := storedCredentials{Current: c.Current, Servers: map[string]storedAccount{}}
	for url, a := range c.Servers {
		stored.Servers[url] = storedAccount{a.Username, a.TokenID, a.Token.Reveal()}
	}
	raw, err := json.MarshalIndent(stored, "", "  ")
	if err != nil {
		return fmt.Errorf("keep credentials: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return fmt.Errorf("keep credentials: %w", err)
	}
	aside, err := os.CreateTemp(filepath.Dir(c.path), "credentials.*") // mode 0600
	if err != nil {
		return fmt.Errorf("keep credentials: %w", err)
	}
	defer os.Remove(aside.Name())
	_, err = aside.Write(append(raw, '\n'))
	if err = errors.Join(err, aside.Close()); err == nil {
		err = os.Rename(aside.Name(), c.path)
	}
	if err != nil {
		return fmt.Errorf("keep credentials: %w", err)
	}
	return nil
}
