#!/usr/bin/env bash
# make bench: trigger-to-live time beside the engine's own floor, on each
# engine, what 1,000 projects cost, what being signed in costs, and the gateway
# beside nginx.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

scripts/install-engine.sh --all
packages nginx-light wrk docker-registry
engines_for_tests all
say "trigger to live, beside the engine's floor"
# shellcheck disable=SC2086 # one variable a line
env $lines go test -tags bench -v -count 1 -timeout 1h -run TestFloor ./e2e
say "1,000 projects"
# shellcheck disable=SC2086 # one variable a line
env $lines go test -tags bench -v -count 1 -timeout 1h -run TestMany ./e2e
say "being signed in: 100,000 sessions, 1,000 routes"
go test -run '^$' -bench 'Enter' -benchtime 30000x ./internal/gateway
say "the gateway beside nginx"
scripts/bench-gateway.sh
