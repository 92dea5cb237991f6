/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What pvdisk_rig's guest grants, for worker processes: the broker and its other half as they are,
 * on a gntdev that is the rig's. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "ioreq/grant_broker.h"
#include "ioreq/grant_remote.h"
#include "ioreq/grant_xen.h" /* before any header of Xen itself */
#include "tests/unit/pvdisk_rig.h"

#include <xen/grant_table.h>

/* In a worker process, by domain. */
static const struct grants *adopted[RIG_DOMAINS];

/* ---- the control side's: the broker's thread --------------------------------------------------*/

static int16_t gntst_of(int status)
{
    return status == 0         ? GNTST_okay
           : status == -EACCES ? GNTST_permission_denied
                               : GNTST_bad_gntref;
}

static int gnttab_copy(void *handle, uint32_t count, xengnttab_grant_copy_segment_t *segments)
{
    const struct pvdisk_rig *rig = handle;

    for (uint32_t i = 0; i < count; i++) {
        xengnttab_grant_copy_segment_t *segment = &segments[i];
        bool to_guest = segment->flags == GNTCOPY_dest_gref;
        union xengnttab_copy_ptr granted = to_guest ? segment->dest : segment->source;
        union xengnttab_copy_ptr local = to_guest ? segment->source : segment->dest;
        struct grant_copy copy = {.local = local.virt,
                                  .ref = granted.foreign.ref,
                                  .offset = granted.foreign.offset,
                                  .len = segment->len,
                                  .to_guest = to_guest};

        assert_int_equal(granted.foreign.domid, 5);
        grants_copy(&rig->front.grants, &copy, 1);
        segment->status = gntst_of(copy.status);
    }
    return 0;
}

static void gnttab_close(void *handle)
{
}

static const struct grant_xen_calls gnttab = {.copy = gnttab_copy, .close = gnttab_close};

/* As pvblk_rig: what lies side by side. */
static int gntdev_map(void *ctx, uint32_t domid, const uint32_t *refs, uint32_t count, int *ret_fd,
                      uint64_t *ret_offset)
{
    const struct pvdisk_rig *rig = ctx;

    assert_int_equal(domid, 5);
    for (uint32_t i = 0; i < count; i++)
        if (refs[i] >= PV_PAGES || refs[i] != refs[0] + i)
            return -EINVAL;
    *ret_fd = fcntl(rig->front.ram_fd, F_DUPFD_CLOEXEC, 0);
    *ret_offset = (uint64_t)refs[0] * GRANT_PAGE;
    return *ret_fd < 0 ? -errno : 0;
}

static uint64_t monotonic_ns(void *ctx)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static const struct grant_broker_calls gntdev = {.map = gntdev_map, .now_ns = monotonic_ns};

int pvdisk_broker_open(struct pvdisk_rig *rig, struct hv_broker **ret_broker)
{
    struct grant_broker *broker;
    struct grant_xen *xen;
    int err = grant_xen_open_with(&gnttab, rig, &xen);

    if (!err)
        err = grant_broker_open_with(xen, &gntdev, rig, &broker);
    if (!err)
        *ret_broker = (struct hv_broker *)broker;
    return err;
}

void pvdisk_broker_close(struct hv_broker *broker)
{
    grant_broker_close((struct grant_broker *)broker);
}

int pvdisk_broker_add(struct hv_broker *broker, uint32_t domid, int ret_fds[HV_GRANT_FDS])
{
    return grant_broker_add((struct grant_broker *)broker, domid, &ret_fds[0], &ret_fds[1]);
}

void pvdisk_broker_cut(struct hv_broker *broker, uint32_t domid)
{
    grant_broker_cut((struct grant_broker *)broker, domid);
}

/* ---- the worker process's ---------------------------------------------------------------------*/

int pvdisk_grants_adopt(uint32_t domid, const int fds[HV_GRANT_FDS])
{
    if (adopted[domid]) {
        for (unsigned i = 0; i < HV_GRANT_FDS; i++)
            close(fds[i]);
        return 0;
    }
    return grant_remote_open(fds[0], fds[1], &adopted[domid]);
}

const struct grants *pvdisk_grants(uint32_t domid)
{
    return adopted[domid];
}

void pvdisk_grants_leave(uint32_t domid)
{
    grant_remote_close(adopted[domid]);
    adopted[domid] = NULL;
}
