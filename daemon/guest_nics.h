/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's NICs as the control side sees them: what is opened for them, and live changes. */
#ifndef IOEMUD_DAEMON_GUEST_NICS_H
#define IOEMUD_DAEMON_GUEST_NICS_H

#include "daemon/guest.h"

/* Opens what each NIC of the description needs into guest->params.nic. A model that this build does
 * not have is left out and logged. -errno with `why`, of GUEST_WHY_SIZE bytes. */
int guest_nics_open(struct guest *guest, char *why);
/* Whether each has a PV backend that serves it without us. */
bool guest_nics_have_pv(const struct guest *guest);
/* The description's rates, or those that the PV backend has been given. */
void guest_nic_limits(const struct guest *guest, const struct nic_config *nic,
                      struct net_limits *ret_limits);
/* The worker has them, or closed them. */
void guest_nics_forget(struct guest *guest);
/* Descriptors that it never got. */
void guest_nics_discard(struct guest *guest);
/* Whether the guest has it now: it may have unplugged it. */
bool guest_has_nic(const struct guest *guest, unsigned number);
/* When nothing uses them any more: sockets' files and ROMs. */
void guest_nics_finish(struct guest *guest);

/*
 * Changes to a guest that runs. `done(ctx, err, why)` follows, once, possibly before these return.
 * `number` is a devid.
 */
typedef void guest_nic_done(void *ctx, int err, const char *why);
void guest_nic_link(struct guest *guest, unsigned number, bool up, guest_nic_done *done, void *ctx);
/* `path` NULL: no more capture. */
void guest_nic_capture(struct guest *guest, unsigned number, const char *path, uint64_t limit,
                       guest_nic_done *done, void *ctx);
/* Takes `config` over. */
void guest_nic_add(struct guest *guest, struct nic_config *config, guest_nic_done *done, void *ctx);
void guest_nic_remove(struct guest *guest, unsigned number, bool force, guest_nic_done *done,
                      void *ctx);

#endif
