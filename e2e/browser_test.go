package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBrowser has Playwright walk the dashboard of a real server in Debian's
// Chromium. The walks themselves are in browser/.
func TestBrowser(t *testing.T) {
	dir, err := filepath.Abs("browser")
	require.NoError(t, err)
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		if os.Getenv("BERTH_TEST_ENGINES") == "required" {
			t.Fatal("e2e/browser/node_modules is missing: npm ci there")
		}
		t.Skip("e2e/browser/node_modules is missing: `make test` installs it")
	}
	b := start(t, anyEngine(t))
	b.push("hello", "1", image(t, "1"))
	b.push("hello", "2", image(t, "2"))
	b.push("hello", "broken", image(t, "3", "APP_CRASH=no database at db:5432"))

	walk := exec.CommandContext(t.Context(), "npx", "--no-install", "playwright", "test")
	walk.Dir = dir
	walk.Env = append(os.Environ(),
		"BERTH_URL="+b.baseURL(),
		"BERTH_ADMIN_USER=admin",
		"BERTH_ADMIN_PASSWORD="+adminPassword,
	)
	out, err := walk.CombinedOutput()
	t.Logf("%s", out)
	require.NoError(t, err)
}
