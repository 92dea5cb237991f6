#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Shell scripts as shellcheck wants them (what a sourced file uses, it cannot see).
. "$(dirname "$0")/common.sh"
while read -r file; do
    case $file in *.c | *.h | *.md) continue ;; esac
    head -n 1 "$file" 2>/dev/null | tr -d '\0' | grep -qE '^#!/bin/(ba)?sh|^#!/usr/bin/env bash' || continue
    while read -r line; do
        bad "$line"
    done < <(shellcheck -x -f gcc -S warning -e SC1091,SC2034,SC2164 "$file")
done < <(files 'tests/*' '.ci/*' 'ioreq/hypervisor/*')
# A job without its tier, or for a hypervisor that there is not, would never run.
while read -r file; do
    [[ $file == *.sh ]] || grep -qE '^# tier: (default|full)$' "$file" ||
        bad "$file: no line \"# tier: default\" or \"# tier: full\""
    ! grep -E '^# xen:' "$file" | grep -qvxE '# xen:( (stock|ext|ext-debug))+' ||
        bad "$file: \"# xen:\" takes stock, ext, ext-debug"
done < <(files 'tests/xen/jobs/*')
verdict
