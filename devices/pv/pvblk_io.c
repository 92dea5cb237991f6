// SPDX-License-Identifier: GPL-2.0-or-later
/* Commands become requests to the disk; data is copied between these and the guest's pages. */
#include <assert.h>
#include <string.h>

#include "devices/count.h"
#include "devices/pv/pvblk_internal.h"

static uint64_t token_of(const struct pvblk *pv, const struct pvblk_cmd *cmd, unsigned part)
{
    return (uint64_t)(cmd - pv->cmds) << 8 | part;
}

/* ---- the line ---------------------------------------------------------------------------------*/

static void line_up(struct pvblk *pv, struct pvblk_cmd *cmd)
{
    if (cmd->in_line)
        return;
    cmd->in_line = true;
    cmd->next = NULL;
    *pv->line_end = cmd;
    pv->line_end = &cmd->next;
}

static void leave_line(struct pvblk *pv, struct pvblk_cmd *cmd)
{
    struct pvblk_cmd **link = &pv->line;

    if (!cmd->in_line)
        return;
    while (*link != cmd)
        link = &(*link)->next;
    *link = cmd->next;
    if (!cmd->next)
        pv->line_end = link;
    cmd->in_line = false;
}

static unsigned all_parts(const struct pvblk_cmd *cmd)
{
    return (1u << (cmd->bytes + BLK_MAX_BYTES - 1) / BLK_MAX_BYTES) - 1;
}

static void count(struct pvblk *pv, const struct pvblk_cmd *cmd)
{
    struct pvblk_counters *counters = &pv->counters;

    count_add(&counters->reads, cmd->io == BLK_READ);
    count_add(&counters->writes, cmd->io == BLK_WRITE && cmd->bytes);
    count_add(&counters->flushes, cmd->operation == BLKIF_FLUSH);
    count_add(&counters->barriers, cmd->operation == BLKIF_BARRIER);
    count_add(&counters->discards, cmd->io == BLK_DISCARD);
}

void pvblk_start(struct pvblk *pv, struct pvblk_cmd *cmd)
{
    count(pv, cmd);
    cmd->todo = cmd->preflush || cmd->io == BLK_DISCARD ? 1 : all_parts(cmd);
    if (cmd->operation != BLKIF_BARRIER) {
        line_up(pv, cmd);
        return;
    }
    assert(!pv->barrier);
    pv->barrier = cmd;
    if (pv->counters.active == 1)
        line_up(pv, cmd);
}

/* ---- the end of commands and of their parts ---------------------------------------------------*/

static bool is_flush(const struct pvblk_cmd *cmd)
{
    return cmd->operation == BLKIF_FLUSH || cmd->operation == BLKIF_BARRIER;
}

static int16_t status_of(const struct pvblk_cmd *cmd, int error)
{
    if (is_flush(cmd))
        return BLKIF_FAILED;
    return error == -EOPNOTSUPP ? BLKIF_EOPNOTSUPP : BLKIF_ERROR;
}

/* That it was a barrier's data which could not be written, or copied, makes no difference: its
 * guest flushes no more. */
static void seal(struct pvblk *pv, int error)
{
    if (pv->sealed)
        return;
    pv->sealed = true;
    pv->params.ops->sealed(pv->params.ctx, error);
}

/* A sealed disk is still read. */
static bool is_sealed(const struct pvblk *pv, const struct pvblk_cmd *cmd)
{
    return pv->sealed && cmd->io != BLK_READ;
}

/* Of a sealed disk not even what the disk has done counts: nothing makes it stable any more. */
static void finish(struct pvblk *pv, struct pvblk_cmd *cmd)
{
    if (is_sealed(pv, cmd) && cmd->status == BLKIF_OKAY)
        cmd->status = status_of(cmd, -EIO);
    count_add(&pv->counters.failed, cmd->status != BLKIF_OKAY);
    leave_line(pv, cmd);
    if (cmd == pv->barrier)
        pv->barrier = NULL;
    pvblk_answer(pv, cmd, cmd->status);
    pv->ended = true;
    if (!pv->turning)
        pv->params.ops->want_turn(pv->params.ctx);
}

