# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations on the pair: each a tuple that stands for itself, so that any may be left out of a
sequence. `generate` makes them up, `perform` carries one out and compares."""

import base64
import struct
import time

from e1000_pair import (BUFFER_STEP, BUFFERS, DATA, MAC, MEM, RING, RING_SIZE, RX_RING, Difference, open_pair)
from packets import packet, pieces

OPS = 300
LAYOUTS = ("registers", "receiver", "interrupts")
KEEP = {"receiver": 1}

CTRL, STATUS, EECD, EERD, MDIC, VET = 0x0, 0x8, 0x10, 0x14, 0x20, 0x38
ICR, ITR, ICS, IMS, IMC = 0xC0, 0xC4, 0xC8, 0xD0, 0xD8
TCTL, TDBAL, TDBAH, TDLEN, TDH, TDT, TIDV = 0x400, 0x3800, 0x3804, 0x3808, 0x3810, 0x3818, 0x3820
RCTL, RDBAL, RDBAH, RDLEN, RDH, RDT = 0x100, 0x2800, 0x2804, 0x2808, 0x2810, 0x2818
MTA, RA, VFTA = 0x5200, 0x5400, 0x5600
SLU, VME = 0x40, 0x40000000
EN, UPE, MPE, LPE, BAM, VFE, BSEX, SECRC = (
    0x2, 0x8, 0x10, 0x20, 0x8000, 0x40000, 0x2000000, 0x4000000)

# Registers that both keep, and the bits that ours has. deliberate: registers, loopback.
KEPT = {
    0x38: 0xFFFF, 0xC4: 0xFFFF, 0x100: 0x06DFB33E, 0x458: 0xFFFF, 0xE00: 0xCFCFCFCF, 0x1000: 0x78,
    0x2410: 0x1FFF, 0x2418: 0x1FFF, 0x2420: 0x1FFF, 0x2428: 0x1FFF, 0x2430: 0x1FFF,
    0x2800: 0xFFFFFFF0, 0x2804: 0xFFFFFFFF, 0x2808: 0xFFFFF, 0x2810: 0xFFFF, 0x2818: 0xFFFF,
    0x2820: 0xFFFF, 0x282C: 0xFFFF,
    0x3410: 0x7FF, 0x3418: 0x7FF, 0x3420: 0x1FFF, 0x3428: 0x1FFF, 0x3430: 0x1FFF,
    0x3828: 0xFF3F3F3F, 0x382C: 0xFFFF, 0x5800: 0xB, 0x5808: 0xF80FF, 0x5838: 0x1000F,
    # The transmitter's: while it is off.
    0x3800: 0xFFFFFFF0, 0x3804: 0xFFFFFFFF, 0x3808: 0xFFFFF, 0x3810: 0xFFFF, 0x3818: 0xFFFF,
}
TIMED = (ITR, 0x2820, 0x282C, 0x382C)  # QEMU's has none of them without throttling
TABLES = ((0x5200, 128), (0x5400, 32), (0x5600, 128))  # MTA, RA, VFTA
STATISTICS = {
    0x4080: "GPTC", 0x40D4: "TPT", 0x4090: "GOTCL", 0x4094: "GOTCH", 0x40C8: "TOTL", 0x40CC: "TOTH",
    0x40DC: "PTC127", 0x40E0: "PTC255", 0x40E4: "PTC511", 0x40E8: "PTC1023", 0x40EC: "PTC1522",
    0x40F0: "MPTC", 0x40F4: "BPTC", 0x4074: "GPRC", 0x4010: "MPC",
}
LENGTHS = (0x4090, 0x4094, 0x40C8, 0x40CC, 0x40DC, 0x40E0, 0x40E4, 0x40E8, 0x40EC)
PHY = {2: 0xFFFF, 3: 0xFFFF, 4: 0xBFE0, 9: 0xFF00, 16: 0xFFFF, 20: 0xFFFF, 21: 0xFFFF, 17: 0x2C00}
EEPROM = (0, 1, 2, 0x0B, 0x0D, 0x0E)  # words of the same meaning; deliberate: EEPROM

EOP, IFCS, RS, DEXT, DATA_TYPE, TSE, VLE, IDE = (
    1 << 24, 1 << 25, 1 << 27, 1 << 29, 1 << 20, 1 << 26, 1 << 30, 1 << 31)
TCP, IPV4 = 1 << 24, 1 << 25


# ---- carrying out ----

def compare_line(pair):
    if pair.lines:
        pair.interrupt_compare()


def do_register(pair, offset, value):
    if pair.lines and offset in TIMED:
        return
    mask = KEPT[offset]
    pair.write(offset, value & mask)
    pair.read(offset, f"register {offset:#06x}", mask)
    compare_line(pair)


def do_table(pair, table, index, value):
    base, _ = TABLES[table]
    mask = 0x8003FFFF if table == 1 and index & 1 else 0xFFFFFFFF
    pair.write(base + 4 * index, value & mask)
    pair.read(base + 4 * index, f"table {base:#06x}", mask)


def do_interrupt(pair, offset, value):
    # deliberate: transmit queue low
    pair.write(offset, value & (0x17FFF if pair.lines and offset == IMS else 0x1FFFF))
    pair.read(IMS, "IMS", 0x1FFFF)
    compare_line(pair)
    if value & 0x80000000:
        pair.read(ICR, "ICR", 0x17FFF)  # deliberate: transmit queue low
        pair.read(ICR, "ICR after reading it", 0x1FFFF)
        compare_line(pair)


def do_config(pair, command, line):
    pair.config_compare(command, line, {0x10: (MEM, 0xFFFFFFFF)}, 0)  # deliberate: PCI
    pair.config(0x04, "w", 7)
    compare_line(pair)


def do_eerd(pair, index):
    word = EEPROM[index % len(EEPROM)]
    pair.write(EERD, word << 8 | 1)
    value = pair.read(EERD, f"EEPROM word {word:#x}", 0x10 | (0xFFFF0000 if word != 0x0B else 0))
    if not value & 0x10:
        raise AssertionError("EERD without an end")


def clocked(pair, bits):
    """A rising and a falling edge for each bit, the chip selected; Data Out compared in between."""
    for bit in bits:
        di = 4 if bit else 0
        pair.write(EECD, 0x42 | di)
        pair.write(EECD, 0x43 | di)
        pair.write(EECD, 0x42 | di)


def do_eecd(pair, index):
    word = EEPROM[index % 3]
    pair.write(EECD, 0x40)
    pair.write(EECD, 0x42)
    clocked(pair, (1, 1, 0))
    clocked(pair, [word >> i & 1 for i in reversed(range(6))])
    for i in range(16):
        pair.write(EECD, 0x43)
        pair.read(EECD, f"EECD, bit {i} of word {word}", 0x14F)
        pair.write(EECD, 0x42)
    pair.write(EECD, 0x40)
    pair.write(EECD, 0)


def do_phy(pair, reg, value):
    """`value` None: only read."""
    mask = PHY.get(reg, 0)
    if value is not None and reg in (9, 16, 20):
        pair.write(MDIC, 1 << 26 | 1 << 21 | reg << 16 | value & mask)
        pair.read(MDIC, "MDIC of a write", 0x50000000)
    pair.write(MDIC, 1 << 27 | 1 << 21 | reg << 16)
    pair.read(MDIC, f"PHY register {reg}", 0x50000000 | mask)


def do_mdic_error(pair, phy):
    pair.write(MDIC, 1 << 27 | (phy if phy != 1 else 2) << 21 | 2 << 16)
    pair.read(MDIC, "MDIC of another PHY", 0x50000000)


def do_statistics(pair):
    for offset, name in STATISTICS.items():
        pair.read(offset, name, 0 if pair.vague and offset in LENGTHS else 0xFFFFFFFF)
    pair.vague = False


def do_link(pair):
    pair.read(STATUS, "STATUS", 0x3)


def descriptor(addr, low, high):
    return struct.pack("<QII", addr, low & 0xFFFFFFFF, high & 0xFFFFFFFF)


def do_transmit(pair, vme, head, descriptors, data):
    """A ring whose first descriptor is `head`; the data lies at DATA."""
    pair.write(TCTL, 0)
    pair.write(CTRL, SLU | (VME if vme else 0))
    for offset, value in ((VET, 0x8100), (TDBAL, RING), (TDBAH, 0), (TDLEN, RING_SIZE * 16),
                          (TDH, head), (TDT, head), (TIDV, 0)):
        pair.write(offset, value)
    pair.memory_write(DATA, data)
    pair.memory_write(RING, bytes(RING_SIZE * 16))
    for i, words in enumerate(descriptors):
        pair.memory_write(RING + (head + i) % RING_SIZE * 16, descriptor(*words))
    pair.write(TCTL, 0xA)
    pair.raw([f"readl {MEM + ICR:#x}"])
    pair.write(TDT, (head + len(descriptors)) % RING_SIZE)
    pair.read(TDH, "TDH")
    compare_line(pair)
    pair.read(ICR, "ICR of the transmitter", 0x3)
    compare_line(pair)
    pair.memory_compare(RING, RING_SIZE * 16, "the transmit ring")
    pair.packets_compare()
    # deliberate: octets sent
    pair.vague |= vme and any(words[1] & VLE for words in descriptors)
    pair.write(TCTL, 0)


# ---- the receiver ----

# Addresses of frames: ours, another, all, and groups that the table may let in. QEMU looks unicast up
# in the table, too: none of these has a group's bits.
GROUPS = (b"\x01\x00\x5e\x11\x92\xbc", b"\x33\x33\x00\x00\x00\x01", b"\x01\x80\xc2\x00\x00\x0e")
DESTINATIONS = (MAC, b"\x02\x00\x00\x12\x34\x57", b"\x02\x11\x22\x33\x44\x55", b"\xff" * 6, *GROUPS)
VLANS = (0, 1, 7, 100, 4095)


def do_receiver(pair, rctl, vme):
    """Once, at the beginning: QEMU's receives nothing for a second after RCTL is written."""
    pair.write(CTRL, SLU | (VME if vme else 0))
    for offset, value in ((TDBAL, RING), (TDBAH, 0), (TDLEN, RING_SIZE * 16), (TDH, 0), (TDT, 0), (TIDV, 0),
                          (RDBAL, RX_RING), (RDBAH, 0), (RDLEN, RING_SIZE * 16), (RDH, 0), (RDT, 0)):
        pair.write(offset, value)
    pair.write(MDIC, 1 << 26 | 1 << 21 | 0x4140)
    pair.write(RCTL, rctl | EN)
    pair.write(TCTL, 0xA)
    pair.buffer = 32768 >> (rctl >> 16 & 3) if rctl & BSEX and rctl >> 16 & 3 else 2048 >> (rctl >> 16 & 3)
    pair.head, pair.strips = 0, bool(rctl & SECRC)
    time.sleep(1.3)


