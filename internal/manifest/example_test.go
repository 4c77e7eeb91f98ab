package manifest_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExample_IsAppliedAsItStands(t *testing.T) {
	s := newServer(t)
	raw, err := os.ReadFile("../../examples/configuration/berth.yaml")
	require.NoError(t, err)

	require.Len(t, s.apply(string(raw)).Applied, 5)

	prod, err := s.deploy.Stage(t.Context(), "shop", "prod")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"LOG_LEVEL": "info", "REGION": "eu"}, prod.Spec.Env, "merged, and its own first")
	require.Empty(t, s.apply(s.export()).Applied)
}
