#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that are missing for the given purposes: build, run, test,
# bench, fmt.
# Debian 12 and 13, Ubuntu 24.04. When nothing is missing it neither needs root nor the network.
set -euo pipefail

build="gcc libc6-dev meson ninja-build pkg-config
       libfyaml-dev libpcre2-dev libxxhash-dev libc-ares-dev libcmocka-dev
       libssl-dev libnghttp2-dev libnftables-dev"
run="curl openssl python3 python3-httpbin python3-gunicorn"
test="clang libclang-rt-dev llvm python3-pytest python3-websockets dnsmasq-base
      iproute2 nftables nginx curl
      prometheus nghttp2-client nghttp2-server openssl python3-cryptography
      python3-h2 python3-hpack python3-httpx python3-grpcio testssl.sh"
bench="nginx libnginx-mod-stream haproxy wrk python3 nghttp2-client openssl iproute2 procps
       nftables dnsmasq-base"
fmt="clang-format"

packages=""
for purpose in "$@"; do
    case $purpose in
    build) packages+=" $build" ;;
    run) packages+=" $run" ;;
    test) packages+=" $test" ;;
    bench) packages+=" $bench" ;;
    fmt) packages+=" $fmt" ;;
    *)
        echo "usage: $0 [build] [run] [test] [bench] [fmt]" >&2
        exit 2
        ;;
    esac
done

# Where a release calls it otherwise, what it brings counts: pkgconf's command, the sanitizers of
# some version of clang.
is_installed() {
    case $1 in
    pkg-config) command -v pkg-config >/dev/null ;;
    libclang-rt-dev) dpkg-query -W -f '${db:Status-Status}\n' 'libclang-rt-*' 2>/dev/null |
        grep -x installed >/dev/null ;;
    *) [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ;;
    esac
}

if ! command -v dpkg-query >/dev/null; then
    echo "deps.sh: this is no Debian or Ubuntu; please install by hand:" $packages >&2
    exit 0
fi
missing=()
for package in $packages; do
    is_installed "$package" || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

echo "Installing ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "deps.sh: root or sudo is needed to install ${missing[*]}" >&2
        exit 1
    }
    as_root=(sudo)
fi
# Services that come with nginx, haproxy or prometheus must not start by being installed.
policy=/usr/sbin/policy-rc.d
install() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "${missing[@]}"
}
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
    "${as_root[@]}" chmod 755 $policy
    trap '"${as_root[@]}" rm -f $policy' EXIT
fi
"${as_root[@]}" apt-get update -q || echo "deps.sh: the package lists could not be renewed" >&2
install
