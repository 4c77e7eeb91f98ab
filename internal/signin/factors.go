package signin

import "slices"

// stronger are the methods (RFC 8176 section 2) of which one says that more
// was asked for than a password: several factors, or something that somebody
// has. Texts and calls are not among them: a number can be taken over.
var stronger = []string{"mfa", "otp", "hwk", "swk", "sc"}

// strongContexts are the values of acr that say the same: OpenID Connect
// Extended Authentication Profile ACR Values 1.0, and REFEDS MFA. All others
// mean what each provider likes.
var strongContexts = []string{"phr", "phrh", "https://refeds.org/profile/mfa"}

// saysSecondFactor says whether an id_token tells of a second factor. What
// userinfo tells is of the person and not of a sign-in, so that it is not asked.
func (c claims) saysSecondFactor() bool {
	if acr, is := c["acr"].(string); is && slices.Contains(strongContexts, acr) {
		return true
	}
	return slices.ContainsFunc(c.methods(), func(m string) bool { return slices.Contains(stronger, m) })
}

// methods are those of amr, an array of texts; some providers have one text.
func (c claims) methods() (list []string) {
	switch v := c["amr"].(type) {
	case string:
		return []string{v}
	case []any:
		for _, one := range v {
			if text, is := one.(string); is && len(list) < 20 && len(text) <= 50 && printable(text) {
				list = append(list, text)
			}
		}
	}
	return list
}
