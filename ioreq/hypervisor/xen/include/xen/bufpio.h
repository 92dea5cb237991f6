/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The buffered PIO page of an ioreq server: the guest's data port accesses are
 * answered from it where they are trapped, without a request to the emulator.
 * public/hvm/bufpio.h is the contract with the emulator.
 */
#ifndef XEN_BUFPIO_H
#define XEN_BUFPIO_H

#include <xen/errno.h>
#include <xen/mm-frame.h>
#include <xen/types.h>

#include <public/hvm/bufpio.h>

struct domain;
struct ioreq_server;
struct page_info;

#ifdef CONFIG_HVM_BUFPIO

/*
 * The server's page, made by the first request for it. The caller holds the
 * domain's ioreq server lock and has checked that the server is its own.
 */
int bufpio_get_frame(struct ioreq_server *s, mfn_t *mfn);

/*
 * Drops the page; the emulator's mappings keep theirs. No vCPU of the target
 * runs, and the server is disabled. For a server without a page: nothing.
 */
void bufpio_free(struct ioreq_server *s);

/* The caller holds the domain's ioreq server lock. */
bool bufpio_has_page(const struct ioreq_server *s,
                     const struct page_info *page);

/*
 * Registers the handler, once in a domain's life, behind those of all devices
 * that Xen emulates: their ports stay theirs.
 */
void bufpio_init(struct domain *d);

#else /* !CONFIG_HVM_BUFPIO */

static inline int bufpio_get_frame(struct ioreq_server *s, mfn_t *mfn)
{
    return -EINVAL;
}

static inline void bufpio_free(struct ioreq_server *s)
{
}

static inline bool bufpio_has_page(const struct ioreq_server *s,
                                   const struct page_info *page)
{
    return false;
}

static inline void bufpio_init(struct domain *d)
{
}

#endif /* CONFIG_HVM_BUFPIO */

#endif /* XEN_BUFPIO_H */
