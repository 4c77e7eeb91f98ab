#!/usr/bin/env bash
# make fuzz: give every fuzz test of the module BERTH_FUZZ_TIME (15s) of new
# inputs. What one finds is written into its package's testdata/fuzz, to be
# committed with what mends it.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

time=${BERTH_FUZZ_TIME:-15s}
grep -rlE --include='*_test.go' '^func Fuzz' cmd internal | xargs -n1 dirname | sort -u | while read -r package; do
  grep -hoE '^func Fuzz\w+' "$package"/*_test.go | sed 's/^func //' | sort | while read -r name; do
    say "$package $name"
    go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" "./$package" </dev/null
  done
done
