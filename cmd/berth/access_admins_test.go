package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAccessAdmins_AreShownAndSet(t *testing.T) {
	h := newHouse(t)
	require.Regexp(t, `own role says(?s:.*)admin +on +role, break glass`, h.must("access", "admins"))
	h.local("a long enough password\n", "people", "add", "carol")
	shown := h.must("access", "admins", "set", "local:carol", "local:admin")
	require.Contains(t, shown, "The secret berth/ADMINS says who administers.")
	require.Regexp(t, `local:carol +administers +carol +\S+`, shown)
	require.Regexp(t, `admin +on +local:admin, break glass`, shown)
	require.NotContains(t, h.must("access", "admins", "remove", "local:carol"), "carol")
	require.Regexp(t, `local:nobody +waits`, h.must("access", "admins", "add", "local:nobody"))

	bad := h.local("", "access", "admins", "add", "eve")
	require.Equal(t, exitInput, bad.code)
	require.Contains(t, bad.err, `has "eve", which does not say at which provider`)
	require.Contains(t, h.local("", "access", "admins", "add", "corp:eve").err, `there is no provider named "corp"`)
	require.Contains(t, h.local("local:admin,eve\n", "secret", "set", "berth", "ADMINS").err, `has "eve"`)
	require.Contains(t, h.local("local:admin,local:nobody\n", "secret", "set", "berth", "ADMINS").out, "It says who administers from now on")
	require.Contains(t, h.local("", "access", "admins", "remove", "local:zoe").err, "is not on the list")
	require.Contains(t, h.must("--json", "access", "admins"), `"local:nobody"`, "the list of before stays")
	require.Contains(t, h.must("access", "admins", "clear", "-y"), "own role says")
}
