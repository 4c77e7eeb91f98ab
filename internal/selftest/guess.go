package selftest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// guessesMost is how often a password is guessed at, for a name that nobody
// has. It is well below what an address may try in all, so that whoever shares
// it signs in meanwhile.
const guessesMost = 9

var guessing = Check{
	Name:       "guessing-without-end",
	Prevents:   "Passwords are guessed faster by writing a name in another way or saying to come from elsewhere; or a refusal tells that nobody has the name.",
	Advisories: []string{"CVE-2025-24806", "CVE-2023-36456"},
	Attack: func(ctx context.Context, t *Try) {
		name, said := mark(), ""
		for i := range guessesMost {
			spelled := []string{name, strings.ToUpper(name), " " + name, name + " ", name[:1] + strings.ToUpper(name[1:])}[i%5]
			body := fmt.Sprintf(`{"username":%q,"password":"wrong and long enough %d"}`, spelled, i)
			message := request(http.MethodPost, t.base(), "/api/session", "Content-Type: application/json", fmt.Sprintf("Content-Length: %d", len(body)),
				fmt.Sprintf("X-Forwarded-For: 192.0.2.%d", i), fmt.Sprintf("X-Real-IP: 192.0.2.%d", i), fmt.Sprintf("Forwarded: for=192.0.2.%d", i), fmt.Sprintf("User-Agent: %d", i)) + body
			answers := t.sendWithin(ctx, message, guessTimeout)
			if len(answers) == 0 {
				t.noAnswer(message)
				return
			}
			a := &answers[0]
			if noRoom(a.Status) {
				if i == 0 || a.Header.Get("Retry-After") == "" {
					t.unmade = "this address may not guess any more for now"
				}
				return
			}
			if a.Status != http.StatusUnauthorized || strings.Contains(strings.ToLower(a.Body), name) || a.Header.Get("Set-Cookie") != "" {
				t.Broken(message, a.String())
				return
			}
			if now := withoutID(a.Body); said == "" {
				said = now
			} else if said != now {
				t.Broken(message, "another refusal than before: "+now)
			}
		}
		t.Broken(fmt.Sprintf("%d guesses at one name", guessesMost), "no wait")
	},
}

// withoutID cuts the id of its request from a problem.
func withoutID(body string) string {
	before, after, found := strings.Cut(body, `"request_id":"`)
	if !found {
		return body
	}
	_, after, _ = strings.Cut(after, `"`)
	return before + after
}