/* What has been done is to be followed by something else. */
static bool goes_on(struct pvblk_cmd *cmd)
{
    if (cmd->status != BLKIF_OKAY)
        return false;
    if (cmd->preflush) {
        cmd->preflush = false;
        cmd->todo = all_parts(cmd);
    } else if (cmd->io == BLK_DISCARD) {
        cmd->todo = cmd->sectors != 0;
    }
    return cmd->todo;
}

static void part_over(struct pvblk *pv, struct pvblk_cmd *cmd, unsigned part, int error)
{
    cmd->req[part] = NULL;
    cmd->flying &= ~(1u << part);
    if (error) {
        if (is_flush(cmd))
            seal(pv, error);
        cmd->status = status_of(cmd, error);
        cmd->todo = 0;
        leave_line(pv, cmd);
    }
    if (cmd->flying)
        return;
    if (goes_on(cmd)) {
        line_up(pv, cmd);
        pv->params.ops->want_turn(pv->params.ctx);
    } else {
        finish(pv, cmd);
    }
}

/* ---- copies -----------------------------------------------------------------------------------*/

/* What part `number` covers of the guest's pages. At most PVBLK_SEGMENTS, at least 1. */
static unsigned cut(const struct pvblk_cmd *cmd, unsigned number, struct commit_segment *segments)
{
    uint32_t from = number * BLK_MAX_BYTES, end = from + BLK_MAX_BYTES, at = 0;
    unsigned n = 0;

    for (unsigned i = 0; i < cmd->n_segments && at < end; i++) {
        struct blkif_segment segment;
        uint32_t begin = at, stop;

        blkif_segment_decode(&cmd->segments[i * BLKIF_SEGMENT_BYTES], &segment);
        at += (segment.last - segment.first + 1u) * BLKIF_SECTOR;
        if (at <= from)
            continue;
        /* It may have begun in the part before, and end in the next. */
        stop = at < end ? at : end;
        segments[n] = (struct commit_segment){.ref = segment.ref,
                                              .offset = (uint16_t)(segment.first * BLKIF_SECTOR)};
        if (begin < from) {
            segments[n].offset = (uint16_t)(segments[n].offset + from - begin);
            begin = from;
        }
        segments[n++].len = (uint16_t)(stop - begin);
    }
    return n;
}

static void on_moved(struct commit_job *job)
{
    struct pvblk_part *part = (struct pvblk_part *)job;
    struct pvblk *pv = part->pv;
    struct pvblk_cmd *cmd = part->cmd;
    struct blk_req *req = cmd->req[part->number];

    count_add(&pv->counters.copy_errors, job->error != 0);
    cmd->held &= ~(1u << part->number);
    if (cmd->io == BLK_WRITE && !job->error) {
        blk_submit(req);
        return;
    }
    blk_put(req);
    /* The guest's fault, whatever it is called. */
    part_over(pv, cmd, part->number, job->error ? -EIO : 0);
}

static void add_to_batch(struct pvblk *pv, struct pvblk_cmd *cmd, unsigned number)
{
    struct pvblk_part *part;
    struct commit_job *job;

    if (pv->n_batch == PVBLK_BATCH || pv->n_segments + PVBLK_SEGMENTS > PVBLK_BATCH_SEGMENTS)
        pvblk_run_batch(pv);
    part = &pv->batch[pv->n_batch++];
    *part = (struct pvblk_part){.pv = pv, .cmd = cmd, .number = number};
    job = &part->job;
    job->segments = &pv->segments[pv->n_segments];
    job->count = cut(cmd, number, &pv->segments[pv->n_segments]);
    pv->n_segments += job->count;
    job->pages = blk_pages(cmd->req[number]);
    job->to_guest = cmd->io == BLK_READ;
    job->how = cmd->lent & 1u << number
                   ? COMMIT_SWAP
                   : commit_choose(pv->commit, job->segments, job->count, job->to_guest);
    if (job->how == COMMIT_SWAP && !(cmd->lent & 1u << number))
        job->how = COMMIT_COPY; /* there were no pages to be swapped */
    job->done = on_moved;
    commit_add(pv->commit, job);
    cmd->held |= 1u << number;
}

