package identity

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"strings"
	"time"

	"berth/internal/fault"
	"berth/internal/network"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// A command line that no password is typed into asks for a code, which somebody
// takes to the dashboard, however they sign in there: the device authorization
// grant, RFC 8628. Start with [Service.AskByDevice].

// DeviceAsk is what a command line asks for.
type DeviceAsk struct {
	Machine string        // what it calls the machine that it runs on
	Scope   Scope         // the widest that it wants
	Lives   time.Duration // the longest
}

// DeviceCodes are its two halves (RFC 8628 section 3.2): the device's, which
// the token is given for, and the person's, which they type.
type DeviceCodes struct {
	Device   secret.Text
	Person   secret.Text
	Lives    time.Duration
	Interval time.Duration
}

// DeviceRequest is who waits with a code, as the person sees it who was shown
// the code.
type DeviceRequest struct {
	Machine   string    `json:"machine"` // as it calls itself
	Address   string    `json:"address"` // where it asks from
	UserAgent string    `json:"user_agent"`
	Scope     Scope     `json:"scope"` // the widest that it may get
	Lives     int64     `json:"lives"` // how many seconds its token may be good for at most
	AskedAt   time.Time `json:"asked_at"`
	ExpiresAt time.Time `json:"expires_at"` // then the code is nothing any more
}

// What a device is told while it has no token: RFC 8628 section 3.5.
var (
	ErrDevicePending  = errors.New("nobody has decided yet")
	ErrDeviceSlowDown = errors.New("asked too often")
	ErrDeviceDenied   = errors.New("denied")
	ErrDeviceExpired  = errors.New("the code is too old, was used, or is none")
)

const (
	deviceLives    = 10 * time.Minute
	deviceInterval = 2 * time.Second
	deviceSlower   = 5 * time.Second // more between two polls after one that came too soon: RFC 8628 section 3.5

	// longestDeviceToken is how long a token may be good that is got so.
	longestDeviceToken = 366 * 24 * time.Hour

	maxMachine = 64 // characters of a machine's name

	// machineInName is how many of them a token's name has room for.
	machineInName = 50
)

// AskByDevice begins: the answer's halves go to the command line.
func (s *Service) AskByDevice(ask DeviceAsk, from Origin) (DeviceCodes, error) {
	ask.Machine = strings.TrimSpace(ask.Machine)
	if err := ask.check(); err != nil {
		return DeviceCodes{}, err
	}
	now := s.now()
	codes := DeviceCodes{Device: newSecret(""), Person: newPersonCode(), Lives: deviceLives, Interval: deviceInterval}
	one := &device{
		DeviceRequest: DeviceRequest{
			Machine: ask.Machine, Address: from.Host(), UserAgent: shortened(from.UserAgent, 256), Scope: ask.Scope,
			Lives: int64(ask.Lives / time.Second), AskedAt: now, ExpiresAt: now.Add(deviceLives),
		},
		key: digestOf(codes.Device), person: s.personCode(codes.Person),
		network: from.Network(), site: network.Site(from.Host()), interval: deviceInterval,
	}
	if !s.devices.add(one, now) {
		return DeviceCodes{}, fault.Often("too many command lines wait to be signed in: try again in some minutes").After(time.Minute)
	}
	return codes, nil
}

func (a DeviceAsk) check() error {
	var wrong []fault.Field
	if a.Machine == "" || len([]rune(a.Machine)) > maxMachine || !printable(a.Machine) {
		wrong = append(wrong, fault.Field{Name: "machine", Message: "takes 1 to 64 printable characters"})
	}
	if a.Scope.level() == 0 {
		wrong = append(wrong, fault.Field{Name: "scope", Message: "is read, deploy or admin"})
	}
	if a.Lives < time.Minute || a.Lives > longestDeviceToken {
		wrong = append(wrong, fault.Field{Name: "lives", Message: "is a minute at least, and a year at most"})
	}
	return fault.InvalidFields(wrong)
}

// DeviceRequest tells who waits with a code.
func (s *Service) DeviceRequest(subject Subject, code secret.Text) (DeviceRequest, error) {
	key, err := s.guessDevice(subject, code)
	if err != nil {
		return DeviceRequest{}, err
	}
	one, ok := s.devices.waiting(key, s.now())
	if !ok {
		return DeviceRequest{}, errNoDevice()
	}
	one.Scope = widest(subject.Person.Role, one.Scope)
	return one, nil
}

// ApproveDevice lets a command line have a token of the subject's own: no
// wider, and good for no longer, than it asked for. It is made when the command
// line comes for it, if the session that approved lives still.
func (s *Service) ApproveDevice(ctx context.Context, subject Subject, code secret.Text, scope Scope, lives time.Duration) error {
	key, err := s.guessDevice(subject, code)
	if err != nil {
		return err
	}
	asked, ok := s.devices.waiting(key, s.now())
	if !ok {
		return errNoDevice()
	}
	if err := checkApproval(subject, asked, scope, lives); err != nil {
		return err
	}
	have, err := s.Tokens(ctx, subject.Person.ID)
	if err != nil {
		return err
	}
	if len(have) >= maxTokens {
		return errManyTokens(len(have))
	}
	return s.decideDevice(ctx, key, subject, &approval{subject: subject, scope: scope, lives: lives})
}

