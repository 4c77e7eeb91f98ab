#!/usr/bin/env bash
# Container engines for tests and for `make run`.
#
#   engines.sh start [docker|podman|rootless|all] STATE_DIR   start what is not running, print the env lines
#   engines.sh env   [docker|podman|rootless|all] STATE_DIR   print the env lines of those that answer
#   engines.sh stop  [docker|podman|rootless|all] STATE_DIR   stop what start has started, with its containers
#   engines.sh restart [docker|podman|rootless] STATE_DIR     end its process and start it again: Docker's containers end
#                                                             with it, Podman's do not
#   engines.sh run-engine STATE_DIR                           find an engine for `berth serve`, else start Podman's
#                                                             API service; print the socket
#
# With --own before the command, Docker is one of STATE_DIR alone, even where
# the machine's own runs, and is in its way nowhere: for tests that restart it.
#
# The engines for tests keep images, containers, networks and configuration
# under STATE_DIR: nothing of the machine's own Docker or Podman is touched. A
# Docker that runs already is used as it is, without --own. Docker, and Podman as root, need
# root (or sudo); rootless Podman runs as the caller or, called by root, as
# the user "berth-rootless" that start makes.
#
# The env lines (BERTH_TEST_DOCKER=unix://...) are on standard output, words
# for people on standard error: env $(scripts/engines.sh start all DIR) go test ./...
set -euo pipefail

rootless_user=berth-rootless
# Not under /var/lib: Podman 4 hides that, for want of /var/lib/cni, from
# whatever sets up the networks of an ordinary user.
rootless_home=/home/$rootless_user
own=

main() {
  if [ "${1:-}" = --own ]; then own=$1; shift; fi
  local command=${1:-} which=all
  case ${2:-} in
    docker | podman | rootless | all) which=$2; shift ;;
  esac
  [ -n "${2:-}" ] || { sed -n '2,/^set /{s/^# \{0,1\}//;/^set /!p}' "$0" >&2; exit 2; }
  state=$(mkdir -p "$2" && cd "$2" && pwd)
  local engines=$which
  [ "$which" = all ] && engines="docker podman rootless"
  case $command in
    start) for e in $engines; do "start_$e"; done; for e in $engines; do print_env "$e"; done ;;
    env) for e in $engines; do print_env "$e"; done ;;
    stop) for e in $engines; do stop_engine "$e"; done ;;
    restart) for e in $engines; do restart_engine "$e"; print_env "$e"; done ;;
    run-engine) run_engine ;;
    *) die "unknown command \"$command\"; it takes start, env, stop, restart or run-engine" ;;
  esac
}

# --- the engines for tests ---

start_docker() {
  answers "$(test_socket docker)" && return
  need dockerd docker
  with_root start docker && return
  say "starting dockerd"
  mkdir -p "$state/docker"
  if [ -n "$own" ]; then
    start_own_docker
    return
  fi
  # The socket paths that dockerd and containerd make under --exec-root must
  # stay under the 108 characters of a Unix address.
  daemon docker dockerd $(docker_dirs)
  await docker
}

docker_dirs() {
  echo "--host unix://$state/docker.sock --data-root $state/docker/data --exec-root $(short docker)
    --pidfile $state/docker/dockerd.pid --group root"
}

# start_own_docker starts a dockerd beside any other one of this machine. All
# of them share the kernel's rules for packets, and one that starts empties the
# others' chains: so this one makes none, and its port forwarder alone serves
# the ports that it publishes. Its bridge is its own, it reads no daemon.json,
# and containerd's folder is hidden from it, for otherwise it takes the
# machine's containerd for its own. It takes no --default-address-pool, with
# which a dockerd that starts again deletes docker0, whosever it is.
start_own_docker() {
  need ip docker
  local bridge hide; bridge=$(own_bridge)
  ip link show "$bridge" >/dev/null 2>&1 || {
    ip link add "$bridge" type bridge
    ip address add "$(own_address)/24" dev "$bridge"
    ip link set "$bridge" up
  }
  echo '{}' >"$state/docker/daemon.json"
  hide='if [ -d /run/containerd ]; then mount -t tmpfs tmpfs /run/containerd; fi; exec dockerd "$@"'
  daemon docker unshare --mount --propagation slave bash -ec "$hide" own-docker $(docker_dirs) \
    --config-file "$state/docker/daemon.json" --bridge "$bridge" \
    --iptables=false --ip6tables=false --ip-masq=false --ip-forward=false
  await docker
}

