# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations on an RTL8139C+ of ours and QEMU's rtl8139: each a tuple that stands for itself, so that any may be
left out of a sequence. `generate` makes them up, `perform` carries one out and compares. Layouts: its four slots
and ring of bytes ("legacy"), and the descriptors of C+ mode ("descriptors")."""

import base64
import struct

from nic_pair import MAC, NicPair
from packets import packet, pieces
from qtest import Difference

OPS = 300
LAYOUTS = ("legacy", "descriptors")
KEEP = {}

PORTS, MEM = 0xC000, 0xE0000000
IDR, MAR, TSD, TSAD, RBSTART, CR, CAPR, CBR, IMR, ISR, TCR, RCR = (
    0x00, 0x08, 0x10, 0x20, 0x30, 0x37, 0x38, 0x3A, 0x3C, 0x3E, 0x40, 0x44)
EECR, CONFIG1, TIMERINT, MSR, CONFIG3, CONFIG4, MULINT, RERID, SUMMARY = (
    0x50, 0x52, 0x54, 0x58, 0x59, 0x5A, 0x5C, 0x5E, 0x60)
BMSR, ANAR, ANLPAR, ANER, CONFIG5, TPPOLL, CPCR, RDSAR, ETTHR = 0x64, 0x66, 0x68, 0x6A, 0xD8, 0xD9, 0xE0, 0xE4, 0xEC
BUFE, TE, RE, RST = 1, 4, 8, 0x10
LOOP = 0x60000
AAP, APM, AM, AB, WRAP = 1, 2, 4, 8, 0x80
RXVLAN, CP_TX, CP_RX = 0x40, 1, 2
TDU = 0x80

TX_RING, RX_RING, DESCS = 0x100000, 0x110000, 64
DATA, RING, BUFFERS, BUFFER, TALLY = 0x200000, 0x300000, 0x400000, 0x1000, 0x120000
OWN, EOR, FS, LS, LGSEN, IPCS, UDPCS, TCPCS = (
    1 << 31, 1 << 30, 1 << 29, 1 << 28, 1 << 27, 1 << 18, 1 << 17, 1 << 16)
TAGC = 1 << 17

GROUPS = (b"\x01\x00\x5e\x11\x92\xbc", b"\x33\x33\x00\x00\x00\x01", b"\x01\x80\xc2\x00\x00\x0e")
DESTINATIONS = (MAC, b"\x02\x00\x00\x12\x34\x57", b"\xff" * 6, *GROUPS)

# Registers that both keep while nothing moves: bytes, and the bits that ours has. deliberate: registers
KEPT = {
    MAR: (4, 0xFFFFFFFF), MAR + 4: (4, 0xFFFFFFFF), RBSTART: (4, 0xFFFFFFFF), IMR: (2, 0xE1FF), MULINT: (2, 0x0FFF),
    TIMERINT: (4, 0xFFFFFFFF), ANAR: (2, 0x25E0), CONFIG5: (1, 0x7F), RDSAR: (4, 0xFFFFFFFF),
    RDSAR + 4: (4, 0xFFFFFFFF), ETTHR: (1, 0x3F), TSAD: (4, 0xFFFFFFFF), TSAD + 4: (4, 0xFFFFFFFF),
    TSAD + 8: (4, 0xFFFFFFFF), TSAD + 12: (4, 0xFFFFFFFF),
}
LOCKED = {IDR: (4, 0xFFFFFFFF), IDR + 4: (2, 0xFFFF), CONFIG1: (1, 0xFF), CONFIG3: (1, 0x70), CONFIG4: (1, 0xFF)}
LETTER = {1: "b", 2: "w", 4: "l"}


class Pair(NicPair):
    """Both ways to the registers are decoded, bus mastering is on, the interrupt routed."""

    def __init__(self, args, folder, cplus):
        super().__init__(args, folder, "rtl8139")
        self.cplus, self.memory = cplus, False
        self.route()
        self.config(0x10, "l", PORTS)
        self.config(0x14, "l", MEM)
        self.config(0x04, "w", 7)
        self.tally = None
        set_up(self)

    def write(self, reg, size, value):
        self.raw([f"write{LETTER[size]} {MEM + reg:#x} {value:#x}" if self.memory else
                  f"out{LETTER[size]} {PORTS + reg:#x} {value:#x}"])

    def read(self, reg, size, what, mask=0xFFFFFFFF):
        return self.compare([f"read{LETTER[size]} {MEM + reg:#x}" if self.memory else
                             f"in{LETTER[size]} {PORTS + reg:#x}"], what, mask)

    def memory_read(self, addr, size):
        """Ours and QEMU's."""
        return [bytearray(base64.b64decode(answer[0])) for answer in self.raw([f"b64read {addr:#x} {size}"])]


