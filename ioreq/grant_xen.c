/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ioreq/grant_xen.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xen/grant_table.h>
#include <xentoollog.h>

/* Segments in one system call; the kernel makes hypercalls of 24 (gntdev's batches) of them. */
#define COPY_BATCH 256u

/* Swaps in one call of the swapper: what a ring of 32 requests of 44 KiB brings in a turn. */
#define SWAP_BATCH 352u

struct grant_xen {
    const struct grant_xen_calls *calls;
    void *handle;
    struct xentoollog_logger silent;
    xengnttab_grant_copy_segment_t segment[COPY_BATCH];
    unsigned guests;
    struct grant_xen_swapper swapper;        /* without pages: none */
    enum { FREE, TAKEN, LOST } * page_state; /* by page */
    unsigned *free_stack, free_count;
};

struct guest {
    struct grants grants;
    struct grant_counters counters;
    struct grant_xen *xen;
    uint16_t domid;
    unsigned taken; /* pages to swap */
    bool closed;
};

static void guest_free(struct guest *guest)
{
    if (guest->closed && !guest->counters.mapped && !guest->taken)
        free(guest);
}

static int status_of(int16_t gntst)
{
    switch (gntst) {
    case GNTST_okay:
        return 0;
    case GNTST_bad_domain:
        return -ESRCH;
    case GNTST_bad_gntref:
    case GNTST_permission_denied:
        return -EACCES;
    case GNTST_bad_copy_arg:
        return -EINVAL;
    case GNTST_bad_page:
        return -EFAULT;
    case GNTST_eagain:
        return -EAGAIN;
    case GNTST_no_space:
    case GNTST_no_device_space:
        return -ENOSPC;
    default:
        return -EIO;
    }
}

static xengnttab_grant_copy_segment_t segment_of(const struct guest *guest,
                                                 const struct grant_copy *copy)
{
    xengnttab_grant_copy_segment_t segment = {.len = copy->len};
    union xengnttab_copy_ptr local = {.virt = copy->local};
    union xengnttab_copy_ptr granted = {
        .foreign = {.ref = copy->ref, .offset = copy->offset, .domid = guest->domid}};

    segment.source = copy->to_guest ? local : granted;
    segment.dest = copy->to_guest ? granted : local;
    segment.flags = copy->to_guest ? GNTCOPY_dest_gref : GNTCOPY_source_gref;
    return segment;
}

/* The first of `copies`, as many as one call takes; returns how many. Those that cannot be are
 * left out: Xen would find them, but the kernel may give up the whole call. */
static unsigned copy_batch(struct guest *guest, struct grant_copy *copies, unsigned count)
{
    struct grant_xen *xen = guest->xen;
    struct grant_copy *sent[COPY_BATCH];
    unsigned n = 0, taken;
    int rc = 0;

    for (taken = 0; taken < count && n < COPY_BATCH; taken++) {
        copies[taken].status = -EINVAL;
        if (!grant_copy_fits(&copies[taken]))
            continue;
        sent[n] = &copies[taken];
        xen->segment[n++] = segment_of(guest, &copies[taken]);
    }
    if (n && xen->calls->copy(xen->handle, n, xen->segment) < 0)
        rc = errno ? -errno : -EIO;
    /* After a failed call nobody knows how far it got. */
    for (unsigned i = 0; i < n; i++)
        sent[i]->status = rc < 0 ? rc : status_of(xen->segment[i].status);
    return taken;
}

static void xen_copy(void *ctx, struct grant_copy *copies, unsigned count)
{
    struct guest *guest = ctx;

    for (unsigned done = 0; done < count && !guest->closed;) {
        done += copy_batch(guest, copies + done, count - done);
        guest->counters.copy_calls++;
    }
    for (unsigned i = 0; guest->closed && i < count; i++)
        copies[i].status = -ESRCH;
    grant_count_copies(&guest->counters, copies, count);
}

