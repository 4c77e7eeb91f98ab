package factor

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"time"
	"unicode"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// Recovery is how many recovery codes somebody has left.
type Recovery struct {
	Left int `json:"left"`
}

const (
	recoveryCodes  = 10
	recoveryLength = 16 // characters of 5 bits: nobody finds 80 of them by their hash
	// recoveryAlphabet is Crockford's: no letter is read as another, or as a
	// digit, that doubt would hang on.
	recoveryAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"
)

// newCodes makes recovery codes in the place of those before, in tx.
func (s *Service) newCodes(ctx context.Context, tx *sqlite.Tx, personID string) ([]string, error) {
	if err := deleteCodes(ctx, tx, personID); err != nil {
		return nil, err
	}
	codes := make([]string, recoveryCodes)
	for i := range codes {
		codes[i] = newCode()
		if err := insertCode(ctx, tx, personID, hashOfCode(personID, codes[i])); err != nil {
			return nil, err
		}
	}
	return codes, nil
}

// takeCode takes a recovery code in tx, once, and says how many are left.
func (s *Service) takeCode(ctx context.Context, tx *sqlite.Tx, p identity.Person, code string) error {
	taken, err := useCode(ctx, tx, p.ID, hashOfCode(p.ID, code), s.now())
	if err != nil {
		return err
	}
	if !taken {
		return errCode()
	}
	left, err := codesLeft(ctx, tx, p.ID)
	if err != nil {
		return err
	}
	return s.record(ctx, tx, Used, p.Username, p, about{Factor: identity.MethodRecovery, Left: &left})
}

// newCode gives a code in groups of four.
func newCode() string {
	raw := make([]byte, recoveryLength)
	_, _ = rand.Read(raw)
	var code strings.Builder
	for i, b := range raw {
		if i > 0 && i%4 == 0 {
			code.WriteByte('-')
		}
		code.WriteByte(recoveryAlphabet[b%byte(len(recoveryAlphabet))])
	}
	return code.String()
}

// hashOfCode reads a code as people type it.
func hashOfCode(personID, code string) []byte {
	plain := strings.Map(func(r rune) rune {
		switch r = unicode.ToLower(r); {
		case r == '-' || unicode.IsSpace(r):
			return -1
		case r == 'o':
			return '0'
		case r == 'i' || r == 'l':
			return '1'
		}
		return r
	}, code)
	sum := sha256.Sum256([]byte(personID + ":" + plain))
	return sum[:]
}

// secretFor reads what a code is compared with; nothing for a recovery code.
func (s *Service) secretFor(ctx context.Context, personID string, method identity.Method) (secret.Text, error) {
	switch method {
	case identity.MethodTOTP:
		of, err := s.slots.Get(ctx, totpContext, personID)
		if fault.KindOf(err) == fault.Missing {
			return secret.Text{}, fault.Invalid("there is no app that makes codes")
		}
		return of, err
	case identity.MethodRecovery:
		return secret.Text{}, nil
	case identity.MethodPassword, identity.MethodPasskey, identity.MethodProvider, identity.MethodMFA:
	}
	return secret.Text{}, fault.InvalidFields([]fault.Field{{Name: "method", Message: "is totp or recovery, or comes with a passkey's answer"}})
}

// redeem takes a code of either sort, in tx.
func (s *Service) redeem(ctx context.Context, tx *sqlite.Tx, p identity.Person, method identity.Method, code string, of secret.Text) error {
	if method == identity.MethodTOTP {
		return s.takeTOTP(ctx, tx, p, code, of)
	}
	return s.takeCode(ctx, tx, p, code)
}

func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// lastUsed is for columns that may be NULL.
func lastUsed(valid bool, millis int64) *time.Time {
	if !valid {
		return nil
	}
	at := sqlite.Time(millis)
	return &at
}
