# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations on an NE2000 of ours and QEMU's ne2k_pci: each a tuple that stands for itself, so that any may be
left out of a sequence. `generate` makes them up, `perform` carries one out and compares."""

import struct
import time

from nic_pair import MAC, NicPair
from qtest import Difference

OPS = 150
LAYOUTS = ("registers", "receiver")
KEEP = {}

PORTS = 0xC000
CR, PSTART, PSTOP, BNRY, TPSR, TBCR0, ISR, RSAR0, RBCR0, RSR, RCR, TCR, DCR, IMR, DATA, RESET = (
    0, 1, 2, 3, 4, 5, 7, 8, 10, 12, 12, 13, 14, 15, 0x10, 0x1F)
TSR, CRDA0, ID0 = 4, 8, 10  # where they are read
STP, STA, TXP, READ, WRITE, ABORT = 1, 2, 4, 8, 0x10, 0x20
PTX, RDC = 2, 0x40
WTS, LS = 1, 8
MEMORY, MEMORY_END = 0x4000, 0x8000  # deliberate: packet memory
RING, RING_STOP = 0x46, 0x80


class Pair(NicPair):
    """Decoded, with its interrupt routed, and set up as a driver would."""

    def __init__(self, args, folder, receiver):
        super().__init__(args, folder, "ne2k_pci", receiver)
        self.route()
        self.config(0x10, "l", PORTS)
        self.config(0x04, "w", 1)
        self.words, self.was_reset, self.markers = True, False, 0
        self.start, self.stop, self.curr, self.rcr, self.mar = RING, RING_STOP, RING + 1, 4, [0] * 8
        set_up(self)
        # deliberate: memory after power on
        self.fill(MEMORY, bytes(MEMORY_END - MEMORY))

    def write(self, reg, value):
        self.raw([f"outb {PORTS + reg:#x} {value:#x}"])

    def read(self, reg, what, mask=0xFF):
        return self.compare([f"inb {PORTS + reg:#x}"], what, mask)

    def remote(self, command, addr, count):
        for reg, value in ((CR, STA | ABORT), (ISR, RDC), (RSAR0, addr & 0xFF), (RSAR0 + 1, addr >> 8),
                           (RBCR0, count & 0xFF), (RBCR0 + 1, count >> 8), (CR, STA | command)):
            self.write(reg, value)

    def data(self, write, values, size):
        """Elements; what is read of them is compared."""
        letter = {1: "b", 2: "w", 4: "l"}[size]
        for at in range(0, len(values), 256):
            batch = values[at:at + 256]
            if write:
                self.raw([f"out{letter} {PORTS + DATA:#x} {value & (1 << 8 * size) - 1:#x}" for value in batch])
                continue
            ours, qemu = self.raw([f"in{letter} {PORTS + DATA:#x}"] * len(batch))
            # deliberate: a wide access in byte mode
            mask = (1 << 8 * size) - 1 if self.words else 0xFF
            for i, (a, b) in enumerate(zip(ours, qemu)):
                if (a ^ b) & mask:
                    raise Difference("data", f"element {at + i} of {size} bytes: ours {a:#x}, QEMU {b:#x}")

    def fill(self, addr, data):
        data += bytes(-len(data) % 4)
        self.remote(WRITE, addr, len(data))
        self.data(True, struct.unpack(f"<{len(data) // 4}I", data), 4)

    def dump(self, addr, size):
        self.remote(READ, addr, size)
        self.data(False, [0] * (size // 2), 2)


def open_pair(args, folder, seed, layout, patience):
    return Pair(args, folder, layout == "receiver")


def set_up(pair):
    for reg, value in ((CR, STP | ABORT), (DCR, WTS | LS), (RBCR0, 0), (RBCR0 + 1, 0), (RCR, 4), (TCR, 0),
                       (TPSR, 0x40), (PSTART, RING), (PSTOP, RING_STOP), (BNRY, RING), (IMR, 0), (ISR, 0x7F),
                       (TBCR0, 0), (TBCR0 + 1, 0), (RSAR0, 0), (RSAR0 + 1, 0), (CR, 0x40 | STP | ABORT)):
        pair.write(reg, value)
    for i in range(6):
        pair.write(1 + i, MAC[i])  # deliberate: registers after power on
    for i in range(8):
        pair.write(8 + i, 0)
    pair.write(7, RING + 1)
    pair.write(CR, STA | ABORT)
    pair.words = True


# ---- carrying out ----

def look(pair):
    """deliberate: reset state"""
    pair.read(CR, "CR")
    pair.read(ISR, "ISR", 0x7F)
    pair.interrupt_compare()


def do_page0(pair, reg, value):
    """What is written here, and read here or in page 2."""
    pair.write(reg, value)
    if reg == BNRY:
        pair.read(BNRY, "BNRY")
    elif reg in (PSTART, PSTOP):
        pair.write(CR, 0x80 | STA | ABORT)
        pair.read(reg, "PSTART" if reg == PSTART else "PSTOP")  # deliberate: page 2
        pair.write(CR, STA | ABORT)
        pair.write(reg, RING if reg == PSTART else RING_STOP)


def do_page1(pair, reg, value):
    pair.write(CR, 0x40 | STA | ABORT)
    pair.write(reg, value)
    pair.read(reg, f"page 1, {reg}")
    for other in range(1, 16):
        pair.read(other, f"page 1, {other}")
    look(pair)
    pair.write(CR, STA | ABORT)


def do_identity(pair):
    pair.read(ID0, "the first letter")
    pair.read(ID0 + 1, "the second letter")
    pair.write(CR, 0xC0 | STA | ABORT)
    pair.read(3, "CONFIG0")  # deliberate: configuration
    pair.write(CR, STA | ABORT)


def do_mask(pair, value):
    pair.write(IMR, value & 0x7F)
    look(pair)


def do_acknowledge(pair, value):
    pair.write(ISR, value)
    look(pair)


def do_cause(pair, command):
    """A transfer of nothing is complete at once."""
    pair.remote(command, MEMORY, 0)
    look(pair)


def do_prom(pair, size, count):
    if pair.was_reset:
        count = min(count, 6 if pair.words else 12)  # deliberate: the PROM after a reset
    pair.remote(READ, 0, count * max(size, 2) if pair.words else count)
    pair.data(False, [0] * count, size)
    look(pair)
    pair.write(CR, STA | ABORT)


def do_transfer(pair, write, addr, elements, size, moved, values):
    """`moved` elements, then it is left. deliberate: beyond the transfer"""
    if pair.words:
        count = elements * max(size, 2)
        if addr + count > RING_STOP << 8:
            addr &= ~1  # deliberate: an odd address at the end of the ring
    else:
        count, size = elements, min(size, 2)  # deliberate: a wide access in byte mode
    pair.remote(WRITE if write else READ, addr, count)
    look(pair)
    pair.data(write, values[:moved], size)
    pair.read(CRDA0, "CRDA0")
    pair.read(CRDA0 + 1, "CRDA1")
    look(pair)
    pair.write(CR, STA | ABORT)
    look(pair)


def do_mode(pair, words):
    pair.write(DCR, LS | (WTS if words else 0))
    pair.words = words


def do_transmit(pair, page, data):
    words = pair.words
    do_mode(pair, True)
    pair.fill(page << 8, data)
    do_mode(pair, words)
    for reg, value in ((TPSR, page), (TBCR0, len(data) & 0xFF), (TBCR0 + 1, len(data) >> 8)):
        pair.write(reg, value)
    pair.write(CR, STA | TXP | ABORT)
    pair.read(TSR, "TSR", 0xFD)  # deliberate: TSR
    look(pair)
    pair.packets_compare()


def do_reset(pair):
    """deliberate: reset port"""
    pair.was_reset = True
    pair.raw([f"inb {PORTS + RESET:#x}"])
    set_up(pair)
    look(pair)


def do_memory(pair, addr, size):
    words = pair.words
    do_mode(pair, True)
    pair.dump(addr, size)
    do_mode(pair, words)
    look(pair)


def do_config(pair, command, line):
    pair.config_compare(command, line, {0x10: (PORTS, 0xFFFFFF1F)})
    pair.config(0x04, "w", 1)
    look(pair)


# The receiver: frames that both are given, each followed by one that is taken in any case, for which QEMU's is
# waited.

GROUPS = (b"\x01\x00\x5e\x11\x92\xbc", b"\x33\x33\x00\x00\x00\x01", b"\x01\x80\xc2\x00\x00\x0e")
DESTINATIONS = (MAC, b"\x02\x00\x00\x12\x34\x57", b"\xff" * 6, *GROUPS)
AB, AM, PRO = 4, 8, 0x10
PATIENCE = 10


def do_ring(pair, start, pages):
    pair.start, pair.stop, pair.curr = start, start + pages, start + 1
    for reg, value in ((CR, STP | ABORT), (PSTART, start), (PSTOP, start + pages), (BNRY, start), (ISR, 0x7F),
                       (CR, 0x40 | STP | ABORT), (7, start + 1), (CR, STA | ABORT)):
        pair.write(reg, value)
    look(pair)


def do_filter(pair, rcr, mar):
    pair.rcr, pair.mar = rcr, mar
    pair.write(RCR, rcr)
    pair.write(CR, 0x40 | STA | ABORT)
    for i, value in enumerate(mar):
        pair.write(8 + i, value)
    pair.write(CR, STA | ABORT)


def comes_in(pair, frame):
    """False: no such frame is made up. deliberate: promiscuous"""
    if not pair.rcr & PRO or not frame[0] & 1:
        return True
    return bool(pair.rcr & AB if frame[:6] == b"\xff" * 6 else pair.rcr & AM and pair.mar == [0xFF] * 8)


def current(peer):
    lines = [f"outb {PORTS:#x} {0x40 | STA | ABORT:#x}", f"inb {PORTS + 7:#x}", f"outb {PORTS:#x} {STA | ABORT:#x}"]
    return peer.exchange(lines)[1]


def wait(pair):
    ours, deadline = current(pair.ours), time.monotonic() + PATIENCE
    while current(pair.qemu) != ours:
        if time.monotonic() > deadline:
            raise Difference("receiver", f"CURR: ours {ours:#x}, QEMU {current(pair.qemu):#x}")
        time.sleep(0.0005)
    return ours


def do_frame(pair, frame):
    if not comes_in(pair, frame):
        return
    pair.markers += 1
    pair.give(frame)
    pair.give(MAC + b"marker" + struct.pack(">HI", 0x88B5, pair.markers) + bytes(42))
    now = wait(pair)
    pair.read(RSR, "RSR")
    look(pair)
    while pair.curr != now:
        pair.remote(READ, pair.curr << 8, 4)
        header = pair.compare([f"inl {PORTS + DATA:#x}"], "a frame's header")
        pair.dump((pair.curr << 8) + 4, ((header >> 16) - 4) & ~1)  # deliberate: FCS
        pair.curr = header >> 8 & 0xFF
    pair.write(BNRY, pair.stop - 1 if now == pair.start else now - 1)
    pair.write(ISR, 1 | RDC)
    look(pair)


ACTIONS = {
    "ring": do_ring, "filter": do_filter, "frame": do_frame,
    "page 0": do_page0, "page 1": do_page1, "identity": do_identity, "mask": do_mask,
    "acknowledge": do_acknowledge, "cause": do_cause, "prom": do_prom, "transfer": do_transfer, "mode": do_mode,
    "transmit": do_transmit, "reset": do_reset, "memory": do_memory, "config": do_config,
}


def begin(pair):
    look(pair)


def perform(pair, op):
    ACTIONS[op[0]](pair, *op[1:])


# ---- making up ----

def make_transfer(rng):
    size = rng.choice((1, 1, 2, 2, 2, 4, 4))
    # deliberate: a doubleword across the end of the ring
    addr = rng.choice((MEMORY, RING << 8, RING_STOP * 256 - 256, rng.randrange(MEMORY, MEMORY_END)))
    if size == 4:
        addr &= ~3
    elements = rng.choice((1, 2, rng.randrange(1, 100), rng.randrange(1, 600)))
    moved = rng.choice((elements, elements, rng.randrange(elements + 1)))
    return ("transfer", rng.random() < 0.5, addr, elements, size, moved,
            [rng.getrandbits(32) for _ in range(moved)])


def make(rng):
    kind = rng.choices(("page 0", "page 1", "identity", "mask", "acknowledge", "cause", "prom", "transfer", "mode",
                        "transmit", "reset", "memory", "config"), (8, 6, 1, 6, 6, 4, 2, 20, 3, 8, 1, 1, 1))[0]
    if kind == "page 0":
        return kind, rng.choice((PSTART, PSTOP, BNRY)), rng.randrange(0xC0)  # deliberate: ring registers
    if kind == "page 1":
        reg = rng.randrange(1, 16)
        return kind, reg, rng.randrange(0xC0 if reg == 7 else 0x100)
    if kind in ("mask", "acknowledge"):
        return kind, rng.choice((0, 0x7F, rng.getrandbits(7)))
    if kind == "cause":
        return kind, rng.choice((READ, WRITE))
    if kind == "prom":
        return kind, rng.choice((1, 2)), rng.randrange(1, 17)
    if kind == "mode":
        return kind, rng.random() < 0.7
    if kind == "transmit":
        data = rng.choice((b"\x02", b"\xff", b"\x01")) + rng.randbytes(rng.choice((13, 40, 59, 60, 61, 200, 1513)))
        return kind, rng.randrange(0x40, 0x46), data
    if kind == "memory":
        return kind, rng.choice((MEMORY, 0x5000, 0x7000)), 32
    if kind == "config":
        return kind, rng.choice((1, 3, 5, 0x401, 0x145)), rng.getrandbits(8)
    if kind == "transfer":
        return make_transfer(rng)
    return (kind,)


def make_receiver(rng):
    kind = rng.choices(("ring", "filter", "frame", "mask"), (1, 4, 20, 2))[0]
    if kind == "ring":
        start = rng.randrange(0x46, 0x60)
        return kind, start, rng.randrange(16, 0x81 - start)
    if kind == "filter":
        rcr = sum(bit for bit in (AB, AM, PRO) if rng.random() < 0.5)
        return kind, rcr, rng.choice(([0xFF] * 8, [0] * 8, list(rng.randbytes(8))))
    if kind == "mask":
        return kind, rng.getrandbits(7)
    return kind, rng.choice(DESTINATIONS) + b"\x02\0\0\0\0\1" + rng.randbytes(rng.choice(
        (2, 40, 48, 49, 50, 200, 236, 237, 238, 239, 240, 241, 492, 493, 494, 1000, 1502)))


def generate(rng, layout, count):
    return [make_receiver(rng) if layout == "receiver" else make(rng) for _ in range(count)]
