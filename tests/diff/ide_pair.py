# SPDX-License-Identifier: GPL-2.0-or-later
"""Our PIIX3 IDE function and QEMU's, side by side: the same accesses go to both, and everything
that either answers is compared. What differs on purpose is in deliberate.md; where it is allowed for, the
entry's name stands in a comment "deliberate: NAME"."""

import base64
import os
import random
import time

from qtest import Difference, Peer

COMMAND = (0x1F0, 0x170)
CONTROL = (0x3F6, 0x376)
BMDMA = 0xC000
IDE = 0x80000900  # 00:01.1 in configuration mechanism 1

ERR, DRQ, BSY = 0x01, 0x08, 0x80  # of the status
WINDOW = 0x100000  # what DMA may touch, and more
WINDOW_SIZE = 0x200000
TABLES = 0x400000

SECTOR = 512


class Cdrom(int):
    """The sectors of a medium, in a layout: a CD-ROM drive has it."""


RANDOM_SECTORS = 100000  # of a medium that is larger the rest is empty


def disk_bytes(seed, drive, sectors):
    sectors = min(sectors, RANDOM_SECTORS)
    return random.Random(f"{seed}/{drive}").randbytes(sectors * SECTOR)


class Pair:
    """`sectors`: of four drives, 0 where there is none. `patience`: seconds that QEMU may take to come
    to where we are. Both have their ports decoded and bus mastering on."""

    def __init__(self, server, qemu, folder, seed, sectors, patience):
        self.sectors, self.folder = sectors, folder
        self.images = {"ours": [], "qemu": []}
        self.peers = []
        # Debian's QEMU comes without -accel qtest; a processor that never starts does as well, but for
        # the clock, which stands still.
        machine = ["-machine", "pc", "-accel", "tcg", "-S"]
        for name, program in (("ours", [server]), ("qemu", [qemu] + machine)):
            common = ["-nodefaults", "-display", "none", "-m", "16"]
            for drive, count in enumerate(sectors):
                if not count:
                    continue
                path = os.path.join(folder, f"{name}-{drive}")
                with open(path, "wb") as image:
                    image.write(disk_bytes(seed, drive, count))
                    image.truncate(count * SECTOR)
                self.images[name].append(path)
                cdrom = isinstance(count, Cdrom)
                common += ["-drive", f"file={path},if=none,id=d{drive},format=raw,cache=writeback," +
                           ("readonly=on" if cdrom else "discard=unmap"),
                           "-device", f"{'ide-cd' if cdrom else 'ide-hd'},drive=d{drive},bus=ide.{drive // 2},unit={drive % 2},"
                           f"serial=S{drive},model=diff disk {drive},ver=2.{drive}" +
                           ("" if cdrom else f",wwn={0x5000C500ABCDEF00 + drive:#x}")]
            self.peers.append(Peer(name, program + common, folder))
        self.ours, self.qemu = self.peers
        self.patience = patience
        self.geometry = [(16, 63)] * 4  # heads, sectors a track
        self.translated = [False] * 4  # by INITIALIZE DEVICE PARAMETERS, ever
        self.identified = [False] * 4  # QEMU answers the same ever after
        self.vague = [{1}, {1}, {1}, {1}]  # of a drive: registers not compared; deliberate: power on
        for reg, size, value in ((0x20, "l", BMDMA | 1), (0x04, "w", 5), (0x40, "w", 0x8000),
                                 (0x42, "w", 0x8000)):
            self.raw([f"outl 0xcf8 {IDE | reg & 0xfc:#x}", f"out{size} {0xcfc + (reg & 3):#x} {value:#x}"])

    # ---- accesses ----

    BATCH = 512  # more, and both ends might wait for the other to read

    def raw(self, lines):
        """To both; their answers."""
        answers = [[] for _ in self.peers]
        for at in range(0, len(lines), self.BATCH):
            batch = lines[at:at + self.BATCH]
            for peer in self.peers:
                peer.send(batch)
            for peer, answer in zip(self.peers, answers):
                answer += peer.receive(len(batch))
        return answers

    def out(self, port, value, size="b"):
        self.raw([f"out{size} {port:#x} {value:#x}"])

    def inp(self, port, what, size="b", mask=0xFFFFFFFF):
        ours, qemu = (answer[0] for answer in self.raw([f"in{size} {port:#x}"]))
        if (ours ^ qemu) & mask:
            raise Difference(what, f"{what}: ours {ours:#x}, QEMU {qemu:#x}, compared {mask:#x}")
        return ours

    def memory_write(self, addr, data):
        self.raw([f"b64write {addr:#x} {len(data)} {base64.b64encode(data).decode()}"])

    def memory_compare(self, addr, size, what):
        ours, qemu = (base64.b64decode(answer[0]) for answer in self.raw([f"b64read {addr:#x} {size}"]))
        if ours != qemu:
            at = next(i for i in range(size) if ours[i] != qemu[i])
            raise Difference(what, f"{what}: at {addr + at:#x} ours {ours[at:at + 8].hex()}, "
                             f"QEMU {qemu[at:at + 8].hex()}")

    # ---- coming to rest ----

    NAMES = ("alternate status", "BMICOM", "BMISTA", "device")
    PORTS = [[CONTROL[i], BMDMA + 8 * i, BMDMA + 8 * i + 2, COMMAND[i] + 6] for i in (0, 1)]

    def settle(self, interrupt=True, status=True, active=True):
        """Until QEMU's disk I/O, which goes on behind its answers, has brought it to where we are.
        `interrupt`, `status`, `active` (of the bus master): whether these are compared."""
        lines = [f"inb {port:#x}" for ports in self.PORTS for port in ports]
        ours = self.ours.exchange(lines)
        self.state = ours[:4], ours[4:]
        deadline = time.monotonic() + self.patience
        while True:
            qemu = self.qemu.exchange(lines)
            found = self.unlike(0, ours[:4], qemu[:4], interrupt, status, active) or \
                self.unlike(1, ours[4:], qemu[4:], interrupt, status, active)
            if not found:
                return
            if time.monotonic() > deadline:
                raise found
            time.sleep(0.0002)

    def unlike(self, channel, ours, qemu, interrupt, status, active):
        masks = [0xEF, 0xFF, 0xFF, 0xFF]  # deliberate: bit 4 of the status
        if not status:
            masks[0] = 0
        if not interrupt:
            masks[2] = 0xFB
        if not active:
            masks[2] &= 0xFE
        if ours[0] & ERR:
            masks[2] &= 0xFE  # deliberate: active after an error
        there = self.sectors[2 * channel:2 * channel + 2]
        if not any(there):
            masks[0] = masks[3] = 0  # deliberate: empty channel
        elif not there[self.selected(channel)]:
            masks[3] = 0  # deliberate: absent device
            if there[1]:
                masks[0] = 0
        elif 6 in self.vague[self.drive(channel)]:
            masks[3] = 0xF0
        for name, a, b, mask in zip(self.NAMES, ours, qemu, masks):
            if (a ^ b) & mask:
                return Difference(name, f"channel {channel}: {name}: ours {a:#x}, QEMU {b:#x}")
        a, b = (peer.irq.get(14 + channel, False) for peer in self.peers)
        if interrupt and a != b:
            return Difference("IRQ", f"IRQ {14 + channel}: ours {a}, QEMU {b}")
        return None

    def status(self, channel):
        """Alternate Status at rest; without drives, nothing to act upon."""
        return self.state[channel][0] if any(self.sectors[2 * channel:2 * channel + 2]) else 0

    def selected(self, channel):
        """A device that is there shows bit 7 as one; a cable without device 0 does not."""
        device = self.state[channel][3]
        return device >> 4 & 1 if device & 0x80 else 0

    def drive(self, channel):
        return 2 * channel + self.selected(channel)

    def present(self, channel):
        """The selected device is."""
        return bool(self.sectors[self.drive(channel)])

    # ---- the end ----

    def finish(self):
        self.memory_compare(WINDOW, WINDOW_SIZE, "guest memory at the end")

    def closed(self):
        """What was left behind."""
        for ours, qemu in zip(self.images["ours"], self.images["qemu"]):
            with open(ours, "rb") as a, open(qemu, "rb") as b:
                a, b = a.read(), b.read()
            if a == b:
                continue
            at = next(i for i in range(0, len(a), SECTOR) if a[i:i + SECTOR] != b[i:i + SECTOR])
            raise Difference("image", f"{os.path.basename(ours)}: sector {at // SECTOR} differs")

    def close(self):
        """True if ours ended as it should."""
        return all([peer.close() for peer in self.peers])


def open_pair(args, folder, seed, layout, patience):
    return Pair(args.server, args.qemu, folder, seed, layout, patience)
