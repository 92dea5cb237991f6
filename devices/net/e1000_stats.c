/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Statistics (SDM 13.7). Each clears when it is read and sticks at its greatest value; octets are
 * pairs of registers, both of which clear when the upper one is read. Lengths count the FCS.
 */
#include "devices/net/e1000_internal.h"
#include "devices/net/frame.h"

static uint32_t *word(struct e1000 *nic, uint32_t offset)
{
    return &nic->stats[(offset - E1000_STATS) / 4];
}

static bool is_low(uint32_t offset)
{
    return offset == E1000_GORCL || offset == E1000_GOTCL || offset == E1000_TORL ||
           offset == E1000_TOTL;
}

uint32_t e1000_stats_read(struct e1000 *nic, uint32_t offset)
{
    uint32_t value = *word(nic, offset);

    if (is_low(offset))
        return value;
    *word(nic, offset) = 0;
    if (is_low(offset - 4))
        *word(nic, offset - 4) = 0;
    return value;
}

void e1000_count_n(struct e1000 *nic, uint32_t offset, uint64_t n)
{
    uint32_t *low = word(nic, offset), *high = low + 1;

    if (!is_low(offset)) {
        *low = n > UINT32_MAX - *low ? UINT32_MAX : *low + (uint32_t)n;
        return;
    }
    uint64_t value = (uint64_t)*high << 32 | *low;
    value = n > UINT64_MAX - value ? UINT64_MAX : value + n;
    *low = (uint32_t)value;
    *high = (uint32_t)(value >> 32);
}

void e1000_count(struct e1000 *nic, uint32_t offset)
{
    e1000_count_n(nic, offset, 1);
}

/* The one of six counters from `first` on that is for frames so long. */
static uint32_t by_length(uint32_t first, uint32_t bytes)
{
    static const uint16_t most[] = {64, 127, 255, 511, 1023};
    unsigned i = 0;

    while (i < sizeof(most) / sizeof(most[0]) && bytes > most[i])
        i++;
    return first + 4 * i;
}

/* `packets` frames of `bytes` in all; the last may be shorter than the others, each of `largest`.
 * None is shorter on the wire than NET_FRAME_MIN. */
void e1000_count_sent(struct e1000 *nic, const uint8_t *frame, uint64_t bytes, uint32_t packets,
                      uint32_t largest)
{
    uint64_t last = bytes - (uint64_t)(packets - 1) * largest;

    if (last < NET_FRAME_MIN) {
        bytes += NET_FRAME_MIN - last;
        last = NET_FRAME_MIN;
    }
    bytes += (uint64_t)packets * E1000_FCS_BYTES;
    e1000_count_n(nic, E1000_GPTC, packets);
    e1000_count_n(nic, E1000_TPT, packets);
    e1000_count_n(nic, E1000_GOTCL, bytes);
    e1000_count_n(nic, E1000_TOTL, bytes);
    e1000_count(nic, by_length(E1000_PTC64, (uint32_t)last + E1000_FCS_BYTES));
    if (packets > 1)
        e1000_count_n(nic, by_length(E1000_PTC64, largest + E1000_FCS_BYTES), packets - 1);
    if (frame_dest(frame) == FRAME_MULTICAST)
        e1000_count_n(nic, E1000_MPTC, packets);
    else if (frame_dest(frame) == FRAME_BROADCAST)
        e1000_count_n(nic, E1000_BPTC, packets);
}

void e1000_count_seen(struct e1000 *nic, uint32_t bytes)
{
    e1000_count(nic, E1000_TPR);
    e1000_count_n(nic, E1000_TORL, bytes + E1000_FCS_BYTES);
}

void e1000_count_received(struct e1000 *nic, const uint8_t *frame, uint32_t bytes)
{
    bytes += E1000_FCS_BYTES;
    e1000_count(nic, E1000_GPRC);
    e1000_count_n(nic, E1000_GORCL, bytes);
    e1000_count(nic, by_length(E1000_PRC64, bytes));
    if (frame_dest(frame) == FRAME_MULTICAST)
        e1000_count(nic, E1000_MPRC);
    else if (frame_dest(frame) == FRAME_BROADCAST)
        e1000_count(nic, E1000_BPRC);
}
