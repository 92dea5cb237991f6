#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The manual pages are well-formed and name every key and every option that the programs take; the
# sockets' description names every method and every counter.
. "$(dirname "$0")/common.sh"

while read -r page; do
    while read -r line; do
        bad "$line"
    done < <(mandoc -T lint -W warning "$page" 2>&1)
done < <(files 'docs/*.[1-9]')

# keys SOURCE MACRO PAGE: those of a table of config/.
keys()
{
    local key
    for key in $(sed -nE "s/^ *$2\(\"?([a-z_]+)\"?,.*/\1/p" "config/$1"); do
        grep -qE "^\.It Cm $key( |\$)" "docs/$3" || bad "docs/$3: says nothing about \"$key\""
    done
}
keys daemon_config.c KEY ioemud.json.5
keys daemon_config.c METRICS ioemud.json.5
keys guest_config.c GUEST ioemud-guest.json.5
keys guest_config.c DISK ioemud-guest.json.5
keys guest_config.c SERIAL ioemud-guest.json.5
keys nic_config.c NIC ioemud-guest.json.5
keys nic_config.c FORWARD ioemud-guest.json.5

# options PROGRAM PAGE
options()
{
    local option
    # shellcheck disable=SC2154 # build_dir: common.sh
    [ -x "$build_dir/daemon/$1" ] || { bad "$build_dir/daemon/$1: not built"; return; }
    for option in $("$build_dir/daemon/$1" --help | grep -oE -- '--[a-z][a-z-]+' | sort -u); do
        grep -qF -- "Fl \\-${option#--}" "docs/$2" || bad "docs/$2: says nothing about $option"
    done
}
options ioemud ioemud.8
options ioemuctl ioemuctl.1
options ioemud-usernet ioemud-usernet.8

while read -r word; do
    grep -qF "\`$word\`" docs/rpc.md || grep -qE "^## $word\$" docs/rpc.md ||
        bad "docs/rpc.md: says nothing about \"$word\""
done < <(
    grep -oE 'COUNT\([a-z]+, +[a-z_]+\)' daemon/stats.c | sed 's/.*, *//; s/)//' | grep -vx member
    grep -oE '\{"[a-z-]+", method_' daemon/methods.c | cut -d '"' -f 2
    grep -oE '(set|stats_add_histogram|json_object_set_new)\(object, "[a-z0-9_]+"' daemon/stats.c daemon/stats_parts.c |
        sed 's/.*"\(.*\)"/\1/'
    grep -oE '\{"p[0-9_]+_ns"' daemon/stats_parts.c | tr -d '{"'
)
verdict
