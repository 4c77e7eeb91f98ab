package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTally_CountsTestsAndShowsWhatFailed(t *testing.T) {
	var out bytes.Buffer
	c := newTally(&out, false)
	require.NoError(t, c.take(strings.NewReader(`go: downloading x
{"Action":"output","Package":"a","Test":"TestGood","Output":"all is well\n"}
{"Action":"pass","Package":"a","Test":"TestGood"}
{"Action":"output","Package":"a","Test":"TestBad/one","Output":"not equal\n"}
{"Action":"fail","Package":"a","Test":"TestBad/one"}
{"Action":"fail","Package":"a","Test":"TestBad"}
{"Action":"output","Package":"a","Test":"TestLater","Output":"no engine\n"}
{"Action":"skip","Package":"a","Test":"TestLater"}
{"Action":"fail","Package":"a","Elapsed":1.5}
{"Action":"pass","Package":"b","Elapsed":0.1}
{"Action":"skip","Package":"c"}
`)))

	require.Equal(t, counts{passed: 1, failed: 2, skipped: 1}, c.counts)
	require.NotContains(t, out.String(), "all is well")
	for _, shown := range []string{"go: downloading x", "not equal", "no engine", "FAIL    a", "ok      b"} {
		require.Contains(t, out.String(), shown)
	}
}

func TestTally_CountsAPackageThatDoesNotBuild(t *testing.T) {
	var out bytes.Buffer
	c := newTally(&out, false)
	require.NoError(t, c.take(strings.NewReader(`{"ImportPath":"a [a.test]","Action":"build-output","Output":"undefined: x\n"}
{"ImportPath":"a [a.test]","Action":"build-fail"}
{"Action":"fail","Package":"a","FailedBuild":"a [a.test]"}
`)))

	require.Equal(t, counts{failed: 1}, c.counts)
	require.Contains(t, out.String(), "undefined: x")
}

func TestTally_CountsAPackageThatEndsOutsideOfATest(t *testing.T) {
	c := newTally(&bytes.Buffer{}, false)
	require.NoError(t, c.take(strings.NewReader(`{"Action":"fail","Package":"a","Elapsed":1.5}`)))
	require.Equal(t, counts{failed: 1}, c.counts)
}

func TestRead_SumsUpWhatAddWrote(t *testing.T) {
	file := filepath.Join(t.TempDir(), "counts")
	require.NoError(t, add(file, counts{3, 0, 1}))
	require.NoError(t, add(file, counts{2, 1, 0}))

	total, err := read(file)

	require.NoError(t, err)
	require.Equal(t, "5 passed, 1 failed, 1 skipped", total.String())
}
