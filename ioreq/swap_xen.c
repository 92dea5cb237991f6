/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ioreq/swap_xen.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <xencall.h>
#include <xenctrl.h>
#include <xengnttab.h>

#include "ioreq/swap_abi.h"

struct swap_xen {
    swap_xen_call *call;
    void *ctx;
    struct gnttab_swap_frame *frames; /* SWAP_XEN_BATCH of them, where a hypercall may read */
    unsigned pages;
    uint32_t *refs; /* of each page */
    xencall_handle *xen;
    xengntshr_handle *share;
    uint8_t *memory; /* of all pages; NULL with a test's call */
};

static int hypercall(void *ctx, struct gnttab_swap_frame *frames, unsigned count)
{
    int rc =
        xencall3(ctx, __HYPERVISOR_grant_table_op, GNTTABOP_swap_frame, (uintptr_t)frames, count);

    return rc < 0 ? -errno : 0;
}

int swap_xen_error(int status)
{
    switch (status) {
    case GNTST_okay:
        return 0;
    case GNTST_eagain:
        return -EBUSY;
    case GNTST_bad_domain:
        return -ESRCH;
    case GNTST_permission_denied:
        return -EACCES;
    case GNTST_bad_gntref:
    case GNTST_general_error:
        return -EINVAL;
    case GNTST_bad_page:
        return -EFAULT;
    case GNTST_no_space:
        return -ENOMEM;
    case GNTST_no_device_space:
        return -EIO;
    default:
        return -EPROTO;
    }
}

void swap_xen_close(struct swap_xen *swap)
{
    if (!swap)
        return;
    if (swap->memory)
        xengntshr_unshare(swap->share, swap->memory, swap->pages);
    if (swap->share)
        xengntshr_close(swap->share);
    if (swap->xen) {
        if (swap->frames)
            xencall_free_buffer(swap->xen, swap->frames);
        xencall_close(swap->xen);
    } else {
        free(swap->frames);
    }
    free(swap->refs);
    free(swap);
}

static int create(unsigned pages, struct swap_xen **ret_swap)
{
    struct swap_xen *swap = calloc(1, sizeof(*swap));

    if (!swap)
        return -ENOMEM;
    swap->pages = pages;
    swap->refs = calloc(pages, sizeof(*swap->refs));
    if (!swap->refs) {
        free(swap);
        return -ENOMEM;
    }
    *ret_swap = swap;
    return 0;
}

/* An errno that a library left, which may have left none. */
static int failed(void)
{
    return errno ? -errno : -EIO;
}

static int open_call(struct swap_xen *swap)
{
    errno = 0;
    swap->xen = xencall_open(NULL, 0);
    if (!swap->xen)
        return failed();
    swap->frames = xencall_alloc_buffer(swap->xen, SWAP_XEN_BATCH * sizeof(*swap->frames));
    if (!swap->frames)
        return failed();
    swap->call = hypercall;
    swap->ctx = swap->xen;
    return hypercall(swap->ctx, swap->frames, 0);
}

static int open_pages(struct swap_xen *swap, uint16_t self)
{
    errno = 0;
    swap->share = xengntshr_open(NULL, 0);
    if (!swap->share)
        return failed();
    swap->memory = xengntshr_share_pages(swap->share, self, (int)swap->pages, swap->refs, 1);
    return swap->memory ? 0 : failed();
}

int swap_xen_open(uint16_t self, unsigned pages, struct swap_xen **ret_swap)
{
    struct swap_xen *swap;
    int err;

    assert(pages && pages <= INT32_MAX);
    err = create(pages, &swap);
    if (err)
        return err;
    err = open_call(swap);
    if (!err)
        err = open_pages(swap, self);
    if (err) {
        swap_xen_close(swap);
        return err;
    }
    *ret_swap = swap;
    return 0;
}

int swap_xen_open_fake(swap_xen_call *call, void *ctx, const uint32_t *refs, unsigned pages,
                       struct swap_xen **ret_swap)
{
    struct swap_xen *swap;
    int err = create(pages, &swap);

    if (err)
        return err;
    swap->frames = calloc(SWAP_XEN_BATCH, sizeof(*swap->frames));
    if (!swap->frames) {
        swap_xen_close(swap);
        return -ENOMEM;
    }
    memcpy(swap->refs, refs, pages * sizeof(*refs));
    swap->call = call;
    swap->ctx = ctx;
    *ret_swap = swap;
    return 0;
}

void *swap_xen_page(struct swap_xen *swap, unsigned page)
{
    assert(page < swap->pages);
    return swap->memory + (size_t)page * SWAP_XEN_PAGE;
}

/* One hypercall: how many were done, or -errno. */
static int swap_batch(struct swap_xen *swap, uint16_t domid, struct swap_xen_one *ones,
                      unsigned count)
{
    unsigned done = 0;
    int err;

    for (unsigned i = 0; i < count; i++) {
        assert(ones[i].page < swap->pages);
        swap->frames[i] = (struct gnttab_swap_frame){
            .local_ref = swap->refs[ones[i].page],
            .remote_ref = ones[i].ref,
            .remote_domid = domid,
            /* None of Xen's: an element that was not looked at shows. */
            .status = INT16_MIN,
        };
    }
    err = swap->call(swap->ctx, swap->frames, count);
    for (unsigned i = 0; i < count; i++) {
        bool looked_at = swap->frames[i].status != INT16_MIN;

        ones[i].err = err && !looked_at ? err : swap_xen_error(swap->frames[i].status);
        done += !ones[i].err;
    }
    return err ? err : (int)done;
}

int swap_xen(struct swap_xen *swap, uint16_t domid, struct swap_xen_one *ones, unsigned count)
{
    int done = 0;

    while (count) {
        unsigned now = count < SWAP_XEN_BATCH ? count : SWAP_XEN_BATCH;
        int rc = swap_batch(swap, domid, ones, now);

        if (rc < 0) {
            for (unsigned i = now; i < count; i++)
                ones[i].err = rc;
            return rc;
        }
        done += rc;
        ones += now;
        count -= now;
    }
    return done;
}
