/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records of the ioreq servers that this daemon made, one file a guest in RUN_DIR/guests, called
 * NAME-DOMID.json: guests of several domains may have one name. A server outlives the process that
 * made it, so the next daemon looks here for orphans.
 */
#ifndef IOEMUD_DAEMON_RECORD_H
#define IOEMUD_DAEMON_RECORD_H

#include "ioreq/hv.h"

/* Written and synced before the server is made. -errno. */
int record_write(const char *run_dir, const char *guest, const struct hv_record *record);
void record_remove(const char *run_dir, const char *guest, uint32_t domid);
/* Calls `each` for every record and removes those for which it returns true; with `record` NULL for
 * one that cannot be read, whose `guest` is what the file is called, without .json. Returns how
 * many were removed, or -errno. */
int record_each(const char *run_dir,
                bool (*each)(void *ctx, const char *guest, const struct hv_record *record),
                void *ctx);

#endif
