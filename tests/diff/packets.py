# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets for a NIC to send."""

import struct


def checksum(data):
    total = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def packet(rng, udp, payload, whole, flags=0x19):
    """(bytes, header length): IPv4, with what a driver leaves to the NIC. `whole`: it says how long it is.
    `flags`: TCP's."""
    addresses = rng.randbytes(8)
    l4_size = 8 if udp else 20
    length = l4_size + payload
    seed = checksum(addresses + bytes((0, 17 if udp else 6)) + struct.pack(">H", length if whole else 0))
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + length if whole else 0, rng.randrange(65536), 0x4000, 64,
                     17 if udp else 6, 0) + addresses
    ports = rng.randbytes(4)
    if udp:
        l4 = ports + struct.pack(">HH", length if whole else 0, seed)
    else:
        l4 = ports + rng.randbytes(8) + struct.pack(">BBHHH", 0x50, flags, 512, seed, 0)
    first = rng.choice((b"\x02", b"\xff", b"\x01"))
    mac = b"\xff" * 6 if first == b"\xff" else first + rng.randbytes(5)
    return mac + b"\x02\0\0\x12\x34\x56\x08\0" + ip + l4 + rng.randbytes(payload), 34 + l4_size


def pieces(rng, size, first):
    """Lengths that make `size` up, the first at least `first`."""
    parts = []
    while size:
        n = min(size, max(first, rng.choice((1, 60, 200, 1000, 4096, 16000))))
        parts.append(n)
        size -= n
        first = 1
    return parts