void pvblk_run_batch(struct pvblk *pv)
{
    if (!pv->n_batch)
        return;
    count_add(&pv->counters.copy_calls, 1);
    count_add(&pv->counters.copies, pv->n_segments);
    commit_flush(pv->commit);
    pv->n_batch = pv->n_segments = 0;
}

/* ---- requests to the disk ---------------------------------------------------------------------*/

static void give_back(void *arg, uint8_t *page)
{
    grants_swap_give(arg, page);
}

/* For a read into pages that can be swapped, if that is the way: 0 and true. */
static int get_swapping(struct pvblk *pv, struct pvblk_cmd *cmd, unsigned part, uint64_t sector,
                        uint32_t bytes, bool *ret_done)
{
    const struct grants *grants = pv->params.grants;
    struct blk_lender lender = {.give = give_back, .arg = (void *)(uintptr_t)grants};
    struct commit_segment segments[PVBLK_SEGMENTS];
    uint8_t *pages[BLK_MAX_BYTES / GRANT_PAGE];
    unsigned n = cut(cmd, part, segments);
    int err;

    if (commit_choose(pv->commit, segments, n, true) != COMMIT_SWAP ||
        !grants_swap_take(grants, pages, n))
        return 0;
    *ret_done = true;
    err = blk_get_with(pv->blk, sector, bytes, token_of(pv, cmd, part), pages, &lender,
                       &cmd->req[part]);
    for (unsigned i = 0; i < n && err; i++)
        grants_swap_give(grants, pages[i]);
    if (err)
        return err;
    count_add(&pv->counters.swaps, 1);
    cmd->lent |= 1u << part;
    return 0;
}

static int get(struct pvblk *pv, struct pvblk_cmd *cmd, unsigned part, enum blk_op op,
               uint64_t sector, uint32_t bytes)
{
    bool done = false;
    int err = 0;

    cmd->lent &= ~(1u << part);
    if (op == BLK_READ && pv->params.grants->can & GRANT_CAN_SWAP)
        err = get_swapping(pv, cmd, part, sector, bytes, &done);
    if (done)
        return err;
    return blk_get(pv->blk, op, sector, bytes, token_of(pv, cmd, part), &cmd->req[part]);
}

static bool fly(struct pvblk *pv, struct pvblk_cmd *cmd, unsigned part, enum blk_op op,
                uint64_t sector, uint32_t bytes)
{
    int err = get(pv, cmd, part, op, sector, bytes);

    if (err == -EAGAIN) {
        count_add(&pv->counters.waited, 1);
        return false;
    }
    cmd->todo &= ~(1u << part);
    if (err) {
        part_over(pv, cmd, part, err);
        return true;
    }
    cmd->flying |= 1u << part;
    pv->started += bytes;
    if (op == BLK_WRITE) {
        if (cmd->fua)
            blk_set_fua(cmd->req[part]);
        add_to_batch(pv, cmd, part);
    } else {
        blk_submit(cmd->req[part]);
    }
    return true;
}

static bool fly_discard(struct pvblk *pv, struct pvblk_cmd *cmd)
{
    uint64_t most = BLK_DISCARD_MAX / BLK_SECTOR;
    uint64_t sectors = cmd->sectors < most ? cmd->sectors : most;

    return fly(pv, cmd, 0, BLK_DISCARD, cmd->sector, (uint32_t)sectors * BLK_SECTOR);
}

static bool fly_part(struct pvblk *pv, struct pvblk_cmd *cmd, unsigned part)
{
    uint32_t from = part * BLK_MAX_BYTES, left = cmd->bytes - from;

    return fly(pv, cmd, part, cmd->io, cmd->sector + from / BLK_SECTOR,
               left < BLK_MAX_BYTES ? left : BLK_MAX_BYTES);
}

/* It has not all begun, and will not. */
static void give_up(struct pvblk *pv, struct pvblk_cmd *cmd)
{
    cmd->status = status_of(cmd, -EIO);
    if (!cmd->flying)
        finish(pv, cmd);
}

