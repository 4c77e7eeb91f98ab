package notify_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"berth/internal/notify"
)

// postOffice is a mail server that takes what it is given.
type postOffice struct {
	address string
	roots   *x509.CertPool

	mu      sync.Mutex
	letters []letter
	refuse  error
}

type letter struct {
	user, from string
	to         []string
	sealed     bool
	text       string
}

type officeTLS int

const (
	noTLS officeTLS = iota
	startTLS
	fromTLS
)

func newPostOffice(t *testing.T, mode officeTLS) *postOffice {
	t.Helper()
	certificate, roots := selfSigned(t)
	office := &postOffice{roots: roots}
	server := smtp.NewServer(office)
	server.Domain, server.ReadTimeout, server.WriteTimeout = "smtp.example.org", 10*time.Second, 10*time.Second
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	office.address = listener.Addr().String()
	switch mode {
	case noTLS:
		server.AllowInsecureAuth = true // it would take a password from anybody on the way
	case startTLS:
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	case fromTLS:
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		<-served
	})
	return office
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "smtp.example.org"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{netip.MustParseAddr("127.0.0.1").AsSlice()}, IsCA: true, BasicConstraintsValid: true,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(raw)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, roots
}

func (o *postOffice) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &session{office: o, conn: c}, nil
}

func (o *postOffice) took() []letter {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]letter(nil), o.letters...)
}

type session struct {
	office *postOffice
	conn   *smtp.Conn
	letter letter
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "berth@example.org" || password != "sEc/ReT" {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "no such user or password"} // RFC 4954 section 6
		}
		s.letter.user = user
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error { s.letter.from = from; return nil }

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.office.mu.Lock()
	defer s.office.mu.Unlock()
	s.letter.to = append(s.letter.to, to)
	return s.office.refuse
}

func (s *session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	_, s.letter.sealed = s.conn.TLSConnectionState()
	s.letter.text = string(text)
	s.office.mu.Lock()
	defer s.office.mu.Unlock()
	s.office.letters = append(s.office.letters, s.letter)
	return nil
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

const toPeople = "?from=" + "berth@example.org&to=ana@example.org,bo@example.org"

func TestMail_GoesOutOverTLSWithThePassword(t *testing.T) {
	for name, test := range map[string]struct {
		mode   officeTLS
		scheme string
	}{"STARTTLS": {startTLS, "smtp"}, "TLS from the first byte": {fromTLS, "smtps"}} {
		t.Run(name, func(t *testing.T) {
			office := newPostOffice(t, test.mode)
			r := newRig(t, func(c *notify.Config) { c.Roots = office.roots })
			c, _ := r.channel("ops", notify.Email, test.scheme+"://"+url.UserPassword("berth@example.org", "sEc/ReT").String()+"@"+office.address+toPeople)
			require.Equal(t, "ana@example.org, bo@example.org by "+office.address, c.Hint)
			r.run()
			r.deployed("failed", "shop:1.4", "the probe got 500")
			d := r.await(notify.Sent, 1)[0]

			require.Len(t, office.took(), 1)
			l := office.took()[0]
			require.True(t, l.sealed)
			require.Equal(t, "berth@example.org", l.user)
			require.Equal(t, "berth@example.org", l.from)
			require.Equal(t, []string{"ana@example.org", "bo@example.org"}, l.to)
			parsed, err := mail.ReadMessage(strings.NewReader(l.text))
			require.NoError(t, err)
			require.Equal(t, "shop prod: 1.4 failed", parsed.Header.Get("Subject"))
			require.Equal(t, "<"+d.ID+"@berth.example.org>", parsed.Header.Get("Message-Id"))
			require.Equal(t, "auto-generated", parsed.Header.Get("Auto-Submitted"))
			body, err := io.ReadAll(parsed.Body)
			require.NoError(t, err)
			require.Equal(t, "shop prod: 1.4 failed\r\n\r\nThe probe got 500.\r\nDeployment 7, started by ana.\r\n\r\nhttps://berth.example.org/deployments/d1\r\n", string(body))
			r.keepsSecret("sEc/ReT", "sEc%2FReT")
		})
	}
}

func TestMail_StaysHereWhereTheServerOffersNoTLS(t *testing.T) {
	office := newPostOffice(t, noTLS)
	r := newRig(t)
	r.channel("ops", notify.Email, "smtp://berth%40example.org:sEc%2FReT@"+office.address+toPeople)
	d, err := r.Test(t.Context(), "ana", "ops")
	require.NoError(t, err)
	require.Equal(t, notify.Failed, d.State)
	require.Equal(t, "the mail server offers no TLS, without which nothing is sent: with smtps:// TLS begins at once", d.Error)
	require.Empty(t, office.took())

	// An administrator may say so, within a network of their own.
	r.channel("home", notify.Email, "smtp://"+office.address+toPeople+"&tls=none")
	d, err = r.Test(t.Context(), "ana", "home")
	require.NoError(t, err)
	require.Empty(t, d.Error)
	require.False(t, office.took()[0].sealed)
}

func TestMail_TrustsNoCertificateThatNobodyVouchedFor(t *testing.T) {
	for scheme, mode := range map[string]officeTLS{"smtp": startTLS, "smtps": fromTLS} {
		office := newPostOffice(t, mode)
		r := newRig(t)
		r.channel("ops", notify.Email, scheme+"://u:sEc%2FReT@"+office.address+toPeople)
		d, err := r.Test(t.Context(), "ana", "ops")
		require.NoError(t, err)
		require.Equal(t, notify.Failed, d.State)
		require.Contains(t, d.Error, "certificate")
		require.Empty(t, office.took())
	}
}

func TestMail_IsTriedAgainOnlyWhenTheServerSaysLater(t *testing.T) {
	for name, test := range map[string]struct {
		refuse error
		state  notify.State
		says   string
	}{
		"later": {&smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "the mailbox is busy"}, notify.Pending, "451"},
		"no":    {&smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such mailbox sEc/ReT"}, notify.Failed, "no such mailbox ••••••"},
	} {
		t.Run(name, func(t *testing.T) {
			office := newPostOffice(t, startTLS)
			office.refuse = test.refuse
			r := newRig(t, func(c *notify.Config) { c.Roots = office.roots })
			r.channel("ops", notify.Email, "smtp://berth%40example.org:sEc%2FReT@"+office.address+toPeople)
			r.run()
			r.deployed("live", "1.4", "")
			require.Eventually(t, func() bool { return len(r.sent()) == 1 && r.sent()[0].Attempts == 1 }, 10*time.Second, 5*time.Millisecond)
			d := r.sent()[0]
			require.Equal(t, test.state, d.State)
			require.Contains(t, d.Error, test.says)
			r.keepsSecret("sEc/ReT")
		})
	}
}

func TestMail_AWrongPasswordIsNotTriedAgain(t *testing.T) {
	office := newPostOffice(t, startTLS)
	r := newRig(t, func(c *notify.Config) { c.Roots = office.roots })
	r.channel("ops", notify.Email, "smtp://berth%40example.org:wr0ng-sEcReT@"+office.address+toPeople)
	r.run()
	r.deployed("live", "1.4", "")
	d := r.await(notify.Failed, 1)[0]
	require.Equal(t, 1, d.Attempts)
	require.Contains(t, d.Error, "AUTH")
	require.Empty(t, office.took())
	r.keepsSecret("wr0ng-sEcReT")
}
