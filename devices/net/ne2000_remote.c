/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Remote DMA: the data port moves bytes between the guest and the local address space, from RSAR
 * on, until RBCR bytes were moved (DP8390, 7.0). At PSTOP it goes on at PSTART.
 */
#include "devices/net/ne2000_internal.h"

/* Takes the next page's header for what "send packet" is to read (DP8390, 7.0, figure 14). */
static void start_send_packet(struct ne2000 *nic)
{
    uint8_t header[NE2000_HEADER];

    nic->rsar = (uint16_t)(nic->bnry * NE2000_PAGE);
    ne2000_peek(nic, nic->rsar, header, sizeof(header));
    nic->rbcr = (uint16_t)(header[2] | header[3] << 8);
    nic->send_packet = 1;
}

static void complete(struct ne2000 *nic)
{
    nic->remote = NE2000_IDLE;
    nic->isr |= NE2000_ISR_RDC;
    if (nic->send_packet) {
        uint8_t next;
        ne2000_peek(nic, (uint16_t)(nic->bnry * NE2000_PAGE + 1), &next, 1);
        nic->bnry = next;
        nic->send_packet = 0;
        net_receive_ready(nic->net);
    }
    ne2000_irq_update(nic);
}

void ne2000_remote_start(struct ne2000 *nic, uint8_t rd)
{
    nic->send_packet = 0;
    nic->remote = NE2000_IDLE;
    if (rd & NE2000_CR_RD_ABORT || !rd)
        return;
    nic->remote = rd == NE2000_CR_RD_WRITE ? NE2000_WRITE : NE2000_READ;
    if (rd == NE2000_CR_RD_SEND && nic->dcr & NE2000_DCR_ARM)
        start_send_packet(nic);
    if (!nic->rbcr)
        complete(nic);
}

/* How many of `n` bytes come next without a page's end between them. A word is moved whole when
 * WTS is set, even if RBCR is odd. */
static uint32_t chunk(const struct ne2000 *nic, uint32_t n)
{
    uint32_t left = nic->rbcr, in_page = NE2000_PAGE - nic->rsar % NE2000_PAGE;

    if (nic->dcr & NE2000_DCR_WTS)
        left += left & 1;
    if (n > left)
        n = left;
    return n < in_page ? n : in_page;
}

static void advance(struct ne2000 *nic, uint32_t n)
{
    nic->rsar = (uint16_t)(nic->rsar + n);
    if (nic->rsar == nic->pstop * NE2000_PAGE)
        nic->rsar = (uint16_t)(nic->pstart * NE2000_PAGE);
    nic->rbcr = (uint16_t)(n < nic->rbcr ? nic->rbcr - n : 0);
    if (!nic->rbcr)
        complete(nic);
}

uint32_t ne2000_remote_read(struct ne2000 *nic, uint8_t *buf, uint32_t n)
{
    uint32_t done = 0;

    while (done < n && nic->remote == NE2000_READ && nic->rbcr) {
        uint32_t now = chunk(nic, n - done);
        ne2000_peek(nic, nic->rsar, buf + done, now);
        advance(nic, now);
        done += now;
    }
    return done;
}

uint32_t ne2000_remote_write(struct ne2000 *nic, const uint8_t *buf, uint32_t n)
{
    uint32_t done = 0;

    while (done < n && nic->remote == NE2000_WRITE && nic->rbcr) {
        uint32_t now = chunk(nic, n - done);
        ne2000_poke(nic, nic->rsar, buf + done, now);
        advance(nic, now);
        done += now;
    }
    return done;
}