def open_pair(args, folder, seed, layout, patience):
    return Pair(args, folder, layout == "descriptors")


def unlock(pair, on):
    pair.write(EECR, 1, 0xC0 if on else 0)


def set_up(pair):
    """From any state to a known one. deliberate: what a reset resets"""
    pair.write(CR, 1, RST)
    unlock(pair, True)
    for reg, size, value in ((IDR, 4, struct.unpack("<I", MAC[:4])[0]), (IDR + 4, 2, struct.unpack("<H", MAC[4:])[0]),
                             (CONFIG1, 1, 0), (CONFIG3, 1, 0), (CONFIG4, 1, 0)):
        pair.write(reg, size, value)
    unlock(pair, False)
    for reg, (size, _) in KEPT.items():
        pair.write(reg, size, 0)
    pair.mar = 0
    if pair.cplus:
        pair.write(CPCR, 2, CP_TX | CP_RX)
        for reg, value in ((TSAD, TX_RING), (TSAD + 4, 0), (RDSAR, RX_RING), (RDSAR + 4, 0)):
            pair.write(reg, 4, value)
    pair.write(CR, 1, TE | RE)
    pair.slot, pair.tx_at, pair.rx_at = 0, 0, 0
    do_modes(pair, AAP | AB, 0x600, False)


# ---- carrying out ----

def look(pair):
    pair.read(CR, 1, "CR", BUFE | TE | RE)
    pair.read(ISR, 2, "ISR", 0xFFFF ^ TDU)  # deliberate: TDU
    pair.interrupt_compare()


def do_modes(pair, rcr, tcr, vlan, more=0):
    """The receiver is off meanwhile, and begins anew. deliberate: the ring after RCR"""
    pair.write(CR, 1, TE)
    pair.write(RCR, 4, rcr)
    pair.read(RCR, 4, "RCR")
    if pair.cplus:
        # deliberate: receive checksums
        pair.write(CPCR, 2, CP_TX | CP_RX | (RXVLAN if vlan else 0) | more)
        pair.read(CPCR, 2, "CPCR")
        pair.write(RDSAR, 4, RX_RING)
        pair.write(RDSAR + 4, 4, 0)
        pair.write(TSAD, 4, TX_RING)
        pair.write(TSAD + 4, 4, 0)
    else:
        pair.write(RBSTART, 4, RING)
    pair.write(CR, 1, TE | RE)
    pair.write(TCR, 4, tcr)  # deliberate: TCR
    pair.read(TCR, 4, "TCR", 0xFFFFFFF1)
    pair.rcr, pair.vlan = rcr, vlan
    pair.size = 8192 << (rcr >> 11 & 3)
    pair.cbr, pair.read_at, pair.rx_at, pair.tx_at = 0, 0, 0, 0


def do_access(pair, memory):
    pair.memory = memory


def do_register(pair, reg, value):
    size, mask = KEPT[reg]
    if reg == IMR:
        value &= ~TDU  # deliberate: TDU
    pair.write(reg, size, value)
    pair.read(reg, size, f"register {reg:#04x}", mask)
    for part in range(size if mask == 0xFFFFFFFF and reg in (MAR, MAR + 4) else 0):
        pair.read(reg + part, 1, f"a byte of register {reg:#04x}")
    if reg in (MAR, MAR + 4):
        shift = 32 if reg != MAR else 0
        pair.mar = pair.mar & ~(0xFFFFFFFF << shift) | value << shift
    if reg >= TSAD and reg < RBSTART or reg in (RBSTART, RDSAR, RDSAR + 4):  # not while they are in use
        pair.write(reg, 4, {RBSTART: RING, RDSAR: RX_RING, TSAD: TX_RING}.get(reg, 0))
        pair.rx_at = 0 if reg == RDSAR else pair.rx_at
        if pair.cplus:
            do_modes(pair, pair.rcr, 0x600, pair.vlan)
    look(pair)


def do_locked(pair, reg, value, on):
    """deliberate: locked registers"""
    size, mask = LOCKED[reg]
    unlock(pair, on)
    if on or reg >= CONFIG1:
        pair.write(reg, size, value)
    pair.read(reg, size, f"register {reg:#04x}", mask)
    if on and reg < CONFIG1:
        pair.write(IDR, 4, struct.unpack("<I", MAC[:4])[0])
        pair.write(IDR + 4, 2, struct.unpack("<H", MAC[4:])[0])
    unlock(pair, False)


