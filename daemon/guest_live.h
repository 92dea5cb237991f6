/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of a guest's description can change while it runs: struct vm_live. */
#ifndef IOEMUD_DAEMON_GUEST_LIVE_H
#define IOEMUD_DAEMON_GUEST_LIVE_H

#include "daemon/guest.h"
#include "daemon/vm_request.h"

/* The guest is RUNNING; `done(ctx)` follows when its worker has changed it all, and before the
 * guest is freed. -ENOMEM: it does not. */
int guest_change_live(struct guest *guest, const struct vm_live *live, void (*done)(void *ctx),
                      void *ctx);

/* Log levels or the daemon's "poll_us" have changed: worker processes are told theirs. Short of
 * memory some go on as they were. */
void guest_tune_workers(struct daemon *daemon);

#endif
