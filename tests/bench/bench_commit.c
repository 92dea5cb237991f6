/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of commit_table.h with a guest of hv_shm. The guest reads what it got, or does not: a
 * page that was swapped is not in the cache of whoever swapped it, and a copy is, so that is part
 * of the price.
 *
 * bench_commit [SECONDS]    time for each measurement, default 0.2
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ioreq/guestmem.h"
#include "tests/bench/commit_table.h"
#include "tests/unit/grant_rig.h"

#define PAGE    GRANT_PAGE
#define RAM     (64u << 20)
#define SPARES  4096u
#define GRANTED 8192u /* pages; the table's size */

static struct grant_rig *rig;
static uint32_t refs[GRANTED];
static volatile uint64_t sink;

/* The guest's memory as a host device sees it. */
static int dma_write(void *ctx, uint64_t gpa, const void *buf, size_t len)
{
    return guestmem_write(&hv_shm_ops, rig->at[0].guest, gpa, buf, len);
}

static const struct host_ops host_ops = {.dma_write = dma_write};
static const struct host host = {.ops = &host_ops};

static void guest_reads(void *ctx, unsigned page, unsigned count)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < count; i++) {
        uint64_t at = (page + i) % GRANTED;
        const uint64_t *word = peer_ram(rig->at[0].peer, at * PAGE, PAGE);

        for (unsigned w = 0; w < PAGE / 8; w++)
            sum += word[w];
    }
    sink = sum;
}

int main(int argc, char **argv)
{
    struct commit_table table = {.host = &host,
                                 .refs = refs,
                                 .pages = GRANTED,
                                 .clock = CLOCK_PROCESS_CPUTIME_ID,
                                 .seconds = argc > 1 ? strtod(argv[1], NULL) : 0.2};
    bool good;

    rig = grant_rig_start();
    grant_rig_guest(rig, 0, RAM, SPARES, HV_SHM_FEATURE_GRANTS | HV_SHM_FEATURE_SWAP);
    table.grants = rig->at[0].grants;
    grant_rig_grant(rig, 0, 0, false, GRANTED, refs);
    for (uint64_t at = 0; at < RAM; at += PAGE)
        memset(peer_ram(rig->at[0].peer, at, PAGE), 1, PAGE);
    printf("Data to a guest over hv_shm, processor time.\nThe guest does not look at it:\n");
    good = commit_table_print(&table);
    table.guest_reads = guest_reads;
    printf("The guest reads all of it afterwards:\n");
    good = good && commit_table_print(&table);
    grant_rig_stop(rig);
    return good ? 0 : 1;
}
