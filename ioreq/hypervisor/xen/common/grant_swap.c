/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GNTTABOP_swap_frame; public/grant_swap.h has what it does. Part of
 * grant_table.c, which includes it, as it includes compat/grant_table.c.
 *
 * Each reference is acquired as for a copy into its page: that checks what was
 * granted, sets GTF_reading and GTF_writing so that the granting domain does
 * not revoke it and use the page for something else meanwhile, counts a pin,
 * and takes a reference to the frame. Both are released when the frames have
 * been exchanged or not, and no lock of a grant table is held in between, so
 * that the two tables need no order.
 *
 * Behind a swap, active_grant_entry.mfn is that of the frame which the domain
 * gave, until the pin is dropped; then the entry is looked up anew by whoever
 * uses it next. Who pins the entry in that moment gets this frame, finds that
 * it is not the granting domain's, and fails with a general error: he is
 * another thread of the caller's, which uses a reference while it is swapped.
 * (Who has pinned it before holds a reference to the frame, and the swap is
 * refused.) release_grant_for_copy() marks this frame dirty, which does
 * nothing for a frame that is not the domain's: frame_swap() has marked what
 * changed.
 */
DEFINE_XEN_GUEST_HANDLE(gnttab_swap_frame_t);
typedef XEN_GUEST_HANDLE_PARAM(gnttab_swap_frame_t) swap_ops_t;

#ifdef CONFIG_GRANT_SWAP

static bool __read_mostly opt_gnttab_swap;
boolean_param("gnttab_swap", opt_gnttab_swap);

/* GNTST_x; only when it is okay, there is a page and something to release. */
static int swap_acquire(struct domain *rd, grant_ref_t ref,
                        struct page_info **page)
{
    uint16_t offset, length;
    mfn_t mfn;
    int rc = acquire_grant_for_copy(rd, ref, current->domain->domain_id, false,
                                    &mfn, page, &offset, &length, false);

    if ( rc > 0 ) /* Only transitive grants have to be tried again. */
    {
        ASSERT_UNREACHABLE();
        return GNTST_eagain;
    }

    if ( rc == GNTST_okay && (offset || length != PAGE_SIZE) )
    {
        release_grant_for_copy(rd, ref, false);
        put_page(*page);
        rc = GNTST_general_error;
    }

    return rc;
}

static int swap_status(int rc)
{
    switch ( rc )
    {
    case 0:
        return GNTST_okay;

    case -EBUSY:
        return GNTST_eagain;

    case -ESRCH:
    case -EOPNOTSUPP:
        return GNTST_bad_domain;

    case -EINVAL:
        return GNTST_bad_page;

    case -ENOMEM:
        return GNTST_no_space;

    default:
        return GNTST_no_device_space;
    }
}

/* Consumes the references to the pages. */
static int swap_pages(struct domain *ld, struct page_info *local,
                      struct domain *rd, struct page_info *remote)
{
    int rc;

    BUILD_BUG_ON(FRAME_SWAP_REFS != 1);
    rc = frame_swap(ld, local, rd, remote);

    if ( rc == -EIO )
        printk(XENLOG_ERR "%pd: swap with %pd failed; frames %" PRI_mfn
                          " and %" PRI_mfn " are withdrawn\n",
               ld, rd, mfn_x(page_to_mfn(local)), mfn_x(page_to_mfn(remote)));
    else
    {
        put_page(remote);
        put_page(local);
    }

    return swap_status(rc);
}

static int swap_refs(struct domain *ld, grant_ref_t local_ref,
                     struct domain *rd, grant_ref_t remote_ref)
{
    struct page_info *local, *remote;
    int status = swap_acquire(ld, local_ref, &local);

    if ( status != GNTST_okay )
        return status;

    status = swap_acquire(rd, remote_ref, &remote);
    if ( status == GNTST_okay )
    {
        status = swap_pages(ld, local, rd, remote);
        release_grant_for_copy(rd, remote_ref, false);
    }
    else
        put_page(local);

    release_grant_for_copy(ld, local_ref, false);

    return status;
}

static int swap_one(const struct gnttab_swap_frame *op)
{
    struct domain *ld = current->domain;
    struct domain *rd = rcu_lock_domain_by_id(op->remote_domid);
    int status = GNTST_bad_domain;

    if ( !rd )
        return status;

    if ( rd == ld || rd->is_dying || !frame_swap_remote_ok(rd) )
        goto unlock;

    /* Pages change hands in both directions. */
    status = GNTST_permission_denied;
    if ( xsm_grant_transfer(XSM_HOOK, ld, rd) ||
         xsm_grant_transfer(XSM_HOOK, rd, ld) )
        goto unlock;

    status = swap_refs(ld, op->local_ref, rd, op->remote_ref);

unlock:
    rcu_unlock_domain(rd);

    return status;
}

/* As its siblings: how many were done, for a continuation, or 0 for all. */
static long gnttab_swap_frames(swap_ops_t ops, unsigned int count)
{
    struct gnttab_swap_frame op;
    unsigned int i;

    BUILD_BUG_ON(GNTTABOP_swap_frame & ~GNTTABOP_CMD_MASK);

    if ( !opt_gnttab_swap )
        return -EOPNOTSUPP;

    if ( !is_control_domain(current->domain) )
        return -EPERM;

    if ( !frame_swap_local_ok(current->domain) )
        return -EINVAL;

    if ( !guest_handle_okay(ops, count) )
        return -EFAULT;

    for ( i = 0; i < count; i++ )
    {
        if ( i && hypercall_preempt_check() )
            return i;

        if ( __copy_from_guest(&op, ops, 1) )
            return -EFAULT;

        op.status = swap_one(&op);
        if ( __copy_field_to_guest(ops, &op, status) )
            return -EFAULT;

        guest_handle_add_offset(ops, 1);
    }

    return 0;
}

#else /* !CONFIG_GRANT_SWAP */

static long gnttab_swap_frames(swap_ops_t ops, unsigned int count)
{
    return -ENOSYS;
}

#endif /* CONFIG_GRANT_SWAP */
