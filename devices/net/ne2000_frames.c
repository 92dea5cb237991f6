/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames. Received ones go into a ring of 256-byte pages from PSTART up to PSTOP, at CURR, each
 * behind a header; the guest moves BNRY when it has read them (DP8390, 7.0):
 *
 *   PSTART    BNRY: read        CURR: next             PSTOP
 *     |  free  |  to be read     |      free             |
 *
 * CURR never reaches BNRY by receiving. A frame that does not fit now stays with the backend,
 * instead of being lost, until BNRY moves; nothing is overwritten, so there is no overwrite
 * warning. There is one, and the frame is lost, when it does not fit into the ring however empty.
 */
#include <string.h>

#include "devices/net/frame.h"
#include "devices/net/ne2000_internal.h"

static void miss(struct ne2000 *nic)
{
    nic->counts.rx_missed++;
    if (nic->tally[2] < NE2000_TALLY_MAX)
        nic->tally[2]++;
    if (nic->tally[2] & 0x80)
        nic->isr |= NE2000_ISR_CNT;
    ne2000_irq_update(nic);
}

static bool wanted(const struct ne2000 *nic, const uint8_t *frame)
{
    struct frame_filter filter = {
        .own = true,
        .unicast = nic->rcr & NE2000_RCR_PRO,
        .multicast = nic->rcr & NE2000_RCR_AM,
        .broadcast = nic->rcr & NE2000_RCR_AB,
    };

    memcpy(filter.mac, nic->par, sizeof(filter.mac));
    for (unsigned i = 0; i < 8; i++)
        filter.hash |= (uint64_t)nic->mar[i] << (8 * i);
    return frame_filter_passes(&filter, frame);
}

static uint8_t next_page(const struct ne2000 *nic, uint8_t page)
{
    page++;
    return page == nic->pstop ? nic->pstart : page;
}

/* Drivers that keep BNRY one page behind write PSTART - 1 for the ring's last page. */
static uint8_t boundary(const struct ne2000 *nic)
{
    return nic->bnry + 1 == nic->pstart ? (uint8_t)(nic->pstop - 1) : nic->bnry;
}

static bool fits(const struct ne2000 *nic, unsigned pages)
{
    uint8_t page = nic->curr, stop = boundary(nic);

    while (pages--) {
        page = next_page(nic, page);
        if (page == stop)
            return false;
    }
    return true;
}

/* Writes on from byte `*at` of page `*page`; at most a frame, so bounded. */
static void put(struct ne2000 *nic, uint8_t *page, uint32_t *at, const uint8_t *buf, uint32_t n)
{
    while (n) {
        if (*at == NE2000_PAGE) {
            *page = next_page(nic, *page);
            *at = 0;
        }
        uint32_t now = NE2000_PAGE - *at < n ? NE2000_PAGE - *at : n;
        ne2000_poke(nic, (uint16_t)(*page * NE2000_PAGE + *at), buf, now);
        *at += now;
        buf += now;
        n -= now;
    }
}

static void put_fcs(uint8_t fcs[NE2000_FCS], const uint8_t *frame, uint32_t bytes)
{
    uint32_t crc = frame_crc32(frame, bytes);

    for (unsigned i = 0; i < NE2000_FCS; i++)
        fcs[i] = (uint8_t)(crc >> (8 * i));
}

static void store(struct ne2000 *nic, const uint8_t *frame, uint32_t bytes)
{
    uint32_t length = bytes + NE2000_FCS, at = NE2000_HEADER;
    uint8_t page = nic->curr, fcs[NE2000_FCS];

    nic->rsr = NE2000_RSR_PRX;
    if (frame_dest(frame) != FRAME_UNICAST)
        nic->rsr |= NE2000_RSR_PHY;
    put_fcs(fcs, frame, bytes);
    put(nic, &page, &at, frame, bytes);
    put(nic, &page, &at, fcs, sizeof(fcs));
    page = next_page(nic, page);
    uint8_t header[NE2000_HEADER] = {nic->rsr, page, (uint8_t)length, (uint8_t)(length >> 8)};
    ne2000_poke(nic, (uint16_t)(nic->curr * NE2000_PAGE), header, sizeof(header));
    nic->curr = page;
    nic->isr |= NE2000_ISR_PRX;
}

