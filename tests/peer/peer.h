/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other side of hv_shm: plays hypervisor and guest CPUs, so that tests, the demo and benchmarks
 * can write a guest as a few lines of C. It follows what Xen does where that can be seen by a
 * device model: routing by claimed ranges, the 0xcf8 latch, string accesses clipped to a page.
 *
 * A vCPU is a number; one thread at a time may use it, different ones at once are fine. Every call
 * gives up after the timeout of the options. A guest cannot see an error: accesses that fail read
 * as all-ones and peer_error() tells.
 *
 * With HV_SHM_FEATURE_BUFFERED_PIO it answers IN and OUT from the buffered PIO page where the rules
 * of ioreq/bufpio_abi.h let it.
 *
 * Depends on ioreq/hv_shm_proto.h, ioreq/abi.h and ioreq/bufpio_abi.h only.
 */
#ifndef IOEMUD_TESTS_PEER_PEER_H
#define IOEMUD_TESTS_PEER_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ioreq/bufpio_abi.h"
#include "ioreq/hv_shm_proto.h"

struct peer;

struct peer_options {
    const char *socket; /* path; NULL: `fd` */
    int fd;             /* a connected socket, taken over */
    const char *name;
    size_t ram_size; /* at guest-physical 0; a multiple of 4096, may be 0 */
    unsigned spares; /* not 0: RAM is a region of frames with so many spares */
    unsigned vcpus;  /* 0: 1 */
    uint32_t features;
    int timeout_ms;   /* 0: 10 s */
    unsigned spin_ns; /* watch a slot this long before sleeping on its doorbell */
    unsigned
        irq_spin_ns; /* the same for what peer_wait() waits for, as a guest with idle=poll does */
};

/* Connects, introduces itself and waits for WELCOME. -ECONNREFUSED and so on, or the daemon's own
 * error with its words in `reason` (may be NULL). */
int peer_connect(const struct peer_options *options, struct peer **ret_peer, char reason[112]);
/* Until the daemon serves requests. */
int peer_wait_enabled(struct peer *peer);
/* Hangs up. */
void peer_close(struct peer *peer);
/* The first thing that went wrong: 0, -ETIMEDOUT, -EPIPE (daemon gone or DISABLE). */
int peer_error(const struct peer *peer);
void peer_error_clear(struct peer *peer);

/* Guest memory. NULL: not inside of one region, or of frames that do not lie side by side. In a
 * region of frames what is returned is the guest's until the next swap. */
void *peer_ram(struct peer *peer, uint64_t gpa, size_t len);
int peer_memory_add(struct peer *peer, uint64_t gpa, size_t size);
int peer_frames_add(struct peer *peer, uint64_t gpa, size_t size, unsigned spares);
int peer_memory_remove(struct peer *peer, uint64_t gpa);
/* Bits of [gpa, gpa + size); stays until stop. */
int peer_dirty_start(struct peer *peer, uint64_t gpa, size_t size, uint64_t **ret_bits);
int peer_dirty_stop(struct peer *peer);
/* The region of frames; NULL: there is none. */
struct hv_shm_frames *peer_frames(struct peer *peer, uint32_t **ret_table);

/* With HV_SHM_FEATURE_GRANTS: lets the daemon's PV backends use a page. The reference, or -ENOSPC.
 */
int peer_grant(struct peer *peer, uint64_t gpa, bool readonly);
/* Takes it back. -EBUSY: it is being used. */
int peer_grant_end(struct peer *peer, uint32_t ref);
struct hv_shm_grant *peer_grant_entry(struct peer *peer, uint32_t ref);

/* Instructions. size 1, 2 or 4. */
uint32_t peer_in(struct peer *peer, unsigned vcpu, uint16_t port, unsigned size);
void peer_out(struct peer *peer, unsigned vcpu, uint16_t port, unsigned size, uint32_t value);
/* peer_in() for who plays many processors in one thread, and does not sleep: begun, and looked
 * after until it has ended. False: not claimed; it has not ended yet. */
bool peer_in_begin(struct peer *peer, unsigned vcpu, uint16_t port, unsigned size);
bool peer_in_ended(struct peer *peer, unsigned vcpu, uint64_t *ret_value);
/* The daemon's part, for who measures what it costs, while the daemon sleeps. From standing in to
 * standing down nobody is rung for, so that it sleeps on, and requests are answered by whoever
 * calls peer_answer(): with `value`, if there is one. False: the daemon is looking at the pages. */
