package needs

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Registry starts Debian's docker-registry, a CNCF Distribution, and gives its
// host. Only who signs in as username may push to it and pull from it; without
// a username everybody may. It ends with the test.
func Registry(tb testing.TB, username, password string) (host string) {
	tb.Helper()
	Program(tb, "docker-registry")
	dir, host := tb.TempDir(), Address(tb)
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %q}, delete: {enabled: true}}\nhttp: {addr: %q}\n",
		filepath.Join(dir, "data"), host)
	answer := http.StatusOK
	if username != "" {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			tb.Fatal(err)
		}
		file := filepath.Join(dir, "htpasswd")
		write(tb, file, username+":"+string(hash)+"\n")
		config += fmt.Sprintf("auth: {htpasswd: {realm: test, path: %q}}\n", file)
		answer = http.StatusUnauthorized
	}
	file := filepath.Join(dir, "config.yml")
	write(tb, file, config)
	cmd := exec.CommandContext(tb.Context(), "docker-registry", "serve", file) //nolint:gosec // the file is ours
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	// What it writes is of use only where it does not answer: it calls each
	// image that a client asks for before pushing it an error.
	log, err := os.Create(filepath.Join(dir, "log")) //nolint:gosec // the folder is ours
	if err != nil {
		tb.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = cmd.Wait() }) // the test's context has killed it
	for until := time.Now().Add(20 * time.Second); !answers(tb, host, answer); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			said, _ := os.ReadFile(log.Name())
			tb.Fatalf("docker-registry does not answer at %s: %s", host, said)
		}
	}
	return host
}

func answers(tb testing.TB, host string, status int) bool {
	tb.Helper()
	request, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, "http://"+host+"/v2/", http.NoBody)
	if err != nil {
		tb.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == status
}

func write(tb testing.TB, file, text string) {
	tb.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}
