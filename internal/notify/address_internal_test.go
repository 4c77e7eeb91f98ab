package notify

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/secret"
)

func mustURL(raw string) *url.URL {
	u, err := url.Parse(raw)
	if err != nil {
		panic(err)
	}
	return u
}

func TestParseAddress_ShowsOnlyWhatLetsNobodyIn(t *testing.T) {
	for raw, test := range map[string]struct {
		service Service
		hint    string
	}{
		"https://hooks.slack.com/services/T0/B0/abcdef":                                                {Slack, "hooks.slack.com"},
		"https://discord.com/api/webhooks/1/abcdef":                                                    {Discord, "discord.com"},
		"https://prod-1.westeurope.logic.azure.com:443/workflows/a?sig=b":                              {Teams, "prod-1.westeurope.logic.azure.com:443"},
		"https://ntfy.sh/a-topic-that-is-hard-to-guess":                                                {Ntfy, "ntfy.sh"},
		"https://:token@matrix.example.org/!room:example.org":                                          {Matrix, "!room:example.org at matrix.example.org"},
		"https://:token@matrix.example.org/#ops:example.org":                                           {Matrix, "#ops:example.org at matrix.example.org"},
		"https://:token@matrix.example.org/%23ops:example.org":                                         {Matrix, "#ops:example.org at matrix.example.org"},
		"https://example.org/hook?key=abcdef":                                                          {Webhook, "example.org"},
		"smtp://u:p@smtp.example.org?from=berth@example.org&to=ana@example.org":                        {Email, "ana@example.org by smtp.example.org:587"},
		"smtps://u%40x:p%2F@smtp.example.org?from=b@example.org&to=ana@example.org,bo@example.org":     {Email, "ana@example.org, bo@example.org by smtp.example.org:465"},
		"smtp://[2001:db8::1]:2525?from=Berth%20%3Cb@example.org%3E&to=a@example.org&to=b@example.org": {Email, "a@example.org, b@example.org by [2001:db8::1]:2525"},
	} {
		a, err := parseAddress(test.service, secret.New(raw), false)
		require.NoError(t, err, raw)
		require.Equal(t, test.hint, a.hint())
	}
}

func TestParseAddress_SaysWhatIsWrongAndNeverWhatWasGiven(t *testing.T) {
	for raw, test := range map[string]struct {
		service Service
		says    string
	}{
		"hooks.slack.com/sEcReT":                                    {Slack, "is no URL"},
		"https://hooks.slack.com/%zzsEcReT":                         {Slack, "is no URL"},
		"https://hooks.slack.com/sE cReT":                           {Slack, "is no URL"},
		"https://hooks.slack.com":                                   {Slack, "is written as"},
		"http://hooks.slack.com/sEcReT":                             {Slack, "anybody on the way can read"},
		"ftp://hooks.slack.com/sEcReT":                              {Slack, "neither https"},
		"https://hooks.slack.com:0/sEcReT":                          {Slack, "port"},
		"https://u:sEcReT@discord.com/a":                            {Discord, "is written as"},
		"https://ntfy.sh/":                                          {Ntfy, "one topic"},
		"https://ntfy.sh/a/sEcReT":                                  {Ntfy, "one topic"},
		"https://matrix.example.org/!sEcReT:x":                      {Matrix, "access token"},
		"https://:sEcReT@matrix.example.org/room":                   {Matrix, "names a room"},
		"https://:sEcReT@matrix.example.org/!room":                  {Matrix, "names a room"},
		"smtp://u:sEcReT@x?to=a@b.c":                                {Email, "from="},
		"smtp://u:sEcReT@x?from=a@b.c":                              {Email, "to="},
		"smtp://u:sEcReT@x?from=a@b.c&to=a@b.c,":                    {Email, "to="},
		"smtp://u:sEcReT@x?from=a@b.c&to=a@b.c&x=y":                 {Email, "nothing else"},
		"smtp://u@x?from=a@b.c&to=sEcReT@b.c&tls=none":              {Email, "administrator"},
		"smtps://u@x?from=a@b.c&to=sEcReT@b.c&tls=none":             {Email, "tls=none"},
		"https://u:sEcReT@x?from=a@b.c&to=a@b.c":                    {Email, "neither smtp"},
		"smtp://x?from=a@b.c%0D%0ABcc:sEcReT@b.c&to=a@b.c":          {Email, "from="},
		"https://example.org/" + strings.Repeat("sEcReT", 1+2048/6): {Webhook, "bytes"},
	} {
		_, err := parseAddress(test.service, secret.New(raw), false)
		require.Equal(t, fault.BadInput, fault.KindOf(err), raw)
		require.Contains(t, err.Error(), test.says, raw)
		require.NotContains(t, err.Error(), "sEcReT")
	}
	_, err := parseAddress(Email, secret.New("smtp://u:sEcReT@x?from=a@b.c&to=a@b.c&tls=none"), true)
	require.ErrorContains(t, err, "password and tls=none")
	for _, fine := range []string{"http://ntfy.home/topic", "http://192.168.1.2:8080/topic"} {
		_, err := parseAddress(Ntfy, secret.New(fine), true)
		require.NoError(t, err)
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range Services {
		f.Add(string(s), strings.ReplaceAll(s.example(), "…", "abc"))
	}
	f.Fuzz(func(t *testing.T, service, raw string) {
		a, err := parseAddress(Service(service), secret.New(raw), true)
		if err != nil {
			require.Equal(t, fault.BadInput, fault.KindOf(err))
			return
		}
		_ = a.hint()
		if a.service == Email {
			require.NotEmpty(t, a.mail.names)
			return
		}
		_, err = call{url: *a.url}.request(t.Context())
		require.NoError(t, err)
	})
}

func TestScrub_TakesEveryPartThatCouldLetInOut(t *testing.T) {
	a, err := parseAddress(Teams, secret.New("https://example.org/workflows/tokenone/b?sig=token%2Ftwo&x=1"), false)
	require.NoError(t, err)
	for _, said := range []string{
		"Post \"https://example.org/workflows/tokenone/b?sig=token%2Ftwo&x=1\": no", "unknown tokenone", "bad token/two", "bad token%2Ftwo",
	} {
		require.NotRegexp(t, "tokenone|token.two|token%2Ftwo", a.scrub(said))
	}
	require.Equal(t, "one two", a.scrub("one\n\x1b two"))
	require.Len(t, []rune(a.scrub(strings.Repeat("x", 1000))), 300)
}
