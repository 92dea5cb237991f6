// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Pages that held one guest's data and serve another: looks for old bytes. Two guests of hv_shm
 * share a pool so small that each page changes hands all the time; disks fail in the middle of
 * reads, requests are cancelled and disks closed while they are in flight.
 *
 * Each byte of a guest's disk and memory says whose it is, so one byte in the wrong place is found.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/backend/blk_ops.h"
#include "devices/backend/images.h"
#include "devices/backend/pool.h"
#include "devices/commit.h"
#include "tests/unit/fake_loop.h"
#include "tests/unit/grant_rig.h"

#define PAGE      4096u
#define RAM_PAGES 64u
#define SPARES    8u
#define SECTORS   512u
#define DEPTH     4u
#define SEGMENTS  8u
#define STEPS     8000u

struct side;

/* A read on its way to the guest, as a PV backend has it. */
struct read {
    struct side *side;
    struct commit_job job;
    struct commit_segment segments[SEGMENTS];
    struct blk_req *req;
    bool used;
};

struct side {
    uint8_t mark; /* each byte of this guest: disk, memory */
    const struct grants *grants;
    struct peer *peer;
    uint32_t refs[RAM_PAGES];
    struct commit *commit;
    uint8_t disk[SECTORS * BLK_SECTOR];
    struct blk_image *image;
    struct blk *blk;
    struct read reads[DEPTH];
    bool closed;
};

static struct grant_rig *rig;
static struct fake_loop *loop;
static struct pool *pool;
static struct side side[2];
static uint64_t seed = 20070815;
static unsigned went[COMMIT_HOWS], with_error;

static unsigned draw(unsigned below)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(seed >> 33) % below;
}

static void give_back(void *arg, uint8_t *page)
{
    grants_swap_give(arg, page);
}

static void committed(struct commit_job *job)
{
    struct read *read = (struct read *)((char *)job - offsetof(struct read, job));

    assert_int_equal(job->error, 0);
    went[job->how]++;
    blk_put(read->req);
    read->used = false;
}

/* A backend that tells its guest of an error may have given it the bytes nevertheless. */
static void on_done(void *owner, struct blk_req *req, int error)
{
    struct side *s = owner;
    struct read *read = &s->reads[blk_req_token(req)];

    with_error += error != 0;
    read->job.pages = blk_pages(req);
    commit_add(s->commit, &read->job);
}

static const struct blk_client_ops client = {.done = on_done};

static void on_closed(void *arg)
{
    ((struct side *)arg)->closed = true;
}

static void disk_open(struct side *s)
{
    assert_int_equal(mem_open(s->disk, SECTORS, false, fake_loop(loop), pool, &s->image), 0);
    assert_int_equal(blk_open(s->image, DEPTH, &s->blk), 0);
    blk_bind(s->blk, &client, s);
    s->closed = false;
}

static void disk_close(struct side *s)
{
    struct mem_faults none = {0};

    commit_flush(s->commit);
    mem_set_faults(s->image, &none);
    blk_close(s->blk, on_closed, s);
    assert_true(fake_loop_until(loop, &s->closed, 0));
    for (unsigned i = 0; i < DEPTH; i++)
        s->reads[i].used = false;
}

static int setup(void **state)
{
    rig = grant_rig_start();
    loop = fake_loop_create();
    assert_int_equal(pool_create(BLK_REQ_PAGES, &pool), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct side *s = &side[i];

        grant_rig_guest(rig, i, RAM_PAGES * PAGE, SPARES,
                        HV_SHM_FEATURE_GRANTS | HV_SHM_FEATURE_SWAP);
        s->mark = i ? 'B' : 'A';
        s->grants = rig->at[i].grants;
        s->peer = rig->at[i].peer;
        grant_rig_grant(rig, i, 0, false, RAM_PAGES, s->refs);
        for (unsigned p = 0; p < RAM_PAGES; p++)
            memset(peer_ram(s->peer, p * (uint64_t)PAGE, PAGE), s->mark, PAGE);
        memset(s->disk, s->mark, sizeof(s->disk));
        assert_int_equal(commit_create(&(struct commit_params){.grants = s->grants}, &s->commit),
                         0);
        disk_open(s);
    }
    return 0;
}

static int teardown(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        disk_close(&side[i]);
        commit_destroy(side[i].commit);
    }
    assert_int_equal(pool_stats(pool)->free, BLK_REQ_PAGES);
    pool_destroy(pool);
    fake_loop_destroy(loop);
    grant_rig_stop(rig);
    return 0;
}

static void nothing_of_others(const struct side *s, unsigned page)
{
    const uint8_t *bytes = peer_ram(s->peer, page * (uint64_t)PAGE, PAGE);

    for (unsigned i = 0; i < PAGE; i++)
        if (bytes[i] != s->mark && bytes[i] != 0)
            fail_msg("guest %c page %u byte %u is %02x", s->mark, page, i, bytes[i]);
}

