// Package containertest holds every container engine to one behaviour: what
// container.Runtime promises.
//
// Start with [Run]. It needs the go command, to build the program that the
// containers run, and nothing from outside the machine: the image is made here
// and served by a registry on loopback. What it makes it takes away.
package containertest

import (
	"context"
	"crypto/rand"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
)

// label marks everything that a run makes.
const label = "berth.containertest"

// patience is how long a condition may take to come about on a busy machine.
const patience = 30 * time.Second

// Run holds an engine to the promises of container.Runtime. It may run beside
// others on the same engine.
func Run(t *testing.T, runtime container.Runtime) {
	t.Helper()
	s := &suite{
		Runtime:  runtime,
		run:      strings.ToLower(rand.Text()[:10]),
		registry: newRegistry(t),
	}
	s.labels = map[string]string{label: s.run}
	info, err := runtime.Info(t.Context())
	require.NoError(t, err)
	s.info = info
	t.Cleanup(func() { s.leavesNothing(t) })

	t.Run("Info", s.testInfo)
	if !t.Run("Pull", s.testPull) {
		t.Fatal("nothing else can be tried without an image")
	}
	for _, group := range []struct {
		name string
		test func(*testing.T)
	}{
		{"Image", s.testImages},
		{"Create", s.testCreate},
		{"Life", s.testLife},
		{"Logs", s.testLogs},
		{"Events", s.testEvents},
		{"Stats", s.testStats},
		{"Exec", s.testExec},
		{"Network", s.testNetworks},
		{"Volume", s.testVolumes},
	} {
		t.Run(group.name, group.test)
	}
}

// suite is one run.
type suite struct {
	container.Runtime
	info     container.Info
	run      string // tells this run's things from others'
	labels   map[string]string
	registry *registry
	image    container.Image
}

func (s *suite) lacks(l container.Lack) bool {
	return slices.Contains(s.info.Lacks, l)
}

// name gives a name that no other run uses.
func (s *suite) name(of string) string { return "berth-" + s.run + "-" + of }

// create makes a container that is gone when the test ends. The image and the
// run's label are filled in.
func (s *suite) create(t *testing.T, spec container.Spec) string {
	t.Helper()
	if spec.Image == "" {
		spec.Image = s.image.ID
	}
	if spec.Name == "" {
		spec.Name = s.name(strings.ToLower(rand.Text()[:10]))
	}
	labels := map[string]string{label: s.run}
	maps.Copy(labels, spec.Labels)
	spec.Labels = labels
	id, err := s.Create(t.Context(), spec)
	require.NoError(t, err)
	require.NotEmpty(t, id)
	t.Cleanup(func() {
		require.NoError(t, s.Remove(context.WithoutCancel(t.Context()), id))
	})
	return id
}

// start makes and starts a container.
func (s *suite) start(t *testing.T, spec container.Spec) string {
	t.Helper()
	id := s.create(t, spec)
	require.NoError(t, s.Start(t.Context(), id))
	return id
}

// serve starts the program that answers over HTTP and gives its address.
func (s *suite) serve(t *testing.T, spec container.Spec) (id, address string) {
	t.Helper()
	spec.Publish = 8080
	id = s.start(t, spec)
	return id, s.address(t, id)
}

// address gives where a container answers, as soon as it does.
func (s *suite) address(t *testing.T, id string) string {
	t.Helper()
	var c container.Container
	await(t, "the container answers", func() bool {
		var err error
		c, err = s.Inspect(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, container.StateRunning, c.State, "it ended: %+v", c)
		if c.Address == "" {
			return false
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.Address+"/", http.NoBody)
		require.NoError(t, err)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return false
		}
		return answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
	})
	return c.Address
}

// state gives what a container does now.
func (s *suite) state(t *testing.T, id string) container.State {
	t.Helper()
	c, err := s.Inspect(t.Context(), id)
	require.NoError(t, err)
	return c.State
}

// leavesNothing looks for what the run made.
func (s *suite) leavesNothing(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	containers, err := s.List(ctx, s.labels)
	require.NoError(t, err)
	require.Empty(t, containers, "containers stayed")
	if s.image.ID != "" {
		require.NoError(t, s.RemoveImage(ctx, s.image.ID))
	}
	images, err := s.Images(ctx)
	require.NoError(t, err)
	for _, image := range images {
		require.NotEqual(t, s.registry.name, image.Labels[label], "image %v stayed", image)
	}
	volumes, err := s.Volumes(ctx, s.labels)
	require.NoError(t, err)
	require.Empty(t, volumes, "volumes stayed")
}

// await asks again until the condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("in %v it did not come about that %s", patience, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// get asks a served container and gives its answer.
func get(t *testing.T, address, path string, query url.Values) string {
	t.Helper()
	status, body := call(t, http.MethodGet, address, path, query, "")
	require.Equal(t, http.StatusOK, status, body)
	return body
}

func call(t *testing.T, method, address, path string, query url.Values, body string) (status int, answer string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path+"?"+query.Encode(), strings.NewReader(body))
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(content)
}
