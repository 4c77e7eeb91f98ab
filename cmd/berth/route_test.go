package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRoute_IsAddedChangedAndRemoved(t *testing.T) {
	h := newHouse(t)
	require.Contains(t, h.must("route", "add", "nas", "--hostname", "nas.localhost", "--target", "http://192.168.0.7:5000"), "http://192.168.0.7:5000")
	require.Regexp(t, `nas +nas.localhost/ +http://192.168.0.7:5000 +on`, h.must("route", "list"))
	shown := h.must("route", "show", "nas")
	require.Contains(t, shown, "Where none fits, nobody is let in")
	require.NotContains(t, shown, "everybody")

	require.Regexp(t, `1 +every request +who has signed in`, h.must("route", "access", "nas", "signed-in"))
	require.Regexp(t, `1 +every request +admin`, h.must("route", "access", "nas", "--person", "admin"))
	require.Equal(t, h.must("--json", "route", "access", "nas"), h.local(h.must("--json", "route", "access", "nas"), "--json", "route", "access", "nas", "-f", "-").out)
	explained := h.must("access", "explain", "--as", "admin", "GET", "http://nas.localhost/x")
	require.Regexp(t, `route: +nas`, explained)
	require.Regexp(t, `X-Berth-Context: nas\n`, explained)

	h.must("route", "edit", "nas", "--target", "https://nas.lan/", "--host", "upstream", "--path", "/files", "--strip-prefix", "--wait", "5s", "--protocol", "http2", "--max-body", "1.5 MiB")
	shown = h.must("route", "show", "nas")
	for _, part := range []string{"nas.localhost/files", "https://nas.lan\n", "upstream", "5s", "http2", "1.5 MiB"} {
		require.Contains(t, shown, part)
	}
	require.Regexp(t, `MINUTE +REQUESTS +ERRORS +P50 +P95`, h.must("route", "metrics", "nas", "--minutes", "5"))
	h.must("route", "edit", "nas", "--protocol", "http1", "--max-body", "0")
	require.Contains(t, h.must("route", "show", "nas"), "as BERTH_MAX_BODY says")
	h.must("route", "edit", "nas", "--no-on")
	require.Regexp(t, `https://nas.lan +off`, h.must("route"))
	require.Equal(t, exitMissing, h.local("", "access", "explain", "--as", "admin", "GET", "http://nas.localhost/files").code)
	h.must("route", "edit", "nas", "--on", "--target", "", "--host", "public")
	require.Regexp(t, `another proxy\) +on`, h.must("route", "list"))

	h.must("project", "create", "shop")
	h.must("stage", "create", "shop", "dev", "--hostname", "nas.localhost", "--path", "/dev")
	const beside = "nas.localhost/dev is the stage shop/dev: who enters there, it says: berth access show shop dev"
	for _, told := range [][]string{
		{"route", "show", "nas"},
		{"route", "edit", "nas", "--wait", "6s"},
		{"route", "add", "second", "--hostname", "nas.localhost", "--path", "/second"},
	} {
		require.Contains(t, h.local("", told...).err, beside, told)
	}
	h.must("route", "remove", "second", "--yes")
	taken := h.local("", "stage", "create", "shop", "prod", "--hostname", "nas.localhost", "--path", "/files")
	require.Equal(t, exitInput, taken.code)
	require.Contains(t, taken.err, "is the address of the route nas")
	for _, wrong := range [][]string{
		{"route", "edit", "nas"},
		{"route", "edit", "nas", "--max-body", "much"},
		{"route", "edit", "nas", "--protocol", "h2c"},
		{"route", "edit", "nas", "--target", "http://169.254.169.254"},
		{"route", "access", "nas", "public", "--person", "admin"},
		{"route", "add", "other", "--hostname", "nas.localhost", "--path", "/files"},
	} {
		require.Equal(t, exitInput, h.local("", wrong...).code, wrong)
	}
	require.NotEqual(t, 0, h.local("n\n", "route", "remove", "nas").code)
	h.must("route", "remove", "nas", "--yes")
	require.Equal(t, exitMissing, h.local("", "route", "show", "nas").code)
}
