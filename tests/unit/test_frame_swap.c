/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file that becomes a part of Xen (ioreq/hypervisor) and exchanges frames, compiled as it is
 * over swap_rig.h: each of its steps fails, domains die, and others take references, at every
 * moment that there is; and at every moment it is looked at who reaches which frame.
 */
#include "swap_rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Both without their includes: tests/unit/meson.build. */
#include "frame_swap_xen.h"

#include "frame_swap_code.h"

/* The frames: the local domain's that is swapped and one that is not, the remote one's likewise. */
enum { A, A_OTHER, B, B_OTHER };
#define LOCAL_GFN  2u
#define REMOTE_GFN 5u
#define REFS       2ul /* count of a page in the caller's hands */

enum event { NOTHING, LOCAL_DIES, REMOTE_DIES, HOLD_A, HOLD_B, HOLD_B_AND_LACK, OFFLINE_A };

struct rig {
    struct domain local, remote;
    enum event event;
    unsigned at, now; /* moments */
    bool happened;
    bool slow;              /* to tear down: a dying domain keeps its pages until the end */
    bool locked;            /* by the swap, when it happened */
    struct domain *held_of; /* whose the frame was when somebody took a reference to it */
    bool broken_hardware;   /* who reaches what cannot be told */
};

/* What relinquish_memory() does, as far as it gets. */
static void tear_down(struct domain *d)
{
    if (!d->is_dying || d->page_alloc_lock.held)
        return;

    for (unsigned i = 0; i < RIG_FRAMES; i++) {
        struct page_info *page = &rig_frame[i];

        if (!d->page_list.has[i])
            continue;
        /* Frozen without the lock: it would be passed over, and lost. */
        assert_true(page->count_info & PGC_count_mask);
        assert_ptr_equal(page->owner, d);
        d->page_list.has[i] = false;
        page->count_info = (page->count_info & ~PGC_allocated) - 1;
        if (!(page->count_info & PGC_count_mask))
            page->owner = NULL;
    }
}

/* At every moment. */
static void look(struct rig *rig)
{
    const struct domain *domains[] = {&rig->local, &rig->remote};
    bool frozen_may_be = rig->local.page_alloc_lock.held && rig->remote.page_alloc_lock.held;

    /* No two domains reach the page that dom0 gives, and not the one that gave it away. */
    if (!rig->broken_hardware) {
        assert_false(rig_reaches(&rig->local, A) && rig_reaches(&rig->remote, A));
        assert_false(rig_frame[A].owner == &rig->remote && rig_reaches(&rig->local, A));
    }
    for (unsigned i = 0; i <= B_OTHER; i++) {
        const struct page_info *page = &rig_frame[i];
        unsigned lists = 0;

        if (!(page->count_info & PGC_count_mask) && page->owner)
            assert_true(frozen_may_be);
        for (unsigned d = 0; d < 2; d++)
            lists += domains[d]->page_list.has[i];
        if (!frozen_may_be)
            assert_int_equal(lists, page->owner && page->count_info & PGC_allocated);
        /* Free, and another's to come: nobody reaches it. (A dead domain runs no more.) */
        for (unsigned d = 0; d < 2; d++)
            assert_false(!page->owner && !domains[d]->is_dying && rig_reaches(domains[d], i));
    }
    /* No holes. */
    assert_true(rig->local.p2m.entry[LOCAL_GFN].mfn != RIG_NOTHING);
    assert_true(rig->remote.p2m.entry[REMOTE_GFN].mfn != RIG_NOTHING);
}

static void hold(struct rig *rig, unsigned frame)
{
    struct page_info *page = &rig_frame[frame];

    if (!(page->count_info & PGC_count_mask))
        return;
    page->count_info++;
    rig->held_of = page->owner;
}

static void meanwhile(void *ctx)
{
    struct rig *rig = ctx;

    look(rig);
    if (rig->now++ == rig->at) {
        rig->happened = true;
        rig->locked = rig->remote.page_alloc_lock.held || rig_frame[A].owner == &rig->remote;
        switch (rig->event) {
        case NOTHING:
            break;
        case LOCAL_DIES:
            rig->local.is_dying = 1;
            break;
        case REMOTE_DIES:
            rig->remote.is_dying = 1;
            break;
        case HOLD_A:
            hold(rig, A);
            break;
        case HOLD_B:
            hold(rig, B);
            break;
        case HOLD_B_AND_LACK: /* what has to be taken back needs no memory */
            hold(rig, B);
            rig_free = 0;
            break;
        case OFFLINE_A:
            rig_frame[A].count_info |= PGC_offlining;
            break;
        }
    }
    if (!rig->slow) {
        tear_down(&rig->local);
        tear_down(&rig->remote);
    }
}

