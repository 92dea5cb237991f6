/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The privileged half of a worker process's grants: in the control side's process, which has
 * gntdev, it copies and maps for guests whose worker must not have it, since gntdev cannot be
 * restricted to a domain (ioreq/grant_xen.h). The other half: ioreq/grant_remote.h, what they say
 * to each other: ioreq/grant_wire.h.
 *
 *   grant_broker_open()   with a worker process's first PV disk: opens gntdev, starts the thread
 *   grant_broker_add()    for each guest of that process that has PV disks; the two descriptors are
 *                         sent there, and closed here
 *     the thread          serves them all, until the other end of a guest's socket is closed
 *   grant_broker_cut()    the guest is gone, whatever its worker thinks of that
 *   grant_broker_close()  when the process has ended, or is to have no guest's grants any more
 *
 * What a worker process can do with such a socket, also one that has been taken over: copy from
 * and to what that one domain has granted to this one, and map it. What bounds it there:
 *
 *  - pages that are mapped, by what it says it has unmapped: GRANT_XEN_MAPPED_MAX of a domain,
 *    whichever of its sockets they were asked for by
 *  - and since that may be a lie, pages that are mapped in the course of time: GRANT_BROKER_BURST
 *    at once, GRANT_BROKER_REFILL a second on. Each may cost dom0 a page of memory until the
 *    worker's process ends (Linux: gnttab_alloc_pages() in drivers/xen/gntdev.c)
 *  - memory of this process: GRANT_WIRE_WINDOW a socket; descriptors: one; time: a message is one
 *    call of gntdev, sockets have their turns one message each. They are as many as the caller has
 *    made: one a guest, or one more with each of its disks that was opened before it was known that
 *    the first had arrived
 *  - a message that no worker of ours would send is the end of that socket. That is not logged: the
 *    guest's disks fail
 *
 * Threads: all functions are the control side's, one thread of it. None blocks but
 * grant_broker_close(), and that no longer than for one message.
 */
#ifndef IOEMUD_IOREQ_GRANT_BROKER_H
#define IOEMUD_IOREQ_GRANT_BROKER_H

#include <stdint.h>

struct grant_broker;
struct grant_xen;

/* Pages of a guest's that may be mapped at once before time counts: four times what may be mapped
 * at all, so 64 connections of a disk with the largest rings of Linux's blkfront (4 queues of 16
 * pages), or 1024 of one with its usual ones (a page each). A guest that is rebooted is another
 * domain and has them anew. */
#define GRANT_BROKER_BURST 4096u
/* ... and a second: that disk with its usual rings. */
#define GRANT_BROKER_REFILL 4u

/* -errno of open(2), usually -ENOENT where there is no Xen; of pthread_create(3), epoll_create1(2),
 * eventfd(2); -ENOMEM. */
int grant_broker_open(struct grant_broker **ret_broker);

/*
 * A guest more, whose domain is `domid`. *ret_sock and *ret_window_fd are the worker's: for
 * grant_remote_open() there, after being sent to it; the caller closes his own. When they are all
 * closed they are forgotten; what bounds the domain's maps is not, until it is cut off.
 *
 * Whoever has them has that domain's grants, hence nobody else gets them. They may be made for it
 * more than once; it may map no more for that. -errno of socketpair(2), memfd_create(2), mmap(2),
 * epoll_ctl(2); -ENOMEM.
 */
int grant_broker_add(struct grant_broker *broker, uint32_t domid, int *ret_sock,
                     int *ret_window_fd);

/* The domain is gone, or is not to be served any more: its worker finds its socket lost. What it
 * has mapped stays mapped. Numbers of domains are used again, so this is not left to the worker.
 * One message of it may still be under way. None such: fine. */
void grant_broker_cut(struct grant_broker *broker, uint32_t domid);

/* Cuts all of them off, and waits for the thread's end. NULL is fine. */
void grant_broker_close(struct grant_broker *broker);

/* What it asks of the kernel beside grant_xen; for tests. */
struct grant_broker_calls {
    /* A new descriptor of gntdev in which these are registered, and where. 0 or -errno. */
    int (*map)(void *ctx, uint32_t domid, const uint32_t *refs, uint32_t count, int *ret_fd,
               uint64_t *ret_offset);
    uint64_t (*now_ns)(void *ctx);
};
/* `xen` becomes the broker's, and its thread's, whatever comes of it. */
int grant_broker_open_with(struct grant_xen *xen, const struct grant_broker_calls *calls, void *ctx,
                           struct grant_broker **ret_broker);

#endif
