// SPDX-License-Identifier: GPL-2.0-or-later
/* What a request asks for, and whether it may. */
#include <assert.h>
#include <string.h>

#include "devices/count.h"
#include "devices/pv/pvblk_internal.h"

_Static_assert(sizeof(struct blkif_segment) == BLKIF_SEGMENT_BYTES, "stored as it lies in a ring");

static void refuse(struct pvblk *pv, struct pvblk_cmd *cmd, int16_t status)
{
    count_add(&pv->counters.refused, 1);
    pvblk_answer(pv, cmd, status);
}

static bool in_range(const struct pvblk *pv, uint64_t sector, uint64_t sectors)
{
    uint64_t end = blk_info(pv->blk)->sectors;

    return sector <= end && sectors <= end - sector;
}

static bool writable(const struct pvblk *pv)
{
    return !pv->params.read_only && !blk_info(pv->blk)->read_only;
}

/* The segments have been copied: what they cover. */
static bool measure(struct pvblk_cmd *cmd)
{
    cmd->bytes = 0;
    for (unsigned i = 0; i < cmd->n_segments; i++) {
        struct blkif_segment segment;

        blkif_segment_decode(&cmd->segments[i * BLKIF_SEGMENT_BYTES], &segment);
        if (segment.first > segment.last || segment.last >= BLKIF_PAGE_SECTORS)
            return false;
        cmd->bytes += (segment.last - segment.first + 1u) * BLKIF_SECTOR;
    }
    return true;
}

/* Reads, and writes with or without a flush before them. */
static void check_segments(struct pvblk *pv, struct pvblk_cmd *cmd)
{
    if (!measure(cmd) || !in_range(pv, cmd->sector, cmd->bytes / BLKIF_SECTOR) ||
        (cmd->io == BLK_WRITE && cmd->bytes && !writable(pv)))
        refuse(pv, cmd, BLKIF_ERROR);
    else
        pvblk_start(pv, cmd);
}

static void begin_direct(struct pvblk *pv, struct pvblk_cmd *cmd, const struct blkif_req *request)
{
    cmd->io = request->operation == BLKIF_READ ? BLK_READ : BLK_WRITE;
    cmd->preflush = request->operation == BLKIF_FLUSH || request->operation == BLKIF_BARRIER;
    cmd->fua = request->operation == BLKIF_BARRIER;
    cmd->sector = request->sector;
    /* Without segments a flush or barrier only flushes; its sector means nothing. */
    if (request->n_segments > BLKIF_SEGMENTS || (!request->n_segments && !cmd->preflush)) {
        refuse(pv, cmd, BLKIF_ERROR);
        return;
    }
    if (!request->n_segments)
        cmd->sector = 0;
    cmd->n_segments = request->n_segments;
    memcpy(cmd->segments, request->seg, request->n_segments * BLKIF_SEGMENT_BYTES);
    check_segments(pv, cmd);
}

static void begin_discard(struct pvblk *pv, struct pvblk_cmd *cmd, const struct blkif_req *request)
{
    /* BLKIF_DISCARD_SECURE is ignored by who does not have discard-secure. */
    cmd->io = BLK_DISCARD;
    cmd->sector = request->sector;
    cmd->sectors = request->discard_sectors;
    if (!pv->params.discard || !blk_info(pv->blk)->discard)
        refuse(pv, cmd, BLKIF_EOPNOTSUPP);
    else if (!writable(pv) || !cmd->sectors || !in_range(pv, cmd->sector, cmd->sectors))
        refuse(pv, cmd, BLKIF_ERROR);
    else
        pvblk_start(pv, cmd);
}

static void begin_indirect(struct pvblk *pv, struct pvblk_cmd *cmd, const struct blkif_req *request,
                           struct pvblk_fetch *fetch)
{
    if ((request->indirect_op != BLKIF_READ && request->indirect_op != BLKIF_WRITE) ||
        !request->n_segments || request->n_segments > PVBLK_SEGMENTS) {
        refuse(pv, cmd, BLKIF_ERROR);
        return;
    }
    count_add(&pv->counters.indirect, 1);
    cmd->io = request->indirect_op == BLKIF_READ ? BLK_READ : BLK_WRITE;
    cmd->sector = request->sector;
    cmd->n_segments = request->n_segments;
    assert(fetch->count < PVBLK_BUDGET);
    fetch->cmd[fetch->count] = cmd;
    fetch->copy[fetch->count++] = (struct grant_copy){
        .local = cmd->segments,
        .ref = request->indirect[0],
        .len = (uint16_t)(request->n_segments * BLKIF_SEGMENT_BYTES),
    };
}

static struct pvblk_cmd *new_command(struct pvblk *pv, unsigned queue,
                                     const struct blkif_req *request)
{
    struct pvblk_cmd *cmd = pv->free;

    pv->free = cmd->next;
    memset(cmd, 0, offsetof(struct pvblk_cmd, segments));
    cmd->used = true;
    cmd->queue = (uint8_t)queue;
    /* Linux's blkback answers with what an indirect request is about, and its blkfront gives up a
     * disk that says anything else. */
    cmd->operation =
        request->operation == BLKIF_INDIRECT ? request->indirect_op : request->operation;
    cmd->id = request->id;
    count_add(&pv->counters.requests, 1);
    __atomic_store_n(&pv->counters.active, pv->counters.active + 1, __ATOMIC_RELAXED);
    return cmd;
}

void pvblk_begin(struct pvblk *pv, unsigned queue, const struct blkif_req *request,
                 struct pvblk_fetch *fetch)
{
    struct pvblk_cmd *cmd = new_command(pv, queue, request);

    switch (request->operation) {
    case BLKIF_READ:
    case BLKIF_WRITE:
    case BLKIF_BARRIER:
    case BLKIF_FLUSH:
        begin_direct(pv, cmd, request);
        break;
    case BLKIF_DISCARD:
        begin_discard(pv, cmd, request);
        break;
    case BLKIF_INDIRECT:
        begin_indirect(pv, cmd, request, fetch);
        break;
    default:
        refuse(pv, cmd, BLKIF_EOPNOTSUPP);
    }
}

void pvblk_fetch(struct pvblk *pv, struct pvblk_fetch *fetch)
{
    if (!fetch->count)
        return;
    grants_copy(pv->params.grants, fetch->copy, fetch->count);
    count_add(&pv->counters.copy_calls, 1);
    count_add(&pv->counters.copies, fetch->count);
    for (unsigned i = 0; i < fetch->count; i++) {
        if (fetch->copy[i].status) {
            count_add(&pv->counters.copy_errors, 1);
            refuse(pv, fetch->cmd[i], BLKIF_ERROR);
        } else {
            check_segments(pv, fetch->cmd[i]);
        }
    }
}
