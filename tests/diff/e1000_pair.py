# SPDX-License-Identifier: GPL-2.0-or-later
"""Our 82540EM and QEMU's, side by side: registers, EEPROM, PHY, and the transmitter with what it
sends; and the receiver, with what the PHY loops back. QEMU's clock stands still where the receiver is not
in use, and nothing that takes time is compared. What differs on purpose is in deliberate.md; where it is allowed for, the entry's name stands in a
comment "deliberate: NAME"."""

import base64
import os
import struct

from qtest import Peer

MEM = 0xE0000000
SLOT = 4
MAC = bytes((0x02, 0x00, 0x00, 0x12, 0x34, 0x56))
RING, RX_RING, RING_SIZE = 0x100000, 0x110000, 64
DATA = 0x200000
BUFFERS, BUFFER_STEP = 0x400000, 0x4000


class Difference(Exception):
    """`kind` tells one difference from another, whatever the values."""

    def __init__(self, kind, text):
        super().__init__(text)
        self.kind = kind


class Dump:
    """A pcap file that grows: its new packets, without the time."""

    def __init__(self, path):
        self.path, self.at = path, 24

    def packets(self):
        with open(self.path, "rb") as file:
            file.seek(self.at)
            data = file.read()
        packets, at = [], 0
        while at + 16 <= len(data):
            size = struct.unpack_from("<8xI", data, at)[0]
            packets.append(data[at + 16:at + 16 + size])
            at += 16 + size
        self.at += at
        return packets


def halting_firmware(folder):
    """A processor that starts has halted: HLT and a jump back to it, where it begins."""
    path = os.path.join(folder, "halt")
    with open(path, "wb") as file:
        file.write(bytes(0xFFF0) + b"\xf4\xeb\xfd" + bytes(13))
    return path


class Pair:
    """Both have their BARs decoded and bus mastering on. `running`: QEMU's clock does."""

    def __init__(self, server, qemu, folder, running=False):
        self.peers, self.dumps = [], []
        machine = ["-machine", "pc", "-accel", "tcg"]  # see ide_pair.py
        machine += ["-bios", halting_firmware(folder)] if running else ["-S"]
        for name, program in (("ours", [server]), ("qemu", [qemu] + machine)):
            path = os.path.join(folder, name + ".pcap")
            nic = ["-nodefaults", "-display", "none", "-m", "16",
                   "-netdev", "hubport,id=n0,hubid=0",
                   "-object", f"filter-dump,id=d0,netdev=n0,file={path}",
                   "-device", f"e1000,netdev=n0,mac={MAC.hex(':')},addr={SLOT},romfile="]
            self.peers.append(Peer(name, program + nic, folder))
            self.dumps.append(Dump(path))
        self.ours, self.qemu = self.peers
        self.vague = False  # lengths in statistics are not compared
        self.config(0x10, "l", MEM)
        self.config(0x04, "w", 6)

    def config(self, reg, size, value):
        address = 0x80000000 | SLOT << 11 | reg & 0xFC
        self.raw([f"outl 0xcf8 {address:#x}", f"out{size} {0xcfc + (reg & 3):#x} {value:#x}"])

    def raw(self, lines):
        """To both; their answers."""
        for peer in self.peers:
            peer.send(lines)
        return [peer.receive(len(lines)) for peer in self.peers]

    def write(self, offset, value):
        self.raw([f"writel {MEM + offset:#x} {value:#x}"])

    def read(self, offset, what, mask=0xFFFFFFFF):
        ours, qemu = (answer[0] for answer in self.raw([f"readl {MEM + offset:#x}"]))
        if (ours ^ qemu) & mask:
            raise Difference(what, f"{what}: ours {ours:#x}, QEMU {qemu:#x}, compared {mask:#x}")
        return ours

    def memory_write(self, addr, data):
        self.raw([f"b64write {addr:#x} {len(data)} {base64.b64encode(data).decode()}"])

    def memory_compare(self, addr, size, what):
        ours, qemu = (base64.b64decode(answer[0]) for answer in self.raw([f"b64read {addr:#x} {size}"]))
        if ours != qemu:
            at = next(i for i in range(size) if ours[i] != qemu[i])
            raise Difference(what, f"{what}: at {addr + at:#x} ours {ours[at:at + 16].hex()}, "
                             f"QEMU {qemu[at:at + 16].hex()}")

    def packets_compare(self):
        """What has left since the last time; how many."""
        ours, qemu = (dump.packets() for dump in self.dumps)
        if len(ours) != len(qemu):
            raise Difference("packets", f"ours sent {len(ours)} ({[len(p) for p in ours]}), "
                             f"QEMU {len(qemu)} ({[len(p) for p in qemu]})")
        for i, (a, b) in enumerate(zip(ours, qemu)):
            if len(b) < 60:  # deliberate: padding
                b = b.ljust(60, b"\0")
                self.vague = True
            if len(a) != len(b):
                raise Difference("length", f"packet {i}: ours {len(a)} bytes, QEMU {len(b)}")
            for at in range(len(a)):
                if a[at] == b[at]:
                    continue
                even = at & ~1
                if {a[even:even + 2], b[even:even + 2]} == {b"\0\0", b"\xff\xff"}:
                    continue  # deliberate: a checksum of zero
                raise Difference("content", f"packet {i} of {len(a)}: at {at} ours "
                                 f"{a[at:at + 16].hex()}, QEMU {b[at:at + 16].hex()}")
        return len(ours)

    def close(self):
        """True if ours ended as it should."""
        return all([peer.close() for peer in self.peers])
