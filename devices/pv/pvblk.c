// SPDX-License-Identifier: GPL-2.0-or-later
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "devices/count.h"
#include "devices/pv/pvblk_internal.h"

int pvblk_create(const struct pvblk_params *params, struct pvblk **ret_pv)
{
    struct pvblk *pv = calloc(1, sizeof(*pv));

    if (!pv)
        return -ENOMEM;
    pv->params = *params;
    pv->line_end = &pv->line;
    *ret_pv = pv;
    return 0;
}

void pvblk_destroy(struct pvblk *pv)
{
    if (!pv)
        return;
    pvblk_disconnect(pv);
    free(pv);
}

void pvblk_set_blk(struct pvblk *pv, struct blk *blk)
{
    assert(!pv->blk || (!pv->connected && !pv->draining));
    pv->blk = blk;
    pv->sealed = false;
    if (!blk)
        return;
    blk_bind(blk, &pvblk_client, pv);
    if (pv->connected)
        pv->params.ops->want_turn(pv->params.ctx);
}

struct blk *pvblk_blk(const struct pvblk *pv)
{
    return pv->blk;
}

bool pvblk_connected(const struct pvblk *pv)
{
    return pv->connected;
}

const struct pvblk_counters *pvblk_counters(const struct pvblk *pv)
{
    return &pv->counters;
}

static void unmap(struct pvblk *pv)
{
    for (unsigned i = 0; i < pv->n_queues; i++)
        if (pv->queue[i].map.base)
            grants_unmap(pv->params.grants, &pv->queue[i].map);
    memset(pv->queue, 0, sizeof(pv->queue));
    pv->n_queues = 0;
}

static int map(struct pvblk *pv, const struct pvblk_rings *rings)
{
    unsigned pages = 1u << rings->ring_order;

    pv->n_queues = rings->n_queues;
    for (unsigned i = 0; i < rings->n_queues; i++) {
        struct pvblk_queue *queue = &pv->queue[i];
        int err;

        memcpy(queue->refs, rings->queue[i].ring_ref, sizeof(queue->refs));
        queue->map = (struct grant_map){.refs = queue->refs, .count = pages, .writable = true};
        err = grants_map(pv->params.grants, &queue->map);
        if (err) {
            queue->map.base = NULL;
            unmap(pv);
            return err;
        }
        blkif_ring_attach(&queue->ring, queue->map.base, pages, rings->protocol);
    }
    return 0;
}

int pvblk_connect(struct pvblk *pv, const struct pvblk_rings *rings)
{
    int err;

    assert(!pv->connected && !pv->draining);
    assert(rings->n_queues >= 1 && rings->n_queues <= PVBLK_QUEUES);
    assert(rings->ring_order <= PVBLK_RING_ORDER);
    pv->n_cmds = rings->n_queues * PVBLK_QUEUE_CMDS;
    pv->cmds = calloc(pv->n_cmds, sizeof(*pv->cmds));
    if (!pv->cmds)
        return -ENOMEM;
    err = commit_create(&(struct commit_params){.grants = pv->params.grants}, &pv->commit);
    if (err)
        goto free_cmds;
    err = map(pv, rings);
    if (err)
        goto destroy_commit;
    for (unsigned i = pv->n_cmds; i--;) {
        pv->cmds[i].next = pv->free;
        pv->free = &pv->cmds[i];
    }
    pv->next_queue = 0;
    pv->broken = pv->hungry = false;
    pv->connected = true;
    /* What it put there before its events could reach us, and so that it tells of more. */
    pv->params.ops->want_turn(pv->params.ctx);
    return 0;

destroy_commit:
    commit_destroy(pv->commit);
    pv->commit = NULL;
free_cmds:
    free(pv->cmds);
    pv->cmds = NULL;
    return err;
}

bool pvblk_disconnect(struct pvblk *pv)
{
    if (pv->connected) {
        pv->connected = false;
        pvblk_abandon(pv);
        commit_destroy(pv->commit);
        pv->commit = NULL;
        unmap(pv);
        free(pv->cmds);
        pv->cmds = pv->free = NULL;
    }
    pv->draining = pv->blk && !blk_idle(pv->blk);
    return !pv->draining;
}

void pvblk_answer(struct pvblk *pv, struct pvblk_cmd *cmd, int16_t status)
{
    assert(cmd->used && !cmd->in_line && !cmd->flying);
    if (!pv->broken)
        blkif_ring_respond(&pv->queue[cmd->queue].ring, cmd->id, cmd->operation, status);
    cmd->used = false;
    cmd->next = pv->free;
    pv->free = cmd;
    __atomic_store_n(&pv->counters.active, pv->counters.active - 1, __ATOMIC_RELAXED);
}

static void broken(struct pvblk *pv)
{
    pv->broken = true;
    pv->params.ops->broken(pv->params.ctx, "more requests in the ring than it has room for");
}

/* One of each queue in turn. */
static void take(struct pvblk *pv, struct pvblk_fetch *fetch)
{
    struct blkif_req request;
    unsigned taken = 0, empty = 0;

    pv->hungry = false;
    while (empty < pv->n_queues) {
        unsigned queue = pv->next_queue;

        if (taken == PVBLK_BUDGET || !pv->free || pv->barrier) {
            pv->hungry = true;
            return;
        }
        pv->next_queue = (queue + 1) % pv->n_queues;
        switch (blkif_ring_take(&pv->queue[queue].ring, &request)) {
        case BLKIF_EMPTY:
            empty++;
            break;
        case BLKIF_TAKEN:
            empty = 0;
            taken++;
            pvblk_begin(pv, queue, &request, fetch);
            break;
        case BLKIF_BROKEN:
            broken(pv);
            return;
        }
    }
}

static void push(struct pvblk *pv)
{
    for (unsigned i = 0; i < pv->n_queues; i++)
        if (blkif_ring_push(&pv->queue[i].ring)) {
            count_add(&pv->counters.notifications, 1);
            pv->params.ops->notify(pv->params.ctx, i);
        }
}

/* Whether there is more to be taken, now, or a barrier has waited for what ended in this turn (who
 * is in line for the disk's slots and pages hears of them). Otherwise the frontend is to tell of
 * it, or the end of a command brings the next turn. */
static bool more(struct pvblk *pv)
{
    bool any = false;

    if (pv->ended && pv->barrier)
        return true;
    if (pv->broken)
        return false;
    if (pv->hungry)
        return pv->free && !pv->barrier;
    for (unsigned i = 0; i < pv->n_queues; i++)
        any |= blkif_ring_rearm(&pv->queue[i].ring);
    return any;
}

void pvblk_turn(struct pvblk *pv)
{
    struct pvblk_fetch fetch;

    if (!pv->connected || !pv->blk ||
        (pv->params.ops->held && pv->params.ops->held(pv->params.ctx)))
        return;
    fetch.count = 0;
    pv->turning = true;
    pv->ended = false;
    if (!pv->broken)
        take(pv, &fetch);
    pvblk_fetch(pv, &fetch);
    pvblk_advance(pv);
    pvblk_run_batch(pv);
    pv->turning = false;
    if (!pv->broken)
        push(pv);
    if (more(pv))
        pv->params.ops->want_turn(pv->params.ctx);
}