def do_eeprom(pair, word):
    """deliberate: Data Out"""
    pair.write(EECR, 1, 0x80)
    pair.write(EECR, 1, 0x88)
    for bit in [1, 1, 0] + [word >> i & 1 for i in reversed(range(6))]:
        for pins in (0x88, 0x8C, 0x88):
            pair.write(EECR, 1, pins | (2 if bit else 0))
    for i in range(16):
        pair.write(EECR, 1, 0x8C)
        pair.read(EECR, 1, f"bit {i} of word {word}", 0xCF)
        pair.write(EECR, 1, 0x88)
    pair.write(EECR, 1, 0x80)
    pair.write(EECR, 1, 0)


def do_interrupt(pair, reg, value):
    pair.write(reg, 2, value & ~TDU if reg == IMR else value)  # deliberate: TDU
    pair.read(IMR, 2, "IMR")
    look(pair)


def do_link(pair):
    pair.read(MSR, 1, "MSR", 4)  # deliberate: media status
    pair.read(BMSR, 2, "BMSR")
    pair.read(ANLPAR, 2, "ANLPAR", 0x05E1)  # deliberate: PHY
    pair.read(ANER, 2, "ANER")
    pair.read(RERID, 1, "RERID")


def do_reset(pair):
    pair.write(CR, 1, RST)
    pair.tally = None  # deliberate: tally counters
    for reg, size, mask in ((CR, 1, RST | TE | RE), (IMR, 2, ~0), (ISR, 2, ~0), (RBSTART, 4, ~0),
                            (CAPR, 2, ~0), (CBR, 2, ~0), (TIMERINT, 4, ~0), (CPCR, 2, ~0), (RDSAR, 4, ~0),
                            (SUMMARY, 2, ~0), (TSD, 4, ~0), (TSD + 12, 4, ~0), (TCR, 4, 0x7CF704F1)):
        pair.read(reg, size, f"register {reg:#04x} after a reset", mask & 0xFFFFFFFF)
    pair.interrupt_compare()
    set_up(pair)


def do_config(pair, command, line):
    pair.config_compare(command, line, {0x10: (PORTS, 0xFFFFFFFF), 0x14: (MEM, 0xFFFFFFFF)})
    pair.config(0x04, "w", 7)
    look(pair)


# The four slots.

def send_slot(pair, data, tsd):
    pair.memory_write(DATA, data)
    pair.write(TSAD + 4 * pair.slot, 4, DATA)
    pair.write(TSD + 4 * pair.slot, 4, tsd | len(data))
    pair.read(TSD + 4 * pair.slot, 4, "TSD")
    pair.read(SUMMARY, 2, "TSAD")
    pair.slot = (pair.slot + 1) % 4


def do_slots(pair, frames):
    for data, early in frames:
        send_slot(pair, data, early << 16)
    look(pair)
    pair.packets_compare()


def do_host_owns(pair, value):
    """A slot that is not given away sends nothing."""
    pair.write(TSD + 4 * pair.slot, 4, value & 0x1FFF | 0x2000)
    pair.read(TSD + 4 * pair.slot, 4, "TSD of the host's")
    look(pair)
    pair.packets_compare()


def comes_in(pair, frame):
    """None: no such frame is made up. deliberate: promiscuous"""
    if frame[:6] == b"\xff" * 6:
        return None if pair.rcr & AAP and not pair.rcr & AB else True
    if frame[0] & 1:
        return None if pair.rcr & AAP and (not pair.rcr & AM or pair.mar != (1 << 64) - 1) else True
    return True


def ring_compare(pair, need):
    at, over = pair.cbr, pair.rcr & WRAP and pair.size < 65536
    first = need if over else min(need, pair.size - at)
    ours, qemu = (a + b for a, b in zip(pair.memory_read(RING + at, first),
                                        pair.memory_read(RING, need - first) if need > first else (b"", b"")))
    if pair.rcr & AAP:
        ours[1] &= 0x1F  # deliberate: promiscuous
        qemu[1] &= 0x1F
    used = 4 + struct.unpack_from("<H", ours, 2)[0]
    if ours[:used] != qemu[:used]:
        raise Difference("ring", f"a frame in the ring at {at:#x}: ours {ours[:used].hex()}, QEMU {qemu[:used].hex()}")


def do_loop_ring(pair, frame, lag):
    if not comes_in(pair, frame):
        return
    do_loop(pair, True)
    send_slot(pair, frame, 0)
    look(pair)
    now = pair.read(CBR, 2, "CBR")
    need = (now - pair.cbr) % pair.size
    if need:
        ring_compare(pair, need)
    pair.cbr = now
    # Never so late that the ring is full. deliberate: no room
    if not lag or (now - pair.read_at) % pair.size > pair.size // 2:
        pair.read_at = now
        pair.write(CAPR, 2, (now - 16) & 0xFFFF)
        pair.read(CAPR, 2, "CAPR")
        look(pair)
    do_loop(pair, False)
    pair.packets_compare()