static int xen_map(void *ctx, struct grant_map *map)
{
    struct guest *guest = ctx;
    struct grant_xen *xen = guest->xen;
    uint32_t refs[GRANT_MAP_MAX];
    void *base = NULL;
    int rc = 0;

    assert(map->count && map->count <= GRANT_MAP_MAX);
    if (guest->closed)
        rc = -ESRCH;
    else if (guest->counters.mapped + map->count > GRANT_XEN_MAPPED_MAX)
        rc = -ENOSPC;
    if (rc == 0) {
        memcpy(refs, map->refs, map->count * sizeof(refs[0]));
        base = xen->calls->map(xen->handle, map->count, guest->domid, refs,
                               map->writable ? PROT_READ | PROT_WRITE : PROT_READ);
        if (!base)
            rc = errno ? -errno : -EIO;
    }
    if (rc < 0) {
        guest->counters.errors++;
        return rc;
    }
    guest->counters.maps += map->count;
    guest->counters.mapped += map->count;
    map->base = base;
    return 0;
}

static void xen_unmap(void *ctx, const struct grant_map *map)
{
    struct guest *guest = ctx;

    guest->xen->calls->unmap(guest->xen->handle, map->base, map->count);
    guest->counters.unmaps += map->count;
    guest->counters.mapped -= map->count;
    guest_free(guest);
}

/* The frame swap. */

static unsigned page_number(const struct grant_xen *xen, const uint8_t *page)
{
    size_t offset = (size_t)(page - xen->swapper.base);

    assert(page >= xen->swapper.base && offset % GRANT_PAGE == 0 &&
           offset / GRANT_PAGE < xen->swapper.pages);
    assert(xen->page_state[offset / GRANT_PAGE] != FREE);
    return (unsigned)(offset / GRANT_PAGE);
}

static void swap_batch(struct guest *guest, struct grant_swap *swaps, unsigned count)
{
    struct grant_xen *xen = guest->xen;
    struct grant_xen_one ones[SWAP_BATCH];

    for (unsigned i = 0; i < count; i++)
        ones[i] =
            (struct grant_xen_one){.page = page_number(xen, swaps[i].page), .ref = swaps[i].ref};
    guest->counters.swap_calls++;
    xen->swapper.swap(xen->swapper.ctx, guest->domid, ones, count);
    for (unsigned i = 0; i < count; i++) {
        swaps[i].status = ones[i].err;
        guest->counters.swaps += !ones[i].err;
        guest->counters.errors += ones[i].err != 0;
        if (ones[i].err == -EIO)
            xen->page_state[ones[i].page] = LOST;
        if (ones[i].err == -ESRCH) /* whatever the page: it would be asked for nothing */
            guest->grants.from.swap = GRANT_NEVER;
    }
}

static void xen_swap(void *ctx, struct grant_swap *swaps, unsigned count)
{
    struct guest *guest = ctx;

    for (unsigned i = 0; guest->closed && i < count; i++)
        swaps[i].status = -ESRCH;
    for (unsigned done = 0, now; !guest->closed && done < count; done += now) {
        now = count - done < SWAP_BATCH ? count - done : SWAP_BATCH;
        swap_batch(guest, swaps + done, now);
    }
}

/* A guest whose disk hangs keeps half of them at most when there are others. */
static bool xen_swap_take(void *ctx, uint8_t **ret_pages, unsigned count)
{
    struct guest *guest = ctx;
    struct grant_xen *xen = guest->xen;
    unsigned most = xen->guests > 1 ? xen->swapper.pages / 2 : xen->swapper.pages;

    if (guest->closed || count > xen->free_count || guest->taken + count > most)
        return false;
    for (unsigned i = 0; i < count; i++) {
        unsigned page = xen->free_stack[--xen->free_count];

        xen->page_state[page] = TAKEN;
        ret_pages[i] = xen->swapper.base + (size_t)page * GRANT_PAGE;
    }
    guest->taken += count;
    return true;
}

static void xen_swap_give(void *ctx, uint8_t *page)
{
    struct guest *guest = ctx;
    struct grant_xen *xen = guest->xen;
    unsigned number = page_number(xen, page);

    guest->taken--;
    if (xen->page_state[number] == TAKEN) {
        xen->page_state[number] = FREE;
        xen->free_stack[xen->free_count++] = number;
    }
    guest_free(guest);
}

static void xen_swap_pages(void *ctx, uint32_t *ret_pages, uint32_t *ret_free)
{
    const struct guest *guest = ctx;

    *ret_pages = guest->xen->swapper.pages;
    *ret_free = guest->xen->free_count;
}