own_bridge() { echo "berthd$(($(mark "$state") % 100000))"; }

# own_address is one that no other network of these scripts has.
own_address() {
  local mark; mark=$(mark "$state")
  echo "10.$((224 + mark % 32)).$((mark / 32 % 256)).1"
}

# own_bridges prints the bridges that the state folder's own dockerd leaves
# behind when it ends: its default one, and those of networks made since.
own_bridges() {
  local id
  own_bridge
  for id in $(curl --silent --max-time 5 --unix-socket "$state/docker.sock" http://engine/networks | grep -o '"Id":"[0-9a-f]*"' | cut -d'"' -f4); do
    echo "br-${id:0:12}"
  done
}

start_podman() {
  answers "$(test_socket podman)" && return
  need podman podman
  with_root start podman && return
  say "starting Podman's API service as root"
  podman_config "$state/podman"
  CONTAINERS_CONF=$state/podman/containers.conf \
    daemon podman podman $(podman_dirs "$state/podman" "$(short podman)") system service --time=0 "unix://$state/podman.sock"
  await podman
}

start_rootless() {
  answers "$(test_socket rootless)" && return
  need podman rootless
  local dir run
  if [ "$(id -u)" = 0 ]; then
    id "$rootless_user" >/dev/null 2>&1 ||
      useradd --no-create-home --home-dir "$rootless_home" --shell /usr/sbin/nologin "$rootless_user"
    mkdir -p "$rootless_home"
    chown "$rootless_user:" "$rootless_home"
    grep -q "^$rootless_user:" /etc/subuid 2>/dev/null || usermod --add-subuids 524288-589823 "$rootless_user"
    grep -q "^$rootless_user:" /etc/subgid 2>/dev/null || usermod --add-subgids 524288-589823 "$rootless_user"
    if [ -e /dev/net/tun ]; then chmod 666 /dev/net/tun; fi
  fi
  rootless_ready
  dir=$(rootless_dir) run=$(short rootless)
  mkdir -p "$dir" "$run"
  if [ "$(id -u)" = 0 ]; then chown "$rootless_user:" "$dir" "$run"; fi
  say "starting rootless Podman's API service"
  # Through standard input, as this user may not be able to read the checkout.
  as_rootless bash -s serve-rootless "$dir" "$run" <"$0"
  await rootless
}

# serve_rootless is the part of start_rootless that runs as the ordinary user.
serve_rootless() {
  local dir=$1 run=$2
  state=$dir
  [ -O "$run" ] || die "$run belongs to somebody else"
  chmod 700 "$run"
  podman_config "$dir"
  export XDG_RUNTIME_DIR=$run CONTAINERS_CONF=$dir/containers.conf
  unset DBUS_SESSION_BUS_ADDRESS
  cd "$dir"
  daemon rootless podman $(podman_dirs "$dir" "$run") system service --time=0 "unix://$dir/podman.sock"
}

stop_engine() {
  local e=$1 dir bridge bridges=; dir=$(engine_dir "$e")
  [ -n "$(processes "$e")" ] || { rm -f "$dir/$e.pid"; return 0; }
  mine "$e" || { with_root stop "$e" && return; }
  say "stopping $e"
  # Podman's containers live on without its service: they go first.
  case $e in
    podman) CONTAINERS_CONF=$state/podman/containers.conf \
      podman $(podman_dirs "$state/podman" "$(short podman)") rm --all --force --time 0 >/dev/null || true ;;
    rootless) (cd / && as_rootless env XDG_RUNTIME_DIR="$(short rootless)" CONTAINERS_CONF="$dir/containers.conf" \
      podman $(podman_dirs "$dir" "$(short rootless)") rm --all --force --time 0 >/dev/null) || true ;;
  esac
  if [ "$own$e" = --owndocker ]; then bridges=$(own_bridges); fi
  end_engine "$e"
  [ "$e" != rootless ] || end_pause
  [ -n "$own" ] || return 0
  for bridge in $bridges; do ip link delete "$bridge" 2>/dev/null || true; done
  rm -rf --one-file-system "$(short "$e")"
}