/* False: it has to wait. The last part to fly may end the command, so `todo` is looked at before.
 */
static bool start_command(struct pvblk *pv, struct pvblk_cmd *cmd)
{
    if (is_sealed(pv, cmd)) {
        give_up(pv, cmd);
        return true;
    }
    if (cmd->preflush)
        return fly(pv, cmd, 0, BLK_FLUSH, 0, 0);
    if (cmd->io == BLK_DISCARD)
        return fly_discard(pv, cmd);
    for (unsigned todo = cmd->todo; todo; todo &= todo - 1) {
        if (!fly_part(pv, cmd, (unsigned)__builtin_ctz(todo)))
            return false;
        if (!cmd->used || cmd->status != BLKIF_OKAY)
            break;
    }
    return true;
}

void pvblk_advance(struct pvblk *pv)
{
    /* All others are over. */
    if (pv->barrier && pv->counters.active == 1 && !pv->barrier->flying)
        line_up(pv, pv->barrier);
    pv->started = 0;
    while (pv->line && !blk_stopped(pv->blk)) {
        struct pvblk_cmd *cmd = pv->line;

        if (pv->started >= PVBLK_BYTES) {
            pv->params.ops->want_turn(pv->params.ctx);
            return;
        }
        if (!start_command(pv, cmd))
            return;
        if (cmd->used)
            leave_line(pv, cmd);
    }
}

static void on_done(void *owner, struct blk_req *req, int error)
{
    struct pvblk *pv = owner;
    uint64_t token = blk_req_token(req), bad = blk_req_sector(req) + blk_req_good(req) / BLK_SECTOR;
    struct pvblk_cmd *cmd = &pv->cmds[token >> 8];
    unsigned part = token & 0xff;

    assert(cmd->used && cmd->req[part] == req);
    if (error && cmd->status == BLKIF_OKAY && blk_stops(pv->blk, blk_req_op(req), bad, error)) {
        /* Its pages are for others while somebody mends the disk: the data is still the guest's,
         * and is copied again. */
        blk_put(req);
        cmd->req[part] = NULL;
        cmd->flying &= ~(1u << part);
        cmd->todo |= 1u << part;
        line_up(pv, cmd);
        return;
    }
    if (error)
        pv->params.ops->failed(pv->params.ctx, blk_req_op(req), bad, error);
    if (!error && blk_req_op(req) == BLK_READ) {
        add_to_batch(pv, cmd, part);
        pv->params.ops->want_turn(pv->params.ctx);
        return;
    }
    if (!error && blk_req_op(req) == BLK_DISCARD) {
        cmd->sector += blk_req_bytes(req) / BLK_SECTOR;
        cmd->sectors -= blk_req_bytes(req) / BLK_SECTOR;
    }
    blk_put(req);
    part_over(pv, cmd, part, error);
}

/* Inline, since what was waited for is kept for us during this call only. */
static void on_ready(void *owner)
{
    struct pvblk *pv = owner;

    if (!pv->draining) {
        pvblk_turn(pv);
    } else if (blk_idle(pv->blk)) {
        pv->draining = false;
        pv->params.ops->drained(pv->params.ctx);
    }
}

const struct blk_client_ops pvblk_client = {.done = on_done, .ready = on_ready};

void pvblk_abandon(struct pvblk *pv)
{
    for (unsigned i = 0; i < pv->n_cmds; i++) {
        struct pvblk_cmd *cmd = &pv->cmds[i];

        for (unsigned flying = cmd->used ? cmd->flying : 0; flying; flying &= flying - 1) {
            unsigned part = (unsigned)__builtin_ctz(flying);

            if (cmd->held & 1u << part)
                blk_put(cmd->req[part]);
            else
                blk_cancel(cmd->req[part]);
        }
    }
    pv->n_batch = pv->n_segments = 0;
    pv->line = NULL;
    pv->line_end = &pv->line;
    pv->barrier = NULL;
    __atomic_store_n(&pv->counters.active, 0, __ATOMIC_RELAXED);
}
