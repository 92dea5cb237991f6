/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For the CRC of IEEE 802.3, 3.2.9, low bit first: crc_table[n][b] is that of byte b followed by n
 * bytes of zero, starting from 0. With eight of them eight bytes are done at a time.
 */
#ifndef IOEMUD_DEVICES_NET_CRC_TABLE_H
#define IOEMUD_DEVICES_NET_CRC_TABLE_H

#include <stdint.h>

extern const uint32_t crc_table[8][256];

#endif