func checkApproval(subject Subject, asked DeviceRequest, scope Scope, lives time.Duration) error {
	var wrong []fault.Field
	if scope.level() == 0 || scope.level() > widest(subject.Person.Role, asked.Scope).level() {
		wrong = append(wrong, fault.Field{Name: "scope", Message: "is " + string(widest(subject.Person.Role, asked.Scope)) + " at most"})
	}
	if most := time.Duration(asked.Lives) * time.Second; lives < time.Minute || lives > most {
		wrong = append(wrong, fault.Field{Name: "lives", Message: "is a minute at least, and no longer than was asked for"})
	}
	return fault.InvalidFields(wrong)
}

// widest is the widest scope that a command line may get of somebody.
func widest(r Role, asked Scope) Scope {
	if r == RoleUser {
		return ScopeRead
	}
	return asked
}

// DenyDevice has a command line go without.
func (s *Service) DenyDevice(ctx context.Context, subject Subject, code secret.Text) error {
	key, err := s.guessDevice(subject, code)
	if err != nil {
		return err
	}
	return s.decideDevice(ctx, key, subject, nil)
}

// decideDevice takes the code, which counts once, writes down what was decided,
// and lets the device know of it then: nil denies. What can not be written down
// is not decided: the code counts still.
func (s *Service) decideDevice(ctx context.Context, key digest, subject Subject, a *approval) error {
	one, ok := s.devices.take(key, s.now())
	if !ok {
		return errNoDevice()
	}
	kind := TokenDenied
	said := aboutApproval{Person: subject.Person.ID, Username: subject.Person.Username, Machine: one.Machine, Address: one.Address}
	if a != nil {
		kind, said.Scope, said.Lives = TokenApproved, a.scope, int64(a.lives/time.Second)
	}
	err := s.db.Write(ctx, func(tx *sqlite.Tx) error { return s.record(ctx, tx, kind, subject.Person.Username, said) })
	if err != nil {
		s.devices.giveBack(one)
		return err
	}
	s.devices.decide(one, a)
	return nil
}

// aboutApproval is the data of token.approved and token.denied.
type aboutApproval struct {
	Person   string `json:"person"`
	Username string `json:"username"`
	Machine  string `json:"machine"` // as it calls itself
	Address  string `json:"address"`
	Scope    Scope  `json:"scope,omitempty"`
	Lives    int64  `json:"lives,omitempty"` // in seconds
}

// RedeemDevice gives the token to the command line that was approved, once, and
// says otherwise how it stands, by one of the ErrDevice…. Where the token could
// not be made, it may come again.
func (s *Service) RedeemDevice(ctx context.Context, code secret.Text) (secret.Text, Token, Person, error) {
	one, err := s.devices.redeem(digestOf(code), s.now())
	if err != nil {
		return secret.Text{}, Token{}, Person{}, err
	}
	a, now := one.approved, s.now()
	made := newToken{
		name: deviceTokenName(one.Machine, now), scope: a.scope, expires: now.Add(a.lives),
		machine: one.Machine, address: one.Address,
	}
	text, token, err := s.makeToken(ctx, a.subject, made)
	kind := fault.KindOf(err)
	denied := err != nil && (kind == fault.Unauthenticated || kind == fault.Missing || kind == fault.Denied)
	s.devices.redeemed(one, err == nil || denied)
	if denied {
		return secret.Text{}, Token{}, Person{}, ErrDeviceDenied // who approved is signed in no more
	}
	return text, token, a.subject.Person, err
}

// deviceTokenName tells a token's owner later where it went.
func deviceTokenName(machine string, now time.Time) string {
	short := []rune(machine)
	short = short[:min(len(short), machineInName)]
	return "berth login on " + string(short) + ", " + now.Format("2006-01-02 15:04:05.000")
}

// guessDevice counts a try at a code, and gives what is kept of it. Only who is
// signed in with a browser may try: a token makes no tokens for machines that
// somebody else sits at.
func (s *Service) guessDevice(subject Subject, code secret.Text) (digest, error) {
	if err := Decide(&subject, ActionOwnAccount, On{}); err != nil {
		return digest{}, err
	}
	if subject.Via != ViaSession {
		return digest{}, fault.Forbidden("a command line is signed in by whoever is signed in with a browser")
	}
	key := s.personCode(code)
	who := "device code of " + subject.Person.ID
	try, err := s.guess(who, who)
	if err != nil {
		return digest{}, err
	}
	if s.devices.knows(key, s.now()) {
		try.Right()
	}
	return key, nil
}

func errNoDevice() error {
	return fault.NotFound("no command line waits with this code: it may be mistyped, used, or older than 10 minutes")
}

// codeLetters are the letters of a code that a person types: no vowels, so that
// no word comes of it, and none that look alike (RFC 8628 section 6.1).
const codeLetters = "BCDFGHJKLMNPQRSTVWXZ"

// newPersonCode makes a code of 8 letters, 34 bits, in two groups.
func newPersonCode() secret.Text {
	var code strings.Builder
	for code.Len() < 9 {
		if code.Len() == 4 {
			code.WriteByte('-')
		}
		var b [1]byte
		_, _ = rand.Read(b[:]) // never fails: the documentation of crypto/rand
		if b[0] < 240 {        // the largest multiple of 20 in a byte: each letter is as likely
			code.WriteByte(codeLetters[b[0]%20])
		}
	}
	return secret.New(code.String())
}

// personCode is what is kept of a code that a person types, in whatever way
// they do: 34 bits could be found again from a plain hash.
func (s *Service) personCode(code secret.Text) digest {
	mac := hmac.New(sha256.New, s.proofKey)
	mac.Write([]byte("device code\x00"))
	for _, r := range strings.ToUpper(shortened(code.Reveal(), 64)) {
		if r >= 'A' && r <= 'Z' {
			mac.Write([]byte{byte(r)})
		}
	}
	return digest(mac.Sum(nil))
}
