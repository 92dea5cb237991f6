# SPDX-License-Identifier: GPL-2.0-or-later
# Sourced by tests/run and tests/demo: Debian packages, build folders.
# shellcheck shell=bash disable=SC2034 # who sources this uses it

tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# Outside the tree, and another one for each tree.
build_root=${IOEMUD_BUILD:-/var/tmp/ioemud-build-$(id -u)}/$(printf '%s' "$tree" | cksum | cut -d ' ' -f 1)
cores=$(nproc 2>/dev/null || echo 2)

# What it takes to build ioemud on Debian 12.
build_packages=(
    gcc libc6-dev meson ninja-build pkg-config
    libjansson-dev libev-dev libaio-dev libsystemd-dev libxen-dev libslirp-dev libmicrohttpd-dev
    libnbd-dev libncurses-dev libseccomp-dev libcmocka-dev
)
# What the tests take beyond that.
test_packages=(
    clang libclang-rt-dev clang-format binutils mandoc shellcheck e2fsprogs python3
    python3-jsonschema # the configuration's schemas: tests/schema
    systemd         # systemd-analyze looks at the unit: tests/style
    spin            # searches through models of protocols: tests/model
    qemu-system-x86 # to compare with: tests/diff
    prometheus      # reads the metrics: tests/shm
    nbdkit libnbd-bin fuse3 # a store that loses what was not flushed: tests/durability
    qemu-utils # PV disks in other formats than raw
)
# What a Debian package takes beyond the first, and its test.
package_packages=(debhelper dpkg-dev)
package_test_packages=(lintian debootstrap systemd-container)

say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*"; }

# need PACKAGE...: installs those that are missing.
need()
{
    local package missing=()
    for package; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ]; then
        echo "These Debian packages are missing, and only root can install them: ${missing[*]}" >&2
        return 1
    fi
    say "installing ${missing[*]}"
    mkdir -p "$build_root"
    if ! {
        DEBIAN_FRONTEND=noninteractive apt-get -q update &&
            DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends "${missing[@]}"
    } >"$build_root/apt.log" 2>&1; then
        tail -n 5 "$build_root/apt.log" >&2
        return 1
    fi
}

# build NAME [MESON-OPTION...]: configures and builds in $build_root/NAME; CC as in the environment.
# Prints the log's end when it fails.
build()
{
    local dir=$build_root/$1 log=$build_root/$1.log
    shift
    mkdir -p "$build_root"
    rm -f "$dir.good"
    if [ ! -f "$dir/build.ninja" ] || [ "$(cat "$dir.options" 2>/dev/null)" != "${CC:-} $*" ]; then
        rm -rf "$dir"
        echo "${CC:-} $*" >"$dir.options"
        meson setup --prefix=/usr "$dir" "$tree" "$@" >"$log" 2>&1 || { tail -n 15 "$log"; return 1; }
    fi
    ninja -j "$cores" -C "$dir" >"$log" 2>&1 || { grep -B 2 -A 8 'FAILED:\|error:' "$log" | head -n 40; return 1; }
    touch "$dir.good"
}

built() { [ -f "$build_root/$1.good" ]; }
