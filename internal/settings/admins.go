package settings

import (
	"cmp"
	"errors"
	"fmt"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Admin is an entry of the list of those who administer: somebody as a
// provider knows them.
type Admin struct {
	Provider string    // its slug, or LocalProvider
	Kind     AdminKind // what Value is
	Value    string
}

// AdminKind is what an entry knows somebody by.
type AdminKind string

// The kinds, the strongest first.
const (
	AdminByID    AdminKind = "id"    // what never changes: the provider's own id, or an account's of Berth
	AdminByEmail AdminKind = "email" // the address, where the provider says that it is theirs
	AdminByName  AdminKind = "name"  // the username there
)

func (k AdminKind) String() string { return string(k) }

// LocalProvider is before the names of Berth's own accounts.
const LocalProvider = "local"

// String is the entry as people write it.
func (a Admin) String() string {
	if a.Kind == AdminByID {
		return a.Provider + ":#" + a.Value
	}
	return a.Provider + ":" + a.Value
}

// MaxAdmins bounds the list.
const MaxAdmins = 200

const takesAdmins = "names at a provider with commas or new lines between, such as local:carol, github:alice, corp:bob@example.org, corp:#1234"

var providerSlugForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// ParseAdmins reads a list of those who administer: entries with commas or new
// lines between, in lines of which some may be comments that begin with #. The
// error names the entry that is wrong.
func ParseAdmins(text string) ([]Admin, error) {
	list := []Admin{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for part := range strings.SplitSeq(line, ",") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			one, err := ParseAdmin(part)
			if err != nil {
				return nil, fmt.Errorf("has %q, which %w", shown(part), err)
			}
			if !slices.Contains(list, one) {
				list = append(list, one)
			}
		}
	}
	switch {
	case len(list) == 0:
		return nil, errors.New("names nobody")
	case len(list) > MaxAdmins:
		return nil, fmt.Errorf("names %d, and takes at most %d", len(list), MaxAdmins)
	}
	return list, nil
}

// ParseAdmin reads one entry.
func ParseAdmin(text string) (Admin, error) {
	provider, who, found := strings.Cut(text, ":")
	provider, who = strings.TrimSpace(provider), strings.TrimSpace(who)
	switch {
	case !found:
		return Admin{}, errors.New("does not say at which provider: write provider:name, or local:name for an account of Berth's own")
	case !providerSlugForm.MatchString(provider):
		return Admin{}, errors.New("has no name of a provider before the colon")
	}
	one := Admin{Provider: provider, Kind: AdminByName, Value: who}
	if id, is := strings.CutPrefix(who, "#"); is {
		one.Kind, one.Value = AdminByID, id
	} else if strings.Contains(who, "@") {
		one.Kind, one.Value = AdminByEmail, lowerASCII(who)
	} else if provider == LocalProvider {
		one.Value = lowerASCII(who)
	}
	return one, one.check()
}

func (a Admin) check() error {
	switch {
	case a.Value == "":
		return errors.New("names nobody behind the colon")
	case len(a.Value) > 255 || !utf8.ValidString(a.Value) || strings.ContainsFunc(a.Value, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("takes 1 to 255 printable characters behind the colon")
	case strings.Contains(a.Value, ","):
		return errors.New("has a comma, which is between two entries")
	case a.Kind != AdminByEmail:
		return nil
	case a.Provider == LocalProvider:
		return errors.New("names an account of Berth's own by an e-mail address: write local:username")
	}
	if address, err := mail.ParseAddress(a.Value); err != nil || address.Address != a.Value {
		return errors.New("has an @ and is no e-mail address: name somebody whose username has one by their id, provider:#id")
	}
	return nil
}

// lowerASCII is strings.ToLower for A to Z alone: other letters that become
// these (U+212A becomes k) must not make one address of two.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func shown(entry string) string {
	if len(entry) > 100 {
		return strings.ToValidUTF8(entry[:100], "") + "…"
	}
	return entry
}

// AdminsSource says where the list of those who administer is set: the file of
// BERTH_ADMINS_FILE, or the place that has BERTH_ADMINS; "" where it is not.
func (s *Settings) AdminsSource() string {
	if len(s.Admins) == 0 {
		return ""
	}
	return cmp.Or(s.files["ADMINS"], s.values["ADMINS"].Source)
}

// AdminsFile is the file behind BERTH_ADMINS_FILE; "" where there is none.
func (s *Settings) AdminsFile() string { return s.files["ADMINS"] }

// ReadAdmins reads the file behind BERTH_ADMINS_FILE again.
func (s *Settings) ReadAdmins() ([]Admin, error) {
	file := s.AdminsFile()
	text, err := readValue(file)
	if err != nil {
		return nil, fmt.Errorf("BERTH_ADMINS_FILE: %w", err)
	}
	list, err := ParseAdmins(text)
	if err != nil {
		return nil, fmt.Errorf("BERTH_ADMINS_FILE: %s %w", file, err)
	}
	return list, nil
}

// maxContact bounds whom to ask, in characters.
const maxContact = 200

func parseContact(v string) (string, error) {
	v = strings.TrimSpace(v)
	if utf8.RuneCountInString(v) > maxContact || !utf8.ValidString(v) || strings.ContainsFunc(v, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", fmt.Errorf("is not 1 to %d printable characters", maxContact)
	}
	return v, nil
}
