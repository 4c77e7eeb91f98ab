#!/usr/bin/env bash
# make run: install what is missing, build, start Berth in the foreground, and
# the first time deploy examples/hello. Ctrl-C stops it.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

berth() { bin/berth "$@"; }

main() {
  toolchain
  say "building Berth"
  make --no-print-directory -s build
  data=$(setting DATA_DIR) # from the environment, .env, or the default
  find_engine
  start
  if [ ! -e "$data/hello-deployed" ]; then first_app; fi
  addresses
  stay
}

# find_engine exports the socket that Berth is to use, unless somebody chose.
find_engine() {
  engine=$(setting ENGINE)
  [ "$engine" = auto ] || return 0
  if ! have docker && ! have podman; then
    say "no container engine: installing Podman"
    scripts/install-engine.sh
  fi
  mkdir -p "$data"
  chmod 700 "$data"
  engine=$(scripts/engines.sh run-engine "$data/engine") ||
    die "no container engine answers; see above. BERTH_ENGINE=unix:///path/of/a.sock names one"
  export BERTH_ENGINE=$engine
}

# start runs the server in a process group of its own, so that Ctrl-C comes to
# this script first, and waits until it answers. What it says to a person (the
# set-up link) is kept for the end, where it is seen.
start() {
  local words
  words=$(mktemp -u)
  mkfifo -m 600 "$words"
  exec 3<>"$words"
  rm "$words"
  set -m
  bin/berth serve >&3 &
  server=$!
  set +m
  trap 'kill -INT "$server" 2>/dev/null || true' INT TERM
  trap 'kill -TERM "$server" 2>/dev/null || true' EXIT
  local tries=0
  # The socket first: it is this server's alone, the port may be another's.
  until berth status >/dev/null 2>&1 && berth health >/dev/null 2>&1; do
    kill -0 "$server" 2>/dev/null || { wait "$server" || exit $?; exit 1; }
    tries=$((tries + 1))
    [ $tries -lt 600 ] || die "the server does not answer after a minute"
    sleep 0.1
  done
}

# first_app builds examples/hello from nothing but this machine, with the
# engine that was found, pushes it to the built-in registry over the local
# socket, and deploys it.
first_app() {
  local work tag=1.0
  work=$(mktemp -d)
  say "building examples/hello"
  CGO_ENABLED=0 go build -ldflags "-s -w -X main.version=$tag" -o "$work/hello" ./examples/hello
  cp examples/hello/Dockerfile "$work/"
  build_image "$work" "localhost/berth-example-hello:$tag"
  say "pushing it to the built-in registry as hello:$tag"
  berth image push "$work/image.tar" "hello:$tag"
  rm -rf "$work"

  local host
  host=hello.$(base_host)
  berth project show hello >/dev/null 2>&1 || berth project create hello --description "The first app"
  berth stage show hello prod >/dev/null 2>&1 ||
    berth stage create hello prod --hostname "$host" --access public --tags 'glob:*' --health /health
  say "deploying it"
  if berth deploy hello prod "$tag" --wait; then
    touch "$data/hello-deployed"
  else
    say "hello is not live; the reason is above. Berth itself runs."
  fi
}

# build_image asks the engine's own API, so that no client program is needed.
build_image() {
  local work=$1 name=$2 said
  have curl || packages curl ca-certificates
  said=$(tar -C "$work" -c Dockerfile hello | engine_api --fail-with-body -X POST -H 'Content-Type: application/x-tar' \
    --data-binary @- "build?t=$name&rm=1&forcerm=1") || die "the engine could not build examples/hello: $said"
  case $said in *'"error"'*) die "the engine could not build examples/hello: $said" ;; esac
  engine_api --fail -o "$work/image.tar" "images/$name/get" || die "the engine does not give examples/hello back"
  engine_api -X DELETE "images/$name" >/dev/null || true
}

# engine_api names no version of the API, and so gets the engine's own: each
# engine refuses some.
engine_api() {
  local last=${*: -1}
  case $engine in
    tcp://*) curl -sS "${@:1:$#-1}" "http://${engine#tcp://}/$last" ;;
    *) curl -sS --unix-socket "${engine#unix://}" "${@:1:$#-1}" "http://engine/$last" ;;
  esac
}

# setting gives one value in force.
setting() { berth --json config | sed -n "/\"name\": \"BERTH_$1\"/{n;s/.*\"value\": \"\(.*\)\".*/\1/p;}"; }

base_host() { setting BASE_URL | sed -E 's#^https?://##; s#[:/].*$##'; }

addresses() {
  local base app
  base=$(setting BASE_URL)
  app=$(berth --json stage show hello prod 2>/dev/null | sed -n 's/^  "url": "\(.*\)".*/\1/p') || true
  printf '\n  Dashboard  %s\n' "$base"
  [ -z "$app" ] || printf '  App        %s\n' "$app"
  printf '\n'
  while IFS= read -r -t 0.1 line <&3; do printf '  %s\n' "$line"; done
  printf '\nCtrl-C stops Berth; "make run" starts it again where it was.\n\n'
}

# stay waits for the server, through the signals that it is given.
stay() {
  local code=0
  while kill -0 "$server" 2>/dev/null; do
    code=0
    wait "$server" || code=$?
  done
  trap - EXIT
  exit "$code"
}

main "$@"
