/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/net/crc_table.h"

/* A CRC is linear, so that of a byte is the exclusive or of its bits'. */
#define BIT(b, n, crc) (1 << n & (b) ? crc : 0)
#define BYTE(b, k0, k1, k2, k3, k4, k5, k6, k7)                                                    \
    (BIT(b, 0, k0) ^ BIT(b, 1, k1) ^ BIT(b, 2, k2) ^ BIT(b, 3, k3) ^ BIT(b, 4, k4) ^               \
     BIT(b, 5, k5) ^ BIT(b, 6, k6) ^ BIT(b, 7, k7))

/* From byte `b` on, of the CRCs of the bytes of one bit. */
#define BYTES_4(b, ...)                                                                            \
    BYTE(b, __VA_ARGS__), BYTE(b + 1, __VA_ARGS__), BYTE(b + 2, __VA_ARGS__),                      \
        BYTE(b + 3, __VA_ARGS__)
#define BYTES_16(b, ...)                                                                           \
    BYTES_4(b, __VA_ARGS__), BYTES_4(b + 4, __VA_ARGS__), BYTES_4(b + 8, __VA_ARGS__),             \
        BYTES_4(b + 12, __VA_ARGS__)
#define BYTES_64(b, ...)                                                                           \
    BYTES_16(b, __VA_ARGS__), BYTES_16(b + 16, __VA_ARGS__), BYTES_16(b + 32, __VA_ARGS__),        \
        BYTES_16(b + 48, __VA_ARGS__)
#define BYTES_256(...)                                                                             \
    BYTES_64(0, __VA_ARGS__), BYTES_64(64, __VA_ARGS__), BYTES_64(128, __VA_ARGS__),               \
        BYTES_64(192, __VA_ARGS__)

/* Of bytes 0x01, 0x02, 0x04 to 0x80. The last one of the first table is the polynomial; each other
 * one is its right neighbour shifted by one bit, the last of a table the first of the one above. */
const uint32_t crc_table[8][256] = {
    {BYTES_256(0x77073096, 0xee0e612c, 0x076dc419, 0x0edb8832, 0x1db71064, 0x3b6e20c8, 0x76dc4190,
               0xedb88320)},
    {BYTES_256(0x191b3141, 0x32366282, 0x646cc504, 0xc8d98a08, 0x4ac21251, 0x958424a2, 0xf0794f05,
               0x3b83984b)},
    {BYTES_256(0x01c26a37, 0x0384d46e, 0x0709a8dc, 0x0e1351b8, 0x1c26a370, 0x384d46e0, 0x709a8dc0,
               0xe1351b80)},
    {BYTES_256(0xb8bc6765, 0xaa09c88b, 0x8f629757, 0xc5b428ef, 0x5019579f, 0xa032af3e, 0x9b14583d,
               0xed59b63b)},
    {BYTES_256(0x3d6029b0, 0x7ac05360, 0xf580a6c0, 0x30704bc1, 0x60e09782, 0xc1c12f04, 0x58f35849,
               0xb1e6b092)},
    {BYTES_256(0xcb5cd3a5, 0x4dc8a10b, 0x9b914216, 0xec53826d, 0x03d6029b, 0x07ac0536, 0x0f580a6c,
               0x1eb014d8)},
    {BYTES_256(0xa6770bb4, 0x979f1129, 0xf44f2413, 0x33ef4e67, 0x67de9cce, 0xcfbd399c, 0x440b7579,
               0x8816eaf2)},
    {BYTES_256(0xccaa009e, 0x4225077d, 0x844a0efa, 0xd3e51bb5, 0x7cbb312b, 0xf9766256, 0x299dc2ed,
               0x533b85da)},
};
