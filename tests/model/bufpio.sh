#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
#   tests/model/bufpio.sh [OPS]
#
# Checks the model of the buffered PIO page exhaustively: two vCPUs that do OPS (3) things each, and
# the device model. Then each of its crippled variants, which must fail. Needs spin and gcc; without
# spin it says so and ends with 77.

set -u
ops=${1:-3}
model=$(cd "$(dirname "$0")" && pwd -P)/bufpio.pml
variants=(NO_INSIDE NO_BARRIER NO_EXCHANGE NO_LOCK ADVANCE_FIRST NO_TAKE_OUT NO_FLAGS NOT_STRICT)

command -v spin >/dev/null || { echo "spin is not installed"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1

# check OPTION...: prints pan's report. A search that is cut short by depth or memory says so.
check()
{
    spin "$@" -a "$model" >spin.log 2>&1 || { cat spin.log; return 1; }
    gcc -O2 -w -DSAFETY -DCOLLAPSE -DMEMLIM=2000 -o pan pan.c || return 1
    timeout 600 ./pan -m100000
}

report=$(check -DOPS="$ops")
if ! grep -q 'errors: 0$' <<<"$report" ||
    grep -q 'out of memory\|max search depth too small\|Search not completed' <<<"$report"; then
    echo "not ok: the protocol has an error, or was not searched through:"
    echo "$report"
    exit 1
fi
# Nothing that a vCPU can do was left out.
if ! grep -A 1 'unreached in proctype vcpu' <<<"$report" | grep -q '(0 of '; then
    echo "not ok: a step of the hypervisor's is never made:"
    echo "$report"
    exit 1
fi
echo "ok: $(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' <<<"$report") states, no error"
for variant in "${variants[@]}"; do
    report=$(check -DOPS="$ops" -D"$variant")
    if ! grep -q 'assertion violated' <<<"$report"; then
        echo "not ok: $variant makes no difference:"
        echo "$report"
        exit 1
    fi
    echo "ok: $variant: $(sed -n 's/^pan:1: \(assertion violated.*\) (at.*/\1/p' <<<"$report")"
done
