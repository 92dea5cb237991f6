# SPDX-License-Identifier: GPL-2.0-or-later
"""Our 82540EM and QEMU's, side by side: registers, EEPROM, PHY, and the transmitter with what it
sends; and the receiver, with what the PHY loops back."""

from nic_pair import MAC, NicPair
from qtest import Difference

MEM = 0xE0000000
RING, RX_RING, RING_SIZE = 0x100000, 0x110000, 64
DATA = 0x200000
BUFFERS, BUFFER_STEP = 0x400000, 0x4000


class Pair(NicPair):
    """Both have their BARs decoded and bus mastering on."""

    def __init__(self, args, folder, layout):
        # deliberate: throttling
        self.lines = layout == "interrupts"
        super().__init__(args, folder, "e1000", layout == "receiver", ",mitigation=off" if self.lines else "")
        self.route()
        self.config(0x10, "l", MEM)
        self.config(0x04, "w", 7)

    def write(self, offset, value):
        self.raw([f"writel {MEM + offset:#x} {value:#x}"])

    def read(self, offset, what, mask=0xFFFFFFFF):
        return self.compare([f"readl {MEM + offset:#x}"], what, mask)


def open_pair(args, folder, seed, layout, patience):
    return Pair(args, folder, layout)