int grant_xen_use_swap(struct grant_xen *xen, const struct grant_xen_swapper *swapper)
{
    assert(!xen->guests && !xen->swapper.pages && swapper->pages);
    xen->page_state = calloc(swapper->pages, sizeof(*xen->page_state));
    xen->free_stack = calloc(swapper->pages, sizeof(*xen->free_stack));
    if (!xen->page_state || !xen->free_stack)
        return -ENOMEM; /* grant_xen_close() has the one */
    xen->swapper = *swapper;
    for (unsigned i = swapper->pages; i--;)
        xen->free_stack[xen->free_count++] = i;
    return 0;
}

static const struct grant_ops xen_ops = {
    .copy = xen_copy,
    .map = xen_map,
    .unmap = xen_unmap,
    .swap = xen_swap,
    .swap_take = xen_swap_take,
    .swap_give = xen_swap_give,
    .swap_pages = xen_swap_pages,
};

int grant_xen_guest_open(struct grant_xen *xen, uint32_t domid, const struct grants **ret_grants)
{
    struct guest *guest = calloc(1, sizeof(*guest));

    if (!guest)
        return -ENOMEM;
    guest->xen = xen;
    guest->domid = (uint16_t)domid;
    guest->grants = (struct grants){.ops = &xen_ops,
                                    .ctx = guest,
                                    .can = GRANT_CAN_COPY | GRANT_CAN_MAP,
                                    /* As measured (ioreq/hypervisor/README.md): each map costs
                                     * two hypercalls, and their flushes on all processors. */
                                    .from = {.map = GRANT_NEVER, .swap = GRANT_NEVER},
                                    .counters = &guest->counters};
    if (xen->swapper.pages) {
        guest->grants.can |= GRANT_CAN_SWAP;
        guest->grants.from.swap = xen->swapper.from;
    }
    xen->guests++;
    *ret_grants = &guest->grants;
    return 0;
}

void grant_xen_guest_close(const struct grants *grants)
{
    struct guest *guest;

    if (!grants)
        return;
    guest = grants->ctx;
    guest->closed = true;
    guest->xen->guests--;
    guest_free(guest);
}

/* The library. It would write a line for each map that fails, and a guest decides about that. */

static void no_message(struct xentoollog_logger *logger, xentoollog_level level, int error,
                       const char *context, const char *format, va_list args)
{
}

static void no_destroy(struct xentoollog_logger *logger)
{
}

static void *lib_map(void *handle, uint32_t count, uint32_t domid, uint32_t *refs, int prot)
{
    return xengnttab_map_domain_grant_refs(handle, count, domid, refs, prot);
}

static int lib_unmap(void *handle, void *base, uint32_t count)
{
    return xengnttab_unmap(handle, base, count);
}

static int lib_copy(void *handle, uint32_t count, xengnttab_grant_copy_segment_t *segments)
{
    return xengnttab_grant_copy(handle, count, segments);
}

static void lib_close(void *handle)
{
    xengnttab_close(handle);
}

static const struct grant_xen_calls lib = {
    .map = lib_map, .unmap = lib_unmap, .copy = lib_copy, .close = lib_close};

int grant_xen_open_with(const struct grant_xen_calls *calls, void *handle,
                        struct grant_xen **ret_xen)
{
    struct grant_xen *xen = calloc(1, sizeof(*xen));

    if (!xen)
        return -ENOMEM;
    xen->calls = calls;
    xen->handle = handle;
    *ret_xen = xen;
    return 0;
}

int grant_xen_open(struct grant_xen **ret_xen)
{
    struct grant_xen *xen;
    int rc = grant_xen_open_with(&lib, NULL, &xen);

    if (rc < 0)
        return rc;
    xen->silent = (struct xentoollog_logger){.vmessage = no_message, .destroy = no_destroy};
    xen->handle = xengnttab_open(&xen->silent, 0);
    if (!xen->handle) {
        rc = errno ? -errno : -EIO;
        free(xen);
        return rc;
    }
    *ret_xen = xen;
    return 0;
}

void grant_xen_close(struct grant_xen *xen)
{
    if (!xen)
        return;
    xen->calls->close(xen->handle);
    free(xen->page_state);
    free(xen->free_stack);
    free(xen);
}