def do_loop(pair, on):
    pair.write(TCR, 4, 0x600 | (LOOP if on else 0))


# The descriptors of C+ mode.

def descriptor(opts1, opts2, addr):
    return struct.pack("<IIQ", opts1, opts2, addr)


def send_descs(pair, packets, data):
    """deliberate: a descriptor that was sent"""
    pair.memory_write(DATA, data)
    pair.memory_write(TX_RING, bytes(DESCS * 16))
    number = 0
    for descs in packets:
        for addr, opts1, opts2 in descs:
            index = (pair.tx_at + number) % DESCS
            end = EOR if index == DESCS - 1 else 0
            pair.memory_write(TX_RING + 16 * index, descriptor(opts1 | OWN | end, opts2, addr))
            number += 1
    pair.tx_at = (pair.tx_at + number) % DESCS
    pair.write(TPPOLL, 1, 0x40)
    ours, qemu = (struct.unpack(f"<{4 * DESCS}I", ring) for ring in pair.memory_read(TX_RING, 16 * DESCS))
    for i, (a, b) in enumerate(zip(ours, qemu)):
        mask = 0xF0000000 if i % 4 == 0 else 0xFFFFFFFF
        if (a ^ b) & mask:
            raise Difference("transmit ring", f"descriptor {i // 4}, word {i % 4}: ours {a:#x}, QEMU {b:#x}")


def do_descs(pair, packets, data):
    send_descs(pair, packets, data)
    look(pair)
    pair.packets_compare()


def do_loop_descs(pair, frame):
    """deliberate: a tag in loopback"""
    if not comes_in(pair, frame):
        return
    pair.memory_write(RX_RING, b"".join(
        descriptor(OWN | BUFFER | (EOR if i == DESCS - 1 else 0), 0, BUFFERS + i * BUFFER) for i in range(DESCS)))
    do_loop(pair, True)
    send_descs(pair, [[(DATA, FS | LS | len(frame), 0)]], frame)
    look(pair)
    rings = [list(struct.unpack(f"<{4 * DESCS}I", ring)) for ring in pair.memory_read(RX_RING, 16 * DESCS)]
    for i in range(0, 4 * DESCS, 4):
        a, b = (ring[i:i + 4] for ring in rings)
        if pair.rcr & AAP:
            a[0], b[0] = a[0] & ~(7 << 24), b[0] & ~(7 << 24)  # deliberate: promiscuous
        if a != b:
            raise Difference("receive ring", f"descriptor {i // 4}: ours {[hex(x) for x in a]}, "
                             f"QEMU {[hex(x) for x in b]}")
    if not rings[0][4 * pair.rx_at] & OWN:
        size = rings[0][4 * pair.rx_at] & 0x1FFF
        # deliberate: FCS of a frame that was changed
        changed = rings[0][4 * pair.rx_at + 1] or len(frame) < 60
        ours, qemu = pair.memory_read(BUFFERS + pair.rx_at * BUFFER, size - (4 if changed else 0))
        if ours != qemu:
            raise Difference("a received frame", f"ours {ours.hex()}, QEMU {qemu.hex()}")
        pair.rx_at = (pair.rx_at + 1) % DESCS
    do_loop(pair, False)
    pair.packets_compare()


def do_tally(pair):
    """What was counted since the last time. deliberate: tally counters"""
    pair.memory_write(TALLY, bytes(64))
    pair.write(TSD + 4, 4, 0)
    pair.write(TSD, 4, TALLY | 8)
    pair.read(TSD, 4, "DTCCR")
    now = [struct.unpack("<QQ", dump[:16]) for dump in pair.memory_read(TALLY, 16)]
    if pair.tally:
        ours, qemu = ([a - b for a, b in zip(*pairs)] for pairs in zip(now, pair.tally))
        if ours != qemu:
            raise Difference("tally", f"sent and received: ours {ours}, QEMU {qemu}")
    pair.tally = now


ACTIONS = {
    "access": do_access, "register": do_register, "locked": do_locked, "eeprom": do_eeprom, "interrupt": do_interrupt,
    "link": do_link, "reset": do_reset, "config": do_config, "modes": do_modes, "slots": do_slots,
    "host owns": do_host_owns, "loop ring": do_loop_ring, "descs": do_descs, "loop descs": do_loop_descs,
    "tally": do_tally,
}


