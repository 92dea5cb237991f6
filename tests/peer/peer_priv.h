/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside of the peer library. */
#ifndef IOEMUD_TESTS_PEER_PEER_PRIV_H
#define IOEMUD_TESTS_PEER_PEER_PRIV_H

#include <pthread.h>
#include <time.h>

#include "tests/peer/hv_bufpio.h"
#include "tests/peer/peer.h"

#define PEER_REGIONS  8
#define PEER_RANGES   1024
#define PEER_SLEEPERS 16

struct peer_pages {
    struct ioreq_slot slots[IOREQ_SLOTS];
    struct buf_ioreq_page buffered;
    struct bufpio_page bufpio;
    struct hv_shm_control control;
    struct hv_shm_status status;
    struct hv_shm_grant grants[HV_SHM_GRANTS];
};

struct peer_region {
    uint64_t gpa;
    size_t size; /* the guest's */
    uint8_t *base;
    size_t map_size;
    struct hv_shm_frames *shared; /* at base; NULL, as the others: an ordinary region */
    uint32_t *table;
    uint8_t *frames;
};

struct peer_range {
    uint32_t kind;
    uint64_t first, last;
};

struct peer {
    int sock, kick_fd, irq_fd;
    int answer_fd[HV_SHM_VCPUS_MAX];
    unsigned vcpus, spin_ns, irq_spin_ns;
    int timeout_ms;
    struct peer_pages *pages;
    struct peer_region region[PEER_REGIONS];
    int error;
    uint32_t features; /* agreed */

    struct hv_bufpio bufpio;

    pthread_mutex_t lock; /* of what follows */
    struct peer_range range[PEER_RANGES];
    unsigned range_count;
    uint32_t ranges_seen; /* messages, to be compared with status.ranges */
    bool enabled, gone;
    uint32_t next_id;
    uint32_t next_ref; /* where a free grant is looked for */
    uint32_t answer_id;
    int answer_error;
    uint64_t *dirty;
    size_t dirty_bytes;

    pthread_mutex_t pci_lock; /* one configuration access at a time */
    uint32_t cf8;

    pthread_mutex_t sleeper_lock;
    int sleeper[PEER_SLEEPERS]; /* epoll descriptors of nobody's at present, each over irq_fd */
    unsigned sleepers;
};

/* Reads what the daemon has told so far. */
void peer_sync(struct peer *peer);
/* Sends a message that is answered. One at a time. */
int peer_transact(struct peer *peer, void *message, uint16_t type, size_t length, int fd);
/* With spares: a region of frames. NULL: no memory. *ret_fd is the caller's. */
struct peer_region *peer_region_new(struct peer *peer, uint64_t gpa, size_t size, unsigned spares,
                                    int *ret_fd);
void peer_region_free(struct peer_region *r);
void peer_fail(struct peer *peer, int error);
uint64_t peer_deadline(const struct peer *peer);
uint64_t peer_now_ns(void);
/* ms to the deadline, at least 0 */
int peer_remaining(uint64_t deadline);

#endif