static void begin(struct rig *rig, unsigned order)
{
    memset(rig_frame, 0, sizeof(rig_frame));
    rig_unreachable = rig_fail_set = rig_fail_map = rig_fail_flush = 0;
    rig_no_memory = rig_no_iommu_memory = false;
    rig_free = 100000;
    rig_claimed = rig_maps = 0;
    *rig = (struct rig){.at = ~0u};
    rig_domain(&rig->local, true);
    rig_domain(&rig->remote, false);
    rig_give(&rig->local, A, LOCAL_GFN, order);
    rig_give(&rig->local, A_OTHER, LOCAL_GFN + 1, order);
    rig_give(&rig->remote, B, REMOTE_GFN, order);
    rig_give(&rig->remote, B_OTHER, REMOTE_GFN + 1, order);
    rig_meanwhile = meanwhile;
    rig_meanwhile_ctx = rig;
}

static void put_page(struct page_info *page)
{
    assert_true(page->count_info & PGC_count_mask);
    page->count_info--;
    if (!(page->count_info & PGC_count_mask))
        page->owner = NULL;
}

/* As common/grant_swap.c does it. */
static int swap(struct rig *rig)
{
    int rc;

    rig_frame[A].count_info++;
    rig_frame[B].count_info++;
    rc = frame_swap(&rig->local, &rig_frame[A], &rig->remote, &rig_frame[B]);
    if (rc != -EIO) {
        put_page(&rig_frame[B]);
        put_page(&rig_frame[A]);
    }
    look(rig);
    assert_true(rig_unlocked());
    rig_meanwhile = NULL;
    return rc;
}

/* Where the two frames are: swapped or not, in every respect, for those domains that live. */
static void is_swapped(const struct rig *rig, bool swapped)
{
    unsigned local = swapped ? B : A, remote = swapped ? A : B;

    if (!rig->local.is_dying) {
        assert_int_equal(rig->local.p2m.entry[LOCAL_GFN].mfn, local);
        assert_int_equal(rig->local.p2m.entry[LOCAL_GFN].iommu, local);
        assert_int_equal(rig->local.p2m.entry[LOCAL_GFN].cpu, 1u << local);
        assert_int_equal(rig->local.p2m.entry[LOCAL_GFN].device, 1u << local);
        assert_int_equal(rig_m2p[local], LOCAL_GFN);
        assert_ptr_equal(rig_frame[local].owner, &rig->local);
    }
    if (!rig->remote.is_dying) {
        assert_int_equal(rig->remote.p2m.entry[REMOTE_GFN].mfn, remote);
        assert_int_equal(rig->remote.p2m.entry[REMOTE_GFN].cpu, 1u << remote);
        assert_int_equal(rig_m2p[remote], REMOTE_GFN);
        assert_ptr_equal(rig_frame[remote].owner, &rig->remote);
    }
}

static void counts_are(unsigned long a, unsigned long b)
{
    assert_int_equal(rig_frame[A].count_info & PGC_count_mask, a);
    assert_int_equal(rig_frame[B].count_info & PGC_count_mask, b);
}

static void two_frames_change_places(void **state)
{
    struct rig rig;

    begin(&rig, PAGE_ORDER_4K);
    assert_int_equal(swap(&rig), 0);
    is_swapped(&rig, true);
    counts_are(1, 1);
    assert_ptr_equal(rig_frame[A_OTHER].owner, &rig.local);
    assert_ptr_equal(rig_frame[B_OTHER].owner, &rig.remote);
    /* And back. */
    rig_frame[A].count_info++;
    rig_frame[B].count_info++;
    assert_int_equal(frame_swap(&rig.local, &rig_frame[B], &rig.remote, &rig_frame[A]), 0);
    is_swapped(&rig, false);
}

static void large_pages_are_split_before(void **state)
{
    struct rig rig;

    begin(&rig, PAGE_ORDER_2M);
    assert_int_equal(swap(&rig), 0);
    is_swapped(&rig, true);
}

