/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Surroundings for a device under test: RAM, interrupt lines that are written down, a clock that
 * stands still until it is moved, timers, power events and the last log lines.
 *
 *     struct fake_host fake;
 *     fake_host_init(&fake, 1 << 20);
 *     ... devices on &fake.host, fake_host_advance(&fake, ns), asserts on fake.isa[14] ...
 *     fake_host_finish(&fake);
 */
#ifndef IOEMUD_TESTS_FAKE_HOST_H
#define IOEMUD_TESTS_FAKE_HOST_H

#include "devices/host.h"

#define FAKE_HOST_TIMERS 32
#define FAKE_HOST_LOGS   16
#define FAKE_HOST_MSIS   16

struct fake_host {
    struct host host; /* hand out &fake.host */

    uint8_t *ram; /* guest-physical 0 to ram_size; beyond it there is no RAM */
    size_t ram_size;
    uint64_t dma_holes;               /* bytes that missed RAM */
    uint64_t dma_rests;               /* till then, ns */
    uint64_t broken_from, broken_len; /* RAM that cannot be reached */

    bool isa[16];           /* levels */
    unsigned isa_rises[16]; /* how often each went from low to high */
    bool intx[32][4];
    unsigned intx_rises[32][4];
    unsigned link[4]; /* what pci_link_route said last */
    struct {
        uint64_t address;
        uint32_t data;
    } msi[FAKE_HOST_MSIS]; /* the first ones */
    unsigned msis;

    uint64_t now;                                /* ns; starts at one second */
    struct host_timer *timers[FAKE_HOST_TIMERS]; /* armed */
    unsigned timers_armed;

    unsigned power_offs, power_resets;
    unsigned disks_left; /* a bit each */
    unsigned leavings;   /* how often one did */

    char log[FAKE_HOST_LOGS][160]; /* "device: message", a ring */
    unsigned logs;                 /* ever logged; the last is log[(logs - 1) % FAKE_HOST_LOGS] */
};

/* RAM is zeroed. Fails the test when out of memory. */
void fake_host_init(struct fake_host *fake, size_t ram_size);
/* Fails the test if a timer is still armed: its device is gone by now. */
void fake_host_finish(struct fake_host *fake);

/* Moves the clock, running each timer that comes due at its own time, in order. */
void fake_host_advance(struct fake_host *fake, uint64_t ns);

/* The last log line, or "". */
const char *fake_host_last_log(const struct fake_host *fake);

#endif
