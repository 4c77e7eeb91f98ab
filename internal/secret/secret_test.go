package secret_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/secret"
)

const value = "hunter2"

type account struct {
	Name     string
	Password secret.Text
	hidden   secret.Text
}

func TestText_PrintsAsDotsWithEveryVerb(t *testing.T) {
	text := secret.New(value)
	one := account{"ana", text, text}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%08.3f", "%U", "%c", "%T"} {
		for _, given := range []any{text, &text, one, &one, []secret.Text{text}, map[string]secret.Text{"a": text}, errors.New(fmt.Sprint(text))} {
			said := fmt.Sprintf(verb, given)
			require.NotContains(t, said, value, verb)
			require.NotContains(t, said, fmt.Sprintf("%x", value), verb)
			require.NotContains(t, said, fmt.Sprintf("%X", value), verb)
		}
	}
	require.Equal(t, "••••••", fmt.Sprint(text))
	require.Equal(t, "secret.Text(••••••)", fmt.Sprintf("%#v", text))
	require.Empty(t, fmt.Sprint(secret.Text{}))
	require.NotEmpty(t, one.hidden.Reveal())
}

func TestText_LogsAsDots(t *testing.T) {
	text := secret.New(value)
	var said bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&said, nil), slog.NewJSONHandler(&said, nil)} {
		slog.New(handler).Info("x", "text", text, "pointer", &text, "in_a_struct", account{"ana", text, text}, "group", slog.GroupValue(slog.Any("text", text)))
	}
	require.NotContains(t, said.String(), value)
	require.Contains(t, said.String(), "••••••")
}

func TestText_EncodesAsDotsAndDecodes(t *testing.T) {
	raw, err := json.Marshal(account{"ana", secret.New(value), secret.New(value)})
	require.NoError(t, err)
	require.JSONEq(t, `{"Name":"ana","Password":"••••••"}`, string(raw))

	var in account
	require.NoError(t, json.Unmarshal([]byte(`{"Password":"hunter2"}`), &in))
	require.Equal(t, value, in.Password.Reveal())
	require.NoError(t, json.Unmarshal([]byte(`{"Password":""}`), &in))
	require.True(t, in.Password.Empty())
}

func TestText_Equal(t *testing.T) {
	require.True(t, secret.New("a").Equal(secret.New("a")))
	require.False(t, secret.New("a").Equal(secret.New("b")))
	require.False(t, secret.New("a").Equal(secret.New("ab")))
	require.True(t, secret.New("").Equal(secret.Text{}))
	require.True(t, secret.New("").Empty())
}
