#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# All C is as .clang-format has it.
. "$(dirname "$0")/common.sh"
while read -r file; do
    clang-format --dry-run -Werror "$file" >/dev/null 2>&1 ||
        bad "$file: not as .clang-format has it (clang-format -i)"
done < <(files '*.c' '*.h')
verdict
