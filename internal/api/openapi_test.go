package api_test

import (
	"flag"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/api"
)

var update = flag.Bool("update", false, "write docs/openapi.json anew")

const openAPIFile = "../../docs/openapi.json"

func TestOpenAPI_IsWhatDocsKeep(t *testing.T) {
	document, err := api.OpenAPI()
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile(openAPIFile, document, 0o644))
	}
	kept, err := os.ReadFile(openAPIFile)
	require.NoError(t, err)
	require.Equal(t, string(kept), string(document), "docs/openapi.json is stale: go generate ./internal/api")
}
