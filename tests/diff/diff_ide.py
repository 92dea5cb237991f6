#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/diff/diff_ide.py SERVER [--seed N] [--seconds N] [--accesses N] [--verbose]

Drives our IDE controller (SERVER is qtest_server) and QEMU's with the same random accesses until the
time is over or something differs that deliberate.md does not allow for; then the shortest sequence
that shows it is looked for, and printed. Without a seed it is always the same one; with
IOEMUD_DIFF_FRESH in the environment half of the time goes to a fresh one, which is printed. Ends with
0, 1 (a difference), or 77 (no QEMU: skipped)."""

import sys

import ide_ops
from explore import main

sys.exit(main(ide_ops, __doc__))
