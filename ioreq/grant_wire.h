/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a worker process (ioreq/grant_remote.h) and the control side (ioreq/grant_broker.h) say to
 * each other about one guest's grants: a SOCK_SEQPACKET socket, and the *window*, memory that both
 * have mapped and no guest has.
 *
 *   worker                                 broker
 *   COPY: up to 256 segments          ->   has the hypervisor copy between the window and the
 *                                     <-   guest: a status each
 *   MAP: up to GRANT_MAP_MAX refs     ->   has a new gntdev know them
 *                                     <-   0, its descriptor (SCM_RIGHTS), and where to mmap(2); or
 *                                          -errno
 *   UNMAP: a number of pages          ->   counts; there is no answer
 *
 * Which domain's references these are is known to the broker by the socket and is in no message.
 * One message is one struct, cut after the last of its `count` elements; of `count` 0 there is
 * none. Both ends are one program, so there is no version, and no byte order.
 *
 * The worker has one question under way at most. What the broker cannot take for a message of a
 * worker's, or one that comes when there is no room for an answer, ends the socket: all bounds
 * below have been kept by grant_remote.c, so it has come from a worker that was captured.
 *
 * The descriptor is gntdev's, which cannot be restricted to a domain. In a worker process it is
 * good for one mmap(2) of what is registered there and nothing else, since the list of system calls
 * (daemon/sandbox.c) has no ioctl(2) of gntdev's. Outside of that list it is good for every
 * domain's grants. But it does not get there: by the same list descriptors leave a worker by its
 * link to the control side only, not by sockets at whose other end somebody is who is not so
 * confined (a serial port's, a NIC's).
 *
 * Linux lets another process map it than the one that registered the pages since 5.5; before,
 * under a PV dom0, its mmap(2) fails. Whether they are mapped for writing is said with mmap(2) and
 * not here: as long as the guest has granted it, they can be written to by COPY just as well. The
 * grants are given back by munmap(2), where it is what keeps the file, or by the process's end.
 */
#ifndef IOEMUD_IOREQ_GRANT_WIRE_H
#define IOEMUD_IOREQ_GRANT_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "devices/grant.h"

/* Segments in a message: what ioreq/grant_xen.c hands to the kernel at once. */
#define GRANT_WIRE_SEGMENTS 256u

/* Of the window: that many whole pages, which is what PV disks do in a turn (PVBLK_BYTES), so that
 * it is one round trip. That was 10 to 40 us where the hypervisor was made up, four of them took
 * 107 to 324 us for 1 MiB, one 73 to 128. It costs memory as far as it was used, and is filled from
 * its beginning. */
#define GRANT_WIRE_WINDOW (GRANT_WIRE_SEGMENTS * GRANT_PAGE)

/* Not 0, which is what memory has that nobody has written to. */
enum grant_wire_kind {
    GRANT_WIRE_COPY = 1,
    GRANT_WIRE_MAP,
    GRANT_WIRE_UNMAP,
};

/* Between [offset, offset + len) of the granted page and [place, place + len) of the window. */
struct grant_wire_segment {
    uint32_t ref;
    uint32_t place;    /* place + len at most GRANT_WIRE_WINDOW */
    uint16_t offset;   /* offset + len at most GRANT_PAGE */
    uint16_t len;      /* not 0 */
    uint32_t to_guest; /* 0 or 1 */
};

struct grant_wire_request {
    uint32_t kind;
    uint32_t count; /* COPY: segments, at least 1; MAP: references, at least 1; UNMAP: pages */
    union {
        struct grant_wire_segment segment[GRANT_WIRE_SEGMENTS]; /* COPY */
        uint32_t ref[GRANT_MAP_MAX];                            /* MAP */
    };
};

/* To COPY: `count` of them, in the segments' order, 0 or -errno as devices/grant.h has it. */
struct grant_wire_copied {
    int32_t status[GRANT_WIRE_SEGMENTS];
};

/* To MAP. With a descriptor exactly if there is no error. */
struct grant_wire_mapped {
    int32_t error;   /* 0 or -errno; that a page is not granted shows in mmap(2) only: -EINVAL */
    uint32_t unused; /* 0 */
    uint64_t offset; /* for mmap(2) of all `count` pages at once, MAP_SHARED */
};

/* Of a request of that kind, up to the last of `count` elements. */
static inline size_t grant_wire_size(enum grant_wire_kind kind, uint32_t count)
{
    const size_t head = offsetof(struct grant_wire_request, segment);

    switch (kind) {
    case GRANT_WIRE_COPY:
        return head + count * sizeof(struct grant_wire_segment);
    case GRANT_WIRE_MAP:
        return head + count * sizeof(uint32_t);
    case GRANT_WIRE_UNMAP:
        break;
    }
    return head;
}

#endif
