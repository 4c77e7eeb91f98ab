package identity

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPasswords_AreAsLongAsTheDashboardSays(t *testing.T) {
	page, err := os.ReadFile("../../web/src/lib/password.ts")
	require.NoError(t, err)
	require.Contains(t, string(page), fmt.Sprintf("export const leastPassword = %d;", minPassword))
}
