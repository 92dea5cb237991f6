/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A broker over a hypervisor and a gntdev that are made up: two domains with memory of which some
 * pages are granted. Aborts when something of the test's own is missing.
 *
 * What the fakes count belongs to the broker's thread; it is the test's to read when an answer has
 * come, or the broker is closed.
 */
#ifndef IOEMUD_TESTS_UNIT_BROKER_RIG_H
#define IOEMUD_TESTS_UNIT_BROKER_RIG_H

#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "devices/grant.h"
#include "ioreq/grant_broker.h"
#include "ioreq/grant_broker_priv.h"

/* Reference n of either domain is page n of its memory, also those that are not granted. */
#define BROKER_RIG_DOMID   42u /* and the next one */
#define BROKER_RIG_DOMAINS 2u
#define BROKER_RIG_PAGES   1024u
#define BROKER_RIG_RO      1000u /* from here on granted for reading only */
#define BROKER_RIG_NONE    1010u /* from here on not granted */

struct broker_rig {
    struct grant_broker *broker;
    uint8_t *memory[BROKER_RIG_DOMAINS];
    int memory_fd[BROKER_RIG_DOMAINS];
    uint64_t now_ns;

    unsigned copy_calls, segments;
    unsigned astride; /* segments across two pages of the window */
    unsigned strange; /* segments and maps that no broker may ask for */
    int copy_errno;   /* of the next calls */
    unsigned map_calls;
    uint32_t map_pages;
    int map_error;       /* of the next maps, -errno */
    bool map_refused;    /* the next descriptors cannot be mapped */
    bool library_closed; /* libxengnttab */
    bool held;
    sem_t in, out;
};

void broker_rig_start(struct broker_rig *rig);
/* The broker may have been closed, and be NULL. */
void broker_rig_stop(struct broker_rig *rig);

/* What a broker needs of the kernel; ctx: the rig. And its grant_xen, of which nothing can be
 * mapped. */
extern const struct grant_broker_calls broker_rig_calls;
struct grant_xen *broker_rig_xen(struct broker_rig *rig);

/* The worker's end of domain BROKER_RIG_DOMID + i: its own half, */
const struct grants *broker_rig_remote(struct broker_rig *rig, unsigned i);
/* or a socket, and the window mapped, until munmap(). */
int broker_rig_raw(struct broker_rig *rig, unsigned i, uint8_t **ret_window);

/* The next copy takes until broker_rig_let_go(), */
void broker_rig_hold(struct broker_rig *rig);
/* and has begun when this returns. */
void broker_rig_wait_held(struct broker_rig *rig);
void broker_rig_let_go(struct broker_rig *rig);

/* Descriptors that this process has. */
unsigned broker_rig_fds(void);

#endif
