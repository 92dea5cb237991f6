#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Licence lines, sizes, words and blanks.
. "$(dirname "$0")/common.sh"

file_lines=650
test_lines=1200 # a test's file follows its module, however much there is to show
function_lines=75

while read -r file; do
    head -n 2 "$file" | grep -q 'SPDX-License-Identifier: GPL-2.0-or-later' ||
        bad "$file: no SPDX line at the top"
done < <(files '*.c' '*.h' '*.S' '*.sh' '*.py' '*.in' '*.ld'; files 'tests/run' 'tests/demo' 'tests/xen/lab' 'ioreq/hypervisor/build' 'ioreq/hypervisor/apply')

while read -r file; do
    lines=$(wc -l <"$file")
    case $file in tests/unit/*) most=$test_lines ;; *) most=$file_lines ;; esac
    [ "$lines" -le $most ] || bad "$file: $lines lines; $most are the most"
done < <(files '*.c' '*.h')

while read -r line; do
    bad "$line lines; $function_lines are the most"
done < <(files '*.c' | xargs -r awk -v most=$function_lines '
    /^[a-zA-Z].*\(/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
    /^{/ { start = FNR }
    /^}/ && start { if (FNR - start > most) print FILENAME ": " name "(): " FNR - start; start = 0 }')

while read -r line; do
    bad "$line: longer than 100 columns"
done < <(files '*.c' '*.h' | LC_ALL=C.UTF-8 xargs -r grep -HnP '^.{101,}' | cut -d : -f 1,2)

while read -r line; do
    bad "$line: left for later"
done < <(files '*' | grep -v '^COPYING$' | xargs -r grep -InE '\b(T[O]DO|F[I]XME|X[X]X|H[A]CK)\b' | cut -c 1-120)
while read -r line; do
    bad "$line: a path of somebody's machine"
done < <(files '*' | xargs -r grep -InE '(^|[^a-z0-9_.])/(w[o]rk|home/[a-z])/' | cut -c 1-120)
while read -r line; do
    bad "$line: blanks at the end of a line"
done < <(files '*.c' '*.h' '*.sh' '*.build' '*.md' 'docs/*' | xargs -r grep -InE '[[:blank:]]+$' | cut -d : -f 1,2)
verdict
