package notify

import (
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"strconv"
	"strings"

	"berth/internal/fault"
	"berth/internal/secret"
)

// address is where a channel's messages go, taken apart. It holds tokens: its
// parts go into requests and nowhere else.
type address struct {
	service Service
	url     *url.URL // what is asked over HTTP; without the name, the password and what only we read
	user    string
	token   string // a password, where there is a user
	room    string // Matrix: "!id:server" or "#alias:server"
	topic   string // ntfy
	mail    mailbox
	secrets []string // what no error and no log may show
}

// mailbox is a mail server and who writes to whom there.
type mailbox struct {
	host  string
	port  int
	tls   mailTLS
	from  string
	names []string // recipients
}

// mailTLS is when a connection to a mail server becomes a sealed one.
type mailTLS int

const (
	startTLS mailTLS = iota // after a plain greeting, or not at all: then nothing is sent
	fromTLS                 // from the first byte
	noTLS                   // never; only within a network of one's own
)

// maxAddress bounds an address, in bytes.
const maxAddress = 2048

// maxRecipients is to how many people one mail goes.
const maxRecipients = 20

// parseAddress takes a channel's address apart. inside is set for one that an
// administrator gave, which may be without TLS. What is wrong is said in a
// fault that shows nothing of it.
func parseAddress(service Service, raw secret.Text, inside bool) (address, error) {
	wrong := func(format string, args ...any) (address, error) {
		return address{}, fault.InvalidFields([]fault.Field{{Name: "address", Message: fmt.Sprintf(format, args...)}})
	}
	text := strings.TrimSpace(raw.Reveal())
	if len(text) > maxAddress {
		return wrong("has %d bytes; at most %d are kept", len(text), maxAddress)
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || strings.ContainsAny(text, " \t\r\n") {
		return wrong("is no URL: %s is written as %s", service, service.example())
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return wrong("has a port that is not between 1 and 65535")
		}
	}
	a := address{service: service, user: u.User.Username(), url: u}
	a.token, _ = u.User.Password()
	a.secrets = secretsOf(u)
	if service == Email {
		return a.readMail(inside, wrong)
	}
	switch {
	case u.Scheme == "http" && !inside:
		return wrong("begins with http://, which anybody on the way can read: begin it with https://, or ask an administrator to give it")
	case u.Scheme != "https" && u.Scheme != "http":
		return wrong("begins with neither https:// nor http://: %s is written as %s", service, service.example())
	}
	return a.readHTTP(wrong)
}

// example is an address as people write it.
func (s Service) example() string {
	switch s {
	case Email:
		return "smtp://user:password@smtp.example.org:587?from=berth@example.org&to=ana@example.org"
	case Slack:
		return "https://hooks.slack.com/services/T…/B…/…"
	case Discord:
		return "https://discord.com/api/webhooks/…/…"
	case Matrix:
		return "https://:access-token@matrix.example.org/!room:example.org"
	case Ntfy:
		return "https://ntfy.sh/topic, with a token https://:tk_…@ntfy.example.org/topic"
	case Teams:
		return "the URL that a workflow gives, https://….logic.azure.com/…"
	case Webhook:
		return "https://example.org/any/path"
	}
	return "a URL"
}

type refuse func(format string, args ...any) (address, error)

// readHTTP reads what a service keeps in its URL.
func (a address) readHTTP(wrong refuse) (address, error) {
	u := *a.url
	a.url = &u
	u.User = nil
	path := strings.Trim(u.Path, "/")
	switch a.service {
	case Slack, Discord, Teams:
		if a.user != "" || a.token != "" || path == "" {
			return wrong("is written as %s", a.service.example())
		}
	case Ntfy:
		if path == "" || strings.Contains(path, "/") || u.RawQuery != "" || u.Fragment != "" {
			return wrong("names one topic: it is written as %s", a.service.example())
		}
		a.topic, u.Path, u.RawPath = path, "/", ""
	case Matrix:
		if u.Fragment != "" && path == "" {
			path = "#" + u.Fragment // as people copy an alias
		}
		kind, rest, _ := strings.Cut(path, ":")
		if len(kind) < 2 || strings.IndexAny(kind, "!#") != 0 || rest == "" || strings.Contains(path, "/") || u.RawQuery != "" {
			return wrong("names a room, !id:server or #alias:server: it is written as %s", a.service.example())
		}
		if a.token == "" || a.user != "" {
			return wrong("needs an access token after a colon, before the @: it is written as %s", a.service.example())
		}
		a.room, u.Path, u.RawPath, u.Fragment, u.RawFragment = path, "/", "", "", ""
	case Webhook:
	case Email: // has a reader of its own
	}
	u.Fragment, u.RawFragment = "", ""
	return a, nil
}