def do_accept(pair, table, index, on):
    """One entry of an address, multicast or VLAN table."""
    if table == "address":
        mac = DESTINATIONS[index % len(DESTINATIONS)]
        low, high = struct.unpack("<IH", mac)
        pair.write(RA + 8 * (1 + index), low)
        pair.write(RA + 8 * (1 + index) + 4, high | (0x80000000 if on else 0))
    elif table == "group":
        group = GROUPS[index % len(GROUPS)]
        value = struct.unpack("<H", group[4:])[0] >> (4, 3, 2, 0)[index // len(GROUPS) % 4] & 0xFFF
        pair.write(MTA + 4 * (value >> 5), 1 << (value & 31) if on else 0)
    else:
        vlan = VLANS[index % len(VLANS)]
        pair.write(VFTA + 4 * (vlan >> 5), 1 << (vlan & 31) if on else 0)


def received(descriptors):
    """What is compared of them: length; of the status what both know; the tag."""
    result = []
    for at in range(0, len(descriptors), 16):
        length, status, errors, tag = struct.unpack_from("<8xH2xBBH", descriptors, at)
        last = status & 2  # else the rest means nothing: SDM 3.2.3.1
        # deliberate: packet checksum, inexact filter
        result.append((length, status & 0xF if last else status & 1, errors if last else 0,
                       tag if last else 0))
    return result


def do_frame(pair, frame):
    """Sent, and looped back by the PHY."""
    pair.memory_write(DATA, frame)
    pair.memory_write(RING, bytes(RING_SIZE * 16))
    pair.memory_write(RX_RING, b"".join(struct.pack("<QQ", BUFFERS + i * BUFFER_STEP, 0)
                                        for i in range(RING_SIZE)))
    pair.raw([f"memset {BUFFERS:#x} {RING_SIZE * BUFFER_STEP:#x} 0x0"])
    pair.write(RDT, (pair.head + RING_SIZE - 1) % RING_SIZE)
    pair.raw([f"readl {MEM + ICR:#x}"])
    head = pair.read(TDH, "TDH")
    pair.memory_write(RING + 16 * head, descriptor(DATA, EOP | IFCS | RS | len(frame), 0))
    pair.write(TDT, (head + 1) % RING_SIZE)
    pair.read(TDH, "TDH")
    now = pair.read(RDH, "RDH")
    pair.read(ICR, "ICR of the receiver", 0x80)
    ours, qemu = (received(base64.b64decode(answer[0]))
                  for answer in pair.raw([f"b64read {RX_RING:#x} {RING_SIZE * 16}"]))
    if ours != qemu:
        raise Difference("the receive ring", f"the receive ring: ours {ours}, QEMU {qemu}")
    stored = [b"", b""]
    while pair.head != now:
        size = ours[pair.head][0]
        answers = pair.raw([f"b64read {BUFFERS + pair.head * BUFFER_STEP:#x} {size}"]) if size else ()
        for i, answer in enumerate(answers):
            stored[i] += base64.b64decode(answer[0])
        pair.head = (pair.head + 1) % RING_SIZE
    end = None if pair.strips else -4  # deliberate: FCS
    if stored[0][:end] != stored[1][:end]:
        raise Difference("a received frame", f"a received frame: ours {stored[0].hex()}, QEMU {stored[1].hex()}")


ACTIONS = {
    "register": do_register, "table": do_table, "interrupt": do_interrupt, "eerd": do_eerd,
    "eecd": do_eecd, "phy": do_phy, "mdic error": do_mdic_error, "statistics": do_statistics,
    "link": do_link, "transmit": do_transmit, "receiver": do_receiver, "accept": do_accept,
    "frame": do_frame, "config": do_config,
}


def begin(pair):
    pass


def perform(pair, op):
    ACTIONS[op[0]](pair, *op[1:])


# ---- making up ----

def make_packet(rng, kind, addr):
    """(descriptors, bytes) for memory from `addr` on."""
    tag = VLE if rng.random() < 0.3 else 0
    special = rng.randrange(65536) << 16
    end = EOP | IFCS | (RS if rng.random() < 0.7 else 0)
    if kind == "legacy":
        data = rng.randbytes(rng.choice((60, 61, 64, 100, 500, 1514, 9000)))
        flags = [0, special]
    else:
        udp = rng.random() < 0.3
        cut = kind == "segment"
        mss = rng.choice((536, 1448, 1460))
        payload = rng.choice((1, 10, 1000, 1449, 9000, 40000)) if cut else rng.randrange(18, 1400)
        if cut and payload % mss == 0:
            payload += 1  # deliberate: the last segment
        data, header = packet(rng, udp and not cut, payload, not cut)
        flags = [DEXT | DATA_TYPE | (TSE if cut else 0), special | 0x300]
    parts, descriptors, at = pieces(rng, len(data), 14), [], addr
    if kind != "legacy":
        udp = udp and not cut
        tu = 34 | (40 if udp else 50) << 8
        low = DEXT | IPV4 | (0 if udp else TCP) | (RS if rng.random() < 0.3 else 0)
        descriptors.append((14 | 24 << 8 | 33 << 16 | tu << 32,
                            low | (TSE | len(data) - header if cut else 0), mss << 16 | header << 8 if cut else 0))
    for i, n in enumerate(parts):
        last = i + 1 == len(parts)
        # Where the tag is looked for: SDM 3.3.7.1.
        tagged = tag if (i == 0 if kind == "segment" else last) else 0
        descriptors.append((at, flags[0] | tagged | n | (end if last else 0), flags[1]))
        at += n
    return descriptors, data


def make_transmit(rng):
    descriptors, data = [], b""
    for _ in range(rng.randrange(1, 6)):
        more, part = make_packet(rng, rng.choice(("legacy", "checksum", "segment")), DATA + len(data))
        if len(descriptors) + len(more) >= RING_SIZE:
            break
        descriptors += more
        data += part
    return ("transmit", rng.random() < 0.5, rng.randrange(RING_SIZE), descriptors, data)


def make(rng):
    kind = rng.choices(("register", "table", "interrupt", "eerd", "eecd", "phy", "mdic error", "statistics",
                        "link", "transmit", "config"), (20, 10, 15, 4, 2, 8, 2, 2, 2, 12, 1))[0]
    if kind == "register":
        return kind, rng.choice(list(KEPT)), rng.choice((0, 0xFFFFFFFF, rng.getrandbits(32)))
    if kind == "table":
        table = rng.randrange(3)
        return kind, table, rng.randrange(TABLES[table][1]), rng.getrandbits(32)
    if kind == "interrupt":
        return kind, rng.choice((ICS, IMS, IMC, ICR)), rng.getrandbits(32)
    if kind in ("eerd", "eecd"):
        return kind, rng.randrange(64)
    if kind == "phy":
        return kind, rng.choice(list(PHY)), rng.choice((None, rng.getrandbits(16)))
    if kind == "mdic error":
        return kind, rng.randrange(32)
    if kind == "transmit":
        return make_transmit(rng)
    if kind == "config":
        return kind, rng.choice((1, 2, 6, 7, 0x407)), rng.getrandbits(8)
    return (kind,)


def generate(rng, layout, count):
    return generate_receiver(rng, count) if layout == "receiver" else [make(rng) for _ in range(count)]


def make_frame(rng):
    size = rng.choice((14, 40, 60, 61, 100, 256, 257, 508, 512, 1024, 1514, 1518, 1600, 4096, 9000))
    frame = bytearray(rng.randbytes(size))
    frame[0:6] = rng.choice(DESTINATIONS)
    frame[6:14] = b"\x02\0\0\0\0\1\x88\xb5"
    if rng.random() < 0.4 and size >= 60:
        frame[12:16] = b"\x81\0" + struct.pack(">H", rng.choice(VLANS) | rng.choice((0, 0xE000)))
    return ("frame", bytes(frame))


def generate_receiver(rng, count):
    """For a pair that is running."""
    rctl = rng.randrange(4) << 16 | rng.randrange(4) << 12
    for bit in (UPE, MPE, LPE, BAM, VFE, BSEX, SECRC):
        rctl |= bit if rng.random() < 0.5 else 0
    ops = [("receiver", rctl, rng.random() < 0.5)]
    for _ in range(count):
        if rng.random() < 0.3:
            ops.append(("accept", rng.choice(("address", "group", "vlan")), rng.randrange(12),
                        rng.random() < 0.6))
        else:
            ops.append(make_frame(rng))
    return ops
