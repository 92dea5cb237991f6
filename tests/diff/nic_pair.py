# SPDX-License-Identifier: GPL-2.0-or-later
"""A NIC of ours and QEMU's, side by side, whichever model. QEMU's clock stands still unless it is told to run,
and nothing that takes time is compared. What differs on purpose is in deliberate.md; where it is allowed for, the
entry's name stands in a comment "deliberate: NAME"."""

import base64
import os
import socket
import struct

from qtest import Difference, Peer

SLOT = 4
MAC = bytes((0x02, 0x00, 0x00, 0x12, 0x34, 0x56))
IRQ = 11  # where all of PIIX3's PIRQ lines are routed to


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


class NicPair:
    """`running`: QEMU's clock does, and frames can come in from the network (give())."""

    def __init__(self, args, folder, model, running=False, options=""):
        self.peers, self.dumps, self.wire = [], [], None
        machine = ["-machine", "pc", "-accel", "tcg"]  # see ide_pair.py
        machine += ["-bios", halting_firmware(folder)] if running else ["-S"]
        for name, program in (("ours", [args.server]), ("qemu", [args.qemu] + machine)):
            path = os.path.join(folder, name + ".pcap")
            if name == "qemu" and running:
                program += self.network(folder)
            nic = ["-nodefaults", "-display", "none", "-m", "16",
                   "-netdev", "hubport,id=n0,hubid=0",
                   "-object", f"filter-dump,id=d0,netdev=n0,file={path}",
                   "-device", f"{model},netdev=n0,mac={MAC.hex(':')},addr={SLOT},romfile="]
            nic[-1] += options if name == "qemu" else ""
            self.peers.append(Peer(name, program + nic, folder))
            self.dumps.append(Dump(path))
        self.ours, self.qemu = self.peers
        self.vague = False  # something that is counted differs

    def network(self, folder):
        """Datagrams that are frames, to QEMU's hub."""
        here, self.there = (os.path.join(folder, name) for name in ("network", "hub"))
        self.wire = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.wire.bind(here)
        return ["-netdev", "dgram,id=n1,local.type=unix,local.path=" + self.there +
                ",remote.type=unix,remote.path=" + here, "-netdev", "hubport,id=n2,hubid=0,netdev=n1"]

    def give(self, frame):
        """A frame from the network. QEMU's comes when it comes."""
        self.ours.exchange([f"b64frame {len(frame)} {base64.b64encode(frame).decode()}"])
        self.wire.sendto(frame, self.there)

    def config(self, reg, size, value, slot=SLOT):
        address = 0x80000000 | slot << 11 | reg & 0xFC
        self.raw([f"outl 0xcf8 {address:#x}", f"out{size} {0xcfc + (reg & 3):#x} {value:#x}"])

    def config_read(self, reg, what, mask=0xFFFFFFFF):
        return self.compare([f"outl 0xcf8 {0x80000000 | SLOT << 11 | reg:#x}", "inl 0xcfc"], what, mask)

    def route(self):
        for link in range(4):
            self.config(0x60 + link, "b", IRQ, 1)

    def raw(self, lines):
        """To both; their answers."""
        for peer in self.peers:
            peer.send(lines)
        return [peer.receive(len(lines)) for peer in self.peers]

    def compare(self, lines, what, mask=0xFFFFFFFF):
        """What the last of them answers."""
        ours, qemu = (answer[-1] for answer in self.raw(lines))
        if (ours ^ qemu) & mask:
            raise Difference(what, f"{what}: ours {ours:#x}, QEMU {qemu:#x}, compared {mask:#x}")
        return ours

    def config_compare(self, command, line, bars, revision=0xFF):
        """Writes to PCI configuration; leaves the command register to the caller. `bars`: what is compared of each
        that is there. deliberate: PCI"""
        self.config(0x3C, "b", line)
        self.config_read(0x3C, "interrupt line and pin", 0xFFFF)
        self.config_read(0x00, "IDs")
        self.config_read(0x08, "class and revision", 0xFFFFFF00 | revision)
        self.config_read(0x0C, "header type", 0x00FF0000)
        for reg, (value, mask) in bars.items():
            self.config(reg, "l", 0xFFFFFFFF)
            self.config_read(reg, f"BAR at {reg:#x}", mask)
            self.config(reg, "l", value)
        self.config(0x04, "w", command)
        self.config_read(0x04, "command", 0x405)

    def interrupt_compare(self):
        ours, qemu = (peer.irq.get(IRQ, False) for peer in self.peers)
        if ours != qemu:
            raise Difference("interrupt", f"the interrupt line: ours {ours}, QEMU {qemu}")
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
        if self.wire:
            self.wire.close()
        return all([peer.close() for peer in self.peers])

    def finish(self):
        pass

    def closed(self):
        pass