enum net_answer ne2000_receive(struct nic *base, const uint8_t *frame, uint32_t bytes,
                               const struct net_offload *offload)
{
    struct ne2000 *nic = (struct ne2000 *)base;
    unsigned pages = (NE2000_HEADER + bytes + NE2000_FCS + NE2000_PAGE - 1) / NE2000_PAGE;

    if (!wanted(nic, frame))
        return NET_FILTERED;
    if (bytes > NE2000_FRAME_MAX) {
        nic->counts.rx_too_long++;
        return NET_FILTERED;
    }
    if (nic->rcr & NE2000_RCR_MON) {
        nic->rsr = NE2000_RSR_DIS;
        miss(nic);
        return NET_FILTERED;
    }
    if (nic->pstart >= nic->pstop || pages >= (unsigned)nic->pstop - nic->pstart) {
        nic->rsr = NE2000_RSR_MPA;
        nic->isr |= NE2000_ISR_OVW;
        miss(nic);
        return NET_FILTERED;
    }
    if (!fits(nic, pages)) {
        /* For a driver that has acknowledged PRX and left some in the ring, as Linux's may: nothing
         * else would come. Not OVW, which says that a frame is lost. */
        nic->isr |= NE2000_ISR_PRX;
        ne2000_irq_update(nic);
        return NET_NO_ROOM;
    }
    host_windows_out(
        nic->base.host); /* the frame may come to lie where the guest reads or writes */
    store(nic, frame, bytes);
    return NET_TAKEN;
}

/* Sent frames go back into the FIFO and no further (DP8390, 12.0): the receiver's memory and the
 * medium do not see them, and nothing calls back. */
static void loop_back(struct ne2000 *nic, const uint8_t *frame, uint32_t bytes)
{
    uint8_t end[8] = {0};
    uint32_t n = bytes < NE2000_FCS ? bytes : NE2000_FCS;

    memcpy(end + NE2000_FCS - n, frame + bytes - n, n);
    put_fcs(end + NE2000_FCS, frame, bytes);
    memcpy(nic->fifo, end, sizeof(end));
    nic->fifo_at = 0;
}

static bool send(struct ne2000 *nic)
{
    uint8_t frame[NE2000_FRAME_MAX + NE2000_FCS];
    uint32_t bytes = nic->tbcr;

    if (bytes > sizeof(frame) || bytes < NET_ETH_BYTES) {
        nic->counts.tx_lost++; /* nobody on a wire takes it for a frame */
        return true;
    }
    ne2000_peek(nic, (uint16_t)(nic->tpsr * NE2000_PAGE), frame, bytes);
    if (nic->tcr & NE2000_TCR_LB) {
        loop_back(nic, frame, bytes);
        return true;
    }
    if (nic->tcr & NE2000_TCR_CRC && bytes >= NET_FRAME_MIN + NE2000_FCS)
        bytes -= NE2000_FCS;
    if (bytes > NE2000_FRAME_MAX) {
        nic->counts.tx_lost++;
        return true;
    }
    return net_send(nic->base.net, &(struct iovec){frame, bytes}, 1, NULL);
}

void ne2000_transmit(struct ne2000 *nic)
{
    if (nic->base.held || !(nic->cr & NE2000_CR_TXP) || !send(nic))
        return;
    nic->cr &= (uint8_t)~NE2000_CR_TXP;
    nic->tsr = NE2000_TSR_PTX;
    if (!net_link(nic->base.net) && !(nic->tcr & NE2000_TCR_LB))
        nic->tsr |= NE2000_TSR_CRS; /* no carrier was sensed */
    nic->isr |= NE2000_ISR_PTX;
    ne2000_irq_update(nic);
}
