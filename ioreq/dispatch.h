/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the shared pages to the bus: takes a guest's requests, carries each out on its bus and
 * answers.
 *
 *            event channel          dispatch_turn()
 *   guest ------------------> worker ------> buffered ring, then READY slots ------> devices/bus
 *
 * A request is copied out of its slot once and validated; the slot is not looked at again until the
 * answer. What no hypervisor would send is answered as harmlessly as the ABI allows (reads give
 * all-ones, nothing is written) and counted; `illegal` is told, which logs under a rate limit.
 * PIO windows (ioreq/bufpio.h) are taken out before a request is carried out, and published again
 * before it is answered, so that the guest's next access finds them.
 *
 * A string whose memory the host cannot reach (hv_ops.pin) is not answered: its vCPU waits, and a
 * later turn tries again, until there is memory.
 *
 * Nothing here blocks, allocates or formats. One thread: the guest's worker; its counters may be
 * read by others (devices/count.h).
 */
#ifndef IOEMUD_IOREQ_DISPATCH_H
#define IOEMUD_IOREQ_DISPATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/bus.h"
#include "devices/histogram.h"
#include "ioreq/bufpio.h"
#include "ioreq/hv.h"

/* Most elements of one string request that are carried out: Xen's own limit (hvm/emulate.c 4.17).
 */
#define DISPATCH_MAX_COUNT 4096u

struct dispatch_counters {
    uint64_t pio_read, pio_write, mmio_read, mmio_write, pci_read, pci_write; /* requests */
    uint64_t string;            /* of these, those with data_is_ptr */
    uint64_t string_bytes;      /* moved by them */
    uint64_t buffered;          /* writes taken from the buffered ring */
    uint64_t invalidate, other; /* INVALIDATE; TIMEOFFSET */
    uint64_t illegal;           /* states, fields, ring pointers that no hypervisor would send */
    uint64_t turns;             /* dispatch_turn() calls that served something */
    uint64_t spurious;          /* and those that found nothing */
};

enum dispatch_kind {
    DISPATCH_PIO_READ,
    DISPATCH_PIO_WRITE,
    DISPATCH_MMIO_READ,
    DISPATCH_MMIO_WRITE,
    DISPATCH_PCI_READ,
    DISPATCH_PCI_WRITE,
    DISPATCH_KINDS,
};

/* Sizes of an access: 1, 2, 4 and 8 bytes. */
#define DISPATCH_SIZES 4u

/* What came through one vCPU's slot: all but the buffered ring. */
struct dispatch_vcpu {
    uint64_t requests[DISPATCH_KINDS][DISPATCH_SIZES]; /* a string is one, by its elements' size */
    uint64_t bytes;                                    /* of all their elements */
    struct histogram round_trip;                       /* of those that were timed */
};

/* A request that has been answered, for who watches: as it came, and what became of it. */
struct dispatch_request {
    uint64_t addr; /* port, guest-physical address; PCI: SBDF << 32 | register */
    uint64_t data; /* answered or written; of a string the guest-physical address of its data */
    uint32_t count, size;
    uint32_t vcpu; /* UINT32_MAX: it came through the buffered ring */
    uint8_t type;  /* IOREQ_PIO and so on */
    bool read, string;
    const char *illegal; /* what no hypervisor would send; NULL: nothing */
};

struct dispatch {
    /* Set by the owner before the first turn. */
    const struct hv_ops *hv;
    struct hv_guest *guest;
    struct bus *bus;
    struct bufpio *bufpio; /* NULL: none */
    uint32_t vcpus;
    /* What one turn may cost at most, roughly: a request counts 1, a string one more for each
     * DISPATCH_STRING_COST elements, and what the hypervisor had to map meanwhile
     * DISPATCH_MAP_COST each time. 0: no bound. */
    uint32_t budget;
    void (*illegal)(void *ctx, uint32_t vcpu,
                    const char *what); /* vcpu UINT32_MAX: buffered ring */
    void *ctx;
    struct dispatch_vcpu *vcpu;   /* `vcpus` of them, zeroed, the owner's; NULL: not counted */
    struct histogram *round_trip; /* where all that is timed is counted, too; NULL: nowhere */
    uint64_t (*now_ns)(void *ctx);
    /* Set by the owner before a turn: whether its requests are timed, each until it is answered,
     * from `since_ns` on, or if that is 0 from when they are seen. The clock is read for no other
     * turn. */
    bool timed;
    uint64_t since_ns;
    /* Told of each request before its guest sees the answer; NULL: nobody watches. */
    void (*traced)(void *ctx, const struct dispatch_request *request);
    void *trace_ctx;
    struct dispatch_counters counters;
    /* dispatch.c's: */
    bool more;       /* for the owner to read: the turn ended with the budget, not with the work */
    bool starved;    /* likewise: strings wait for memory, so call again, with NULL, in a while */
    bool unserved;   /* the request in hand */
    uint64_t maps;   /* the hypervisor's count of them when the turn began */
    uint32_t spent;  /* of the budget */
    uint32_t resume; /* the vCPU with which the next turn begins */
};

/* Elements of a string that cost as much as a request. */
#define DISPATCH_STRING_COST 64u
/* Requests that cost as much as mapping a piece of guest memory: three system calls, one with 64
 * pages. */
#define DISPATCH_MAP_COST 8u

/*
 * One turn: what is in the buffered ring now (it is older than any slot's request), then each READY
 * slot of `slots` once. A bit per vCPU; NULL: look at all. Bounded by 511 ring entries and one
 * request a vCPU, and by the budget: when that is spent, `more` is set and the owner calls again
 * with NULL, after the others. Returns how many requests were served.
 */
unsigned dispatch_turn(struct dispatch *dispatch, const uint64_t *slots);

#endif
