/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rings full of whatever a frontend could put there, against the backend of PV disks.
 *
 * Input: a byte of options, then actions. Invariants, beside what the sanitizers and the rig see:
 *  - pages that are not granted, or only for reading, keep their bytes
 *  - as many answers as requests were taken, unless the ring is broken, and no more
 *  - a turn takes a bounded number of requests
 *  - a disk that is read-only keeps its bytes
 *  - nothing but reads is asked of a disk that is sealed
 *  - nothing is mapped, no page of the pool and no command is taken at the end
 */
#include <assert.h>
#include <string.h>

#include "tests/fuzz/script.h"
#include "tests/unit/pvblk_rig.h"

#define MAX_ACTIONS 200u
#define SECTORS     2048u
#define TABLE       600u /* pages of segments: four */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t take_ref(struct script *script)
{
    uint8_t kind = take(script);

    if (kind < 200)
        return kind;
    if (kind < 250)
        return TABLE + kind % 4;
    return take_n(script, 4);
}

static uint64_t take_sector(struct script *script)
{
    uint8_t kind = take(script);

    if (kind < 200)
        return (uint64_t)kind * 8;
    if (kind < 240)
        return SECTORS - 16 + kind % 32;
    return (uint64_t)take_n(script, 4) << 32 | take_n(script, 4);
}

static void take_segment(struct script *script, struct blkif_segment *segment)
{
    uint8_t sectors = take(script);

    *segment = (struct blkif_segment){.ref = take_ref(script), .last = 7};
    if (sectors < 128) {
        segment->first = sectors & 7;
        segment->last = sectors >> 3;
    } else if (sectors == 255) {
        segment->last = take(script);
    }
}

static void direct(struct pv_rig *rig, struct script *script, unsigned queue)
{
    struct blkif_segment segments[BLKIF_SEGMENTS];
    uint8_t operation = take(script), n = take(script);

    if (operation < 200)
        operation %= 4;
    if (n < 240)
        n %= BLKIF_SEGMENTS + 1;
    for (unsigned i = 0; i < BLKIF_SEGMENTS; i++)
        segments[i] = (struct blkif_segment){.ref = i, .last = 7};
    for (unsigned i = 0; i < n && i < BLKIF_SEGMENTS && script->size; i++)
        take_segment(script, &segments[i]);
    pv_rig_request(rig, queue, operation, take(script), take_sector(script), segments, n);
}

static void table(struct pv_rig *rig, struct script *script)
{
    uint8_t *page = pv_rig_page(rig, TABLE + take(script) % 4);
    unsigned first = take(script), n = take(script);

    for (unsigned i = 0; i < n && script->size; i++) {
        struct blkif_segment segment;

        take_segment(script, &segment);
        blkfront_segment(page + (size_t)((first + i) % 512) * 8, segment.ref, segment.first,
                         segment.last);
    }
}

static void raw(struct pv_rig *rig, struct script *script, unsigned queue)
{
    uint8_t *entry = pv_rig_entry(rig, queue);

    for (unsigned i = 0; i < rig->front[queue].layout.entry && script->size; i++)
        entry[i] = take(script);
}

/* More than there are entries, when the frontend has asked on without looking at answers. */
static unsigned answers(struct pv_rig *rig)
{
    struct blkfront_response response;
    unsigned n = 0;

    for (unsigned queue = 0; queue < rig->options.n_queues; queue++)
        for (unsigned i = 0;
             i < MAX_ACTIONS + rig->front[queue].entries && pv_rig_response(rig, queue, &response);
             i++)
            n++;
    return n;
}

struct target {
    struct pv_rig rig;
    uint64_t taken; /* since the connection */
    uint64_t answered;
    bool holding;
    bool quiet;       /* sealed, and what was under way has ended */
    uint64_t changes; /* until then */
};

static void check_seal(struct target *target)
{
    const struct blk_counters *counters = blk_counters(target->rig.blk);
    uint64_t changes = counters->writes + counters->flushes + counters->discards;

    assert(!target->quiet || changes == target->changes);
    target->quiet = target->rig.sealed;
    target->changes = changes;
}

static void turn(struct target *target)
{
    struct pv_rig *rig = &target->rig;
    uint64_t before = pvblk_counters(rig->pv)->requests;

    for (unsigned i = 0; i < rig->options.n_queues; i++)
        pv_rig_publish(rig, i);
    pvblk_turn(rig->pv);
    assert(pvblk_counters(rig->pv)->requests - before <= 64);
}

/* All that is on its way comes to its end. */
static void settle(struct target *target)
{
    struct pv_rig *rig = &target->rig;
    const struct pvblk_counters *counters = pvblk_counters(rig->pv);

    pv_rig_fault(rig, &(struct mem_faults){0});
    target->holding = rig->held = false;
    turn(target);
    pv_rig_settle(rig);
    target->answered += answers(rig);
    assert(!counters->active);
    check_seal(target);
    if (pvblk_connected(rig->pv) && !rig->broken)
        assert(counters->requests - target->taken == target->answered);
}