static void without_memory_nothing_changes(void **state)
{
    struct rig rig;

    begin(&rig, PAGE_ORDER_2M);
    rig_no_memory = true;
    assert_int_equal(swap(&rig), -ENOMEM);
    is_swapped(&rig, false);
    counts_are(1, 1);
    begin(&rig, PAGE_ORDER_2M);
    rig.remote.p2m.entry[REMOTE_GFN].order = PAGE_ORDER_4K;
    rig_no_memory = true;
    assert_int_equal(swap(&rig), -ENOMEM);
    is_swapped(&rig, false);
    counts_are(1, 1);
    begin(&rig, PAGE_ORDER_2M);
    rig_no_iommu_memory = true;
    assert_int_equal(swap(&rig), -ENOMEM);
    is_swapped(&rig, false);
    counts_are(1, 1);
}

/* To ask for some would crash dom0. */
static void a_host_that_is_short_of_memory_is_not_asked_for_any(void **state)
{
    struct rig rig;

    begin(&rig, PAGE_ORDER_4K);
    rig_claimed = rig_free;
    assert_int_equal(swap(&rig), -ENOMEM);
    assert_int_equal(rig_maps, 0);
    is_swapped(&rig, false);
    counts_are(1, 1);
    begin(&rig, PAGE_ORDER_4K);
    rig_free = 10;
    assert_int_equal(swap(&rig), -ENOMEM);
    assert_int_equal(rig_maps, 0);
    is_swapped(&rig, false);
}

static void a_new_content_is_logged_as_written(void **state)
{
    struct rig rig;

    begin(&rig, PAGE_ORDER_4K);
    rig.remote.log_dirty = true;
    rig.remote.p2m.entry[REMOTE_GFN].type = p2m_ram_logdirty;
    assert_int_equal(swap(&rig), 0);
    is_swapped(&rig, true);
    assert_true(rig.remote.p2m.entry[REMOTE_GFN].dirty);
    assert_false(rig.remote.p2m.entry[REMOTE_GFN + 1].dirty);
    assert_int_equal(rig.remote.p2m.entry[REMOTE_GFN].type, p2m_ram_rw);
}

static void access_rights_stay_with_the_address(void **state)
{
    struct rig rig;

    begin(&rig, PAGE_ORDER_4K);
    rig.remote.p2m.entry[REMOTE_GFN].access = p2m_access_n;
    assert_int_equal(swap(&rig), 0);
    assert_int_equal(rig.remote.p2m.entry[REMOTE_GFN].access, p2m_access_n);
    assert_int_equal(rig.local.p2m.entry[LOCAL_GFN].access, p2m_access_rwx);
}

/* Whatever is wrong with a page is refused, and leaves all as it is. */
static void refuses(void (*spoil)(struct rig *rig), int wanted)
{
    struct rig rig;
    unsigned long a, b;

    begin(&rig, PAGE_ORDER_4K);
    spoil(&rig);
    a = rig_frame[A].count_info;
    b = rig_frame[B].count_info;
    assert_int_equal(swap(&rig), wanted);
    assert_int_equal(rig_frame[A].count_info, a);
    assert_int_equal(rig_frame[B].count_info, b);
    assert_int_equal(rig.local.p2m.entry[LOCAL_GFN].mfn, A);
    assert_int_equal(rig.local.p2m.entry[LOCAL_GFN].iommu, A);
    assert_int_equal(rig.remote.p2m.entry[REMOTE_GFN].mfn, B);
    assert_ptr_equal(rig_frame[A].owner, &rig.local);
    assert_ptr_equal(rig_frame[B].owner, &rig.remote);
}

static void held(struct rig *rig)
{
    rig_frame[B].count_info++;
}

static void ours_held(struct rig *rig)
{
    rig_frame[A].count_info++;
}

static void of_xen(struct rig *rig)
{
    rig_frame[B].count_info |= PGC_extra;
}

static void going_offline(struct rig *rig)
{
    rig_frame[B].count_info |= PGC_offlining;
}

static void typed(struct rig *rig)
{
    rig_frame[B].u.inuse.type_info = PGT_writable_page | PGT_validated | 1;
}

static void shared_type(struct rig *rig)
{
    rig_frame[B].u.inuse.type_info = PGT_shared_page | PGT_validated;
}

static void type_locked(struct rig *rig)
{
    rig_frame[B].u.inuse.type_info = PGT_locked;
}

static void not_coherent(struct rig *rig)
{
    rig_frame[A].u.inuse.type_info = PGT_writable_page | PGT_validated | PGT_non_coherent;
}

static void shared_entry(struct rig *rig)
{
    rig->remote.p2m.entry[REMOTE_GFN].type = p2m_ram_shared;
}

static void elsewhere(struct rig *rig)
{
    rig_m2p[B] = REMOTE_GFN + 1;
}

