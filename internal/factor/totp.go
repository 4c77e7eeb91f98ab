package factor

import (
	"context"
	"crypto/subtle"
	"fmt"
	"strings"
	"time"

	"github.com/boombuler/barcode/qr"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// TOTP is that somebody has codes from an app.
type TOTP struct {
	CreatedAt  time.Time  `json:"created_at"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
}

// totpContext is the inner context of the vault where the secrets are, named
// by their people.
const totpContext = "berth/totp"

const totpPeriod = 30 * time.Second

// Enrolment is what an app needs to make codes. It is shown once.
type Enrolment struct {
	Secret string `json:"secret" doc:"To type into an app that reads no picture"`
	URI    string `json:"uri" doc:"What the picture says" example:"otpauth://totp/…"`
	QR     QR     `json:"qr"`
}

// QR is a picture of dark squares on a light ground.
type QR struct {
	Size int    `json:"size" doc:"How many squares it is wide and high, with the quiet ground around it"`
	Path string `json:"path" doc:"The dark squares as the path of an SVG" example:"M4 4h7v1h-7z"`
}

// askTOTP makes a secret that counts for nothing until a code of it was shown.
func (s *Service) askTOTP(ctx context.Context, tx *sqlite.Tx, p identity.Person) (Enrolment, error) {
	has, err := factorsOf(ctx, tx, p.ID)
	if err != nil {
		return Enrolment{}, err
	}
	if has.TOTP != nil {
		return Enrolment{}, fault.Conflict("you have codes from an app already: remove that app first")
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: "Berth " + s.host, AccountName: p.Username, SecretSize: 20})
	if err != nil {
		return Enrolment{}, fmt.Errorf("make a secret for codes: %w", err)
	}
	if err := s.slots.SetIn(ctx, tx, p.Username, totpContext, p.ID, secret.New(key.Secret())); err != nil {
		return Enrolment{}, err
	}
	if err := beginTOTP(ctx, tx, p.ID, s.now()); err != nil {
		return Enrolment{}, err
	}
	picture, err := pictureOf(key.URL())
	return Enrolment{Secret: key.Secret(), URI: key.URL(), QR: picture}, err
}

// confirmTOTP lets an app's codes count, by the first of them.
func (s *Service) confirmTOTP(ctx context.Context, tx *sqlite.Tx, p identity.Person, code string, of secret.Text) error {
	confirmed, begun, err := totpState(ctx, tx, p.ID)
	switch {
	case err != nil:
		return err
	case !begun:
		return fault.Conflict("begin with a new secret: there is none that waits for its first code")
	case confirmed:
		return fault.Conflict("you have codes from an app already: remove that app first")
	}
	step, right := stepOf(of, code, s.now())
	if !right {
		return fault.InvalidFields([]fault.Field{{Name: "code", Message: "is not what the app should show now: is the time of its device right?"}})
	}
	if err := confirmTOTP(ctx, tx, p.ID, step, s.now()); err != nil {
		return err
	}
	return s.record(ctx, tx, Added, p.Username, p, about{Factor: identity.MethodTOTP})
}

// takeTOTP takes a code in tx, each once.
func (s *Service) takeTOTP(ctx context.Context, tx *sqlite.Tx, p identity.Person, code string, of secret.Text) error {
	step, right := stepOf(of, code, s.now())
	if !right {
		return errCode()
	}
	taken, err := takeStep(ctx, tx, p.ID, step, s.now())
	if err != nil {
		return err
	}
	if !taken {
		return fault.SignIn("that code was used already: wait for the next one")
	}
	return nil
}

func errCode() error { return fault.SignIn("the code is wrong") }

// stepOf finds the step of 30 seconds that a code is of: now, or one before or
// after, as clocks differ (RFC 6238, section 5.2).
func stepOf(of secret.Text, code string, now time.Time) (step int64, right bool) {
	code = strings.ReplaceAll(strings.TrimSpace(code), " ", "")
	for _, skew := range []time.Duration{0, -totpPeriod, totpPeriod} {
		at := now.Add(skew)
		want, err := totp.GenerateCodeCustom(of.Reveal(), at, totp.ValidateOpts{
			Period: uint(totpPeriod / time.Second), Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1,
		})
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			step, right = at.Unix()/int64(totpPeriod/time.Second), true
		}
	}
	return step, right
}

// quiet is how many light squares are around a QR code (ISO/IEC 18004).
const quiet = 4

func pictureOf(text string) (QR, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return QR{}, fmt.Errorf("draw a QR code: %w", err)
	}
	var path strings.Builder
	size := code.Bounds().Dx()
	dark := func(x, y int) bool {
		r, _, _, _ := code.At(x, y).RGBA()
		return r == 0
	}
	for y := range size {
		for x := 0; x < size; x++ {
			run := 0
			for x+run < size && dark(x+run, y) {
				run++
			}
			if run > 0 {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", x+quiet, y+quiet, run, run)
				x += run
			}
		}
	}
	return QR{Size: size + 2*quiet, Path: path.String()}, nil
}
