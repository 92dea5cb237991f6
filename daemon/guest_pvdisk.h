/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PV disks of a guest as the control side sees them: those that libxl left to its device model
 * (backends of type "qdisk" in our domain), found and followed in XenStore.
 *
 *    directory appears -> image opened -> worker: vm_pv_open() -> negotiation (pvblk_ctl.h)
 *    negotiation is over -> worker: vm_pv_close() -> forgotten
 *
 * For guests of hv_xen, where the daemon's configuration has "pv_disks". An image that is in use,
 * by the guest's own emulated drive for one, is not served; that is logged once.
 */
#ifndef IOEMUD_DAEMON_GUEST_PVDISK_H
#define IOEMUD_DAEMON_GUEST_PVDISK_H

#include "daemon/guest.h"

/* Its vm runs. */
void guest_pvdisks_start(struct guest *guest);
/* Before its vm is told to stop: nothing new is asked of the worker. */
void guest_pvdisks_stop(struct guest *guest);
/* The worker has let go of all of them: says so in the store, and frees them. */
void guest_pvdisks_finish(struct guest *guest);
/* hv_host_events.store, for all guests. */
void guest_pvdisks_event(struct daemon *daemon, const char *token);

/* For tests: what libxl writes as `params` of a qdisk, "FORMAT:PATH". NULL: none that is served. */
const char *guest_pvdisk_path(const char *params);

#endif
