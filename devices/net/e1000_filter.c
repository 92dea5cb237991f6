/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which frames are received (SDM 3.2.1, 9.3, 13.5): by address, then by VLAN. */
#include <string.h>

#include "devices/net/e1000_internal.h"
#include "devices/net/frame.h"

#define MAC_CONTROL    0x8808 /* IEEE 802.3, 31.4.1.3 */
#define OPCODE_PAUSE   1      /* IEEE 802.3, 31B.2 */
#define FRAME_TYPE_AT  12
#define FRAME_TAG_AT   14
#define RA_MATCHES_DST 0
#define RA_MATCHES_SRC 1

static uint16_t be16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

bool e1000_is_tagged(const struct e1000 *nic, const uint8_t *frame)
{
    return be16(frame + FRAME_TYPE_AT) == nic->reg[E1000_R_VET];
}

/* One of the sixteen addresses, each for the destination or the source. */
static bool matches_exactly(const struct e1000 *nic, const uint8_t *frame)
{
    for (unsigned i = 0; i < E1000_RA_ENTRIES; i++) {
        uint32_t low = nic->ra[2 * i], high = nic->ra[2 * i + 1];
        const uint8_t mac[NET_MAC_BYTES] = {
            (uint8_t)low,         (uint8_t)(low >> 8), (uint8_t)(low >> 16),
            (uint8_t)(low >> 24), (uint8_t)high,       (uint8_t)(high >> 8),
        };
        uint32_t select = (high & E1000_RAH_ASEL) >> 16;

        if (!(high & E1000_RAH_AV) || select > RA_MATCHES_SRC)
            continue;
        if (!memcmp(frame + (select == RA_MATCHES_SRC ? NET_MAC_BYTES : 0), mac, NET_MAC_BYTES))
            return true;
    }
    return false;
}

/* Twelve bits of the last two bytes of the address, which twelve RCTL.MO says (SDM 13.5.1). */
static bool matches_hash(const struct e1000 *nic, const uint8_t *frame)
{
    static const uint8_t shift[] = {4, 3, 2, 0};
    uint32_t offset = nic->reg[E1000_R_RCTL] >> E1000_RCTL_MO_SHIFT & 3;
    uint32_t hash = ((uint32_t)frame[5] << 8 | frame[4]) >> shift[offset] & 0xfff;

    return nic->mta[hash >> 5] >> (hash & 31) & 1;
}

static bool passes_address(const struct e1000 *nic, const uint8_t *frame, bool *ret_inexact)
{
    uint32_t rctl = nic->reg[E1000_R_RCTL];

    *ret_inexact = false;
    if (matches_exactly(nic, frame))
        return true;
    switch (frame_dest(frame)) {
    case FRAME_BROADCAST:
        if (rctl & E1000_RCTL_BAM)
            return true;
        break;
    case FRAME_UNICAST:
        *ret_inexact = true;
        return rctl & E1000_RCTL_UPE;
    case FRAME_MULTICAST:
        break;
    }
    *ret_inexact = true;
    return rctl & E1000_RCTL_MPE || matches_hash(nic, frame);
}

static bool passes_vlan(const struct e1000 *nic, const uint8_t *frame)
{
    uint32_t rctl = nic->reg[E1000_R_RCTL];

    if (!(rctl & E1000_RCTL_VFE) || !e1000_is_tagged(nic, frame))
        return true;

    uint16_t tag = be16(frame + FRAME_TAG_AT), id = tag & 0xfff;
    if (rctl & E1000_RCTL_CFIEN && !(tag & 0x1000) != !(rctl & E1000_RCTL_CFI))
        return false;
    return nic->vfta[id >> 5] >> (id & 31) & 1;
}

/* PAUSE to us or to its group: counted, and passed on if software wants it (SDM 13.4.22, PMCF and
 * DPF). It stops nobody here: a way out that has enough says so by itself. */
static bool passes_control(struct e1000 *nic, const uint8_t *frame)
{
    uint32_t rctl = nic->reg[E1000_R_RCTL], low = nic->reg[E1000_R_FCAL];
    uint32_t high = nic->reg[E1000_R_FCAH];
    const uint8_t group[NET_MAC_BYTES] = {
        (uint8_t)low,         (uint8_t)(low >> 8), (uint8_t)(low >> 16),
        (uint8_t)(low >> 24), (uint8_t)high,       (uint8_t)(high >> 8),
    };

    if (be16(frame + FRAME_TYPE_AT) != nic->reg[E1000_R_FCT] ||
        nic->reg[E1000_R_FCT] != MAC_CONTROL)
        return true;
    if (memcmp(frame, group, NET_MAC_BYTES))
        return rctl & E1000_RCTL_PMCF;
    if (be16(frame + NET_ETH_BYTES) != OPCODE_PAUSE)
        e1000_count(nic, E1000_FCRUC);
    else
        e1000_count(nic, be16(frame + NET_ETH_BYTES + 2) ? E1000_XOFFRXC : E1000_XONRXC);
    return rctl & E1000_RCTL_PMCF && !(rctl & E1000_RCTL_DPF);
}

bool e1000_filter(struct e1000 *nic, const uint8_t *frame, bool *ret_inexact)
{
    return passes_control(nic, frame) && passes_address(nic, frame, ret_inexact) &&
           passes_vlan(nic, frame);
}
