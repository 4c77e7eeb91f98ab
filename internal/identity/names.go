package identity

import (
	"context"
	"crypto/rand"
	"net/mail"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

var usernamePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$`)

// reserved are the actors in the log of events that are nobody's name.
var reserved = []string{berth, "local", "registry", "engine", "gateway", "system", "webhook", "anonymous"}

// checkPerson names every field that is wrong, and trims what may be.
func checkPerson(p *Person) error {
	var wrong []fault.Field
	add := func(name, message string) { wrong = append(wrong, fault.Field{Name: name, Message: message}) }

	p.DisplayName, p.Email = strings.TrimSpace(p.DisplayName), strings.TrimSpace(p.Email)
	switch {
	case !usernamePattern.MatchString(p.Username):
		add("username", "takes 1 to 64 of a to z, 0 to 9, dot, dash and underscore, beginning and ending with a letter or digit")
	case slices.Contains(reserved, p.Username):
		add("username", "is one that Berth itself uses")
	}
	if utf8.RuneCountInString(p.DisplayName) > 100 || !printable(p.DisplayName) {
		add("display_name", "takes at most 100 printable characters")
	}
	if p.Email != "" {
		address, err := mail.ParseAddress(p.Email)
		if err != nil || address.Address != p.Email || len(p.Email) > 254 {
			add("email", "is no e-mail address")
		}
	}
	if !p.Role.known() || p.GivenRole != "" && !p.GivenRole.known() {
		add("role", "is administrator, member or user")
	}
	return fault.InvalidFields(wrong)
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// freeUsername makes a username of the one that somebody has elsewhere. One
// that is taken gets a number: whose it is stays who they are.
func freeUsername(ctx context.Context, tx *sqlite.Tx, theirs string) (string, error) {
	base := usernameFrom(theirs)
	for n := 1; n < 100; n++ {
		name := base
		if n > 1 {
			name += "-" + strconv.Itoa(n)
		}
		free, err := isFree(ctx, tx, name)
		if err != nil || free {
			return name, err
		}
	}
	return base + "-" + strings.ToLower(rand.Text()[:8]), nil
}

func isFree(ctx context.Context, tx *sqlite.Tx, name string) (bool, error) {
	if slices.Contains(reserved, name) {
		return false, nil
	}
	_, _, err := personByName(ctx, tx, name)
	if fault.KindOf(err) == fault.Missing {
		return true, nil
	}
	return false, err
}

// usernameFrom brings a name into the form that usernames have here.
func usernameFrom(theirs string) string {
	local, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(theirs)), "@")
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '-'
	}, local)
	name = strings.Trim(name[:min(len(name), 50)], "._-")
	if name == "" {
		return "person"
	}
	return name
}

// displayable gives a name as it may be shown; "" for one that may not.
func displayable(name string) string {
	name = strings.TrimSpace(name)
	if runes := []rune(name); len(runes) > 100 {
		name = strings.TrimSpace(string(runes[:100]))
	}
	if !printable(name) {
		return ""
	}
	return name
}

// mailable gives an e-mail address; "" for what is none.
func mailable(email string) string {
	address, err := mail.ParseAddress(email)
	if err != nil || address.Address != email || len(email) > 254 {
		return ""
	}
	return email
}
