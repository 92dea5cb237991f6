/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many simulated guests of one daemon, each with a little memory and one disk in a file of its own.
 *
 *   rig_start(&rig, crowd_config()) -> crowd_create() -> crowd_attach() ... crowd_detach() ->
 *   crowd_destroy() -> rig_stop()
 *
 * As in rig.h: what fails here and is not the daemon's to answer for ends the process with 99.
 */
#ifndef IOEMUD_TESTS_SHM_CROWD_H
#define IOEMUD_TESTS_SHM_CROWD_H

#include "tests/shm/rig.h"

#define CROWD_RAM     (256u << 10)
#define CROWD_SECTORS 256u /* of each disk */

struct crowd {
    struct rig *rig;
    unsigned count;
    struct crowd_guest {
        struct peer *peer; /* NULL: not attached */
        struct ide ide;
    } * guest;
};

/* ioemud.json's keys for rig_start(): so many workers, with disk buffers for so many guests.
 * *ret_pages (4 KiB) is what these are, of all workers. */
const char *crowd_config(unsigned count, unsigned workers, char text[128], unsigned *ret_pages);
/* Raises this process's limit of descriptors, makes images and descriptions. */
void crowd_create(struct crowd *crowd, struct rig *rig, unsigned count);
void crowd_destroy(struct crowd *crowd);
void crowd_name(unsigned index, char name[16]);
/* Until the daemon serves it. False: refused, with the daemon's words. */
bool crowd_attach(struct crowd *crowd, unsigned index, char reason[112]);
/* As a guest boots: finds its disk, switches bus mastering on, writes all sectors of its disk with
 * a pattern of its own, reads them back. 0, ide.h's error or -EBADMSG: not what was written. */
int crowd_boot(struct crowd *crowd, unsigned index);
/* Reads its disk once more. */
int crowd_verify(struct crowd *crowd, unsigned index);
void crowd_detach(struct crowd *crowd, unsigned index);

#endif