static void reconnect(struct target *target, bool other_disk)
{
    struct pv_rig *rig = &target->rig;
    bool idle = pvblk_disconnect(rig->pv);
    unsigned drained = rig->drained;

    assert(!rig->counters.mapped);
    pv_rig_fault(rig, &(struct mem_faults){0});
    target->holding = false;
    pv_rig_settle(rig);
    assert(rig->drained - drained == !idle);
    assert(pool_stats(rig->pool)->free == pool_stats(rig->pool)->pages);
    rig->broken = 0;
    if (other_disk) {
        pvblk_set_blk(rig->pv, rig->blk);
        rig->sealed = 0;
        target->quiet = false;
    }
    assert(!pv_rig_connect(rig));
    target->taken = pvblk_counters(rig->pv)->requests;
    target->answered = 0;
}

static void fault(struct target *target, struct script *script)
{
    struct mem_faults faults = {.hold = take(script) & 1};
    uint8_t what = take(script);

    if (what & 1) {
        faults.error = what & 2 ? -ENOSPC : -EOPNOTSUPP;
        faults.first = take(script) * 8u;
        faults.last = faults.first + (what >> 2);
    }
    pv_rig_fault(&target->rig, &faults);
    target->holding = faults.hold;
}

static void act(struct target *target, struct script *script)
{
    struct pv_rig *rig = &target->rig;
    uint8_t action = take(script);
    unsigned queue = (action >> 4) % rig->options.n_queues;

    switch (action & 15) {
    case 0:
    case 1:
    case 2:
        direct(rig, script, queue);
        break;
    case 3:
        raw(rig, script, queue);
        break;
    case 4:
        table(rig, script);
        break;
    case 5:
    case 6: {
        uint8_t operation = take(script);
        uint16_t n = take16(script);

        pv_rig_indirect(rig, queue, operation < 240 ? operation % 2 : operation, take(script),
                        take_sector(script), TABLE + take(script) % 4,
                        n & 0x8000 ? n : n % (PVBLK_SEGMENTS + 2));
        break;
    }
    case 7: {
        uint64_t sector = take_sector(script);

        pv_rig_discard(rig, queue, take(script), sector, take_sector(script), take(script));
        break;
    }
    case 8:
        fault(target, script);
        break;
    case 9:
        if (action & 16)
            rig->held = !rig->held;
        else if (target->holding)
            mem_release(rig->image);
        break;
    case 10:
        reconnect(target, action & 16);
        break;
    case 11:
        settle(target);
        break;
    case 12:
        if (action & 16) {
            rig->front[queue].req_prod = take_n(script, 4);
            turn(target);
            rig->front[queue].req_prod = *pv_rig_index(rig, queue, BLKIF_REQ_PROD);
        }
        break;
    case 13:
        *pv_rig_index(rig, queue, BLKIF_RSP_EVENT) = take_n(script, 4);
        break;
    default:
        turn(target);
        fake_loop_turn(rig->loop, 0);
    }
}

/* Data pages that others have: 100 to 149 are not granted, 150 to 179 for reading only. */
static void check_pages(struct pv_rig *rig)
{
    static const uint8_t page[GRANT_PAGE];

    for (uint32_t i = 100; i < 180; i++)
        assert(!memcmp(pv_rig_page(rig, i), page, sizeof(page)));
}

static void check_disk(struct pv_rig *rig)
{
    static const uint8_t zeroes[SECTORS * 512];

    if (rig->options.read_only)
        assert(!memcmp(rig->disk, zeroes, sizeof(zeroes)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script script = {data, size};
    struct target target = {0};
    struct pv_rig *rig = &target.rig;
    uint8_t options = take(&script);

    pv_rig_init(rig, &(struct pv_rig_options){
                         .sectors = SECTORS,
                         .blank = true,
                         .pool_pages = options & 1 ? BLK_REQ_PAGES : 100,
                         .depth = options & 2 ? 2 : 0,
                         .n_queues = options & 4 ? 3 : 1,
                         .ring_order = options & 8 ? 2 : 0,
                         .protocol = options & 16 ? BLKIF_X86_32 : BLKIF_X86_64,
                         .read_only = options & 32,
                         .no_discard = options & 64,
                         .swap_pages = options & 128 ? 32 : 0,
                     });
    memset(rig->grant + 100, PV_NONE, 50);
    memset(rig->grant + 150, PV_READ_ONLY, 30);
    /* A guest that reads into its rings has what it asked for, and answers cannot be counted. */
    rig->rings_are_no_data = true;
    for (unsigned i = 0; i < MAX_ACTIONS && script.size; i++)
        act(&target, &script);
    settle(&target);
    check_pages(rig);
    check_disk(rig);
    pv_rig_finish(rig);
    return 0;
}
