#!/usr/bin/env bash
# make perimeter: run the attacks that hit other gateways and identity servers
# against the built binary with real apps behind it, and print a table of what
# held, with the advisory that each learnt from. It takes no container engine.
set -euo pipefail
cd "$(dirname "$0")/.."

env BERTH_PERIMETER_REPORT=1 go test -v -count 1 -timeout 20m -run '^TestPerimeter$' ./e2e | grep -v '^=== '
