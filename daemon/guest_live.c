/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/guest_live.h"

#include <errno.h>
#include <stdlib.h>

struct change {
    struct guest_call call; /* first: the change is found by it */
    void (*done)(void *ctx);
    void *ctx;
};

static void changed(struct guest_call *call)
{
    struct change *change = (struct change *)call;

    change->done(change->ctx);
    free(change);
}

int guest_change_live(struct guest *guest, const struct vm_live *live, void (*done)(void *ctx),
                      void *ctx)
{
    struct change *change = calloc(1, sizeof(*change));

    if (!change)
        return -ENOMEM;
    change->call.request.op = VM_LIVE;
    change->call.request.live = *live;
    change->call.done = changed;
    change->done = done;
    change->ctx = ctx;
    guest_call(guest, &change->call);
    return 0;
}

void guest_tune_workers(struct daemon *daemon)
{
    for (struct guest *guest = daemon->guests; guest; guest = guest->next) {
        struct guest_call *call;

        if (guest->state != GUEST_RUNNING || !guest->worker->is_process)
            continue;
        call = calloc(1, sizeof(*call));
        if (!call)
            return;
        call->request = (struct vm_request){
            .op = VM_TUNE,
            .tune = {.log_level = log_level(&guest->log), .poll_us = daemon->config.poll_us},
        };
        guest_call(guest, call);
    }
}
