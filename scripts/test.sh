#!/usr/bin/env bash
# make test: install what tests need, build, start the engines, run all tests,
# and end with "N passed, N failed, N skipped".
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

counts=$PWD/.tools/counts

# SQLite is C that was translated to Go: the race detector makes it five times
# as slow, and finds nothing there that is Berth's. sync and sync/atomic, by
# which it orders what Berth's goroutines do, stay watched.
no_race_in_sqlite=(-gcflags=modernc.org/sqlite/lib=-race=false -gcflags=modernc.org/libc=-race=false)

main() {
  toolchain
  install
  mkdir -p .tools
  : >"$counts"
  say "building dashboard and binary"
  make --no-print-directory -s build
  go build -o .tools/tally ./scripts/tally
  web_tests
  start_engines
  export BERTH_TEST_ENGINES=${BERTH_TEST_ENGINES:-required}
  # Unit tests and what talks to the engines, with the race detector; the
  # end-to-end tests drive a built binary, which it would not see.
  local packages
  packages=$(go list ./... | grep -v '/e2e')
  after "unit tests, and the conformance of engines"
  # Most of them wait, so that twice as many as there are cores take turns.
  # shellcheck disable=SC2086 # a list
  go_tests -race "${no_race_in_sqlite[@]}" -timeout 20m -p $((2 * $(nproc))) $packages
  after "end-to-end tests, the browser's walks beside the others"
  go_tests -timeout 60m -run '^TestBrowser$' ./e2e &
  local walks=$!
  go_tests -timeout 60m -parallel 3 -skip '^TestBrowser$' ./e2e/...
  wait "$walks"
  after "done"
  .tools/tally -sum "$counts" | tee .tools/summary || true
  grep -q ' 0 failed' .tools/summary
}

# install brings what a fresh Debian or Ubuntu lacks.
install() {
  scripts/install-engine.sh --all
  browser
  packages gcc libc6-dev curl ca-certificates jq nginx-light caddy skopeo wrk docker-registry sqlite3
}

# start_engines names Docker, Podman and rootless Podman to the tests. They
# keep everything below .tools/engines.
start_engines() {
  local line
  if [ -n "${BERTH_TEST_DOCKER:-}" ] && [ -n "${BERTH_TEST_PODMAN:-}" ] && [ -n "${BERTH_TEST_ROOTLESS:-}" ]; then
    say "using the engines that the environment names"
    return 0
  fi
  say "starting the engines"
  engines_for_tests all || die "an engine does not start; see above"
  while read -r line; do
    case $line in BERTH_TEST_*=*) export "${line?}" ;; esac
  done <<<"$lines"
}

# after says what comes next, and how long it took to come here.
after() { say "$1 (after $((SECONDS / 60)) min $((SECONDS % 60)) s)"; }

go_tests() {
  go test -json "$@" | .tools/tally -to "$counts" || true
}

# web_tests checks the dashboard's types and runs its unit tests, and installs
# the browser tests, which e2e runs.
web_tests() {
  say "the dashboard's tests"
  (cd web && npm run --silent check) || die "the dashboard's types are wrong; see above"
  local said passed failed skipped
  said=$(cd web && npm test --silent 2>&1) || true
  count() { awk -v name="$1" '($1 == "#" || $1 == "ℹ") && $2 == name { print $3 }' <<<"$said"; }
  passed=$(count pass) failed=$(count fail) skipped=$(count skipped)
  if [ "${failed:-1}" != 0 ]; then printf '%s\n' "$said"; fi
  echo "${passed:-0} ${failed:-1} ${skipped:-0}" >>"$counts"
  if [ e2e/browser/package-lock.json -nt e2e/browser/node_modules/.package-lock.json ]; then
    (cd e2e/browser && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund --loglevel=error)
    touch e2e/browser/node_modules/.package-lock.json
  fi
}

main "$@"
