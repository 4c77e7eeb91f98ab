package identity

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"

	"berth/internal/fault"
	"berth/internal/secret"
)

// What a password may be. bcrypt reads no more than 72 bytes: a longer one is
// refused, rather than cut where nobody sees it. Hashing it first would let
// it in, but would tie every stored hash to a recipe of our own.
const (
	minPassword = 10 // characters
	maxPassword = 72 // bytes
)

// checkNewPassword says what is wrong with a password somebody wants to have;
// field is where they gave it.
func checkNewPassword(field, username string, password secret.Text) error {
	text := password.Reveal()
	wrong := func(format string, args ...any) error {
		return fault.InvalidFields([]fault.Field{{Name: field, Message: fmt.Sprintf(format, args...)}})
	}
	switch {
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return wrong("has characters that are none")
	case utf8.RuneCountInString(text) < minPassword:
		return wrong("takes %d characters or more", minPassword)
	case len(text) > maxPassword:
		return wrong("takes at most %d bytes, this one has %d (letters beyond a to z take two to four each)", maxPassword, len(text))
	case strings.EqualFold(text, username):
		return wrong("must not be the username")
	case strings.Count(text, text[:1]) == len(text):
		return wrong("must not be one character over and over")
	case LooksLikeToken(text):
		return wrong("looks like an API token; choose another")
	}
	return nil
}

// passwords hashes and compares, no more at one time than there are cores: a
// flood of sign-ins waits here instead of taking the machine.
type passwords struct {
	cost  int
	slots chan struct{} // holds one for each comparison at work
	queue chan struct{} // holds one for each that works or waits
	dummy []byte        // what a name that nobody has is compared with
}

// waiting is how many may wait for a slot before the next is turned away.
const waiting = 32

func newPasswords(cost, atOnce int) passwords {
	return passwords{
		cost:  cost,
		slots: make(chan struct{}, atOnce),
		queue: make(chan struct{}, atOnce+waiting),
		// A hash that is well formed and that no password has: comparing with
		// it costs what every comparison costs, making it costs nothing.
		dummy: fmt.Appendf(nil, "$2a$%02d$%s", cost, strings.Repeat(".", 22+31)),
	}
}

// hash makes what is stored of a password.
func (p *passwords) hash(ctx context.Context, password secret.Text) (hash []byte, err error) {
	err = p.within(ctx, func() error {
		hash, err = bcrypt.GenerateFromPassword([]byte(password.Reveal()), p.cost)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("hash a password: %w", err)
	}
	return hash, nil
}

// match says whether the password is the one that hash was made of. It takes
// as long for a nil hash, which none matches. An error says that it could not
// be tried.
func (p *passwords) match(ctx context.Context, hash []byte, password secret.Text) (bool, error) {
	text := password.Reveal()
	known := hash != nil
	if !known {
		hash = p.dummy
	}
	var compared error
	err := p.within(ctx, func() error {
		compared = bcrypt.CompareHashAndPassword(hash, []byte(text))
		return nil
	})
	if err != nil {
		return false, err
	}
	// bcrypt would compare the first 72 bytes of a longer one, and repeats the
	// password with a NUL between, so that "a" and "a\x00a" are one to it.
	sane := len(text) <= maxPassword && !strings.ContainsRune(text, 0)
	return compared == nil && known && sane, nil
}

func (p *passwords) within(ctx context.Context, work func() error) error {
	select {
	case p.queue <- struct{}{}:
		defer func() { <-p.queue }()
	default:
		return fault.Unavailable("too many people are signing in at once; try again in a moment").After(2 * time.Second)
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return work()
}
