#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/diff/diff_e1000.py SERVER [--seed N] [--seconds N] [--accesses N] [--verbose]

As diff_ide.py, with a NIC: our 82540EM beside QEMU's e1000."""

import sys

import e1000_ops
from explore import main

sys.exit(main(e1000_ops, __doc__))