static void nowhere(struct rig *rig)
{
    rig_m2p[A] = RIG_NOTHING;
}

static void with_views(struct rig *rig)
{
    rig->remote.altp2m = true;
}

static void what_is_in_use_is_busy(void **state)
{
    refuses(held, -EBUSY);
    refuses(ours_held, -EBUSY);
    refuses(typed, -EBUSY);
    refuses(shared_type, -EBUSY);
    refuses(type_locked, -EBUSY);
    refuses(not_coherent, -EBUSY);
}

static void what_is_no_ordinary_memory_is_refused(void **state)
{
    refuses(of_xen, -EINVAL);
    refuses(going_offline, -EINVAL);
    refuses(shared_entry, -EINVAL);
    refuses(elsewhere, -EINVAL);
    refuses(nowhere, -EINVAL);
    refuses(with_views, -EOPNOTSUPP);
}

static void was_writable(struct rig *rig)
{
    rig_frame[A].u.inuse.type_info = rig_frame[B].u.inuse.type_info =
        PGT_writable_page | PGT_validated;
}

static void a_type_without_references_is_none(void **state)
{
    struct rig rig;

    begin(&rig, PAGE_ORDER_4K);
    was_writable(&rig);
    assert_int_equal(swap(&rig), 0);
    is_swapped(&rig, true);
}

static void only_some_domains_have_frames_to_swap(void **state)
{
    struct rig rig;

    begin(&rig, PAGE_ORDER_4K);
    assert_true(frame_swap_local_ok(&rig.local) && frame_swap_remote_ok(&rig.remote));
    assert_false(frame_swap_local_ok(&rig.remote) || frame_swap_remote_ok(&rig.local));
    rig.remote.iommu = true;
    assert_false(frame_swap_remote_ok(&rig.remote));
    rig.remote.iommu = false;
    rig.remote.nested = true;
    assert_false(frame_swap_remote_ok(&rig.remote));
    rig.remote.nested = false;
    rig.remote.hap = rig.local.hap = false;
    assert_false(frame_swap_remote_ok(&rig.remote) || frame_swap_local_ok(&rig.local));
    rig.remote.hap = rig.local.hap = true;
    rig.remote.hvm = rig.local.hvm = false;
    assert_false(frame_swap_remote_ok(&rig.remote) || frame_swap_local_ok(&rig.local));
    rig_meanwhile = NULL;
}

/* Runs swaps with that event at every moment; `judge` sees each. How often they were swapped. */
static unsigned at_every_moment(enum event event, unsigned order, bool slow,
                                void (*judge)(struct rig *rig, int rc))
{
    unsigned swapped = 0;
    struct rig rig;

    for (unsigned at = 0;; at++) {
        int rc;

        begin(&rig, order);
        rig.event = event;
        rig.at = at;
        rig.slow = slow;
        rc = swap(&rig);
        if (!rig.happened) {
            assert_int_equal(rc, 0);
            assert_true(at > 20 && swapped < at);
            return swapped;
        }
        swapped += !rc;
        judge(&rig, rc);
    }
}

static void judge_death(struct rig *rig, int rc)
{
    struct domain *dead = rig->local.is_dying ? &rig->local : &rig->remote;
    struct domain *alive = rig->local.is_dying ? &rig->remote : &rig->local;
    unsigned owned = 0;

    assert_true(rc == 0 || rc == -ESRCH || rc == -EBUSY || rc == -EINVAL);
    /* What is known to die before the frames change owner is not given any. */
    assert_true(rc || rig->locked);
    is_swapped(rig, !rc);
    tear_down(dead);
    for (unsigned i = 0; i <= B_OTHER; i++) {
        assert_ptr_not_equal(rig_frame[i].owner, dead);
        if (rig_frame[i].owner == alive) {
            owned++;
            assert_int_equal(rig_frame[i].count_info, PGC_allocated | 1);
        } else {
            assert_int_equal(rig_frame[i].count_info, 0);
        }
    }
    assert_int_equal(owned, 2);
}

static void a_domain_that_dies_at_any_moment_loses_no_page(void **state)
{
    for (unsigned order = 0; order <= PAGE_ORDER_2M; order += PAGE_ORDER_2M) {
        for (int slow = 0; slow < 2; slow++) {
            assert_true(at_every_moment(REMOTE_DIES, order, slow, judge_death) > 0);
            assert_true(at_every_moment(LOCAL_DIES, order, slow, judge_death) > 0);
        }
    }
}

