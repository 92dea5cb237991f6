/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/peer/e1000.h"

#include <string.h>
#include <time.h>

/* Intel 317453, 13.2. */
#define CTRL   0x0000
#define STATUS 0x0008
#define RCTL   0x0100
#define TCTL   0x0400
#define RDBAL  0x2800
#define RDLEN  0x2808
#define RDH    0x2810
#define RDT    0x2818
#define TDBAL  0x3800
#define TDLEN  0x3808
#define TDH    0x3810
#define TDT    0x3818

#define DESC        16u
#define DESC_STATUS 12
#define TX_COMMAND  (UINT64_C(0x0b) << 24) /* EOP, IFCS, RS */

static void set(struct e1000_driver *nic, uint32_t reg, uint32_t value)
{
    peer_mmio_write(nic->peer, 0, E1000_BAR + reg, 4, value);
}

static void put64(uint8_t *at, uint64_t value)
{
    memcpy(at, &value, sizeof(value));
}

void e1000_driver_start(struct e1000_driver *nic)
{
    uint8_t *rx = peer_ram(nic->peer, E1000_RX, E1000_RING * DESC);

    peer_pci_write(nic->peer, 0, E1000_BDF, 0x10, 4, (uint32_t)E1000_BAR);
    peer_pci_write(nic->peer, 0, E1000_BDF, 0x04, 2, 0x6);
    memset(rx, 0, E1000_RING * DESC);
    for (uint32_t i = 0; i < E1000_RING; i++)
        put64(rx + i * DESC, E1000_RX_BUF + i * E1000_BUF);
    set(nic, CTRL, 0x40); /* link up */
    set(nic, RDBAL, E1000_RX);
    set(nic, RDLEN, E1000_RING * DESC);
    set(nic, RDH, 0);
    set(nic, RDT, E1000_RING - 1);
    set(nic, TDBAL, E1000_TX);
    set(nic, TDLEN, E1000_RING * DESC);
    set(nic, TDH, 0);
    set(nic, TDT, 0);
    set(nic, RCTL, 0x801a); /* enabled, all unicast and multicast, broadcast */
    set(nic, TCTL, 0x0a);   /* enabled, short frames padded */
    nic->sent = nic->got = 0;
}

uint32_t e1000_driver_status(struct e1000_driver *nic)
{
    return (uint32_t)peer_mmio_read(nic->peer, 0, E1000_BAR + STATUS, 4);
}

uint8_t e1000_frame_byte(uint32_t number, uint32_t at)
{
    uint8_t byte = (uint8_t)(number * 31 + at * 7 + (at >> 8));

    return at ? byte : byte & 0xfe;
}

uint32_t e1000_frame_bytes(uint32_t number)
{
    return 60 + number * 97 % 1455;
}

void e1000_driver_send(struct e1000_driver *nic, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++, nic->sent++) {
        uint32_t slot = nic->sent % E1000_RING, bytes = e1000_frame_bytes(nic->sent);
        uint8_t *buf = peer_ram(nic->peer, E1000_TX_BUF + slot * E1000_BUF, E1000_BUF);
        uint8_t *desc = peer_ram(nic->peer, E1000_TX + slot * DESC, DESC);

        for (uint32_t j = 0; j < bytes; j++)
            buf[j] = e1000_frame_byte(nic->sent, j);
        put64(desc, E1000_TX_BUF + slot * E1000_BUF);
        put64(desc + 8, bytes | TX_COMMAND);
    }
    set(nic, TDT, nic->sent % E1000_RING);
}

void e1000_driver_send_raw(struct e1000_driver *nic, uint32_t bytes)
{
    uint8_t *desc = peer_ram(nic->peer, E1000_TX + nic->sent % E1000_RING * DESC, DESC);

    put64(desc, E1000_TX_BUF);
    put64(desc + 8, bytes | TX_COMMAND);
    set(nic, TDT, ++nic->sent % E1000_RING);
}

static bool wait_for_dd(const volatile uint8_t *status)
{
    const struct timespec nap = {.tv_nsec = 1000000};

    for (unsigned i = 0; i < 5000; i++) {
        if (*status & 1)
            return true;
        nanosleep(&nap, NULL);
    }
    return false;
}

bool e1000_driver_all_sent(struct e1000_driver *nic)
{
    uint8_t *desc = peer_ram(nic->peer, E1000_TX + (nic->sent - 1) % E1000_RING * DESC, DESC);

    return wait_for_dd(desc + DESC_STATUS);
}

uint32_t e1000_driver_wait(struct e1000_driver *nic, const uint8_t **ret_frame)
{
    uint32_t slot = nic->got % E1000_RING;
    uint8_t *desc = peer_ram(nic->peer, E1000_RX + slot * DESC, DESC);
    uint16_t length;

    if (!wait_for_dd(desc + DESC_STATUS))
        return 0;
    memcpy(&length, desc + 8, sizeof(length));
    *ret_frame = peer_ram(nic->peer, E1000_RX_BUF + slot * E1000_BUF, E1000_BUF);
    return length;
}

static void give_back(struct e1000_driver *nic)
{
    set(nic, RDT, (nic->got + E1000_RING - 1) % E1000_RING);
}

void e1000_driver_take(struct e1000_driver *nic)
{
    uint32_t slot = nic->got % E1000_RING;

    memset((uint8_t *)peer_ram(nic->peer, E1000_RX + slot * DESC, DESC) + 8, 0, 8);
    nic->got++;
    give_back(nic);
}

uint32_t e1000_driver_take_all(struct e1000_driver *nic)
{
    uint32_t before = nic->got;
    uint8_t *desc;

    while (nic->got - before < E1000_RING - 1) {
        desc = peer_ram(nic->peer, E1000_RX + nic->got % E1000_RING * DESC, DESC);
        if (!(*(volatile uint8_t *)(desc + DESC_STATUS) & 1))
            break;
        memset(desc + 8, 0, 8);
        nic->got++;
    }
    if (nic->got != before)
        give_back(nic);
    return nic->got - before;
}
