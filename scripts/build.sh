#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# build.sh release|asan|tsan|fuzz [JOBS]: configures build-<name> once and builds it.
set -eu
cd "$(dirname "$0")/.."
name=$1
jobs=${2:-2}
dir=build-$name

case $name in
release) set -- --buildtype=release ;;
asan) set -- --buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false ;;
tsan) set -- --buildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false ;;
fuzz)
    set -- --buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false -Dfuzz=true
    export CC=clang
    ;;
*)
    echo "usage: $0 release|asan|tsan|fuzz [JOBS]" >&2
    exit 2
    ;;
esac
[ -f "$dir/build.ninja" ] || meson setup "$dir" "$@"
exec ninja -C "$dir" -j "$jobs" --quiet
