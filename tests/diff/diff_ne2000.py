#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/diff/diff_ne2000.py SERVER [--seed N] [--seconds N] [--accesses N] [--verbose]

As diff_ide.py, with a NIC: our RTL8029AS beside QEMU's ne2k_pci."""

import sys

import ne2000_ops
from explore import main

sys.exit(main(ne2000_ops, __doc__))
