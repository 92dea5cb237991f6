# SPDX-License-Identifier: GPL-2.0-or-later
# Sourced by the checks in this folder. A check prints what is wrong, a line each, and ends with
# `verdict`. Its argument is the folder of a release build; it runs at the top of the tree.
# shellcheck shell=bash

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
# shellcheck disable=SC2034 # the checks use it
build_dir=${1:-}
wrong=0

bad() { printf '%s\n' "$*"; wrong=1; }
verdict() { exit $wrong; }

# files GLOB...: of the project, tracked or about to be.
files()
{
    if git rev-parse --git-dir >/dev/null 2>&1; then
        git ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do
            [ ! -f "$file" ] || echo "$file"
        done
    else
        local pattern
        for pattern; do
            find . -path ./.git -prune -o -type f -path "./$pattern" -print -o -type f -name "$pattern" -print
        done | sed 's,^\./,,' | sort -u
    fi
}
