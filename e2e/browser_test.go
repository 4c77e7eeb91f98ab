package e2e

import (
	"cmp"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/needs"
)

// TestBrowser has Playwright walk the dashboard of a real server in Debian's
// Chromium: in light, and at the same time, with a server and a browser of their
// own, in the other looks. The walks themselves are in browser/; each is a subtest
// here. BERTH_TEST_WALKS names what Playwright is to walk ("guard.spec.ts
// --project=light"); all of it when empty.
func TestBrowser(t *testing.T) {
	dir, err := filepath.Abs("browser")
	require.NoError(t, err)
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		needs.Missing(t, "e2e/browser/node_modules is missing: `make test` installs it")
	}
	needs.Program(t, "npx", cmp.Or(os.Getenv("BERTH_CHROMIUM"), "chromium"))
	if some := strings.Fields(os.Getenv("BERTH_TEST_WALKS")); len(some) > 0 {
		walk(t, dir, "some", anyEngine(t), some...)
		return
	}
	t.Run("light", func(t *testing.T) {
		t.Parallel()
		walk(t, dir, "light", anyEngine(t), "--project=light")
	})
	t.Run("others", func(t *testing.T) {
		t.Parallel()
		walk(t, dir, "others", engine{"any", needs.Engine(t, "docker", "podman", "rootless")}, "--project=dark", "--project=phone")
	})
}

// walk has Playwright walk what the arguments say, with a server of its own.
// What it keeps of failures is in browser/test-results, below the name.
func walk(t *testing.T, dir, name string, e engine, args ...string) {
	t.Helper()
	b := start(t, e)
	b.push("hello", "1", image(t, "1"))
	b.push("hello", "2", image(t, "2"))
	b.push("hello", "slow", image(t, "slow", "APP_START_DELAY=10m"))
	b.push("hello", "late", image(t, "4", "APP_FAIL_AFTER=8s"))
	b.push("hello", "broken", image(t, "3", "APP_CRASH=no database at db:5432"))

	file := filepath.Join(t.TempDir(), "report.json")
	playwright := exec.CommandContext(t.Context(), "npx", "--no-install", "playwright", "test", "--reporter=list,json", "--output=test-results/"+name)
	playwright.Args = append(playwright.Args, args...)
	playwright.Dir = dir
	playwright.Env = append(os.Environ(),
		"BERTH_URL="+b.baseURL(),
		"BERTH_BINARY="+binary,
		"BERTH_ADMIN_USER=admin",
		"BERTH_ADMIN_PASSWORD="+adminPassword,
		"BERTH_SETUP_LINKS="+setupLinks(t, e, "light", "dark", "phone", "rule"),
		"BERTH_TEST_PROVIDER_PORT="+freePort(t),
		"BERTH_TEST_ZITADEL="+startZitadel(t, b.baseURL()),
		"PLAYWRIGHT_JSON_OUTPUT_FILE="+file,
		"NO_COLOR=1", "FORCE_COLOR=0",
	)
	out, walkErr := playwright.CombinedOutput()
	t.Logf("%s", out)
	raw, err := os.ReadFile(file)
	require.NoError(t, err, "Playwright ended without a report: %v", walkErr)
	var report playwrightReport
	require.NoError(t, json.Unmarshal(raw, &report))
	for _, problem := range report.Errors {
		t.Error(problem.Message)
	}
	for _, s := range report.Suites {
		s.tell(t)
	}
	if walkErr != nil && !t.Failed() {
		t.Errorf("Playwright: %v", walkErr)
	}
}

// freePort gives a port of loopback for the provider that a walk starts: the
// browser's own network has to know it beforehand.
func freePort(t *testing.T) string {
	t.Helper()
	_, port, err := net.SplitHostPort(needs.Address(t))
	require.NoError(t, err)
	return port
}

var setupLink = regexp.MustCompile(`http://\S+/setup#token=\S+`)

// setupLinks starts a server that nobody has an account on for each name ("rule"
// for the walk that ends everybody's sessions on it), and one named "required" that asks everybody for a second factor, and gives their
// set-up links as a JSON object.
func setupLinks(t *testing.T, e engine, names ...string) string {
	t.Helper()
	links := map[string]string{}
	read := func(name, required string) {
		b := start(t, e, "BERTH_ADMIN_PASSWORD=", "BERTH_SECOND_FACTOR="+required)
		// It may answer before what it has printed has come here.
		b.eventually("the set-up link is printed", func() error {
			if links[name] = setupLink.FindString(b.output.String()); links[name] == "" {
				return errors.New("there is none")
			}
			return nil
		})
	}
	for _, name := range names {
		read(name, "nobody")
	}
	read("required", "everybody")
	raw, err := json.Marshal(links)
	require.NoError(t, err)
	return string(raw)
}

// playwrightReport is what is read of the report of Playwright's JSON reporter.
type playwrightReport struct {
	Suites []playwrightSuite
	Errors []playwrightError // outside of any test
}

type playwrightSuite struct {
	Suites []playwrightSuite
	Specs  []struct {
		Title string
		Tests []struct {
			ProjectName string
			Status      string // expected, unexpected, flaky or skipped
			Results     []struct{ Errors []playwrightError }
		}
	}
}

type playwrightError struct{ Message string }

// tell makes a subtest of each test, with what it failed with.
func (s playwrightSuite) tell(t *testing.T) {
	for _, inner := range s.Suites {
		inner.tell(t)
	}
	for _, spec := range s.Specs {
		for _, test := range spec.Tests {
			t.Run(test.ProjectName+": "+spec.Title, func(t *testing.T) {
				var said []string
				for _, result := range test.Results {
					for _, problem := range result.Errors {
						said = append(said, problem.Message)
					}
				}
				switch test.Status {
				case "expected":
				case "skipped":
					t.Skip("Playwright skipped it")
				default:
					t.Errorf("%s\n%s", test.Status, strings.Join(said, "\n"))
				}
			})
		}
	}
}
