# What the scripts share: words, packages, and rights. Sourced, not run.

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() { printf 'berth: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# as_root runs a command with root's rights, or says that it can not.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif have sudo; then sudo "$@"
  else return 1
  fi
}

# packages installs those Debian packages that are not there.
packages() {
  local p missing=()
  have dpkg-query || die "this is neither Debian nor Ubuntu; install by hand what is named like: $*"
  for p in "$@"; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]}"
  if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1; then
    as_root apt-get update -qq >/dev/null 2>&1 || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 ||
      die "could not install ${missing[*]}. With root's rights: apt-get install ${missing[*]}"
  fi
}

# browser names in BERTH_CHROMIUM what walks the dashboard, and brings it where
# the system has it as a package. Ubuntu has it as a snap only.
browser() {
  local found=${BERTH_CHROMIUM:-}
  [ -n "$found" ] || found=$(known_browser) || { (packages chromium) || true; found=$(known_browser); } ||
    die "there is no Chromium, and no package of it. Install Google Chrome (https://www.google.com/chrome), or name a browser of its kind in BERTH_CHROMIUM"
  export BERTH_CHROMIUM=$found
}

known_browser() {
  local b
  for b in chromium chromium-browser google-chrome; do
    if have "$b"; then echo "$b"; return 0; fi
  done
  return 1
}

# toolchain looks for what builds Berth.
toolchain() {
  have go || die "Go is not installed. Berth needs Go $(awk '$1 == "go" { print $2 }' go.mod) or later: https://go.dev/doc/install"
  have npm || die "Node is not installed. The dashboard needs Node 20.19 or later with npm: https://nodejs.org/en/download"
  have make || packages make
}

# engines_for_tests starts those engines (docker, podman, rootless or all) under
# .tools/engines, stops them when the script ends, and puts the variables that
# name them to tests into $lines.
engines_for_tests() {
  local which=$1 state=$PWD/.tools/engines
  mkdir -p .tools
  # shellcheck disable=SC2064 # as they are now
  trap "scripts/engines.sh stop $which '$state' || true" EXIT
  trap 'exit 130' INT TERM
  # shellcheck disable=SC2034 # for the one who called
  lines=$(scripts/engines.sh start "$which" "$state")
}
