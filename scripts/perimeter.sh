#!/usr/bin/env bash
# make perimeter: run the attacks that hit other gateways and identity servers
# against the built binary with real apps behind it, on Podman, and print a
# table of what held, with the advisory that each learnt from.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

scripts/install-engine.sh --all
engines_for_tests podman
# shellcheck disable=SC2086 # one variable a line
env $lines BERTH_PERIMETER_REPORT=1 go test -v -count 1 -timeout 20m -run '^TestPerimeter$' ./e2e | grep -v '^=== '
