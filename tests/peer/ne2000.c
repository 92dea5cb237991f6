/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/peer/ne2000.h"

#include <string.h>
#include <time.h>

/* DP8390D, 10.3. */
#define CR     0x00
#define PSTART 0x01
#define PSTOP  0x02
#define BNRY   0x03
#define TPSR   0x04
#define TBCR0  0x05
#define ISR    0x07
#define RSAR0  0x08
#define RBCR0  0x0a
#define RCR    0x0c
#define TCR    0x0d
#define DCR    0x0e
#define IMR    0x0f
#define CURR   0x07 /* page 1 */
#define DATA   0x10
#define RESET  0x1f

#define CR_STOP   0x21
#define CR_START  0x22 /* no remote DMA */
#define CR_SEND   0x26
#define CR_READ   0x0a
#define CR_WRITE  0x12
#define CR_PAGE1  0x40
#define ISR_PTX   0x02
#define ISR_RDC   0x40
#define DCR_WORDS 0x49

#define TX_PAGE   0x40
#define RING      0x46
#define RING_STOP 0x60
#define HEADER    4u
#define FCS       4u
#define FRAME_MAX 1536u

static void out(struct ne2000_driver *nic, unsigned reg, uint8_t value)
{
    peer_out(nic->peer, 0, (uint16_t)(nic->base + reg), 1, value);
}

static uint8_t in(struct ne2000_driver *nic, unsigned reg)
{
    return (uint8_t)peer_in(nic->peer, 0, (uint16_t)(nic->base + reg), 1);
}

static void out16(struct ne2000_driver *nic, unsigned reg, uint16_t value)
{
    out(nic, reg, (uint8_t)value);
    out(nic, reg + 1, (uint8_t)(value >> 8));
}

void ne2000_driver_start(struct ne2000_driver *nic, uint16_t base)
{
    nic->base = base;
    peer_pci_write(nic->peer, 0, NE2000_BDF, 0x10, 4, base);
    peer_pci_write(nic->peer, 0, NE2000_BDF, 0x04, 2, 0x1);
    out(nic, CR, CR_STOP);
    out(nic, DCR, DCR_WORDS);
    out16(nic, RBCR0, 0);
    out(nic, RCR, 0x1c); /* broadcast, multicast, all unicast */
    out(nic, TCR, 0);
    out(nic, PSTART, RING);
    out(nic, PSTOP, RING_STOP);
    out(nic, BNRY, RING);
    out(nic, ISR, 0xff);
    out(nic, IMR, 0);
    out(nic, CR, CR_STOP | CR_PAGE1);
    out(nic, CURR, RING + 1);
    out(nic, CR, CR_START);
    nic->next = RING + 1;
}

void ne2000_driver_remote(struct ne2000_driver *nic, bool write, uint16_t addr, uint16_t bytes)
{
    out(nic, CR, CR_START);
    out(nic, ISR, ISR_RDC);
    out16(nic, RSAR0, addr);
    out16(nic, RBCR0, bytes);
    out(nic, CR, write ? CR_WRITE : CR_READ);
}

void ne2000_driver_read(struct ne2000_driver *nic, void *buf, uint32_t bytes, unsigned size)
{
    for (uint32_t at = 0; at < bytes; at += size) {
        uint32_t value = peer_in(nic->peer, 0, (uint16_t)(nic->base + DATA), size);

        memcpy((uint8_t *)buf + at, &value, bytes - at < size ? bytes - at : size);
    }
}

void ne2000_driver_write(struct ne2000_driver *nic, const void *buf, uint32_t bytes, unsigned size)
{
    for (uint32_t at = 0; at < bytes; at += size) {
        uint32_t value = 0;

        memcpy(&value, (const uint8_t *)buf + at, bytes - at < size ? bytes - at : size);
        peer_out(nic->peer, 0, (uint16_t)(nic->base + DATA), size, value);
    }
}

void ne2000_driver_abort(struct ne2000_driver *nic)
{
    out(nic, CR, CR_START);
}

void ne2000_driver_reset(struct ne2000_driver *nic)
{
    in(nic, RESET);
}

bool ne2000_driver_done(struct ne2000_driver *nic)
{
    return in(nic, ISR) & ISR_RDC;
}

uint32_t ne2000_frame_bytes(uint32_t number)
{
    return 60 + number * 97 % 1455;
}

uint8_t ne2000_frame_byte(uint32_t number, uint32_t at)
{
    uint8_t byte = (uint8_t)(number * 29 + at * 5 + (at >> 8));

    return at ? byte : byte & 0xfe; /* no group's */
}

/* A register that something else changes. */
static bool wait_for(struct ne2000_driver *nic, bool (*there)(struct ne2000_driver *nic))
{
    const struct timespec nap = {.tv_nsec = 1000000};

    for (unsigned i = 0; i < 5000; i++) {
        if (there(nic))
            return true;
        nanosleep(&nap, NULL);
    }
    return false;
}

static bool sent(struct ne2000_driver *nic)
{
    return in(nic, ISR) & ISR_PTX;
}

bool ne2000_driver_send(struct ne2000_driver *nic)
{
    uint32_t bytes = ne2000_frame_bytes(nic->sent);
    uint8_t frame[FRAME_MAX];

    for (uint32_t i = 0; i < bytes; i++)
        frame[i] = ne2000_frame_byte(nic->sent, i);
    ne2000_driver_remote(nic, true, TX_PAGE << 8, (uint16_t)bytes);
    ne2000_driver_write(nic, frame, bytes, 2);
    if (!ne2000_driver_done(nic))
        return false;
    out(nic, ISR, ISR_PTX);
    out(nic, TPSR, TX_PAGE);
    out16(nic, TBCR0, (uint16_t)bytes);
    out(nic, CR, CR_SEND);
    nic->sent++;
    return wait_for(nic, sent);
}

static bool arrived(struct ne2000_driver *nic)
{
    uint8_t curr;

    out(nic, CR, CR_START | CR_PAGE1);
    curr = in(nic, CURR);
    out(nic, CR, CR_START);
    return curr != nic->next;
}

uint32_t ne2000_driver_receive(struct ne2000_driver *nic, uint8_t frame[1536])
{
    uint8_t header[HEADER];
    uint32_t bytes;

    if (!wait_for(nic, arrived))
        return 0;
    ne2000_driver_remote(nic, false, (uint16_t)(nic->next << 8), HEADER);
    ne2000_driver_read(nic, header, HEADER, 2);
    bytes = header[2] | (uint32_t)header[3] << 8;
    if (bytes < FCS || bytes - FCS > FRAME_MAX)
        return 0;
    bytes -= FCS;
    ne2000_driver_remote(nic, false, (uint16_t)((nic->next << 8) + HEADER), (uint16_t)bytes);
    ne2000_driver_read(nic, frame, bytes, 2);
    nic->next = header[1];
    out(nic, BNRY, nic->next == RING ? RING_STOP - 1 : nic->next - 1);
    nic->got++;
    return bytes;
}