restart_engine() {
  mine "$1" || { with_root restart "$1" && return; }
  end_engine "$1"
  "start_$1"
}

# end_engine ends an engine's processes.
end_engine() {
  local pid pids; pids=$(processes "$1")
  kill $pids 2>/dev/null || true # one may take another with it
  for pid in $pids; do
    await_end "$pid" || die "$1 (process $pid) does not stop"
  done
  rm -f "$(engine_dir "$1")/$1.pid"
}

# processes prints the ids of an engine's processes: Podman's may be two, as
# the first one forks another to serve in a user namespace.
processes() {
  local dir; dir=$(engine_dir "$1")
  case $1 in
    docker) started "$dir/docker.pid" || true ;;
    *) grep -lsaP "system\x00service\x00--time=0\x00unix://\Q$dir\E/podman.sock\x00" /proc/[0-9]*/cmdline | cut -d/ -f3 || true ;;
  esac
}

# end_pause ends the process that holds rootless Podman's user namespace.
end_pause() {
  local pid; pid=$(cat "$(short rootless)/tmp/pause.pid" 2>/dev/null) || return 0
  if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = catatonit ]; then kill "$pid"; fi
}

# mine says whether the caller may end an engine's processes.
mine() { [ "$1" = rootless ] || [ -O "$(engine_dir "$1")/$1.pid" ]; }

engine_dir() { if [ "$1" = rootless ]; then rootless_dir; else echo "$state"; fi; }

print_env() {
  local socket name
  socket=$(test_socket "$1")
  name=$(tr '[:lower:]' '[:upper:]' <<<"$1")
  if answers "$socket"; then echo "BERTH_TEST_$name=unix://$socket"; fi
}

test_socket() {
  case $1 in
    # Docker that runs already, where there is one.
    docker) if [ -z "$own" ] && answers /var/run/docker.sock; then echo /var/run/docker.sock; else echo "$state/docker.sock"; fi ;;
    podman) echo "$state/podman.sock" ;;
    rootless) echo "$(rootless_dir)/podman.sock" ;;
  esac
}

# rootless_dir is under STATE_DIR when the ordinary user can get there, as it
# can't when that is in root's home.
rootless_dir() {
  if [ "$(id -u)" != 0 ] || ! id "$rootless_user" >/dev/null 2>&1 ||
    runuser -u "$rootless_user" -- test -x "$state"; then
    echo "$state/rootless"
  else
    echo "$rootless_home/$(mark "$state")"
  fi
}

as_rootless() {
  if [ "$(id -u)" = 0 ]; then
    # A neutral environment: root's HOME, XDG and engine settings are not this user's.
    runuser -u "$rootless_user" -- env -i PATH="$PATH" HOME="$rootless_home" \
      ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} "$@"
  else
    "$@"
  fi
}

# --- an engine for `make run` ---

