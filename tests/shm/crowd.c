/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/shm/crowd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define PRD 0x1000u
#define OUT 0x2000u
#define IN  (OUT + CROWD_SECTORS / 2 * 512u)
_Static_assert(IN + CROWD_SECTORS / 2 * 512u <= CROWD_RAM, "half a disk each");

/* Disk buffers as the daemon counts them (worker_has_room()): 32 KiB a disk, a largest request. */
#define PAGES_DISK 8u
#define PAGES_MORE 32u

const char *crowd_config(unsigned count, unsigned workers, char text[128], unsigned *ret_pages)
{
    unsigned each = (count + workers - 1) / workers + 1, pages = each * PAGES_DISK + PAGES_MORE;

    snprintf(text, 128, "\"workers\": %u, \"pool_pages\": %u", workers, pages);
    *ret_pages = pages * workers;
    return text;
}

void crowd_name(unsigned index, char name[16])
{
    snprintf(name, 16, "g%u", index);
}

void crowd_create(struct crowd *crowd, struct rig *rig, unsigned count)
{
    char name[16], path[RIG_PATH], disks[2 * RIG_PATH];
    struct rlimit limit;

    *crowd = (struct crowd){.rig = rig, .count = count};
    crowd->guest = calloc(count, sizeof(*crowd->guest));
    if (!crowd->guest || getrlimit(RLIMIT_NOFILE, &limit)) {
        perror("crowd");
        _exit(99);
    }
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (unsigned i = 0; i < count; i++) {
        crowd_name(i, name);
        rig_image(rig, name, CROWD_SECTORS, path);
        snprintf(disks, sizeof(disks), "{\"vdev\": \"hda\", \"path\": \"%s\"}", path);
        rig_guest(rig, name, disks);
    }
}

void crowd_destroy(struct crowd *crowd)
{
    for (unsigned i = 0; i < crowd->count; i++)
        crowd_detach(crowd, i);
    free(crowd->guest);
    crowd->guest = NULL;
    crowd->count = 0;
}

bool crowd_attach(struct crowd *crowd, unsigned index, char reason[112])
{
    char name[16];

    crowd_name(index, name);
    crowd->guest[index].peer = rig_try_peer(crowd->rig, name, 1, CROWD_RAM, reason);
    return crowd->guest[index].peer;
}

/* Half of the disk to or from `gpa`. */
static int move_half(struct crowd_guest *guest, bool write, unsigned half, uint64_t gpa)
{
    uint64_t lba = (uint64_t)half * (CROWD_SECTORS / 2);

    return write ? ide_dma_write(&guest->ide, lba, CROWD_SECTORS / 2, gpa)
                 : ide_dma_read(&guest->ide, lba, CROWD_SECTORS / 2, gpa);
}

int crowd_boot(struct crowd *crowd, unsigned index)
{
    struct crowd_guest *guest = &crowd->guest[index];
    uint8_t *out = peer_ram(guest->peer, OUT, CROWD_SECTORS / 2 * 512u);
    int rc = ide_init(&guest->ide, guest->peer, 0, 0, 0, PRD);

    for (unsigned half = 0; half < 2 && rc == 0; half++) {
        rig_fill(1 + index, half * (CROWD_SECTORS / 2), CROWD_SECTORS / 2, out);
        rc = move_half(guest, true, half, OUT);
    }
    if (rc == 0)
        rc = ide_flush(&guest->ide);
    return rc ? rc : crowd_verify(crowd, index);
}

int crowd_verify(struct crowd *crowd, unsigned index)
{
    struct crowd_guest *guest = &crowd->guest[index];
    const uint8_t *in = peer_ram(guest->peer, IN, CROWD_SECTORS / 2 * 512u);

    for (unsigned half = 0; half < 2; half++) {
        int rc = move_half(guest, false, half, IN);

        if (rc)
            return rc;
        if (rig_mismatches(1 + index, half * (CROWD_SECTORS / 2), CROWD_SECTORS / 2, in))
            return -EBADMSG;
    }
    return 0;
}

void crowd_detach(struct crowd *crowd, unsigned index)
{
    peer_close(crowd->guest[index].peer);
    crowd->guest[index].peer = NULL;
}
