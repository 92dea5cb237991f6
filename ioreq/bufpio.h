/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device model's side of the buffered PIO page (ioreq/bufpio_abi.h): publishes the PIO windows
 * of a guest's devices (bus_io_ops.window) and tells the devices how far the guest got.
 *
 *   device          bufpio_arm()             page           hypervisor        vCPU
 *   window  ------------------------------>  entry  <------------------>  IN, OUT
 *   block access  <------ bufpio_take_out()  exchanged for 0
 *
 * Devices know nothing of it. For them a window that was taken out is one block access of as many
 * bytes as the guest moved, before whatever made it be taken out.
 *
 * Which windows are published: those of ports that the guest uses by single accesses. A string
 * instruction moves a whole block in one request anyway, and copying the block to the page first
 * would only make it slower: after one, the port is left alone until the next single access of 2
 * or 4 bytes. So a guest that uses strings only pays nothing.
 *
 * Nothing that is read back from the page is believed: a position counts if it is one to which
 * accesses of 2 and 4 bytes can have moved what was published, else as none.
 *
 * One thread, the guest's worker. Nothing blocks or allocates.
 */
#ifndef IOEMUD_IOREQ_BUFPIO_H
#define IOEMUD_IOREQ_BUFPIO_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/bus.h"
#include "ioreq/bufpio_abi.h"

struct bufpio_counters {
    uint64_t answered;  /* accesses that the hypervisor answered */
    uint64_t bytes;     /* moved by them */
    uint64_t refills;   /* windows published */
    uint64_t take_outs; /* and taken out again */
    uint64_t rejected;  /* fields of the page that no hypervisor would write */
    uint64_t inside;    /* windows not published because a vCPU was inside of the entry */
};

struct bufpio_window {
    uint16_t port;   /* 0: none */
    uint16_t offset; /* of the buffer in the page */
    uint16_t room;   /* its size */
    uint16_t length; /* armed: bytes published */
    bool single;     /* the port's last data access was no string */
    bool armed, write;
    uint32_t activity;  /* as last seen with nobody inside */
    uint32_t uncounted; /* bytes moved since */
};

/* All members are bufpio.c's but `counters`, which are for reading. */
struct bufpio {
    struct bus *bus;
    struct bufpio_entry *entry; /* the page; NULL: there is none, nothing is done */
    uint32_t entries;
    bool stale;            /* the bus's data ports are to be looked up */
    uint32_t port_changes; /* of the bus, when they were */
    unsigned singles;      /* how many windows have `single` */
    unsigned armed;
    struct bufpio_window window[BUFPIO_ENTRIES_MAX];
    struct bufpio_counters counters;
};

/* `page`: hv_ops.bufpio; NULL: inert. `further`: how many data ports the devices may have beside
 * those of entries 0 and 1; beyond BUFPIO_ENTRIES_MAX some do without. Before the server is
 * enabled. */
void bufpio_init(struct bufpio *bufpio, void *page, struct bus *bus, unsigned further);
/* Disarms; what moved reaches the devices. The page is not touched afterwards. */
void bufpio_finish(struct bufpio *bufpio);

/* Before any access to the guest's devices, by whomever. */
void bufpio_take_out(struct bufpio *bufpio);
/* A request for a port is served. */
void bufpio_access(struct bufpio *bufpio, uint64_t port, uint32_t size, bool string);
/* After it, before it is answered: so that the next access finds the page. */
void bufpio_arm(struct bufpio *bufpio);

#endif
