#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/diff/diff_rtl8139.py SERVER [--seed N] [--seconds N] [--accesses N] [--verbose]

As diff_ide.py, with a NIC: our RTL8139C+ beside QEMU's rtl8139."""

import sys

import rtl8139_ops
from explore import main

sys.exit(main(rtl8139_ops, __doc__))
