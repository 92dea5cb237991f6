#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/diff/diff_cdrom.py SERVER [--seed N] [--seconds N] [--accesses N] [--verbose]

As diff_ide.py, with CD-ROM drives: our packet device beside QEMU's ide-cd."""

import sys

import cdrom_ops
from explore import main

sys.exit(main(cdrom_ops, __doc__))
