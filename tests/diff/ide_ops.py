# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations on the pair: each a tuple that stands for itself, so that any may be left out of a
sequence. `generate` makes them up, valid ones mostly; `perform` carries one out and compares."""

import random

from ide_pair import BMDMA, BSY, COMMAND, CONTROL, DRQ, ERR, IDE, SECTOR, TABLES, WINDOW, Difference, open_pair

PIO_IN = {0x20: False, 0x21: False, 0x24: True, 0xC4: False, 0x29: True}  # opcode: 48-bit
PIO_OUT = {0x30: False, 0x31: False, 0x34: True, 0xC5: False, 0x39: True}
DMA_IN = {0xC8: False, 0xC9: False, 0x25: True}
DMA_OUT = {0xCA: False, 0xCB: False, 0x35: True}
NO_DATA = (0x00, 0x10, 0x40, 0x42, 0x70, 0x91, 0xC6, 0xE0, 0xE1, 0xE2, 0xE3, 0xE5, 0xE7, 0xEA, 0xEF,
           0x08, 0x94, 0x95, 0x97, 0x98, 0xFF, 0x45, 0x92, 0x93, 0xB1, 0xE4, 0xE8, 0xF1, 0xF2, 0xF6,
           0x60, 0x61, 0xC7)  # deliberate: native maximum address; logs; forced writes; freeze lock


# deliberate: IDENTIFY
TRANSLATION_WORDS = (1, 3, 6, 54, 55, 56, 57, 58)
IDENTIFY_MASKS = {
    **dict.fromkeys((4, 5, 20, 21, 22, 48, 50, 52, 62, 69, 80, 81, 105, 119, 120, 209, 255), 0),
    49: 0xFBFF, 63: 0x00FF, 82: 0xFFB7, 84: 0xFF9C, 85: 0xFFB6, 86: 0x7FFF, 87: 0xFF9C, 88: 0x00FF,
    93: 0xE000, 106: 0xFFF0,
}


# SET FEATURES: advanced power management, acoustics, and four that QEMU calls NOP
WITHOUT_EFFECT = (0x05, 0x85, 0x42, 0xC2, 0x67, 0x69, 0x96, 0x9A)


# ---- carrying out ----

STEP = {"b": 1, "w": 2, "l": 4}
ADDRESSED = {0x06, 0x40, 0x42, 0x70, *PIO_IN, *PIO_OUT, *DMA_IN, *DMA_OUT}
ADDRESS = {2, 3, 4, 5, 6}


def registers(pair, channel):
    """The command block and the state, after which nothing has changed."""
    pair.settle()
    if not pair.present(channel) or pair.status(channel) & BSY:
        return
    for reg, name in enumerate(("error", "count", "LBA low", "LBA mid", "LBA high"), 1):
        if reg not in pair.vague[pair.drive(channel)]:
            pair.inp(COMMAND[channel] + reg, name)


def transferred(pair, channel, drive):
    """What a command with an address leaves in the registers at its end."""
    if pair.status(channel) & ERR:
        pair.vague[2 * channel + drive].add(1)  # deliberate: outside the disk
    registers(pair, channel)


def acknowledge(pair, channel, interrupt=True, status=True):
    """deliberate: pending interrupts: before nIEN or the selection changes, there is none."""
    pair.settle(interrupt, status)
    if pair.present(channel) and status:
        pair.inp(COMMAND[channel] + 7, "status", mask=0xEF)
    else:
        pair.raw([f"inb {COMMAND[channel] + 7:#x}"])
    pair.settle(interrupt, status)


def chs_address(pair, drive, lba):
    """As the registers have it, in the present translation."""
    heads, track = pair.geometry[drive]
    cylinder, head, sector = lba // track // heads, lba // track % heads, lba % track + 1
    return head << 24 | min(cylinder, 0xFFFF) << 8 | sector


def taskfile(pair, channel, drive, feature, count, lba, ext, chs=False):
    base = COMMAND[channel]
    lines = []
    acknowledge(pair, channel)

    def put(reg, value):
        lines.append(f"outb {base + reg:#x} {value & 0xff:#x}")

    if chs:
        lba = chs_address(pair, 2 * channel + drive, lba)
    device = 0xA0 | (0 if chs else 0x40) | drive << 4
    put(6, device | (0 if ext else lba >> 24 & 15))
    if ext:
        put(1, 0)
        put(2, count >> 8)
        put(3, lba >> 24)
        put(4, lba >> 32)
        put(5, lba >> 40)
    put(1, feature)
    put(2, count)
    put(3, lba)
    put(4, lba >> 8)
    put(5, lba >> 16)
    pair.raw(lines)
    if not pair.status(channel) & (BSY | DRQ):
        for drive in (0, 1):
            pair.vague[2 * channel + drive] -= ADDRESS


def issued(pair, channel, drive, opcode):
    vague = pair.vague[2 * channel + drive]
    vague -= {1}
    if opcode in ADDRESSED:
        vague |= ADDRESS  # deliberate: address after a command
    if opcode in (0x98, 0xE5):
        vague |= {2}  # deliberate: power mode


def command(pair, channel, drive, opcode):
    issued(pair, channel, drive, opcode)
    pair.out(COMMAND[channel] + 7, opcode)
    pair.settle()


def do_command(pair, channel, drive, opcode, feature, count, lba, ext, chs):
    taskfile(pair, channel, drive, feature, count, lba, ext, chs)
    command(pair, channel, drive, opcode)
    if opcode == 0x91 and pair.present(channel) and not pair.status(channel) & (BSY | DRQ | ERR):
        pair.geometry[pair.drive(channel)] = ((lba >> 24 & 15) + 1, count & 0xFF)
        pair.translated[pair.drive(channel)] = True
    if opcode in ADDRESSED:
        transferred(pair, channel, drive)
    else:
        registers(pair, channel)


def blocks_wanted(pair, channel, blocks, ack):
    """Once for each sector that the drive is ready to move, `blocks` at most. `ack`: the host reads
    Status, as one that is interrupted does."""
    while pair.status(channel) & DRQ and blocks:
        if ack:
            acknowledge(pair, channel)
        yield
        pair.settle()
        blocks -= 1


def abandoned(pair, channel, values):
    """A host that leaves a transfer where it is: the drive takes nothing until it is reset."""
    if not pair.status(channel) & DRQ:
        return False
    base = COMMAND[channel]
    acknowledge(pair, channel)  # deliberate: command while busy
    pair.raw([f"outb {base + reg:#x} {value:#x}" for reg, value in enumerate(values, 1)])
    pair.out(base + 7, 0xEC)
    pair.settle()
    pair.inp(base + 1, "error")
    do_reset(pair, channel, 0)
    return True


def do_pio_in(pair, channel, drive, opcode, lba, count, size, blocks, ack, chs):
    elements = SECTOR // STEP[size]
    taskfile(pair, channel, drive, 0, count, lba, PIO_IN[opcode], chs)
    command(pair, channel, drive, opcode)
    for _ in blocks_wanted(pair, channel, blocks, ack):
        ours, qemu = pair.raw([f"in{size} {COMMAND[channel]:#x}"] * elements)
        for i, (a, b) in enumerate(zip(ours, qemu)):
            if a != b:
                raise Difference("data", f"element {i} of a sector: ours {a:#x}, QEMU {b:#x}")
    if not abandoned(pair, channel, [lba & 0xFF] * 5):
        transferred(pair, channel, drive)


def do_pio_out(pair, channel, drive, opcode, lba, count, size, blocks, ack, chs, seed):
    step = STEP[size]
    rng = random.Random(seed)
    taskfile(pair, channel, drive, 0, count, lba, PIO_OUT[opcode], chs)
    command(pair, channel, drive, opcode)
    for _ in blocks_wanted(pair, channel, blocks, ack):
        pair.raw([f"out{size} {COMMAND[channel]:#x} {rng.getrandbits(8 * step):#x}"
                  for _ in range(SECTOR // step)])
    if abandoned(pair, channel, [lba & 0xFF] * 5):
        # deliberate: abandoned write
        do_pio_out(pair, channel, drive, opcode, lba, count, size, 9999, ack, chs, seed)
    else:
        transferred(pair, channel, drive)


def do_identify(pair, channel, drive):
    taskfile(pair, channel, drive, 0, 0, 0, False)
    command(pair, channel, drive, 0xEC)
    if pair.status(channel) & DRQ:
        masks = dict(IDENTIFY_MASKS)
        if pair.translated[2 * channel + drive]:
            masks.update(dict.fromkeys(TRANSLATION_WORDS, 0))
        if pair.identified[2 * channel + drive]:
            masks[59] = 0
        pair.identified[2 * channel + drive] = True
        ours, qemu = pair.raw([f"inw {COMMAND[channel]:#x}"] * 256)
        wrong = [i for i in range(256) if (ours[i] ^ qemu[i]) & masks.get(i, 0xFFFF)]
        if wrong:
            raise Difference("IDENTIFY", "IDENTIFY: " + ", ".join(
                f"word {i}: ours {ours[i]:#06x}, QEMU {qemu[i]:#06x}" for i in wrong))
    registers(pair, channel)


def do_dma(pair, channel, drive, opcode, lba, count, table, prds, start_first, chs, seed):
    ext = DMA_IN.get(opcode, DMA_OUT.get(opcode))
    read = opcode in DMA_IN
    base = BMDMA + 8 * channel
    short = sum(size for _, size in prds) < count * SECTOR and pair.sectors[2 * channel + drive] > lba
    entries = b"".join(addr.to_bytes(4, "little") + (size & 0xFFFF).to_bytes(2, "little") +
                       (b"\0\x80" if i == len(prds) - 1 else b"\0\0")
                       for i, (addr, size) in enumerate(prds))
    if not read:
        rng = random.Random(seed)
        for addr, size in prds:
            pair.memory_write(addr, rng.randbytes(size))
    pair.memory_write(table, entries)
    pair.out(base, 0)
    pair.out(base + 4, table, "l")
    pair.out(base, 8 if read else 0)
    pair.out(base + 2, 6)
    start = f"outb {base:#x} {9 if read else 1:#x}"
    if start_first:
        pair.raw([start])
    taskfile(pair, channel, drive, 0, count, lba, ext, chs)
    issued(pair, channel, drive, opcode)
    pair.raw([f"outb {COMMAND[channel] + 7:#x} {opcode:#x}"] + ([] if start_first else [start]))
    pair.settle(status=not short)  # deliberate: short memory
    pair.out(base, 8 if read else 0)
    if short:
        do_reset(pair, channel, 0, status=False)
        for addr, size in prds:
            pair.memory_write(addr, bytes(size))
        if not read:
            do_dma(pair, channel, drive, opcode, lba, count, table,
                   [(WINDOW + 64 + at, min(0x10000, count * SECTOR - at))
                    for at in range(0, count * SECTOR, 0x10000)], start_first, chs, seed)
        return
    transferred(pair, channel, drive)
    for addr, size in prds:
        pair.memory_compare(addr - 16, size + 32, "guest memory")


def do_trim(pair, channel, drive, ranges, count, start_first, table):
    """Ranges of whole blocks of the image's file system (deliberate: parts of blocks), the list as
    long as the memory."""
    base = BMDMA + 8 * channel
    entries = b"".join((lba | sectors << 48).to_bytes(8, "little") for lba, sectors in ranges)
    pair.memory_write(WINDOW, entries.ljust(count * SECTOR, b"\0"))
    pair.memory_write(table, WINDOW.to_bytes(4, "little") + (count * SECTOR).to_bytes(2, "little") +
                      b"\0\x80")
    pair.out(base, 0)
    pair.out(base + 4, table, "l")
    pair.out(base + 2, 6)
    taskfile(pair, channel, drive, 1, count, 0, True)
    if start_first:
        pair.raw([f"outb {base:#x} 1"])
    issued(pair, channel, drive, 0x06)
    pair.raw([f"outb {COMMAND[channel] + 7:#x} 6"] + ([] if start_first else [f"outb {base:#x} 1"]))
    pair.settle()
    pair.out(base, 0)
    transferred(pair, channel, drive)


def do_smart(pair, channel, drive, feature, low, key):
    """A page is moved, but not compared: deliberate: SMART data."""
    count = 1 if feature == 0xD5 else low  # deliberate: length of a log
    taskfile(pair, channel, drive, feature, count, key << 8 | low, False)
    command(pair, channel, drive, 0xB0)
    for _ in blocks_wanted(pair, channel, 9999, False):
        pair.raw([f"inw {COMMAND[channel]:#x}"] * (SECTOR // 2))
    registers(pair, channel)


def do_bm_start(pair, channel, read):
    """A bus master that no drive asks for anything."""
    pair.out(BMDMA + 8 * channel, 9 if read else 1)
    pair.settle()
    pair.out(BMDMA + 8 * channel, 8 if read else 0)
    pair.settle()


def do_reset(pair, channel, control, status=True):
    acknowledge(pair, channel, status=status)
    pair.out(COMMAND[channel] + 6, 0xA0)  # deliberate: selection after a reset
    pair.raw([f"outb {CONTROL[channel]:#x} {control | 4:#x}"])  # deliberate: busy while SRST is set
    pair.raw([f"outb {CONTROL[channel]:#x} {control:#x}"])
    for drive in (2 * channel, 2 * channel + 1):
        pair.vague[drive] = set()
    acknowledge(pair, channel, interrupt=False)  # deliberate: interrupt after a reset
    pair.out(BMDMA + 8 * channel + 2, 4)
    registers(pair, channel)
    for drive in (0, 1):  # deliberate: settings after a reset
        if pair.sectors[2 * channel + drive]:
            do_command(pair, channel, drive, 0xC6, 0, 16, 0, False, False)


def do_diagnostic(pair, channel, drive):
    if drive:
        return  # deliberate: diagnostic
    if pair.sectors[2 * channel + 1]:  # leaves it without an error
        do_command(pair, channel, 1, 0xC6, 0, 16, 0, False, False)
    acknowledge(pair, channel)
    pair.out(COMMAND[channel] + 6, 0xA0)
    pair.settle()
    command(pair, channel, 0, 0x90)
    pair.vague[2 * channel + 1] = {1} | ADDRESS  # deliberate: diagnostic
    registers(pair, channel)


def do_reg(pair, channel, reg, value):
    if reg == 6:
        acknowledge(pair, channel)
    pair.out(COMMAND[channel] + reg, value)
    registers(pair, channel)


def do_control(pair, channel, value):
    acknowledge(pair, channel)
    pair.out(CONTROL[channel], value)
    registers(pair, channel)


def do_hob(pair, channel, values):
    """What was there before the last write shows with HOB set, until a register is written."""
    if not pair.present(channel) or pair.status(channel) & (BSY | DRQ):
        return
    acknowledge(pair, channel)
    for drive in (0, 1):
        pair.vague[2 * channel + drive] -= {2, 3, 4, 5}
    for reg, (first, second) in enumerate(values, 2):
        pair.out(COMMAND[channel] + reg, first)
        pair.out(COMMAND[channel] + reg, second)
    for control in (0x80, 0, 0x80):
        pair.out(CONTROL[channel], control)
        pair.vague[pair.drive(channel)] |= {1}  # deliberate: HOB and the Error register
        registers(pair, channel)
    pair.out(COMMAND[channel] + 1, 0)
    registers(pair, channel)


def do_status(pair, channel):
    acknowledge(pair, channel)


def do_bm_out(pair, channel, offset, size, value):
    pair.out(BMDMA + 8 * channel + offset, value, size)
    pair.settle()


def do_bm_in(pair, channel, offset, size):
    pair.inp(BMDMA + 8 * channel + offset, f"bus master {offset} {size}", size)


def config(pair, reg):
    pair.raw([f"outl 0xcf8 {IDE | reg & 0xfc:#x}"])
    return 0xCFC + (reg & 3)


def do_pci_in(pair, reg, size):
    port = config(pair, reg)
    pair.inp(port, f"PCI {reg:#x} {size}", size)


def do_pci_out(pair, reg, size, value):
    port = config(pair, reg)
    pair.out(port, value, size)
    pair.inp(port, f"PCI {reg:#x} {size}", size)
    pair.settle()


TABLE = {name[3:]: function for name, function in list(globals().items()) if name.startswith("do_")}


COMMANDS = ("command", "pio_in", "pio_out", "dma", "identify", "diagnostic", "trim", "smart")


def begin(pair):
    pair.settle()


def perform(pair, op):
    if op[0] in COMMANDS and not op[2] and not pair.sectors[2 * op[1]]:
        return  # deliberate: absent device
    TABLE[op[0]](pair, *op[1:])


# ---- making up ----

OPS = 500
KEEP = {}
# QEMU has two cylinders or more.
LAYOUTS = ((3000, 0, 0, 0), (2100, 2500, 0, 5000), (0, 3100, 4096, 0), (70000, 2016, 2017, 2048))


def some_lba(rng, sectors, count, far):
    """Mostly on the disk; if not, then with the first sector: deliberate: across the end."""
    pick = rng.randrange(20)
    if pick == 0:
        return rng.choice((sectors, sectors + 1, far, far - 1))
    last = max(sectors - count, 0)
    return rng.randrange(last + 1) if pick < 15 else last


def some_count(rng):
    """Mostly few: a sector takes as long as all else."""
    if rng.random() < 0.8:
        return rng.choice((1, 1, 1, 2, 2, 3, 4))
    return rng.choice((7, 8, 15, 16, 17, 32, 63, 64, 65, 130, 256))


PRDS = 512  # that QEMU reads of a table


def prd_list(rng, bytes_wanted):
    """Regions of memory for at least so many bytes, far from one another."""
    style = rng.randrange(4)
    prds, at = [], WINDOW + 64 + 2 * rng.randrange(64)
    while bytes_wanted > 0:
        if style == 0:
            size = min(bytes_wanted, 0x10000)
        elif style == 1:
            size = rng.choice((512, 1024, 4096, 0x8000))
        else:
            size = 2 * rng.randrange(1, 2500 if style == 2 else 300)
        if len(prds) >= PRDS - 8:
            size = 0x10000  # deliberate: long tables
        size = min(size, bytes_wanted)
        prds.append((at, size))
        bytes_wanted -= size
        at += size + 2 * rng.randrange(200)
    return prds


def some_drive(rng, layout):
    """Mostly one that is there."""
    return rng.choice([i for i in range(4) if layout[i]] * 8 + [0, 1, 2, 3])


def transfer(rng, layout):
    drive = some_drive(rng, layout)
    return drive, some_count(rng), max(layout[drive], 1)


def make_pio(rng, layout):
    drive, count, sectors = transfer(rng, layout)
    out = rng.random() < 0.4
    opcode = rng.choice(list(PIO_OUT if out else PIO_IN))
    ext = (PIO_OUT if out else PIO_IN)[opcode]
    lba = some_lba(rng, sectors, count, (1 << 48 if ext else 1 << 28) - 1)
    if out:
        lba %= sectors  # deliberate: write outside the disk
        count = min(count, sectors - lba)
    chs = not ext and rng.random() < 0.2
    size = rng.choice("wwl")
    blocks = rng.choice((9999, 9999, 9999, 9999, 0, 1, 3, 16, 70))
    ack = rng.random() < 0.3
    common = (drive // 2, drive % 2, opcode, lba, count, size, blocks, ack, chs)
    return ("pio_out", *common, rng.getrandbits(32)) if out else ("pio_in", *common)


def make_dma(rng, layout):
    drive, count, sectors = transfer(rng, layout)
    opcodes = DMA_OUT if rng.random() < 0.4 else DMA_IN
    opcode = rng.choice(list(opcodes))
    ext = opcodes[opcode]
    lba = some_lba(rng, sectors, count, (1 << 48 if ext else 1 << 28) - 1)
    chs = not ext and rng.random() < 0.2
    table = TABLES + 4 * rng.randrange(0x100)
    extra = rng.choice((0, 0, 0, 0, 2, 512, 0x20000, -2, -512, -700))
    if lba + count > sectors:
        extra = 0
    prds = prd_list(rng, max(count * SECTOR + extra, 2))
    return ("dma", drive // 2, drive % 2, opcode, lba, count, table, prds,
            rng.random() < 0.3, chs, rng.getrandbits(32))


def make_command(rng, layout):
    drive = some_drive(rng, layout)
    opcode = rng.choice(NO_DATA)
    feature, count, lba = rng.getrandbits(8), rng.getrandbits(8), rng.getrandbits(28)
    ext = opcode in (0x42, 0xEA)
    chs = not ext and rng.random() < 0.2
    if opcode in (0x40, 0x42, 0x70):
        count = some_count(rng)
        lba = some_lba(rng, max(layout[drive], 1), count, 0) % max(layout[drive], 1)
        count = max(min(count, layout[drive] - lba), 1)  # deliberate: outside the disk
    elif opcode == 0xC6:
        count = rng.choice((0, 1, 2, 4, 8, 16, 16, 3, 32, 128))
    elif opcode == 0xEF:
        # deliberate: transfer modes
        feature = rng.choice((0x02, 0x82, 0x03, 0x03, 0x55, 0xAA, 0x66, feature))
        # deliberate: defaults after a reset; settings without effect
        feature = 0x66 if feature in (0xCC, *WITHOUT_EFFECT) else feature
        count = rng.choice((0, 1, 8, 9, 12, 0x20, 0x22, 0x40, 0x42, 0x45, 0x18, 0x28, 0x80))
    elif opcode == 0x91:
        count, heads = rng.choice(((63, 16), (63, 16), (17, 4), (32, 8)))
        lba, chs = heads - 1 << 24, False
    return ("command", drive // 2, drive % 2, opcode, feature, count, lba, ext, chs)


BLOCK = 8  # sectors of the file system that holds the images


def make_trim(rng, layout):
    drive = some_drive(rng, layout)
    blocks = layout[drive] // BLOCK
    count = rng.choice((1, 1, 1, 2, 3, 8))
    ranges = []
    for _ in range(rng.choice((0, 1, 2, 5, 64 * count))):
        at = rng.randrange(max(blocks, 1))
        size = min(rng.choice((0, 1, 1, 2, 7, 100)), blocks - at)
        ranges.append((at * BLOCK, max(size, 0) * BLOCK))
    if rng.random() < 0.1:  # deliberate: a bad range: only as the first
        ranges[:1] = [(rng.choice((layout[drive], (1 << 48) - 1)), rng.choice((1, 8, 0xFFFF)))]
    return ("trim", drive // 2, drive % 2, ranges, count, rng.random() < 0.3,
            TABLES + 4 * rng.randrange(0x100))


def make_smart(rng, layout):
    drive = some_drive(rng, layout)
    feature, low = rng.choice(((0xD0, 0), (0xD1, 0), (0xD2, 0), (0xD2, 0xF1), (0xD2, 7), (0xD3, 0),
                               (0xD4, 0), (0xD4, 1), (0xD4, 2), (0xD4, 4), (0xD5, 1), (0xD5, 6),
                               (0xD8, 0), (0xD8, 0), (0xD8, 0), (0xD9, 0), (0xDA, 0), (0xDA, 0),
                               (0xDF, 0), (0x00, 0)))
    if feature == 0xD5 or (feature == 0xD0 and rng.random() < 0.5):
        return ("smart", drive // 2, drive % 2, feature, low, 0xC24F)
    return ("smart", drive // 2, drive % 2, feature, low, rng.choice((0xC24F,) * 9 + (0xC24E, 0)))


def make_pci(rng, layout):
    size = rng.choice("bwl")
    step = STEP[size]
    if rng.random() < 0.6:
        reg = rng.randrange(0, 256, step)
        return ("pci_in", reg if reg & 0xFC != 0x2C else 0, size)  # deliberate: subsystem
    # deliberate: registers that there are not; latency timer; memory space; interrupt line;
    # subsystem
    reg = rng.choice((0x00, 0x08, 0x0C, 0x10, 0x14, 0x30, 0x06, 0x40, 0x42))
    if reg & 0xF0 == 0x40:
        return ("pci_out", reg, "w", rng.getrandbits(16) | 0x8000)  # deliberate: decoding
    if reg & 3 or reg == 0x0C:
        size, step = "b", 1
    return ("pci_out", reg, size, rng.getrandbits(8 * step))


def make_small(rng, layout):
    channel = rng.randrange(2)
    pick = rng.randrange(10)
    if pick == 9:
        return ("bm_start", channel, rng.random() < 0.5)
    if pick == 8:
        return ("hob", channel, [(rng.getrandbits(8), rng.getrandbits(8)) for _ in range(4)])
    if pick == 0:
        return ("status", channel)
    if pick == 1:
        return ("reg", channel, rng.randrange(1, 7), rng.getrandbits(8))
    if pick == 2:
        return ("control", channel, rng.choice((0, 0, 2, 0x08)))
    if pick == 3:  # deliberate: registers that there are not
        return ("bm_in", channel, *rng.choice(((0, "b"), (2, "b"), (4, "l"))))
    if pick == 4:
        value = rng.getrandbits(32)
        return ("bm_out", channel,
                *rng.choice(((2, "b", value & 0xFF), (4, "l", value), (1, "b", 0xFF))))
    if pick == 5:
        return ("reset", channel, rng.choice((0, 0, 2)))
    if pick == 6:
        return ("diagnostic", channel, rng.randrange(2))
    return ("identify", channel, rng.randrange(2))


MAKERS = (make_pio, make_dma, make_dma, make_trim, make_smart, make_command, make_command, make_command, make_small,
          make_small, make_small, make_pci)


def generate(rng, layout, count):
    return [rng.choice(MAKERS)(rng, layout) for _ in range(count)]
