/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Remote DMA: the data port moves bytes between the guest and the local address space, from RSAR
 * on, until RBCR bytes were moved (DP8390, 9.0). At PSTOP it goes on at PSTART.
 */
#include "devices/net/ne2000_internal.h"

/* Takes the next page's header for what "send packet" is to read (DP8390, 9.0). */
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
        nic_receive_ready(&nic->base);
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

/* Words are at even addresses: A0 stays low (DP8390, 10.3, WTS). */
static uint16_t aligned(const struct ne2000 *nic, uint16_t addr)
{
    return nic->dcr & NE2000_DCR_WTS ? addr & 0xfffe : addr;
}

/* How many of `n` bytes are at `addr` without a page's end between them. */
static uint32_t in_page(uint16_t addr, uint32_t n)
{
    uint32_t left = NE2000_PAGE - addr % NE2000_PAGE;

    return n < left ? n : left;
}

/* Where the bytes behind `n` from `addr` on are. */
static uint16_t behind(const struct ne2000 *nic, uint16_t addr, uint32_t n)
{
    addr = (uint16_t)(addr + n);
    return aligned(nic, addr) == nic->pstop * NE2000_PAGE ? (uint16_t)(nic->pstart * NE2000_PAGE)
                                                          : addr;
}

/* A word is moved whole when WTS is set, even if RBCR is odd. */
static uint32_t left(const struct ne2000 *nic)
{
    return nic->dcr & NE2000_DCR_WTS ? (nic->rbcr + 1u) & ~1u : nic->rbcr;
}

static uint32_t chunk(const struct ne2000 *nic, uint32_t n)
{
    return in_page(aligned(nic, nic->rsar), n < left(nic) ? n : left(nic));
}

static void advance(struct ne2000 *nic, uint32_t n)
{
    nic->rsar = behind(nic, nic->rsar, n);
    nic->rbcr = (uint16_t)(n < nic->rbcr ? nic->rbcr - n : 0);
    if (!nic->rbcr)
        complete(nic);
}

uint32_t ne2000_remote_read(struct ne2000 *nic, uint8_t *buf, uint32_t n)
{
    uint32_t done = 0;

    while (done < n && nic->remote == NE2000_READ && nic->rbcr) {
        uint32_t now = chunk(nic, n - done);
        ne2000_peek(nic, aligned(nic, nic->rsar), buf + done, now);
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
        ne2000_poke(nic, aligned(nic, nic->rsar), buf + done, now);
        advance(nic, now);
        done += now;
    }
    return done;
}

uint32_t ne2000_remote_window(const struct ne2000 *nic, bool *ret_write, uint8_t *buf,
                              uint32_t room)
{
    uint16_t addr = nic->rsar;

    if (nic->remote == NE2000_IDLE || !nic->rbcr)
        return 0;
    *ret_write = nic->remote == NE2000_WRITE;
    if (room > left(nic))
        room = left(nic);
    while (!*ret_write && room) {
        uint32_t now = in_page(aligned(nic, addr), room);
        ne2000_peek(nic, aligned(nic, addr), buf, now);
        addr = behind(nic, addr, now);
        buf += now;
        room -= now;
    }
    return left(nic);
}
