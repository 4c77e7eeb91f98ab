#!/usr/bin/env bash
# Holds the engines of another Debian or Ubuntu release to the same behaviour
# as this machine's.
#
#   engines-of.sh SUITE [TEST ARGUMENTS]   engines-of.sh trixie -run TestEngine ./internal/container/docker
#
# It lays SUITE out below .tools/debian, once, with that release's Docker and
# Podman, and runs engines and tests in namespaces of their own: another root,
# a network that leads nowhere, and processes that end with it. Without
# arguments it runs the tests of the driver and of deployments. It needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

main() {
  local suite=${1:-} root
  [ -n "$suite" ] || { sed -n '2,/^set /{s/^# \{0,1\}//;/^set /!p}' scripts/engines-of.sh >&2; exit 2; }
  shift
  [ "$(id -u)" = 0 ] || die "only root can run the engines of another system"
  have go || toolchain
  root=$PWD/.tools/debian/$suite
  [ -e "$root/laid-out" ] || lay_out "$suite" "$root"
  go mod download # there is no network inside
  [ $# -gt 0 ] || set -- ./internal/container/docker ./internal/deploy
  exec unshare --mount --net --pid --fork --uts --kill-child \
    scripts/engines-of.sh --inside "$root" "$(go env GOROOT)" "$(go env GOMODCACHE)" "$(go env GOCACHE)" "$@"
}

lay_out() {
  local suite=$1 root=$2
  packages debootstrap
  say "laying out $suite in $root"
  rm -rf --one-file-system "$root"
  mkdir -p "$root"
  debootstrap --variant=minbase --include=ca-certificates,curl,procps "$suite" "$root" >"$root.log" 2>&1 ||
    die "debootstrap could not lay out $suite; its log is $root.log"
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # nothing starts by itself there
  chmod 755 "$root/usr/sbin/policy-rc.d"
  chroot "$root" bash -s -- --all <scripts/install-engine.sh
  touch "$root/laid-out"
}

# inside makes the new root this process's, and runs engines and tests there.
inside() {
  local root=$1 goroot=$2 modules=$3 cache=$4 checkout=$PWD dir lines
  state=/var/lib/berth-engines
  shift 4
  mount --make-rprivate /
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs -o mode=755 tmpfs "$root/run"
  mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
  for dir in "$checkout" "$goroot" "$modules" "$cache"; do
    mkdir -p "$root$dir"
    mount --bind "$dir" "$root$dir"
  done
  mkdir -p "$root/outside"
  cd "$root"
  pivot_root . outside
  umount -l /outside
  cd "$checkout"
  hostname berth-test
  ip link set lo up
  # Rootless Podman 5 wants a way out to copy; behind this one is nobody.
  ip link add nowhere type veth peer name nobody
  ip link set nobody up
  ip address add 192.0.2.1/24 dev nowhere
  ip link set nowhere up
  ip route add default via 192.0.2.2

  rm -rf --one-file-system "$state"
  export HOME=/root PATH=$goroot/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  export GOMODCACHE=$modules GOCACHE=$cache GOPROXY=off GOTOOLCHAIN=local CGO_ENABLED=0 BERTH_TEST_ENGINES=required
  unset TMPDIR XDG_RUNTIME_DIR DOCKER_HOST
  say "$(dockerd --version); $(podman --version)"
  trap 'scripts/engines.sh stop all "$state" || true' EXIT
  trap 'exit 130' INT TERM
  lines=$(scripts/engines.sh start all "$state")
  # shellcheck disable=SC2086 # one variable a line
  env $lines go test -count 1 -timeout 20m "$@"
}

if [ "${1:-}" = --inside ]; then
  shift
  inside "$@"
else
  main "$@"
fi
