#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The Debian package, tests/setup.sh and README.md name the same libraries to build with, the package has
# the project's version, and builds every program that is installed; what has a guest's network has nothing of Xen.
. "$(dirname "$0")/common.sh"

# libraries FILE: the development packages that it names.
libraries() { grep -oE '\blib[a-z0-9]+-dev\b' "$1" | grep -vE '^(libc6|libclang-rt)-dev$' | sort -u; }
wanted=$(sed -n '/^build_packages=(/,/^)/p' tests/setup.sh | libraries /dev/stdin)
[ -n "$wanted" ] || bad "tests/setup.sh: no build_packages"
for file in debian/control README.md; do
    [ "$(libraries $file)" = "$wanted" ] ||
        bad "$file: other libraries than tests/setup.sh: $(diff <(libraries $file) - <<<"$wanted" | grep '^[<>]' | tr '\n' ' ')"
done

version=$(sed -nE "s/^project\(.* version: '([^']*)'.*/\1/p" meson.build)
[ -n "$version" ] && [ "$(sed -nE '1s/.*\(([^)]*)\).*/\1/p' debian/changelog)" = "$version" ] ||
    bad "debian/changelog: not version $version"

# shellcheck disable=SC2154 # build_dir: common.sh
while read -r program; do
    grep -qE "^programs = .*\b$program( |\$)" debian/rules || bad "debian/rules: does not build $program"
done < <(meson introspect --targets "$build_dir" 2>/dev/null | python3 -c '
import json, os, sys
build = os.path.realpath(sys.argv[1])
for target in json.load(sys.stdin):
    if target["installed"] and target["type"] == "executable":
        print(os.path.relpath(target["filename"][0], build))' "$build_dir")
if [ -x "$build_dir/daemon/ioemud-usernet" ]; then
    while read -r library; do
        bad "ioemud-usernet: needs $library"
    done < <(objdump -p "$build_dir/daemon/ioemud-usernet" | sed -n 's/^ *NEEDED *//p' | grep -E '^lib(xen|nbd|seccomp|aio|systemd)')
else
    bad "$build_dir/daemon/ioemud-usernet: not built"
fi
verdict
