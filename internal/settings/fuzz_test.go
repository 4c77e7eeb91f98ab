package settings_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/settings"
)

// FuzzLoad holds any value to this: it is refused by name, or what it became
// is whole.
func FuzzLoad(f *testing.F) {
	f.Add("127.0.0.1:8080", "http://localhost:8080", "sqlite:///./x.db", "unix:///x", "1GiB", "30d", "0.5")
	f.Add(":", "http://[::1%25en0]", "sqlite:////", "tcp://", "1e309", "99999999d", "-0")
	f.Fuzz(func(t *testing.T, listen, base, database, engine, size, duration, share string) {
		environ := []string{
			"BERTH_SECRET_KEY=" + key, "BERTH_LISTEN=" + listen, "BERTH_BASE_URL=" + base, "BERTH_DATABASE_URL=" + database,
			"BERTH_ENGINE=" + engine, "BERTH_MAX_BODY=" + size, "BERTH_SHUTDOWN_TIMEOUT=" + duration, "BERTH_ACCESS_LOG=" + share,
		}
		s, err := settings.Load(environ, "/nowhere")
		if err != nil {
			require.Contains(t, err.Error(), "BERTH_")
			require.NotContains(t, err.Error(), key)
			return
		}
		require.NotEmpty(t, s.BaseURL.Hostname())
		require.Empty(t, s.BaseURL.Path)
		require.True(t, strings.HasPrefix(s.DatabasePath, "/"))
		require.GreaterOrEqual(t, s.MaxBodyBytes, int64(0))
		require.GreaterOrEqual(t, int64(s.ShutdownTimeout), int64(0))
		require.True(t, s.AccessLog >= 0 && s.AccessLog <= 1)
	})
}
