/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tester's parts: its servers (server.c) and what it does with the page (page.c). */
#ifndef IOEMU_TESTS_XEN_BUFPIO_SERVER_H
#define IOEMU_TESTS_XEN_BUFPIO_SERVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>

#include <xen/hvm/ioreq.h>
#include <xen/memory.h>

#include "ioreq/bufpio_abi.h"

#define TESTER_VCPUS 2

struct server {
    ioservid_t id;
    xenforeignmemory_resource_handle *resource;
    shared_iopage_t *slots; /* NULL: there is no server */
    evtchn_port_t port[TESTER_VCPUS];
    bool bound;
};

/* What is armed of a stream, and what came of it; pio.h. */
struct stream {
    uint32_t kind, entry, port;
    bool armed;
    uint32_t page_offset, first, data_end; /* of this arming; `first` pointer */
    uint32_t next;                         /* reads: number of the next unit */
    uint32_t expected[TESTER_VCPUS];       /* writes: of each vCPU */
    uint32_t in_page, by_request, disarmed, wrong;
};

struct tester {
    xendevicemodel_handle *dm;
    xenforeignmemory_handle *memory;
    xenevtchn_handle *events;
    domid_t domid;
    unsigned vcpus;
    uint32_t mode;
    struct server first, second;
    uint8_t *page;
    xenforeignmemory_resource_handle *page_resource;
    struct pio_command *command; /* the guest's */
    struct stream stream;
    uint64_t random;
    uint32_t reads, writes, strings, last, second_requests;
    uint32_t blink_ms;
    bool leave;
    /* Another thread's while garbage is not 0. */
    pthread_t thread;
    uint32_t garbage;
};

void die(const char *what) __attribute__((noreturn));

/* server.c. They die when something fails. */
void server_create(struct tester *t, struct server *server);
void server_claim(struct tester *t, struct server *server, uint16_t first, uint16_t count);
void server_enable(struct tester *t, struct server *server, bool enabled);
void server_destroy(struct tester *t, struct server *server);
/* NULL, with errno. */
uint8_t *map_page(struct tester *t, ioservid_t id, uint32_t frame, unsigned frames,
                  xenforeignmemory_resource_handle **ret_resource);
void map_command(struct tester *t, uint32_t address);

/* page.c */
void command(struct tester *t);
/* Requests at the stream's port: the value of a read; one written. */
uint32_t stream_read(struct tester *t, uint32_t size);
void stream_write(struct tester *t, uint32_t size, uint32_t value);
/* Now and then: disarms what is armed, arms what is not. */
void stream_turn(struct tester *t);
void garbage_end(struct tester *t);

#endif
