/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading the configuration again: ioemud.json and all guests' files. If anything in any of them is
 * wrong, nothing changes. Otherwise each difference to what is in use is applied, if that can be
 * done while the daemon and the guest run, or reported as what has to be done for it; it is
 * reported again each time until it has been done.
 *
 * What somebody has changed by hand (`log-level`, `link`, `insert`, ...) stays as it is as long as
 * the file says what it did.
 */
#ifndef IOEMUD_DAEMON_RELOAD_H
#define IOEMUD_DAEMON_RELOAD_H

#include <jansson.h>

#include "config/config.h"
#include "daemon/guest.h"

struct rpc_call;
struct reload;

/* Answers `call`, when all is done; NULL: the log is all that tells of it. */
void reload_begin(struct daemon *daemon, struct rpc_call *call);

/* For daemon/reload_guest.c. */

enum reload_result {
    RELOAD_APPLIED,
    RELOAD_RESTART,  /* of the daemon */
    RELOAD_REATTACH, /* of the guest */
    RELOAD_FAILED,
};

/* One difference: in which file, at which JSON path, from what to what (either may be NULL: it is
 * not there; both stay the caller's). `why`: of one that failed, or a hint; NULL: none. */
void reload_item(struct reload *reload, const char *file, const char *path, const json_t *from,
                 const json_t *to, enum reload_result result, const char *why);
/* Something is under way that will add to the items, and has ended. */
void reload_hold(struct reload *reload);
void reload_let_go(struct reload *reload);

/* Compares the guest's description with `now`, what the files say together, and applies what can
 * be. `file`: the guest's file, for places in it, called `path`; NULL: there is none any more.
 * `now` is taken over. */
void reload_guest(struct reload *reload, struct guest *guest, struct guest_config *now,
                  const struct guest_config *file, const char *path);

#endif
