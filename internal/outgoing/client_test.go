package outgoing_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/outgoing"
)

func TestClient_EndsWhatIsLargerThanItsBound(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/elsewhere":
			http.Redirect(w, r, "/whole", http.StatusFound)
		case "/whole":
			_, _ = io.WriteString(w, strings.Repeat("x", 1000))
		default:
			_, _ = io.WriteString(w, strings.Repeat("x", 1001))
		}
	}))
	defer server.Close()
	client := outgoing.Client{Inside: true, Timeout: 10 * time.Second, MaxAnswer: 1000}.New()
	read := func(path string) (int, string, error) {
		response, err := client.Get(server.URL + path)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return response.StatusCode, string(body), err
	}

	status, body, err := read("/whole")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)
	require.Len(t, body, 1000)

	_, _, err = read("/more")
	require.ErrorIs(t, err, outgoing.ErrTooLarge)

	status, _, err = read("/elsewhere")
	require.NoError(t, err)
	require.Equal(t, http.StatusFound, status, "a redirect was followed")

	_, err = outgoing.Client{Timeout: 10 * time.Second, MaxAnswer: 1000}.New().Get(server.URL)
	require.ErrorIs(t, err, outgoing.ErrForbiddenPlace)
}
