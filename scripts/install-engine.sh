#!/usr/bin/env bash
# Installs a container engine with apt, on Debian and Ubuntu.
#
#   install-engine.sh         Podman with what it needs, when there is neither Docker nor Podman: for `make run`
#   install-engine.sh --all   also Docker, and what rootless Podman needs: for the tests
#
# As root, or through sudo. What is there already stays as it is.
set -euo pipefail

say() { echo "install-engine: $*" >&2; }

die() { echo "install-engine: $*" >&2; exit 1; }

# has says whether a program is there, in the folders of the administrator too.
has() { PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null; }

# missing prints the packages of "program=package" pairs whose program isn't there.
missing() {
  local pair program
  for pair in "$@"; do
    program=${pair%%=*}
    case $program in
      /*) [ -e "$program" ] || [ -e "${program/\/usr\/lib\//\/usr\/libexec\/}" ] || echo "${pair#*=}" ;;
      *) has "$program" || echo "${pair#*=}" ;;
    esac
  done
}

podman_set="podman=podman runc=runc /usr/lib/podman/netavark=netavark /usr/lib/podman/aardvark-dns=aardvark-dns
  catatonit=catatonit iptables=iptables ip=iproute2 curl=curl"
rootless_set="newuidmap=uidmap slirp4netns=slirp4netns fuse-overlayfs=fuse-overlayfs"

# newer_set prints what Podman 5 and later takes for its networks. It says
# nothing before Podman is there.
newer_set() {
  local version
  version=$(dpkg-query --show --showformat '${Version}' podman 2>/dev/null) || return 0
  if [[ $version =~ ^[0-9]+ && ${BASH_REMATCH[0]} -ge 5 ]]; then echo nft=nftables pasta=passt; fi
}

# docker_set prints Docker, and its client where that is a package of its own,
# as since Debian 13. What packages there are shows once apt has its lists.
docker_set() {
  echo dockerd=docker.io
  if apt-cache show docker-cli >/dev/null 2>&1; then echo docker=docker-cli; fi
}

without_engine=$(has docker || has podman || echo yes)

wanted() {
  case ${1:-} in
    --all) missing $podman_set $rootless_set $(newer_set) $(docker_set) ;;
    "")
      has curl || echo curl
      if [ "$without_engine" ]; then
        missing $podman_set $(newer_set)
        [ "$(id -u)" = 0 ] || missing $rootless_set
      fi
      ;;
    *) die "unknown option \"$1\"; it takes --all or nothing" ;;
  esac
}

packages=$(echo $(wanted "$@")) # on one line
[ -n "$packages" ] || exit 0

command -v apt-get >/dev/null ||
  die "there is no apt-get here. Install these with your system's own package manager: $packages"
if [ "$(id -u)" = 0 ]; then
  as_root=""
elif command -v sudo >/dev/null; then
  as_root=sudo
  say "sudo may ask for your password, to install: $packages"
else
  die "only root may install packages, and there is no sudo. Ask an administrator for: apt-get install $packages"
fi

# A package's own start of a service fails where nothing starts services, as in
# a container: that is no reason for the installation to fail.
install() {
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends $packages >&2
}

for _ in first second; do # what the engines need shows once they are there
  say "installing: $packages"
  if ! install; then
    say "trying again with fresh package lists"
    $as_root apt-get update --quiet >&2 || die "apt-get update fails: is this machine online? See its words above"
    install || die "apt-get could not install $packages: see its words above"
  fi
  packages=$(echo $(wanted "$@"))
  [ -n "$packages" ] || exit 0
done
die "installed, but still not there: $packages"
