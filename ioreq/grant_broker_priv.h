/* SPDX-License-Identifier: GPL-2.0-or-later */
/* grant_broker_guest.c: what is done for one guest, without a socket and a thread. */
#ifndef IOEMUD_IOREQ_GRANT_BROKER_PRIV_H
#define IOEMUD_IOREQ_GRANT_BROKER_PRIV_H

#include <stdbool.h>

#include "ioreq/grant_broker.h"
#include "ioreq/grant_wire.h"
#include "ioreq/grant_xen.h"

/* What bounds a domain's maps, by however many sockets they are asked for. */
struct grant_broker_bounds {
    uint32_t mapped;    /* pages, as its worker says */
    uint32_t may_map;   /* pages, as time has it */
    uint64_t filled_ns; /* up to when that was reckoned */
};

/* One socket of a domain's. */
struct grant_broker_guest {
    const struct grant_broker_calls *calls;
    void *ctx;
    const struct grants *grants; /* of grant_xen: the domain's */
    uint32_t domid;
    uint8_t *window;
    struct grant_broker_bounds *bounds;
    uint32_t mapped; /* of its pages, those that were asked for here */
};

struct grant_broker_reply {
    union {
        struct grant_wire_copied copied;
        struct grant_wire_mapped mapped;
    };
    size_t length; /* 0: there is none */
    int fd;        /* -1: none; to be closed by the caller */
};

void grant_broker_bounds_init(struct grant_broker_bounds *bounds,
                              const struct grant_broker_calls *calls, void *ctx);
/* `bounds` stay the caller's, for longer than the guest. *ret_window_fd is the caller's. -errno,
 * -ENOMEM. */
int grant_broker_guest_open(struct grant_broker_guest *guest, struct grant_xen *xen, uint32_t domid,
                            struct grant_broker_bounds *bounds,
                            const struct grant_broker_calls *calls, void *ctx, int *ret_window_fd);
void grant_broker_guest_close(struct grant_broker_guest *guest);

/* Does what a message asks for that is `length` bytes long, which may be more than are there.
 * Nobody else can change `request`. False: no worker of ours sent this; nothing was done. */
bool grant_broker_answer(struct grant_broker_guest *guest, const struct grant_wire_request *request,
                         size_t length, struct grant_broker_reply *ret_reply);

#endif
