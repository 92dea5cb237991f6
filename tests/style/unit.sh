#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The units are as closed as docs/security.md says, the daemon's by itself and with the drop-in for workers
# that are threads; and systemd knows every line of them and of the examples.
. "$(dirname "$0")/common.sh"

if ! systemd-analyze --version >/dev/null 2>&1; then
    bad "systemd-analyze: not here (Debian's package systemd)"
    verdict
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Programs that are not installed are no mistake of the unit's.
for unit in ioemud.service ioemud-usernet@.service; do
    sed 's,@sbindir@/ioemud\(-usernet\)\?,/bin/true,; s,@bindir@/ioemuctl,/bin/true,; s,@docdir@,/usr/share/doc/ioemud,' \
        "systemd/$unit.in" | sed '/^Documentation=/d' >"$work/$unit"
done
sed '/^Documentation=/d' systemd/ioemud-usernet.socket >"$work/ioemud-usernet.socket"

# score UNIT: in tenths, rounded up.
score()
{
    systemd-analyze security --offline=true --no-pager "$work/$1" 2>/dev/null |
        sed -n 's/.*exposure level for [^ ]*: \([0-9]*\)\.\([0-9]\) .*/\1\2/p'
}
# at_most TENTHS WHAT [UNIT]
at_most()
{
    local found
    found=$(score "${3:-ioemud.service}")
    [ -n "$found" ] || { bad "systemd-analyze says nothing of the unit $2"; return; }
    [ "$found" -le "$1" ] || bad "systemd-analyze security: $found tenths $2, not $1"
    grep -q "says $(($1 / 10))\.$(($1 % 10))[, ]" docs/security.md ||
        bad "docs/security.md: not what the unit has $2, $1 tenths"
}

at_most 20 "by itself"
at_most 14 "of user networks" ioemud-usernet@.service
# SCM_RIGHTS: also by way of io_uring(7), which is in @aio.
for call in sendmsg sendmmsg @aio; do
    grep -q "^SystemCallFilter=~\(.* \)\?$call\( \|$\)" systemd/ioemud-usernet@.service.in ||
        bad "a user network may send descriptors: $call"
done
mkdir "$work/ioemud.service.d"
cp systemd/threads.conf "$work/ioemud.service.d/"
at_most 20 "with threads.conf"

cp systemd/images.conf systemd/metrics.conf "$work/ioemud.service.d/"
while read -r line; do
    bad "$line"
done < <(systemd-analyze verify --man=no "$work"/ioemud{.service,-usernet@.service,-usernet.socket} 2>&1 | grep 'ioemud')
for name in systemd/*.conf; do
    case $name in */sysusers.conf | */tmpfiles.conf) continue ;; esac
    grep -q "'${name##*/}'" systemd/meson.build || bad "$name: is not installed"
    grep -q "${name##*/}" docs/operations.md || bad "$name: docs/operations.md does not name it"
done
verdict