/* Who got hold of a frame got hold of its owner's: it has not changed owner under him. */
static void judge_hold(struct rig *rig, int rc)
{
    unsigned frame = rig->event == HOLD_A ? A : B;

    assert_true(rc == 0 || rc == -EBUSY || (rc == -ENOMEM && !rig_free));
    is_swapped(rig, !rc);
    if (rig->held_of) {
        assert_ptr_equal(rig_frame[frame].owner, rig->held_of);
        put_page(&rig_frame[frame]);
    }
    counts_are(1, 1);
}

static void who_holds_a_page_at_any_moment_keeps_it(void **state)
{
    assert_true(at_every_moment(HOLD_A, PAGE_ORDER_2M, false, judge_hold) > 0);
    assert_true(at_every_moment(HOLD_B, PAGE_ORDER_2M, false, judge_hold) > 0);
    assert_true(at_every_moment(HOLD_B_AND_LACK, PAGE_ORDER_2M, false, judge_hold) > 0);
}

static void judge_offline(struct rig *rig, int rc)
{
    is_swapped(rig, !rc);
    assert_int_equal(rig_frame[A].count_info, PGC_allocated | PGC_offlining | 1);
}

static void a_page_that_goes_offline_is_still_known_to(void **state)
{
    at_every_moment(OFFLINE_A, PAGE_ORDER_4K, false, judge_offline);
}

/* One of the steps fails, without a reason that the file could know. */
static void any_step_that_fails_is_taken_back(void **state)
{
    unsigned *const steps[] = {&rig_fail_set, &rig_fail_map, &rig_fail_flush};
    unsigned failed = 0;
    struct rig rig;

    for (unsigned s = 0; s < 3; s++) {
        for (unsigned nth = 1;; nth++) {
            int rc;

            begin(&rig, PAGE_ORDER_2M);
            *steps[s] = nth;
            rc = swap(&rig);
            if (*steps[s])
                break; /* there are no more of these */
            failed++;
            assert_true(rc < 0);
            if (rc == -EIO) {
                /* The last one, which cannot fail: nobody gets the frames any more. */
                assert_true(rig_unreachable && rig.remote.crashed);
                counts_are(REFS, REFS);
            } else {
                is_swapped(&rig, false);
                counts_are(1, 1);
            }
        }
    }
    assert_true(failed >= 6);
}

/* An IOMMU that stops working: what cannot be taken back is not given to anybody. */
static void broken_hardware_withdraws_both_frames(void **state)
{
    unsigned withdrawn = 0, restored = 0;
    struct rig rig;

    for (unsigned n = 0; n < 60 * 16; n++) {
        int rc;

        begin(&rig, PAGE_ORDER_4K);
        rig.broken_hardware = true;
        rig.event = HOLD_B; /* so that it has to be taken back */
        rig.at = n / 16;
        rig_fail_flush = n % 4;
        rig_fail_map = n / 4 % 4;
        rc = swap(&rig);
        if (rc == -EIO) {
            withdrawn++;
            assert_true((rig_frame[A].count_info & PGC_count_mask) >= REFS);
            assert_true((rig_frame[B].count_info & PGC_count_mask) >= REFS);
            assert_ptr_equal(rig_frame[A].owner, &rig.local);
            assert_ptr_equal(rig_frame[B].owner, &rig.remote);
        } else {
            restored += rc < 0;
            is_swapped(&rig, !rc);
        }
    }
    assert_true(withdrawn > 0 && restored > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_frames_change_places),
        cmocka_unit_test(large_pages_are_split_before),
        cmocka_unit_test(without_memory_nothing_changes),
        cmocka_unit_test(a_host_that_is_short_of_memory_is_not_asked_for_any),
        cmocka_unit_test(a_new_content_is_logged_as_written),
        cmocka_unit_test(access_rights_stay_with_the_address),
        cmocka_unit_test(what_is_in_use_is_busy),
        cmocka_unit_test(what_is_no_ordinary_memory_is_refused),
        cmocka_unit_test(a_type_without_references_is_none),
        cmocka_unit_test(only_some_domains_have_frames_to_swap),
        cmocka_unit_test(a_domain_that_dies_at_any_moment_loses_no_page),
        cmocka_unit_test(who_holds_a_page_at_any_moment_keeps_it),
        cmocka_unit_test(a_page_that_goes_offline_is_still_known_to),
        cmocka_unit_test(any_step_that_fails_is_taken_back),
        cmocka_unit_test(broken_hardware_withdraws_both_frames),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