// readMail reads smtp://user:password@host:port?from=…&to=…,….
func (a address) readMail(inside bool, wrong refuse) (address, error) {
	m := mailbox{host: a.url.Hostname(), port: 587}
	switch a.url.Scheme {
	case "smtp":
	case "smtps":
		m.tls, m.port = fromTLS, 465
	default:
		return wrong("begins with neither smtp:// nor smtps://: it is written as %s", Email.example())
	}
	if port := a.url.Port(); port != "" {
		m.port, _ = strconv.Atoi(port) // looked at by parseAddress
	}
	query, err := url.ParseQuery(a.url.RawQuery)
	if err != nil || strings.Trim(a.url.Path, "/") != "" {
		return wrong("is written as %s", Email.example())
	}
	for name := range query {
		if name != "from" && name != "to" && name != "tls" {
			return wrong("takes from, to and tls after the question mark, and nothing else")
		}
	}
	switch tls := query.Get("tls"); {
	case tls == "":
	case tls != "none" || m.tls == fromTLS:
		return wrong("takes tls=none, with smtp://, for a server that speaks no TLS, and no other tls")
	case !inside:
		return wrong("asks for mail without TLS, which anybody on the way can read: ask an administrator to give it")
	case a.token != "":
		return wrong("has a password and tls=none: it would be sent for anybody to read")
	default:
		m.tls = noTLS
	}
	if m.from, err = plainMail(query.Get("from")); err != nil {
		return wrong("needs from=, one mail address that messages come from")
	}
	for to := range strings.SplitSeq(strings.Join(query["to"], ","), ",") {
		name, err := plainMail(to)
		if err != nil {
			return wrong("needs to=, one or more mail addresses with commas between")
		}
		m.names = append(m.names, name)
	}
	if len(m.names) > maxRecipients {
		return wrong("names %d recipients; at most %d are written to", len(m.names), maxRecipients)
	}
	a.mail, a.url = m, nil
	return a, nil
}

// plainMail gives a mail address without a name.
func plainMail(text string) (string, error) {
	parsed, err := mail.ParseAddress(strings.TrimSpace(text))
	if err != nil {
		return "", err
	}
	if strings.ContainsAny(parsed.Address, "<>\r\n") {
		return "", fault.Invalid("not a plain address")
	}
	return parsed.Address, nil
}

// hint is what of an address may be shown: never a path, which for many
// services is the secret, nor an ntfy topic, which is one for a public server.
func (a address) hint() string {
	switch a.service {
	case Email:
		by := net.JoinHostPort(a.mail.host, strconv.Itoa(a.mail.port))
		return strings.Join(a.mail.names, ", ") + " by " + by
	case Matrix:
		return a.room + " at " + a.url.Host
	case Slack, Discord, Ntfy, Teams, Webhook:
		return a.url.Host
	}
	return ""
}

// secretsOf gives the parts of a URL that could be let in with: passwords,
// and whatever is long enough in path and query to be a token.
func secretsOf(u *url.URL) (list []string) {
	const least = 6
	add := func(part string) {
		if len(part) >= least {
			list = append(list, part, url.QueryEscape(part), url.PathEscape(part))
		}
	}
	add(u.String())
	add(u.RequestURI())
	add(u.EscapedPath())
	if password, ok := u.User.Password(); ok && password != "" {
		list = append(list, password, url.QueryEscape(password), url.PathEscape(password))
	}
	if u.Scheme == "smtp" || u.Scheme == "smtps" {
		return list // people's addresses are in the query, and are shown
	}
	for part := range strings.SplitSeq(u.Path, "/") {
		add(part)
	}
	for _, values := range u.Query() {
		for _, v := range values {
			add(v)
		}
	}
	return list
}

// scrub gives text that a person may read: nothing of the address's secrets,
// one line, and not too much of it.
func (a address) scrub(text string) string {
	const most = 300
	for _, s := range a.secrets {
		text = strings.ReplaceAll(text, s, "••••••")
	}
	return clean(text, most)
}
