/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of tests/bench/commit_table.h on Xen, with the swapper's guest:
 *   commits DOMID [SECONDS]
 * The daemon's own code under it (ioreq/grant_swap.h). The guest does not look at its pages: an
 * emulated machine has no caches that would be cold.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>

#include "ioreq/grant_swap.h"
#include "swap.h"
#include "tests/bench/commit_table.h"

#define SPARES 512u

struct commits {
    uint16_t domid;
    xenforeignmemory_handle *memory;
    uint8_t *mapped; /* the guest's pages, while COMMIT_MEMCPY has them */
};

static void die(const char *what, int err)
{
    printf("%s: %s\n", what, strerror(err < 0 ? -err : err));
    exit(1);
}

static void begin(void *ctx, enum commit_how how)
{
    struct commits *c = ctx;
    xen_pfn_t gfn[SWAP_PAGES];
    int err[SWAP_PAGES];

    if (how != COMMIT_MEMCPY)
        return;
    for (unsigned i = 0; i < SWAP_PAGES; i++)
        gfn[i] = (SWAP_MEMORY >> 12) + i;
    c->mapped =
        xenforeignmemory_map(c->memory, c->domid, PROT_READ | PROT_WRITE, SWAP_PAGES, gfn, err);
    if (!c->mapped)
        die("map_the_guests_pages", errno);
}

static void end(void *ctx, enum commit_how how)
{
    struct commits *c = ctx;

    if (how == COMMIT_MEMCPY)
        xenforeignmemory_unmap(c->memory, c->mapped, SWAP_PAGES);
}

static int dma_write(void *ctx, uint64_t gpa, const void *buf, size_t len)
{
    struct commits *c = ctx;

    memcpy(c->mapped + gpa, buf, len);
    return 0;
}

static const struct host_ops host_ops = {.dma_write = dma_write};

/* A hypervisor without the swap: the others are measured all the same. */
static void open_swap(struct grant_xen *xen)
{
    struct swap_xen *swap;
    int rc = swap_xen_open(0, SPARES, &swap);

    if (rc == 0)
        rc = grant_swap_use(xen, swap, swap_xen_page(swap, 0), SPARES, 0);
    if (rc < 0)
        printf("# no swap: %s\n", grant_swap_refusal(rc));
}

int main(int argc, char **argv)
{
    static struct commits c;
    static uint32_t refs[SWAP_PAGES];
    struct host host = {.ops = &host_ops, .ctx = &c};
    struct commit_table table = {.host = &host,
                                 .refs = refs,
                                 .pages = SWAP_PAGES,
                                 .clock = CLOCK_MONOTONIC,
                                 .seconds = argc > 2 ? strtod(argv[2], NULL) : 1,
                                 .begin = begin,
                                 .end = end,
                                 .ctx = &c};
    struct grant_xen *xen;
    int rc;

    if (argc < 2) {
        fprintf(stderr, "usage: commits DOMID [SECONDS]\n");
        return 2;
    }
    c.domid = (uint16_t)atoi(argv[1]);
    c.memory = xenforeignmemory_open(NULL, 0);
    if (!c.memory)
        die("open", errno);
    rc = grant_xen_open(&xen);
    if (rc < 0)
        die("grants", rc);
    open_swap(xen);
    rc = grant_xen_guest_open(xen, c.domid, &table.grants);
    if (rc < 0)
        die("grants_of_the_guest", rc);
    for (unsigned i = 0; i < SWAP_PAGES; i++)
        refs[i] = SWAP_REF(i);
    return commit_table_print(&table) ? 0 : 1;
}
