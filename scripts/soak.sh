#!/usr/bin/env bash
# make soak: replace one stage's release BERTH_SOAK_SWAPS times (100) under
# constant load, on Docker, Podman and rootless Podman. It prints requests,
# failures and the time from trigger to first answer of the new release. Then a
# guard takes a release back that breaks late, and canaries keep their clients:
# it prints what the bad releases cost.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

scripts/install-engine.sh --all
engines_for_tests all
say "swapping releases under load; this takes a while"
# shellcheck disable=SC2086 # one variable a line
env $lines BERTH_SOAK_SWAPS="${BERTH_SOAK_SWAPS:-100}" go test -v -count 1 -parallel 1 -timeout 3h -run '^(TestSwap|TestGuard|TestCanary)' ./e2e