def begin(pair):
    look(pair)


def perform(pair, op):
    ACTIONS[op[0]](pair, *op[1:])


# ---- making up ----

def make_frame(rng, tagged):
    frame = bytearray(rng.randbytes(rng.choice((14, 40, 60, 61, 62, 63, 64, 100, 511, 512, 1000, 1514))))
    frame[:6] = rng.choice(DESTINATIONS)
    frame[6:14] = b"\x02\0\0\0\0\1\x88\xb5"
    if tagged and len(frame) >= 64 and rng.random() < 0.4:  # deliberate: short frames with a tag
        frame[12:16] = b"\x81\0" + rng.randbytes(2)
    return bytes(frame)


def make_packet(rng, addr):
    """(descriptors, bytes)"""
    kind = rng.choice(("plain", "checksum", "segment"))
    tag = TAGC | rng.getrandbits(16) if rng.random() < 0.3 else 0
    if kind == "plain":
        data, flags = make_frame(rng, False), 0
    elif kind == "checksum":
        udp = rng.random() < 0.4
        data, _ = packet(rng, udp, rng.randrange(18, 1400), True)
        flags = (IPCS if rng.random() < 0.7 else 0) | (UDPCS if udp else TCPCS)
    else:  # deliberate: flags of the last segment
        data, _ = packet(rng, False, rng.choice((1, 10, 1000, 1449, 9000, 40000)), True, 0x10)
        flags = LGSEN | rng.choice((536, 1448, 1460)) << 16
    descs, at = [], addr
    for n in pieces(rng, len(data), 14):
        descs.append([at, flags | n, tag])
        at += n
    descs[0][1] |= FS
    descs[-1][1] |= LS
    return [tuple(desc) for desc in descs], data


def make_descs(rng):
    packets, data, number = [], b"", 0
    for _ in range(rng.randrange(1, 5)):
        descs, more = make_packet(rng, DATA + len(data))
        if number + len(descs) >= DESCS:
            break
        number += len(descs)
        packets.append(descs)
        data += more
    return ("descs", packets, data)


def make_modes(rng, cplus):
    rcr = sum(bit for bit in (AAP, APM, AM, AB, WRAP) if rng.random() < 0.6)
    return ("modes", rcr | rng.randrange(4) << 11 | rng.getrandbits(4) << 24 | rng.randrange(8) << 13,
            rng.getrandbits(32) & 0x030007F0, cplus and rng.random() < 0.5, rng.getrandbits(16) & 0xFF9C)


COMMON = (("access", 2), ("register", 12), ("locked", 4), ("eeprom", 2), ("interrupt", 8), ("link", 1), ("reset", 1),
          ("config", 1), ("modes", 4))
MODES = {"legacy": (("slots", 8), ("host owns", 1), ("loop ring", 24)),
         "descriptors": (("descs", 10), ("loop descs", 20), ("tally", 2))}


def make(rng, layout):
    kinds, weights = zip(*COMMON + MODES[layout])
    kind = rng.choices(kinds, weights)[0]
    cplus = layout == "descriptors"
    if kind == "access":
        return kind, rng.random() < 0.5
    if kind == "register":
        reg = rng.choice((MAR, MAR + 4, *KEPT))
        value = rng.choice((0, 0xFFFFFFFF, rng.getrandbits(32)))
        return kind, reg, value & (1 << 8 * KEPT[reg][0]) - 1
    if kind == "locked":
        reg = rng.choice(list(LOCKED))
        return kind, reg, rng.getrandbits(8 * LOCKED[reg][0]), rng.random() < 0.7
    if kind == "eeprom":
        return kind, rng.choice((0, 1, 2, 7, 8, 9))
    if kind == "interrupt":
        return kind, rng.choice((IMR, ISR)), rng.choice((0, 0xFFFF, rng.getrandbits(16)))
    if kind == "config":
        return kind, rng.choice((1, 2, 3, 7, 0x407)), rng.getrandbits(8)
    if kind == "modes":
        return make_modes(rng, cplus)
    if kind == "slots":
        return kind, [(make_frame(rng, False), rng.getrandbits(6)) for _ in range(rng.randrange(1, 6))]
    if kind == "host owns":
        return kind, rng.getrandbits(13)
    if kind == "loop ring":
        return kind, make_frame(rng, False), rng.random() < 0.4
    if kind == "descs":
        return make_descs(rng)
    if kind == "loop descs":
        return kind, make_frame(rng, True)
    return (kind,)


def generate(rng, layout, count):
    return [make(rng, layout) for _ in range(count)]