run_engine() {
  local socket uid; uid=$(id -u)
  for socket in "${DOCKER_HOST:-}" /var/run/docker.sock /run/podman/podman.sock \
    ${XDG_RUNTIME_DIR:+"$XDG_RUNTIME_DIR/podman/podman.sock"} "/run/user/$uid/podman/podman.sock" \
    "$state/podman.sock" "$state/docker.sock"; do
    if [ -n "$socket" ] && answers "$socket"; then
      case $socket in /*) socket=unix://$socket ;; esac
      echo "$socket"
      return
    fi
  done
  if command -v podman >/dev/null; then
    cgroups_ready
    [ "$uid" = 0 ] || rootless_ready
    say "starting Podman's API service"
    if defaults_fail; then
      containers_conf >"$state/containers.conf"
      export CONTAINERS_CONF=$state/containers.conf
    fi
    daemon podman podman system service --time=0 "unix://$state/podman.sock"
    await_socket "$state/podman" "$state/podman.sock"
    echo "unix://$state/podman.sock"
  elif command -v dockerd >/dev/null && [ "$uid" = 0 ] && [ ! -d /run/systemd/system ]; then
    cgroups_ready
    say "starting dockerd"
    daemon docker dockerd --host "unix://$state/docker.sock"
    await_socket "$state/docker" "$state/docker.sock"
    echo "unix://$state/docker.sock"
  elif command -v docker >/dev/null; then
    die "Docker is installed but does not answer this user. Start it with \"sudo systemctl start docker\";
if it runs, allow your user with \"sudo usermod -aG docker $(id -un)\" and sign in again"
  else
    die "there is no container engine. Install one with scripts/install-engine.sh"
  fi
}

# --- Podman's configuration ---

# podman_config writes a private configuration. Its networks have names and
# addresses of their own, to get in no other Podman's way.
podman_config() {
  local dir=$1 mark; mark=$(mark "$1")
  local net=10.$((192 + mark % 32))
  mkdir -p "$dir/networks"
  {
    containers_conf
    echo 'default_network = "berth-test"'
    echo "default_subnet_pools = [{\"base\" = \"$net.0.0/17\", \"size\" = 24}]"
  } >"$dir/containers.conf"
  [ -e "$dir/networks/berth-test.json" ] || cat >"$dir/networks/berth-test.json" <<JSON
{
  "name": "berth-test",
  "id": "$(printf %s "$dir" | sha256sum | cut -d' ' -f1)",
  "driver": "bridge",
  "network_interface": "berth$((mark % 100000))",
  "created": "2024-01-01T00:00:00Z",
  "subnets": [{"subnet": "$net.$((128 + mark / 32 % 128)).0/24", "gateway": "$net.$((128 + mark / 32 % 128)).1"}],
  "ipv6_enabled": false,
  "internal": false,
  "dns_enabled": false,
  "ipam_options": {"driver": "host-local"}
}
JSON
}

# mark gives a number for a path.
mark() { printf %s "$1" | cksum | cut -d' ' -f1; }

podman_dirs() {
  # Podman takes the slow vfs driver for a storage folder it doesn't know.
  if grep -qw overlay /proc/filesystems && [ "$(stat -fc %T "$1")" != overlayfs ]; then echo "--storage-driver overlay"; fi
  echo "--root $1/storage --runroot $2/run --tmpdir $2/tmp --network-config-dir $1/networks --volumepath $1/volumes"
}

# containers_conf prints the settings without which Podman does not work on
# this machine; its last section is [network].
containers_conf() {
  echo "# Written by scripts/engines.sh for the engine it starts; nothing else reads it."
  if limits_fixed; then
    echo '[containers]'
    echo "default_ulimits = [\"nofile=$(lower_limit n 10000):$(lower_limit n 10000)\", \"nproc=$(lower_limit u 30000):$(lower_limit u 30000)\"]"
  fi
  echo '[engine]'
  if crun_refuses; then echo 'runtime = "runc"'; fi
  if [ ! -d /run/systemd/system ]; then
    echo 'cgroup_manager = "cgroupfs"'
    echo 'events_logger = "file"'
  fi
  echo '[network]'
  if has_netavark; then echo 'network_backend = "netavark"'; fi
}

# defaults_fail says whether Podman without our settings can't run containers
# here: limits that it wants to raise and may not, cgroups that crun refuses.
defaults_fail() { limits_fixed || crun_refuses; }

limits_fixed() { [ "$(id -u)" = 0 ] && ! (ulimit -Hn 1048576 && ulimit -Hu 4194304) 2>/dev/null; }

crun_refuses() { [ "$(stat -fc %T /sys/fs/cgroup)" != cgroup2fs ] && command -v runc >/dev/null; }

has_netavark() { [ -x /usr/lib/podman/netavark ] || [ -x /usr/libexec/podman/netavark ]; }

lower_limit() {
  local have; have=$(ulimit "-H$1")
  if [ "$have" != unlimited ] && [ "$have" -lt "$2" ]; then echo "$have"; else echo "$2"; fi
}

# cgroups_ready says in words that this machine has no cgroups for containers.
# Those of an ordinary user run without writing there.
cgroups_ready() {
  local rights=; [ "$(id -u)" != 0 ] || rights="--options rw"
  [ -n "$(findmnt --noheadings --list --types cgroup,cgroup2 $rights)" ] ||
    die "containers need cgroups, and /sys/fs/cgroup is not mounted${rights:+, or not to be written to}.
Inside a container, start that one with --privileged; elsewhere, as root: mount -t cgroup2 none /sys/fs/cgroup"
}

# rootless_ready says in words what this machine lacks for rootless Podman.
rootless_ready() {
  local user; user=$([ "$(id -u)" = 0 ] && echo "$rootless_user" || id -un)
  command -v newuidmap >/dev/null || die "rootless Podman needs newuidmap: install the package uidmap"
  command -v pasta >/dev/null || command -v slirp4netns >/dev/null ||
    die "rootless Podman needs a network program: install the package passt or, before Podman 5, slirp4netns"
  grep -q "^$user:" /etc/subuid && grep -q "^$user:" /etc/subgid ||
    die "rootless Podman needs ids for containers: sudo usermod --add-subuids 524288-589823 --add-subgids 524288-589823 $user"
  [ ! -e /dev/net/tun ] || as_rootless test -w /dev/net/tun ||
    die "rootless Podman needs the network device: sudo chmod 666 /dev/net/tun"
}

# --- processes ---

# daemon starts a program that outlives this script, remembering its pid.
daemon() {
  local name=$1; shift
  # In the state folder: Podman's monitor of a container leaves a file named
  # "oom" where the service was started when the kernel ends the container.
  (cd "$state" && exec setsid "$@") >"$state/$name.log" 2>&1 </dev/null &
  echo $! >"$state/$name.pid"
}

# started prints the pid in a file if that process is still ours.
started() {
  local pid; pid=$(cat "$1" 2>/dev/null) && [ -r "/proc/$pid/cmdline" ] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "${1%/*}" && echo "$pid"
}

await() {
  await_socket "$(engine_dir "$1")/$1" "$(test_socket "$1")"
  # Called through sudo, the engine is for the one who called.
  if [ "$1" != rootless ] && [ -n "${SUDO_UID:-}" ]; then chown "$SUDO_UID" "$(test_socket "$1")"; fi
}

# await_socket waits until the engine that daemon started as $1 answers on $2.
await_socket() {
  local until=$((SECONDS + 60))
  until answers "$2"; do
    if [ $SECONDS -ge $until ] || ! [ -d "/proc/$(cat "$1.pid")" ]; then
      tail -n 20 "$1.log" >&2
      die "${1##*/} does not answer on $2; its log is $1.log"
    fi
    sleep 0.1
  done
}

