package docker

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Find lists the addresses where an engine may listen, in the order in which
// [Open] tries them: the one in DOCKER_HOST, Docker's, Podman's as root, and
// Podman's of the user Berth runs as. It does not look whether one does.
func Find() []string {
	user := fmt.Sprintf("/run/user/%d", os.Getuid())
	candidates := []string{
		os.Getenv("DOCKER_HOST"),
		"/var/run/docker.sock",
		"/run/podman/podman.sock",
	}
	for _, dir := range []string{os.Getenv("XDG_RUNTIME_DIR"), user} {
		if dir != "" {
			candidates = append(candidates, dir+"/podman/podman.sock", dir+"/docker.sock")
		}
	}
	var found []string
	for _, c := range candidates {
		if c = normalise(c); c != "" && !slices.Contains(found, c) {
			found = append(found, c)
		}
	}
	return found
}

// normalise gives a bare path its scheme.
func normalise(socket string) string {
	if strings.HasPrefix(socket, "/") {
		return "unix://" + socket
	}
	return socket
}
