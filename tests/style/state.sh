#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# No mutable state at file scope: nothing of ours lies in .data or .bss.
. "$(dirname "$0")/common.sh"
# shellcheck disable=SC2154 # build_dir: common.sh

[ -d "$build_dir" ] || { bad "no build folder given"; verdict; }
found=0
while read -r object; do
    found=$((found + 1))
    while read -r symbol; do
        bad "$object: $symbol is mutable and at file scope"
    done < <(objdump -t "$object" |
        awk '$3 == "O" && $4 ~ /^\.t?(bss|data)/ && $4 !~ /^\.data\.rel\.ro/ { print $NF }')
done < <(find "$build_dir" -name '*.o' -not -path '*/tests/*')
[ $found -gt 0 ] || bad "$build_dir: no objects"
verdict
