package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"

	cerrdefs "github.com/containerd/errdefs"

	"berth/internal/container"
)

// libpodPath is the oldest version of Podman's own API that Berth drives;
// later ones answer to it too.
const libpodPath = "/v4.0.0/libpod"

// maxAnswer bounds an answer of Podman's that is read whole, in bytes.
const maxAnswer = 16 << 20

// libpodGet asks Podman's own API for JSON.
func (e *Engine) libpodGet(ctx context.Context, path string, into any) error {
	response, err := e.get(ctx, libpodPath+path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(into)
}

// libpodRemove removes a thing in Podman's own API, which may report a failure
// in an answer that says 200.
func (e *Engine) libpodRemove(ctx context.Context, path string, query url.Values) error {
	response, err := e.libpodDo(ctx, http.MethodDelete, path, query, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var reports []struct {
		Err json.RawMessage // null, a text, or an object
	}
	err = json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&reports)
	if err != nil && !errors.Is(err, io.EOF) { // some versions answer with nothing
		return fmt.Errorf("read Podman's answer: %w", err)
	}
	for _, r := range reports {
		if len(r.Err) > 0 && string(r.Err) != "null" {
			return errors.New(string(r.Err))
		}
	}
	return nil
}

// libpodDo calls Podman's own API. The caller closes the answer's body.
func (e *Engine) libpodDo(ctx context.Context, method, path string, query url.Values, header http.Header) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://engine"+libpodPath+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	maps.Copy(request.Header, header)
	return e.do(request)
}

// get asks a path of the engine's as it is. The caller closes the answer's
// body.
func (e *Engine) get(ctx context.Context, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine"+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	return e.do(request)
}

// do sends a request and makes an error of an answer that says there is one.
func (e *Engine) do(request *http.Request) (*http.Response, error) {
	response, err := e.raw.Do(request)
	if err != nil && request.Context().Err() == nil {
		return nil, fmt.Errorf("%w: %w", container.ErrUnavailable, err)
	}
	if err != nil {
		return nil, err
	}
	if response.StatusCode < http.StatusBadRequest {
		return response, nil
	}
	defer response.Body.Close()
	var said struct {
		Message string `json:"message"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&said); err != nil || said.Message == "" {
		said.Message = response.Status
	}
	switch response.StatusCode {
	case http.StatusNotFound:
		return nil, fmt.Errorf("%s: %w", said.Message, cerrdefs.ErrNotFound)
	case http.StatusConflict:
		return nil, fmt.Errorf("%s: %w", said.Message, cerrdefs.ErrConflict)
	}
	return nil, errors.New(said.Message)
}
