package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSecondFactorRule_IsShownAndSet(t *testing.T) {
	h := newHouse(t)
	require.Contains(t, h.must("access", "second-factor"), "required of nobody")
	require.Contains(t, h.must("access", "second-factor", "everybody"), "required of everybody")
	require.Contains(t, h.must("--json", "access", "second-factor"), `"version": 1`)
	require.Contains(t, h.must("access", "second-factor", "nobody"), "required of nobody")
	require.NotZero(t, h.local("", "access", "second-factor", "somebody").code)
}
