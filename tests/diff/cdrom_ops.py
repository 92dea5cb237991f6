# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets to a CD-ROM drive, beside those accesses of ide_ops that concern any drive."""

import base64
import random

import ide_ops
from ide_ops import acknowledge, do_bm_in, do_control, do_reg, do_status, prd_list
from ide_pair import BMDMA, BSY, COMMAND, CONTROL, DRQ, ERR, SECTOR, TABLES, Cdrom, Difference, open_pair

BLOCK = 2048

OPS = 100
KEEP = {}
LAYOUTS = ((0, 0, Cdrom(3000), 0), (2100, 0, 0, Cdrom(5000)), (0, 0, 2500, Cdrom(1444000)),
           (Cdrom(400), 2100, Cdrom(40000), 0))


# ---- carrying out ----

def bytes_of(number, count):
    return list(number.to_bytes(count, "big"))


def issue(pair, channel, drive, feature, limit, packet, active=True):
    """PACKET and the packet."""
    base = COMMAND[channel]
    pair.settle(active=active)
    pair.raw([f"inb {base + 7:#x}"])
    pair.settle(active=active)
    pair.raw([f"outb {base + 6:#x} {0xa0 | drive << 4:#x}", f"outb {base + 1:#x} {feature:#x}",
              f"outb {base + 4:#x} {limit & 0xff:#x}", f"outb {base + 5:#x} {limit >> 8:#x}"])
    pair.settle(active=active)
    pair.out(base + 7, 0xA0)
    pair.settle(active=active)
    pair.raw([f"inb {base + 7:#x}"])
    pair.settle(active=active)
    if not pair.status(channel) & DRQ:
        raise Difference("packet", "no packet is asked for")
    pair.inp(base + 2, "interrupt reason", mask=3)
    words = [packet[i] | packet[i + 1] << 8 for i in range(0, 12, 2)]
    pair.raw([f"outw {base:#x} {word:#x}" for word in words])


def compare(pair, name, masks, at, ours, qemu):
    """`masks`: of bytes of the answer, by position; those that it does not name count in full."""
    for i, (a, b) in enumerate(zip(ours, qemu)):
        if (a ^ b) & masks(at + i):
            raise Difference(f"{name} data", f"{name}: byte {at + i}: ours {a:#x}, QEMU {b:#x}")


