/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the operation has to refuse, each with the status that ioreq/swap_abi.h promises. */
#include "tester.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xencall.h>
#include <xengnttab.h>

#include "ioreq/swap_abi.h"

#define SELF       0
#define NOBODY     0x6fff
#define BEYOND     0x7fffffffu
#define MARK       0xc0ffee00u
#define UNMAP_WAIT 40 /* times 50 ms */

/* A page of ours that is granted to dom0, one that is granted to the guest, and the hypercall. */
struct raw {
    struct tester *t;
    xencall_handle *call;
    struct gnttab_swap_frame *frame;
    xengntshr_handle *share;
    uint32_t own, foreign;
    uint32_t *own_page, *foreign_page;
};

static bool raw_open(struct raw *r, struct tester *t)
{
    r->t = t;
    r->call = xencall_open(NULL, 0);
    r->share = xengntshr_open(NULL, 0);
    if (!r->call || !r->share)
        return false;
    r->frame = xencall_alloc_buffer(r->call, 2 * sizeof(*r->frame));
    r->own_page = xengntshr_share_pages(r->share, SELF, 1, &r->own, 1);
    r->foreign_page = xengntshr_share_pages(r->share, t->domid, 1, &r->foreign, 1);
    return r->frame && r->own_page && r->foreign_page;
}

static void raw_close(struct raw *r)
{
    xengntshr_unshare(r->share, r->own_page, 1);
    xengntshr_unshare(r->share, r->foreign_page, 1);
    xengntshr_close(r->share);
    xencall_free_buffer(r->call, r->frame);
    xencall_close(r->call);
}

static int raw(struct raw *r, uint32_t local, uint16_t domid, uint32_t remote)
{
    *r->frame = (struct gnttab_swap_frame){
        .local_ref = local, .remote_ref = remote, .remote_domid = domid, .status = 1};
    if (xencall3(r->call, __HYPERVISOR_grant_table_op, GNTTABOP_swap_frame, (uintptr_t)r->frame, 1))
        return 1000 - errno;
    return r->frame->status;
}

static void wants(struct raw *r, const char *name, int status, int wanted)
{
    check(r->t, name, status == wanted, "status %d, not %d", status, wanted);
}

static void bad_references(struct raw *r)
{
    uint16_t guest = r->t->domid;

    *r->own_page = MARK;
    wants(r, "read_only_grant", raw(r, r->own, guest, SWAP_REF_READONLY), GNTST_general_error);
    wants(r, "grant_of_a_hole", raw(r, r->own, guest, SWAP_REF_HOLE), GNTST_bad_page);
    wants(r, "grant_to_another", raw(r, r->own, guest, SWAP_REF_OTHER), GNTST_general_error);
    wants(r, "grant_of_a_page_of_xen", raw(r, r->own, guest, SWAP_REF_TABLE), GNTST_bad_page);
    wants(r, "no_grant", raw(r, r->own, guest, SWAP_REF_FREE), GNTST_general_error);
    wants(r, "beyond_the_table", raw(r, r->own, guest, SWAP_REF_BEYOND), GNTST_bad_gntref);
    wants(r, "ours_beyond_the_table", raw(r, BEYOND, guest, SWAP_REF_BUSY), GNTST_bad_gntref);
    wants(r, "ours_is_the_guests", raw(r, r->foreign, guest, SWAP_REF_BUSY), GNTST_general_error);
    wants(r, "with_itself", raw(r, r->own, SELF, r->own), GNTST_bad_domain);
    wants(r, "with_self_by_name", raw(r, r->own, DOMID_SELF, r->own), GNTST_bad_domain);
    wants(r, "with_nobody", raw(r, r->own, NOBODY, SWAP_REF_BUSY), GNTST_bad_domain);
    check(r->t, "refused_is_untouched", *r->own_page == MARK, "%#x", *r->own_page);
}

static void arguments(struct raw *r)
{
    int rc =
        xencall3(r->call, __HYPERVISOR_grant_table_op, GNTTABOP_swap_frame, (uintptr_t)r->frame, 0);

    check(r->t, "none_at_all", rc == 0, "%d, errno %d", rc, errno);
    rc = xencall3(r->call, __HYPERVISOR_grant_table_op, GNTTABOP_swap_frame, ~0xfffull << 20, 1);
    check(r->t, "no_memory_of_ours", rc < 0 && errno == EFAULT, "%d, errno %d", rc, errno);
    rc = xencall3(r->call, __HYPERVISOR_grant_table_op, GNTTABOP_swap_frame, (uintptr_t)r->frame,
                  0x80000000u);
    check(r->t, "too_many", rc < 0 && errno == EINVAL, "%d, errno %d", rc, errno);
}

