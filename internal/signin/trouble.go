package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"berth/internal/outgoing"
)

var statusForm = regexp.MustCompile(`\b[345]\d\d [A-Z][A-Za-z -]+`)

// trouble says of an error that came from a provider what a person may read:
// no part of an answer but the code of the error, which is from a known list
// of letters (RFC 6749 section 5.2), and no address with what was sent to it.
func trouble(err error) string {
	if refused, is := errors.AsType[*oauth2.RetrieveError](err); is {
		said := fmt.Sprintf("its token endpoint answered %d", refused.Response.StatusCode)
		if code := errorCode(refused.ErrorCode); code != "" {
			said += " " + code
		}
		return said
	}
	if other, is := errors.AsType[*oidc.IssuerMismatchError](err); is {
		return fmt.Sprintf("it calls itself %q, which is not %q", shortened(other.Discovered, 200), other.Provided)
	}
	var timeout net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.Is(err, outgoing.ErrTooLarge):
		return "its answer is larger than Berth reads"
	case errors.Is(err, outgoing.ErrForbiddenPlace):
		return "its name leads to an address that Berth does not connect to"
	}
	if _, is := errors.AsType[*json.SyntaxError](err); is {
		return "its answer is no JSON"
	}
	if wrapped, is := errors.AsType[*url.Error](err); is {
		return shortened(wrapped.Err.Error(), 300)
	}
	said := err.Error()
	if status := statusForm.FindString(said); status != "" {
		return "it answered " + status // go-oidc gives the whole body behind it
	}
	return shortened(said, 300)
}

// errorCode gives a code as RFC 6749 section 5.2 has it; "" for what is none.
func errorCode(code string) string {
	if code == "" || len(code) > 64 || strings.ContainsFunc(code, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '.' && r != '-'
	}) {
		return ""
	}
	return code
}

func shortened(s string, most int) string {
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}