await_end() {
  local until=$((SECONDS + 30))
  while kill -0 "$1" 2>/dev/null; do
    [ $SECONDS -lt $until ] || return 1
    sleep 0.1
  done
}

# answers says whether an engine answers on a socket: a path, unix:// or tcp://.
answers() {
  case $1 in
    tcp://*) curl --silent --fail --max-time 5 --output /dev/null "http://${1#tcp://}/_ping" ;;
    *) [ -S "${1#unix://}" ] && curl --silent --fail --max-time 5 --output /dev/null --unix-socket "${1#unix://}" http://engine/_ping ;;
  esac
}

# short gives a folder for sockets with a path that is short enough for them.
short() {
  local base=/run; [ "$(id -u)" = 0 ] || base=${XDG_RUNTIME_DIR:-/tmp}
  echo "$base/berth-$(mark "$state")-$1"
}

# with_root does the step as root when the caller isn't; it fails when the
# caller is root already.
with_root() {
  [ "$(id -u)" = 0 ] && return 1
  command -v sudo >/dev/null || die "$2 needs root and there is no sudo here: run \"$0 ${own:+$own }$1 $2 $state\" as root"
  sudo "$0" $own "$1" "$2" "$state" >/dev/null || die "could not $1 $2 as root"
}

need() {
  command -v "$1" >/dev/null || die "$1 is not installed: run scripts/install-engine.sh --all"
}

say() { echo "engines: $*" >&2; }

die() { echo "engines: $*" >&2; exit 1; }

if [ "${1:-}" = serve-rootless ]; then
  serve_rootless "$2" "$3"
else
  main "$@"
fi
