#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Who may include what. Devices know neither the hypervisor nor the event loop nor files, so that the
# same sources serve the daemon, tests, fuzzers, a mini-guest and firmware.
. "$(dirname "$0")/common.sh"

# includes FILES-PATTERN EXCEPT ALLOWED WHY
includes()
{
    local line
    while read -r line; do
        bad "$line: $4"
    done < <(files "$1" | grep '\.[ch]$' | grep -v "$2" |
        xargs -r grep -Hn '^[[:space:]]*#[[:space:]]*include' | grep -vE "include ($3)")
}

libc='<(assert|errno|inttypes|limits|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|string)\.h>'

includes 'devices/*' '^devices/backend/' \
    "\"devices/([a-z0-9_]+/)?[a-z0-9_]+\.h\"|$libc" 'devices include devices and libc only'
while read -r line; do
    bad "$line: a device uses the callers' half of a backend only"
done < <(files 'devices/*' | grep '\.[ch]$' | grep -v '^devices/backend/' |
    xargs -r grep -Hn 'include "devices/backend/' | grep -vE '"devices/backend/(blk|chr|net)\.h"')
includes 'devices/backend/*' '^$' '"devices/|<(sys/|linux/|arpa/|slirp/|sanitizer/)?[a-z0-9_]+\.h>' \
    'backends know devices, libc, Linux, libslirp and libnbd'
while read -r line; do
    bad "$line: a backend gets descriptors and a loop; it knows no hypervisor, no libev, no JSON"
done < <(files 'devices/backend/*' | xargs -r grep -HnE 'include <(ev|jansson|xen[a-z]*|uv)\.h>')
while read -r line; do
    bad "$line: ioreq/ knows the bus and the host, no device and no daemon"
done < <(files 'ioreq/*' | grep '\.[ch]$' |
    xargs -r grep -HnE 'include ("(daemon|config)/|"devices/(ide|chipset|backend)/|<(ev|jansson)\.h>)')
while read -r line; do
    bad "$line: config/ knows nothing but JSON"
done < <(files 'config/*' | grep '\.[ch]$' |
    xargs -r grep -HnE 'include ("(daemon|devices|ioreq)/|<(ev|xen[a-z]*)\.h>)')
verdict
