// SPDX-License-Identifier: GPL-2.0-or-later
/* Commands become requests to the disk; data is copied between these and the guest's pages. */
#include <assert.h>
#include <string.h>

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

    counters->reads += cmd->io == BLK_READ;
    counters->writes += cmd->io == BLK_WRITE && cmd->bytes;
    counters->flushes += cmd->operation == BLKIF_FLUSH;
    counters->barriers += cmd->operation == BLKIF_BARRIER;
    counters->discards += cmd->io == BLK_DISCARD;
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

static void finish(struct pvblk *pv, struct pvblk_cmd *cmd)
{
    pv->counters.failed += cmd->status != BLKIF_OKAY;
    leave_line(pv, cmd);
    if (cmd == pv->barrier)
        pv->barrier = NULL;
    pvblk_answer(pv, cmd, cmd->status);
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
        cmd->status = error == -EOPNOTSUPP ? BLKIF_EOPNOTSUPP : BLKIF_ERROR;
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

/* The part's pieces: what [from, end) of the command's bytes have in the guest's pages. */
static void add_copies(struct pvblk *pv, const struct pvblk_cmd *cmd, uint32_t from, uint32_t end,
                       const struct iovec *iov)
{
    uint32_t at = 0;

    for (unsigned i = 0; i < cmd->n_segments && at < end; i++) {
        struct blkif_segment segment;
        uint32_t offset, stop, begin = at;

        blkif_segment_decode(&cmd->segments[i * BLKIF_SEGMENT_BYTES], &segment);
        offset = segment.first * BLKIF_SECTOR;
        stop = at + (segment.last - segment.first + 1u) * BLKIF_SECTOR;
        at = stop;
        if (stop <= from)
            continue;
        if (begin < from) { /* the segment began in the part before */
            offset += from - begin;
            begin = from;
        }
        stop = stop < end ? stop : end;
        for (uint32_t len; begin < stop; begin += len, offset += len) {
            uint32_t ours = (begin - from) % GRANT_PAGE;

            len = stop - begin < GRANT_PAGE - ours ? stop - begin : GRANT_PAGE - ours;
            assert(pv->n_copies < PVBLK_COPIES);
            pv->copies[pv->n_copies++] = (struct grant_copy){
                .local = (uint8_t *)iov[(begin - from) / GRANT_PAGE].iov_base + ours,
                .ref = segment.ref,
                .offset = (uint16_t)offset,
                .len = (uint16_t)len,
                .to_guest = cmd->io == BLK_READ,
            };
        }
    }
}

static void add_to_batch(struct pvblk *pv, struct pvblk_cmd *cmd, unsigned part)
{
    struct pvblk_part *entry;
    uint32_t from = part * BLK_MAX_BYTES;
    const struct iovec *iov;
    unsigned n_iov;

    if (pv->n_batch == PVBLK_BATCH || pv->n_copies + PVBLK_PART_COPIES > PVBLK_COPIES)
        pvblk_run_batch(pv);
    iov = blk_iov(cmd->req[part], &n_iov);
    entry = &pv->batch[pv->n_batch++];
    *entry =
        (struct pvblk_part){.cmd = cmd, .number = (uint16_t)part, .first = (uint16_t)pv->n_copies};
    add_copies(pv, cmd, from, from + blk_req_bytes(cmd->req[part]), iov);
    entry->count = (uint16_t)(pv->n_copies - entry->first);
    cmd->held |= 1u << part;
}

static int copied(struct pvblk *pv, const struct pvblk_part *part)
{
    int error = 0;

    for (unsigned i = 0; i < part->count; i++) {
        int status = pv->copies[part->first + i].status;

        if (!status)
            continue;
        pv->counters.copy_errors++;
        error = -EIO; /* the guest's fault, whatever it is called */
    }
    return error;
}

void pvblk_run_batch(struct pvblk *pv)
{
    unsigned parts = pv->n_batch;

    if (!parts)
        return;
    grants_copy(pv->params.grants, pv->copies, pv->n_copies);
    pv->counters.copy_calls++;
    pv->counters.copies += pv->n_copies;
    for (unsigned i = 0; i < parts; i++) {
        const struct pvblk_part *part = &pv->batch[i];
        struct pvblk_cmd *cmd = part->cmd;
        struct blk_req *req = cmd->req[part->number];
        int error = copied(pv, part);

        cmd->held &= ~(1u << part->number);
        if (cmd->io == BLK_WRITE && !error) {
            blk_submit(req);
            continue;
        }
        blk_put(req);
        part_over(pv, cmd, part->number, error);
    }
    pv->n_batch = pv->n_copies = 0;
}

/* ---- requests to the disk ---------------------------------------------------------------------*/

static bool fly(struct pvblk *pv, struct pvblk_cmd *cmd, unsigned part, enum blk_op op,
                uint64_t sector, uint32_t bytes)
{
    int err = blk_get(pv->blk, op, sector, bytes, token_of(pv, cmd, part), &cmd->req[part]);

    if (err == -EAGAIN) {
        pv->counters.waited++;
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

/* False: it has to wait. The last part to fly may end the command, so `todo` is looked at before.
 */
static bool start_command(struct pvblk *pv, struct pvblk_cmd *cmd)
{
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
    uint64_t token = blk_req_token(req);
    struct pvblk_cmd *cmd = &pv->cmds[token >> 8];
    unsigned part = token & 0xff;

    assert(cmd->used && cmd->req[part] == req);
    if (error && cmd->status == BLKIF_OKAY &&
        blk_stops(pv->blk, blk_req_op(req), blk_req_sector(req) + blk_req_good(req) / BLK_SECTOR,
                  error)) {
        /* Its pages are for others while somebody mends the disk: the data is still the guest's,
         * and is copied again. */
        blk_put(req);
        cmd->req[part] = NULL;
        cmd->flying &= ~(1u << part);
        cmd->todo |= 1u << part;
        line_up(pv, cmd);
        return;
    }
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
    pv->n_batch = pv->n_copies = 0;
    pv->line = NULL;
    pv->line_end = &pv->line;
    pv->barrier = NULL;
    pv->counters.active = 0;
}
