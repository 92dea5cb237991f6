/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of a guest's description can change while it runs. */
#ifndef IOEMUD_DAEMON_GUEST_LIVE_H
#define IOEMUD_DAEMON_GUEST_LIVE_H

#include "daemon/guest.h"

/* Only what is marked as set is changed. */
struct guest_live {
    bool set_budget;
    uint32_t budget;
    unsigned policies; /* drives, a bit each */
    enum blk_policy on_read_error[MACHINE_IDE_DRIVES], on_write_error[MACHINE_IDE_DRIVES];
    unsigned limits, links; /* NICs by devid, a bit each */
    struct net_limits limit[MACHINE_NICS];
    unsigned up; /* of `links`, those that are plugged in */
};

/* The guest is RUNNING; `done(ctx)` follows when its worker has changed it all, and before the
 * guest is freed. -ENOMEM: it does not. */
int guest_change_live(struct guest *guest, const struct guest_live *live, void (*done)(void *ctx),
                      void *ctx);

#endif