bool peer_stand_in(struct peer *peer);
void peer_answer(struct peer *peer, unsigned vcpu, uint64_t value);
/* Nothing may be under way. */
void peer_stand_down(struct peer *peer);
/* rep ins, rep outs: `gpa` is where the first element is; df: downwards. */
void peer_rep_in(struct peer *peer, unsigned vcpu, uint16_t port, unsigned size, uint64_t gpa,
                 size_t count, bool df);
void peer_rep_out(struct peer *peer, unsigned vcpu, uint16_t port, unsigned size, uint64_t gpa,
                  size_t count, bool df);
/* size 1, 2, 4 or 8 */
uint64_t peer_mmio_read(struct peer *peer, unsigned vcpu, uint64_t gpa, unsigned size);
void peer_mmio_write(struct peer *peer, unsigned vcpu, uint64_t gpa, unsigned size, uint64_t value);
/* By way of 0xcf8 and 0xcfc. bdf: bus << 8 | slot << 3 | function. */
uint32_t peer_pci_read(struct peer *peer, unsigned vcpu, uint16_t bdf, unsigned reg, unsigned size);
void peer_pci_write(struct peer *peer, unsigned vcpu, uint16_t bdf, unsigned reg, unsigned size,
                    uint32_t value);
/* Does not wait for the daemon. False: the ring is full. type: IOREQ_PIO or IOREQ_COPY. */
bool peer_buffered_write(struct peer *peer, uint8_t type, uint32_t addr, unsigned size,
                         uint64_t value);
void peer_invalidate(struct peer *peer, unsigned vcpu);

/* What the buffered PIO page answered, and what was a request although its port has an entry. */
void peer_bufpio_counters(const struct peer *peer, uint64_t *ret_answered, uint64_t *ret_declined);
/* Whether the daemon agreed to HV_SHM_FEATURE_x. */
bool peer_has_feature(const struct peer *peer, uint32_t feature);

/* Is this claimed? kind: HV_SHM_RANGE_x. */
bool peer_claimed(struct peer *peer, uint32_t kind, uint64_t first, uint64_t last);

/* Interrupts. */
bool peer_isa_level(struct peer *peer, unsigned irq);
uint32_t peer_isa_rises(struct peer *peer, unsigned irq);
bool peer_intx_level(struct peer *peer, unsigned slot, unsigned pin);
unsigned peer_link_route(struct peer *peer, unsigned link);
bool peer_msi_take(struct peer *peer, struct hv_shm_msi *ret_msi);
uint32_t peer_shutdown(struct peer *peer); /* 0 or HV_SHM_SHUTDOWN_x */
/* Waits until `done` says so; it is asked after each change of the status page. 0, -ETIMEDOUT,
 * -EPIPE. */
int peer_wait(struct peer *peer, bool (*done)(struct peer *peer, void *arg), void *arg);
/* Until the line has risen since peer_isa_rises() gave `before`. */
int peer_wait_isa(struct peer *peer, unsigned irq, uint32_t before);
/* Until the level is so. */
int peer_wait_isa_level(struct peer *peer, unsigned irq, bool level);

/* For tests that lie. */
int peer_socket(const struct peer *peer);
struct ioreq_slot *peer_slot(struct peer *peer, unsigned vcpu);
struct buf_ioreq_page *peer_buffered_page(struct peer *peer);
struct bufpio_page *peer_bufpio_page(struct peer *peer);
struct hv_shm_control *peer_control(struct peer *peer);
struct hv_shm_status *peer_status(struct peer *peer);
int peer_kick_fd(const struct peer *peer);
void peer_kick(struct peer *peer, unsigned vcpu);
/* Issues what the caller put into the slot but for its state; waits; returns slot->data. */
uint64_t peer_issue(struct peer *peer, unsigned vcpu);
/* A sealed memfd. -errno */
int peer_memfd(const char *name, size_t size, bool sealed);
/* One message with descriptors, from here on as the caller made it. 0 or -errno */
int peer_send_raw(int sock, const void *message, size_t length, const int *fds, unsigned fd_count);

/* For who looks for leaks: how often memfds are mapped in this process, the daemon's side included
 * where it is in it too. */
unsigned peer_mappings(void);

#endif
