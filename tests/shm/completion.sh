#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The bash completion offers every command and option that `ioemuctl --help` names, and completes
# arguments. Program: $IOEMUCTL; completion: $1.
set -u
failed=0
# shellcheck disable=SC1090 # as a shell would
. "$1"

# offers WORD...: for the last of the words.
offers()
{
    COMP_WORDS=(ioemuctl "$@")
    COMP_CWORD=$#
    COMPREPLY=()
    _ioemuctl 2>/dev/null
    printf '%s\n' "${COMPREPLY[@]}"
}
# expect TEXT WORD...
expect()
{
    local text=$1
    shift
    offers "$@" | grep -qxF -- "$text" ||
        { echo "not ok: \"$*\" is not completed to \"$text\": $(offers "$@" | tr '\n' ' ')"; failed=1; }
}
# An ioemuctl that knows two guests, for the names.
ioemuctl()
{
    echo '{"guests":[{"name":"web1","domid":7,"nics":[]},{"name":"web2","domid":8}],"files":[{"name":"x"}]}'
}

mapfile -t commands < <("$IOEMUCTL" --help | sed -nE 's/^  ([a-z][a-z-]+) .*/\1/p')
[ ${#commands[@]} -ge 15 ] || { echo "not ok: ${#commands[@]} commands in --help"; failed=1; }
for command in "${commands[@]}"; do
    expect "$command" "${command:0:2}"
done
for option in $("$IOEMUCTL" --help | grep -oE -- '--[a-z][a-z-]+' | sort -u); do
    found=
    for command in "" "${commands[@]}"; do
        if [ -n "$command" ]; then offers "$command" -; else offers -; fi |
            grep -qxF -- "$option" && found=1
    done
    [ -n "$found" ] || { echo "not ok: $option is offered nowhere"; failed=1; }
done
expect web1 detach ""
expect web2 stats web
expect web1 -s /x --json trace ""
expect debug log-level web1 d
expect default log-level web1 d
expect warning log-level w
expect up link web1 0 ""
expect hdc eject web1 h
expect off capture web1 0 o
expect port= trace web1 --filter p
! offers list "" | grep -q . || { echo "not ok: list takes no guest"; failed=1; }
! offers detach "" | grep -qx x || { echo "not ok: a file is no guest"; failed=1; }
exit $failed
