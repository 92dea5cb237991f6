/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hv_shm with a small machine behind it, in a thread of the test: what the daemon does with its
 * control side and a worker, in one loop.
 *
 * Ports 0x300-0x307 hold what was written, port 0x310 gives 0, 1, 2, ... byte by byte and keeps the
 * last 64 KiB written to it; MMIO 0xf0000000-0xf0000fff is memory; PCI 00:05.0 is claimed and
 * absent.
 */
#ifndef IOEMUD_TESTS_UNIT_SHM_SERVER_H
#define IOEMUD_TESTS_UNIT_SHM_SERVER_H

#include "ioreq/dispatch.h"
#include "ioreq/hv.h"
#include "tests/peer/peer.h"

#define SHM_SERVER_GUESTS 8

struct shm_server;

struct shm_server_guest {
    struct shm_server *server;
    struct hv_guest *guest; /* NULL: free */
    struct bus *bus;
    unsigned claimed; /* ranges: a peer that hangs up meanwhile ends its start in the middle */
    struct dispatch dispatch;
    uint8_t regs[8];
    uint8_t mmio[4096];
    uint8_t next_byte;
    uint8_t written[65536];
    size_t written_len;
    unsigned illegal;
};

struct shm_server {
    char path[64];
    struct hv_host *host;
    struct hv_worker *worker;
    struct shm_server_guest guests[SHM_SERVER_GUESTS];
    /* Knobs, set before the peer connects. */
    int refuse;  /* `peer` answers this if not 0 */
    bool ignore; /* `peer` says 0 and takes nobody: it is in `peer` */
    void *peer;
    bool control; /* only the control side is served */
    bool buffered_pio;
    /* Seen. */
    unsigned offered, gone, log_lines;
    char last_log[256];
    void *impl;
};

struct shm_server *shm_server_start(void);
void shm_server_stop(struct shm_server *server);
/* Runs fn(server, arg) in the server's thread and waits for it. */
void shm_server_run(struct shm_server *server, void (*fn)(struct shm_server *server, void *arg),
                    void *arg);
/* Waits, at most `ms`, until *value (an unsigned of the server) is at least `least`. */
bool shm_server_wait(struct shm_server *server, const unsigned *value, unsigned least, int ms);
unsigned shm_server_guest_count(struct shm_server *server);

/* A peer with 1 MiB of RAM that is enabled; fails the test otherwise. */
struct peer *shm_server_peer(struct shm_server *server, const char *name, unsigned vcpus);
/* A connected socket that has said nothing yet. */
int shm_server_socket(struct shm_server *server);

#endif
