package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/textproto"
	"strings"

	"github.com/wneessen/go-mail"

	"berth/internal/outgoing"
)

// mail sends a message by a mail server. Where TLS is asked for, nothing of
// the message or the password goes out before it.
func (c *courier) mail(ctx context.Context, a address, inside bool, m message) *sendError {
	ctx, cancel := context.WithTimeout(ctx, mailTimeout)
	defer cancel()
	letter, err := c.letter(a, m)
	if err != nil {
		return &sendError{text: a.scrub("the mail can't be written: " + err.Error()), final: true}
	}
	client, err := c.mailClient(a, inside)
	if err != nil {
		return &sendError{text: a.scrub(err.Error()), final: true}
	}
	if err := client.DialAndSendWithContext(ctx, letter); err != nil && !letter.IsDelivered() {
		return a.mailTrouble(err)
	}
	return nil
}

func (c *courier) letter(a address, m message) (*mail.Msg, error) {
	letter := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := letter.From(a.mail.from); err != nil {
		return nil, err
	}
	if err := letter.To(a.mail.names...); err != nil {
		return nil, err
	}
	letter.Subject(m.Title)
	letter.SetDateWithValue(m.At)
	letter.SetMessageIDWithValue(m.id + "@" + c.base.Hostname())
	letter.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody's holiday answers to it
	text := m.Title + "\n\n"
	if m.Text != "" {
		text += m.Text + "\n\n"
	}
	letter.SetBodyString(mail.TypeTextPlain, text+m.link+"\n")
	return letter, nil
}

func (c *courier) mailClient(a address, inside bool) (*mail.Client, error) {
	sealing := &tls.Config{ServerName: a.mail.host, RootCAs: c.roots, MinVersion: tls.VersionTLS12}
	dialer := outgoing.NewDialer(inside)
	options := []mail.Option{
		mail.WithPort(a.mail.port), mail.WithTimeout(mailTimeout), mail.WithTLSConfig(sealing),
		mail.WithHELO(c.base.Hostname()), mail.WithoutNoop(),
	}
	switch a.mail.tls {
	case startTLS:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory), mail.WithDialContextFunc(dialer.DialContext))
	case fromTLS:
		over := &tls.Dialer{NetDialer: dialer, Config: sealing}
		options = append(options, mail.WithSSL(), mail.WithDialContextFunc(
			func(ctx context.Context, network, place string) (net.Conn, error) {
				return over.DialContext(ctx, network, place)
			}))
	case noTLS:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS), mail.WithDialContextFunc(dialer.DialContext))
	}
	if a.token != "" {
		// Each of these but SCRAM refuses by itself to go over a plain connection.
		options = append(options, mail.WithUsername(a.user), mail.WithPassword(a.token),
			mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthPlain, mail.SMTPAuthLogin))
	}
	return mail.NewClient(a.mail.host, options...)
}

// mailTrouble says why a mail was not taken. What the server refuses for good
// has a code of 500 and above: RFC 5321, section 4.2.1.
func (a address) mailTrouble(err error) *sendError {
	e := &sendError{}
	if code, ok := errors.AsType[*textproto.Error](err); ok {
		e.final = code.Code >= 500
	}
	if refused, ok := errors.AsType[*mail.SendError](err); ok {
		e.final = refused.ErrorCode() >= 500
	}
	switch {
	case errors.Is(err, outgoing.ErrForbiddenPlace):
		before, after, _ := strings.Cut(err.Error(), outgoing.ErrForbiddenPlace.Error())
		e.text = a.scrub(before[strings.LastIndex(before, ": ")+1:] + outgoing.ErrForbiddenPlace.Error() + after)
	case strings.Contains(err.Error(), "STARTTLS"):
		e.text, e.final = "the mail server offers no TLS, without which nothing is sent: with smtps:// TLS begins at once", true
	default:
		e.text = a.trouble(err)
	}
	return e
}
