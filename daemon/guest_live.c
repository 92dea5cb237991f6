/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/guest_live.h"

#include <errno.h>
#include <stdlib.h>

/* Goes to the guest's worker and comes back; what ends the guest goes the same way, behind. */
struct change {
    struct mail mail; /* first: the change is found by it */
    struct guest *guest;
    struct guest_live live;
    void (*done)(void *ctx);
    void *ctx;
};

static void run_changed(struct mail *mail)
{
    struct change *change = (struct change *)mail;

    change->done(change->ctx);
    free(change);
}

static void run_change(struct mail *mail) /* worker */
{
    struct change *change = (struct change *)mail;
    const struct guest_live *live = &change->live;
    struct vm *vm = change->guest->vm;

    if (live->set_budget)
        vm->dispatch.budget = live->budget;
    for (unsigned i = 0; i < MACHINE_IDE_DRIVES; i++)
        if (live->policies & 1u << i)
            vm_set_policies(vm, i, live->on_read_error[i], live->on_write_error[i]);
    for (unsigned i = 0; i < MACHINE_NICS; i++) {
        if (live->limits & 1u << i)
            vm_nic_limits(vm, i, &live->limit[i]);
        if (live->links & 1u << i)
            vm_nic_link(vm, i, live->up & 1u << i);
    }
    change->mail.run = run_changed;
    mailbox_post(&change->guest->daemon->mailbox, &change->mail);
}

int guest_change_live(struct guest *guest, const struct guest_live *live, void (*done)(void *ctx),
                      void *ctx)
{
    struct change *change = calloc(1, sizeof(*change));

    if (!change)
        return -ENOMEM;
    *change = (struct change){
        .mail.run = run_change,
        .guest = guest,
        .live = *live,
        .done = done,
        .ctx = ctx,
    };
    mailbox_post(&guest->worker->mailbox, &change->mail);
    return 0;
}