/* Until a mapping that was undone is: the kernel may put that off. */
static int raw_until_okay(struct raw *r, uint32_t remote)
{
    int status = GNTST_eagain;

    for (int i = 0; i < UNMAP_WAIT && status == GNTST_eagain; i++) {
        status = raw(r, r->own, r->t->domid, remote);
        if (status == GNTST_eagain)
            usleep(50000);
    }
    return status;
}

static void mapped_by_a_device_model(struct raw *r)
{
    xen_pfn_t gfn = SWAP_SPARE(2) >> 12;
    int err = 0;
    uint32_t *page =
        xenforeignmemory_map(r->t->memory, r->t->domid, PROT_READ | PROT_WRITE, 1, &gfn, &err);

    if (!check(r->t, "foreign_map", page && !err, "errno %d, %d", errno, err))
        return;
    *page = MARK + 1;
    wants(r, "foreign_mapped_is_busy", raw(r, r->own, r->t->domid, SWAP_REF_BUSY), GNTST_eagain);
    xenforeignmemory_unmap(r->t->memory, page, 1);
    *r->own_page = MARK + 2;
    wants(r, "unmapped_is_not", raw_until_okay(r, SWAP_REF_BUSY), GNTST_okay);
    check(r->t, "its_content_came", *r->own_page == MARK + 1, "%#x", *r->own_page);
}

static void mapped_by_grant(struct raw *r)
{
    xengnttab_handle *grants = xengnttab_open(NULL, 0);
    uint32_t *page;

    page = grants
               ? xengnttab_map_grant_ref(grants, r->t->domid, SWAP_REF_TWIN, PROT_READ | PROT_WRITE)
               : NULL;
    if (!check(r->t, "grant_map", page, "errno %d", errno))
        return;
    check(r->t, "a_grant_maps_what_was_swapped_in", *page == MARK + 2, "%#x", *page);
    wants(r, "grant_mapped_is_busy", raw(r, r->own, r->t->domid, SWAP_REF_TWIN), GNTST_eagain);
    wants(r, "so_is_its_twin", raw(r, r->own, r->t->domid, SWAP_REF_BUSY), GNTST_eagain);
    xengnttab_unmap(grants, page, 1);
    xengnttab_close(grants);
    wants(r, "not_any_more", raw_until_okay(r, SWAP_REF_TWIN), GNTST_okay);
    check(r->t, "and_back", *r->own_page == MARK + 2, "%#x", *r->own_page);
}

/* A mapping that cannot write is a reference as well. */
static void mapped_read_only(struct raw *r)
{
    xengnttab_handle *grants = xengnttab_open(NULL, 0);
    uint32_t *page =
        grants ? xengnttab_map_grant_ref(grants, r->t->domid, SWAP_REF_BUSY, PROT_READ) : NULL;

    if (!check(r->t, "grant_map_read_only", page, "errno %d", errno))
        return;
    wants(r, "mapped_for_reading_is_busy", raw(r, r->own, r->t->domid, SWAP_REF_BUSY),
          GNTST_eagain);
    xengnttab_unmap(grants, page, 1);
    xengnttab_close(grants);
    wants(r, "nor_that", raw_until_okay(r, SWAP_REF_BUSY), GNTST_okay);
}

/* Both in one call: the second takes back what the first did. */
static void twice(struct raw *r)
{
    int rc;

    *r->own_page = MARK + 5;
    for (int i = 0; i < 2; i++)
        r->frame[i] = (struct gnttab_swap_frame){.local_ref = r->own,
                                                 .remote_ref = SWAP_REF(7),
                                                 .remote_domid = r->t->domid,
                                                 .status = 1};
    rc =
        xencall3(r->call, __HYPERVISOR_grant_table_op, GNTTABOP_swap_frame, (uintptr_t)r->frame, 2);
    check(r->t, "twice_is_never",
          !rc && !r->frame[0].status && !r->frame[1].status && *r->own_page == MARK + 5,
          "%d, status %d, %d, %#x", rc, r->frame[0].status, r->frame[1].status, *r->own_page);
}

void refusals(struct tester *t)
{
    struct raw r = {0};

    if (!check(t, "refusals_open", raw_open(&r, t), "errno %d", errno))
        return;
    arguments(&r);
    bad_references(&r);
    mapped_by_a_device_model(&r);
    mapped_by_grant(&r);
    mapped_read_only(&r);
    twice(&r);
    raw_close(&r);
}