def data_in(pair, channel, name, masks, size, most):
    """All DRQ blocks; the bytes that came, ours. Stops after `most` blocks, in the middle."""
    base, got = COMMAND[channel], b""
    step = {"w": 2, "l": 4}[size]
    while pair.status(channel) & DRQ:
        if not most:
            return got, False
        most -= 1
        pair.inp(base + 2, "interrupt reason", mask=3)
        low, high = pair.inp(base + 4, "byte count low"), pair.inp(base + 5, "byte count high")
        count = low | high << 8
        acknowledge(pair, channel)
        # deliberate: a word that is left of a block
        lines = [f"in{size} {base:#x}"] * (count // step)
        lines += [f"inw {base:#x}"] * -(-(count % step) // 2)
        widths = [step] * (count // step) + [2] * (len(lines) - count // step)
        ours, qemu = (b"".join(value.to_bytes(width, "little")
                               for value, width in zip(answer, widths))[:count]
                      for answer in pair.raw(lines))
        compare(pair, name, masks, len(got), ours, qemu)
        got += ours
        pair.settle()
    return got, True


def finished(pair, channel, name):
    """The status phase. True: without an error."""
    base = COMMAND[channel]
    pair.inp(base + 2, f"{name}: interrupt reason", mask=3)
    failed = pair.status(channel) & ERR
    if failed:
        # deliberate: ABRT beside a sense key, sense codes
        pair.inp(base + 1, f"{name}: sense key", mask=0 if name in CODES else 0xF0)
    acknowledge(pair, channel)
    return not failed


def all_bytes(at):
    return 0xFF


def request_sense(pair, channel, drive, code=True):
    """`code`: the sense key and the additional code are compared."""
    def masks(at):
        if at == 0:
            return 0x7F  # deliberate: valid sense
        # deliberate: qualifiers of sense codes
        if 3 <= at < 7 or at == 13 or (at in (2, 12) and not code):
            return 0
        return 0xFF
    issue(pair, channel, drive, 0, 0xFFFE, [3, 0, 0, 0, 18] + [0] * 7)
    pair.settle()
    data_in(pair, channel, "REQUEST SENSE", masks, "w", 99)
    finished(pair, channel, "REQUEST SENSE")


def do_no_limit(pair, channel, drive, packet):
    """Data, and a byte count limit of zero: refused. deliberate: interrupt without a limit"""
    issue(pair, channel, drive, 0, 0, packet)
    pair.settle(interrupt=False)
    if not pair.status(channel) & ERR:
        raise Difference("limit", "a limit of zero is taken")
    acknowledge(pair, channel, interrupt=False)
    pair.out(BMDMA + 8 * channel + 2, 4)
    pair.settle()
    request_sense_quietly(pair, channel, drive)


def without_disc(pair, channel, drive, name):
    """deliberate: start without a disc"""
    return name == "START" and (channel, drive) in pair.trays_out


def moved_tray(pair, channel, drive, name, good):
    """After a packet of any kind."""
    if good and name == "EJECT":
        pair.trays_out.add((channel, drive))
    elif good and name == "LOAD":
        pair.trays_out.discard((channel, drive))
    if name in ("EJECT", "LOAD"):
        quieten(pair, channel, drive)


def do_packet(pair, channel, drive, name, packet, limit, size, most, code):
    if without_disc(pair, channel, drive, name):
        return
    issue(pair, channel, drive, 0, limit, packet)
    pair.settle()
    _, whole = data_in(pair, channel, name, MASKS.get(name, all_bytes), size, most)
    if not whole:
        do_cd_reset(pair, channel, drive)
        return
    good = finished(pair, channel, name)
    if not good:
        request_sense(pair, channel, drive, code)
    moved_tray(pair, channel, drive, name, good)


def do_dma(pair, channel, drive, name, packet, table, prds, start_first, code):
    if without_disc(pair, channel, drive, name):
        return
    base = BMDMA + 8 * channel
    entries = b"".join(addr.to_bytes(4, "little") + (size & 0xFFFF).to_bytes(2, "little") +
                       (b"\0\x80" if i == len(prds) - 1 else b"\0\0")
                       for i, (addr, size) in enumerate(prds))
    for addr, size in prds:
        pair.memory_write(addr, bytes(size))
    pair.memory_write(table, entries)
    pair.out(base, 0)
    pair.out(base + 4, table, "l")
    pair.out(base, 8)
    pair.out(base + 2, 6)
    start = f"outb {base:#x} 9"
    if start_first:
        pair.raw([start])
    issue(pair, channel, drive, 1, 0, packet, active=False)
    if not start_first:
        pair.raw([start])
    pair.settle(active=False)  # deliberate: memory left after a packet
    pair.out(base, 8)
    good = finished(pair, channel, name)
    masks = MASKS.get(name, all_bytes)
    done = 0
    for addr, size in prds:
        ours, qemu = (base64.b64decode(answer[0])
                      for answer in pair.raw([f"b64read {addr:#x} {size}"]))
        compare(pair, name, masks, done, ours, qemu)
        done += size
        pair.memory_write(addr, bytes(size))  # what may differ, before what is beside it is compared
    for addr, size in prds:
        for beside in (addr - 16, addr + size):
            pair.memory_compare(beside, 16, "guest memory beside the data")
    if not good:
        request_sense(pair, channel, drive, code)
    moved_tray(pair, channel, drive, name, good)


def do_cd_reset(pair, channel, drive):
    """DEVICE RESET in whatever state."""
    acknowledge(pair, channel)
    pair.out(COMMAND[channel] + 6, 0xA0 | drive << 4)
    pair.out(COMMAND[channel] + 7, 0x08)
    pair.out(COMMAND[channel] + 6, 0xA0 | drive << 4)  # deliberate: selection after a reset
    pair.settle()
    for reg in (2, 3, 4, 5):  # deliberate: Error after DEVICE RESET
        pair.inp(COMMAND[channel] + reg, f"signature {reg}")
    settle_tray(pair, channel, drive)


def request_sense_quietly(pair, channel, drive):
    for _ in range(2):  # and what waits behind it
        issue(pair, channel, drive, 0, 0xFFFE, [3, 0, 0, 0, 18] + [0] * 7)
        pair.settle()
        data_in(pair, channel, "REQUEST SENSE", lambda at: 0, "w", 99)
        finished(pair, channel, "REQUEST SENSE")


def quieten(pair, channel, unit):
    """deliberate: unit attention, events: none is left."""
    request_sense_quietly(pair, channel, unit)
    issue(pair, channel, unit, 0, 0xFFFE, [0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8, 0, 0, 0])
    pair.settle()
    data_in(pair, channel, "events", lambda at: 0, "w", 99)
    finished(pair, channel, "events")


def settle_tray(pair, channel, unit):
    """deliberate: tray, lock and sense after a reset"""
    request_sense_quietly(pair, channel, unit)
    for packet in ([0x1E] + [0] * 11, [0x1B, 0, 0, 0, 3] + [0] * 7):
        issue(pair, channel, unit, 0, 0xFFFE, packet)
        pair.settle()
        finished(pair, channel, "tray")
    pair.trays_out.discard((channel, unit))
    quieten(pair, channel, unit)


def begin(pair):
    """Brings both to where they are to be compared: deliberate: ready after power on, unit attention
    at power on, first event."""
    pair.trays_out = set()  # channel and unit
    for drive, count in enumerate(pair.sectors):
        if isinstance(count, Cdrom):
            channel, unit = drive // 2, drive % 2
            pair.raw([f"outb {COMMAND[channel] + 6:#x} {0xa0 | unit << 4:#x}",
                      f"outb {COMMAND[channel] + 7:#x} 0", f"inb {COMMAND[channel] + 7:#x}"])
    pair.settle()
    for drive, count in enumerate(pair.sectors):
        if isinstance(count, Cdrom):
            channel, unit = drive // 2, drive % 2
            quieten(pair, channel, unit)


def do_srst(pair, channel):
    acknowledge(pair, channel)
    pair.out(COMMAND[channel] + 6, 0xA0)
    pair.raw([f"outb {CONTROL[channel]:#x} 4"])
    pair.raw([f"outb {CONTROL[channel]:#x} 0"])
    acknowledge(pair, channel, interrupt=False)
    pair.out(BMDMA + 8 * channel + 2, 4)
    pair.settle()
    if pair.present(channel):
        for reg in (1, 2, 3, 4, 5):
            pair.inp(COMMAND[channel] + reg, f"signature {reg}")
    for unit in (0, 1):
        if isinstance(pair.sectors[2 * channel + unit], Cdrom):
            settle_tray(pair, channel, unit)


def do_aborted(pair, channel, drive, opcode):
    """A disk's command: the signature where ATA-6 wants it."""
    acknowledge(pair, channel)
    pair.raw([f"outb {COMMAND[channel] + 6:#x} {0xa0 | drive << 4:#x}"])
    pair.out(COMMAND[channel] + 7, opcode)
    pair.settle()
    pair.inp(COMMAND[channel] + 1, "error")
    if opcode in (0x20, 0xEC):  # deliberate: READ SECTOR without retry
        for reg in (2, 3, 4, 5):
            pair.inp(COMMAND[channel] + reg, f"signature {reg}")
    elif opcode == 0x21:  # what it left there, or did not, is not for later accesses to find
        for reg in (2, 3, 4, 5):
            pair.out(COMMAND[channel] + reg, 0)
    acknowledge(pair, channel)


def do_identify(pair, channel, drive):
    acknowledge(pair, channel)
    pair.raw([f"outb {COMMAND[channel] + 6:#x} {0xa0 | drive << 4:#x}"])
    pair.out(COMMAND[channel] + 7, 0xA1)
    pair.settle()
    ours, qemu = pair.raw([f"inw {COMMAND[channel]:#x}"] * 256)
    wrong = [i for i in range(256) if (ours[i] ^ qemu[i]) & IDENTIFY_MASKS.get(i, 0xFFFF)]
    if wrong:
        raise Difference("IDENTIFY", "IDENTIFY PACKET: " + ", ".join(
            f"word {i}: ours {ours[i]:#06x}, QEMU {qemu[i]:#06x}" for i in wrong))
    pair.settle()


# deliberate: IDENTIFY PACKET
IDENTIFY_MASKS = {
    **dict.fromkeys((20, 21, 22, 48, 50, 51, 62, 65, 66, 67, 68, 71, 72, 80, 82, 83, 84, 85, 87, 93, 255), 0),
    49: 0xF3FF, 63: 0x00FF, 88: 0x00FF,
}


def but(*apart, mask=0):
    """All bytes but these, of which `mask` counts."""
    return lambda at: mask if at in apart else 0xFF


def raw_sector(at):
    at %= 2352
    return 0xFF if at < 12 or 15 <= at < 2064 else 0  # deliberate: header; EDC and ECC


# deliberate: what the drive says of itself, of the disc
MASKS = {
    "INQUIRY": but(2, 3, *range(8, 36)),
    "READ TOC": but(13, mask=0xF0),
    "READ TOC MSF": but(13, mask=0xF0),
    "READ TOC lead-out": but(5, mask=0xF0),
    "READ TOC session, old": but(5, 6),
    "READ TOC raw, old": but(5, 16, 27, 38),
    "GET CONFIGURATION": but(*range(6)),
    "GET EVENT STATUS": but(1),
    "MODE SENSE 2A": lambda at: 0xFF if at in (8, 14) else 0,
    "MECHANISM STATUS": but(1, mask=0xEF),  # deliberate: door open
    "READ DVD STRUCTURE": but(*range(4, 21)),
    "READ DISC INFORMATION": but(*range(16, 24)),
    "READ CD raw": raw_sector,
}

TABLE = {name[3:]: function for name, function in list(globals().items()) if name.startswith("do_")}


def perform(pair, op):
    TABLE[op[0]](pair, *op[1:])


# ---- making up ----

def drives_of(layout):
    return [i for i in range(4) if isinstance(layout[i], Cdrom)]


def some_read(rng, blocks):
    count = rng.choice((0, 1, 1, 1, 2, 3, 16, 17, 33, 40, 70))
    pick = rng.randrange(12)
    if pick == 0:
        lba = rng.choice((blocks, blocks - 1, blocks + 1, 0xFFFFFFFF, 0x80000000))
    else:
        lba = rng.randrange(max(blocks - count, 1))
    if not count:
        lba %= blocks  # deliberate: nothing from outside the disc
    return lba, count


def make_read(rng, blocks):
    lba, count = some_read(rng, blocks)
    kind = rng.randrange(3)
    if kind == 0:
        return "READ 10", [0x28, 0, *bytes_of(lba, 4), 0, *bytes_of(count, 2), 0, 0, 0], count * BLOCK
    if kind == 1:
        return "READ 12", [0xA8, 0, *bytes_of(lba, 4), *bytes_of(count, 4), 0, 0], count * BLOCK
    fields = rng.choice((0x10, 0x10, 0xF8, 0x00))
    if blocks > 360000 and fields == 0xF8:
        fields = 0x10  # deliberate: whole sectors of a DVD
    size = {0x10: BLOCK, 0xF8: 2352, 0: 0}[fields]
    name = "READ CD raw" if fields == 0xF8 else "READ CD"
    return name, [0xBE, 0, *bytes_of(lba, 4), *bytes_of(count, 3), fields, 0, 0], count * size


SMALL = (
    ("TEST UNIT READY", [0x00], 0),
    ("READ CAPACITY", [0x25], 8),
    ("INQUIRY", [0x12, 0, 0, 0, 36], 36),
    ("READ TOC", [0x43, 0, 0, 0, 0, 0, 0, 0, 20], 20),
    ("READ TOC MSF", [0x43, 2, 0, 0, 0, 0, 1, 0, 20], 20),
    ("READ TOC lead-out", [0x43, 0, 0, 0, 0, 0, 0xAA, 0, 12], 12),
    ("READ TOC no track", [0x43, 0, 0, 0, 0, 0, 9, 0, 20], 20),
    # deliberate: the format of READ TOC
    ("READ TOC session, old", [0x43, 0, 0, 0, 0, 0, 0, 0, 12, 0x40], 12),
    ("READ TOC raw, old", [0x43, 2, 0, 0, 0, 0, 0, 0, 48, 0x80], 48),
    ("GET CONFIGURATION", [0x46, 0, 0, 0, 0, 0, 0, 0, 8], 8),
    ("GET EVENT STATUS", [0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8], 8),
    ("GET EVENT STATUS async", [0x4A, 0, 0, 0, 0x10, 0, 0, 0, 8], 8),
    # deliberate: mode pages
    ("MODE SENSE 2A", [0x5A, 0, 0x2A, 0, 0, 0, 0, 0, 24], 24),
    ("MODE SENSE saved", [0x5A, 0, 0xEA, 0, 0, 0, 0, 0, 24], 24),
    ("MODE SENSE other", [0x5A, 0, 0x05, 0, 0, 0, 0, 0, 24], 24),
    ("MECHANISM STATUS", [0xBD, 0, 0, 0, 0, 0, 0, 0, 0, 8], 8),
    ("READ DISC INFORMATION", [0x51, 0, 0, 0, 0, 0, 0, 0, 34], 34),
    ("READ DVD STRUCTURE", [0xAD, 0, 0, 0, 0, 0, 0, 0, 0x08, 4], 2052),
    ("READ DVD STRUCTURE copyright", [0xAD, 0, 0, 0, 0, 0, 0, 1, 0, 8], 8),
    ("PREVENT", [0x1E, 0, 0, 0, 1], 0),
    ("ALLOW", [0x1E], 0),
    ("START", [0x1B, 0, 0, 0, 1], 0),
    ("STOP", [0x1B, 0, 0, 0, 0], 0),
    ("EJECT", [0x1B, 0, 0, 0, 2], 0),
    ("LOAD", [0x1B, 0, 0, 0, 3], 0),
    ("LOAD", [0x1B, 0, 0, 0, 3], 0),
    ("SET CD SPEED", [0xBB, 0, 0xFF, 0xFF], 0),
    ("SEEK", [0x2B, 0, 0, 0, 0, 9], 0),
    ("SEEK outside", [0x2B, 0, 0xFF], 0),
    ("unknown", [0xE7], 0),
    ("WRITE 10", [0x2A, 0, 0, 0, 0, 0, 0, 0, 1], 0),
)


def make_packet(rng, layout):
    drive = rng.choice(drives_of(layout))
    if rng.random() < 0.5:
        name, packet, size = make_read(rng, layout[drive] // 4)
    else:
        name, packet, size = rng.choice(SMALL)
    packet = list(packet) + [0] * (12 - len(packet))
    code = name not in CODES
    if rng.random() < 0.35:
        table = TABLES + 4 * rng.randrange(0x100)
        prds = prd_list(rng, max(size + size % 2 + rng.choice((0, 0, 0, 2, 512)), 2))
        return ("dma", drive // 2, drive % 2, name, packet, table, prds, rng.random() < 0.3, code)
    limit = rng.choice((2048, 2048, 4096, 0xFFFE, 0xFFFF, 510, 3000, 2047, 511, 65, 12, 0))
    if limit and size > 40 * limit:  # a block takes as long as all else
        limit = 0xFFFE
    if limit and size > 0x8000:  # deliberate: long DRQ blocks
        limit = min(limit, 0x8000)
    if name in NOTHING_SOMETIMES and not limit:
        limit = 2048  # deliberate: no limit and no data
    if not limit and size:
        return ("no_limit", drive // 2, drive % 2, packet)
    # deliberate: a word that is left of a block
    width = "w" if limit % 4 else rng.choice("wwl")
    return ("packet", drive // 2, drive % 2, name, packet, limit, width,
            rng.choice((9999, 9999, 9999, 9999, 9999, 1, 3)), code)


# deliberate: sense codes
CODES = {"EJECT"}

NOTHING_SOMETIMES = {"READ 10", "READ 12", "READ CD", "READ CD raw"}

DISK_COMMANDS = (0x00, 0x20, 0x21, 0x24, 0x25, 0x30, 0x35, 0x91, 0xC4, 0xC6, 0xC8, 0xCA, 0xEC)


def make_other(rng, layout):
    drive = rng.choice(drives_of(layout))
    channel, unit = drive // 2, drive % 2
    pick = rng.randrange(7)
    if pick == 0:
        return ("cd_reset", channel, unit)
    if pick == 1:
        return ("srst", channel)
    if pick == 2:
        return ("aborted", channel, unit, rng.choice(DISK_COMMANDS))
    if pick == 3:
        return ("identify", channel, unit)
    if pick == 4:
        return ("control", channel, rng.choice((0, 0, 2)))
    if pick == 5:
        return ("bm_in", channel, *rng.choice(((0, "b"), (2, "b"), (4, "l"))))
    return ("status", channel)


def generate(rng, layout, count):
    makers = (make_packet,) * 5 + (make_other,)
    return [rng.choice(makers)(rng, layout) for _ in range(count)]
