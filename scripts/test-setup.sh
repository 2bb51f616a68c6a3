#!/bin/sh
# What the tests run against, from Debian's packages: a C compiler for the keeper, redis, procps and
# dig to compare with, the source of a C package to build. Needs root to install; without it, the tests
# that lack something say so and are skipped.
set -eu
packages='gcc libc6-dev make procps redis-server redis-tools util-linux e2fsprogs dpkg-dev xz-utils busybox tmux runit
  etcd-server etcd-client bind9-dnsutils iproute2 nftables iptables faketime systemd tzdata curl
  python3-minimal python3'
source_package=tree # plain C, a plain Makefile, no libraries
source_cache=/var/cache/holon-test-source

can_install() { [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; }

missing_packages() {
  for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || echo "$package"
  done
}

install_packages() {
  echo "holon: installing $* …" >&2
  # A package's own service must not start here: the tests start what they need.
  policy=/usr/sbin/policy-rc.d
  made_policy=
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    made_policy=1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y -qq "$@" >/dev/null 2>&1 ||
    { apt-get update -qq && apt-get install -y -qq "$@" >/dev/null; }
  if [ -n "$made_policy" ]; then rm -f "$policy"; fi
}

# Sources need deb-src entries: made from the machine's own Debian entries, in a place of their own.
fetch_source() {
  lists=$(mktemp -d)
  chmod 755 "$lists"
  mkdir -p "$lists/sources" "$lists/state/partial" "$source_cache"
  sed -n 's/^deb \(.*debian.*\)/deb-src \1/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
    >"$lists/sources/all.list" 2>/dev/null || true
  for file in /etc/apt/sources.list.d/*.sources; do
    if grep -q debian-archive-keyring "$file" 2>/dev/null; then
      sed 's/^Types:.*/Types: deb-src/' "$file" >"$lists/sources/${file##*/}"
    fi
  done
  set -- -qq -o APT::Sandbox::User=root -o Dir::Etc::sourcelist=/dev/null \
    -o "Dir::Etc::sourceparts=$lists/sources" -o "Dir::State::lists=$lists/state"
  apt-get "$@" update >/dev/null 2>&1 || true
  (cd "$source_cache" && apt-get "$@" source --download-only "$source_package" >/dev/null) ||
    echo "holon: the test that builds a Debian package will be skipped" >&2
  rm -rf "$lists"
}

missing=$(missing_packages)
if [ -n "$missing" ]; then
  # shellcheck disable=SC2086 # one argument each
  if can_install; then install_packages $missing; else echo "holon: not installed:" $missing >&2; fi
fi
if can_install && [ -z "$(ls "$source_cache"/*.dsc 2>/dev/null)" ]; then fetch_source; fi