/* What a read asks for: whole pages, or sectors anywhere, or less than a page at the end. */
static uint32_t segments_draw(struct side *s, struct read *read, enum commit_how how)
{
    unsigned count = 1 + draw(SEGMENTS);
    uint32_t bytes = 0;

    for (unsigned i = 0; i < count; i++) {
        unsigned first = how == COMMIT_SWAP ? 0 : draw(8);
        unsigned last = how == COMMIT_SWAP ? 7 : first + draw(8 - first);

        read->segments[i] =
            (struct commit_segment){.ref = s->refs[draw(RAM_PAGES)],
                                    .offset = (uint16_t)(first * BLK_SECTOR),
                                    .len = (uint16_t)((last - first + 1) * BLK_SECTOR)};
        bytes += read->segments[i].len;
    }
    read->job = (struct commit_job){.segments = read->segments,
                                    .count = count,
                                    .to_guest = true,
                                    .how = how,
                                    .done = committed};
    return bytes;
}

static void read_start(struct side *s, unsigned slot, enum commit_how how)
{
    struct read *read = &s->reads[slot];
    uint32_t bytes = segments_draw(s, read, how);
    uint64_t sector = draw(SECTORS - bytes / BLK_SECTOR);
    struct blk_lender lender = {.give = give_back, .arg = (void *)(uintptr_t)s->grants};
    uint8_t *pages[SEGMENTS];
    int rc;

    if (how == COMMIT_SWAP) {
        if (!grants_swap_take(s->grants, pages, read->job.count))
            return; /* all in flight */
        rc = blk_get_with(s->blk, sector, bytes, slot, pages, &lender, &read->req);
        for (unsigned i = 0; rc < 0 && i < read->job.count; i++)
            grants_swap_give(s->grants, pages[i]);
    } else {
        rc = blk_get(s->blk, BLK_READ, sector, bytes, slot, &read->req);
    }
    if (rc < 0)
        return;
    read->used = true;
    blk_submit(read->req);
}

static void step(struct side *s)
{
    static const enum commit_how hows[] = {COMMIT_COPY, COMMIT_COPY, COMMIT_MAP, COMMIT_SWAP};
    unsigned slot = draw(DEPTH);
    struct mem_faults faults = {.error = -EIO};

    switch (draw(8)) {
    case 0: /* bad sectors appear and go */
        faults.first = draw(SECTORS);
        faults.last = faults.first + draw(64);
        if (draw(2))
            faults.error = 0;
        mem_set_faults(s->image, &faults);
        break;
    case 1: /* the guest's device is reset */
        if (draw(8) || !s->reads[slot].used || s->reads[slot].job.pages)
            break;
        blk_cancel(s->reads[slot].req);
        s->reads[slot].used = false;
        break;
    case 2:
        if (draw(32))
            break;
        disk_close(s);
        disk_open(s);
        break;
    default:
        if (!s->reads[slot].used)
            read_start(s, slot, hows[draw(4)]);
    }
}

static void no_byte_of_one_guest_is_ever_the_others(void **state)
{
    for (unsigned i = 0; i < STEPS; i++) {
        step(&side[draw(2)]);
        if (draw(3))
            continue;
        fake_loop_turn(loop, 0);
        for (unsigned g = 0; g < 2; g++) {
            commit_flush(side[g].commit);
            for (unsigned p = 0; p < RAM_PAGES; p++)
                nothing_of_others(&side[g], p);
        }
    }
    /* It was worth looking. */
    assert_true(went[COMMIT_COPY] > 100 && went[COMMIT_MAP] > 50 && went[COMMIT_SWAP] > 50);
    assert_true(with_error > 20);
}

/* The pool's pages do hold old bytes: what follows is not for nothing. */
static void pages_keep_the_bytes_of_their_last_user(void **state)
{
    void *page[BLK_REQ_PAGES];
    struct pool_waiter waiter = {0};
    bool found = false;

    read_start(&side[0], 0, COMMIT_COPY);
    fake_loop_turn(loop, 0);
    commit_flush(side[0].commit);
    assert_true(pool_take(pool, BLK_REQ_PAGES, page, &waiter));
    for (unsigned i = 0; i < BLK_REQ_PAGES; i++)
        found = found || memchr(page[i], 'A', PAGE) != NULL;
    for (unsigned i = 0; i < BLK_REQ_PAGES; i++)
        pool_give(pool, page[i]);
    assert_true(found);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(pages_keep_the_bytes_of_their_last_user),
        TEST(no_byte_of_one_guest_is_ever_the_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
