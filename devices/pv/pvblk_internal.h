/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pvblk.c (life, turns), pvblk_request.c (what a request asks for), pvblk_io.c (doing it). */
#ifndef IOEMUD_DEVICES_PV_PVBLK_INTERNAL_H
#define IOEMUD_DEVICES_PV_PVBLK_INTERNAL_H

#include "devices/commit.h"
#include "devices/pv/pvblk.h"

/* Requests taken in a turn, so that other guests of the worker get theirs. */
#define PVBLK_BUDGET 64u
/* Bytes after which no further command is started in a turn. */
#define PVBLK_BYTES (1u << 20)
/* Commands for each queue: as many as a ring of one page has entries. */
#define PVBLK_QUEUE_CMDS 32u
/* Requests to the disk that one command is made of. */
#define PVBLK_PARTS 8u
_Static_assert(PVBLK_SEGMENTS *BLKIF_PAGE <= PVBLK_PARTS * BLK_MAX_BYTES, "an indirect request");
_Static_assert(PVBLK_SEGMENTS <= BLKIF_PER_INDIRECT, "all segments lie in one indirect page");
_Static_assert(BLKIF_SECTOR == BLK_SECTOR, "sectors are sectors");

_Static_assert(PVBLK_SEGMENTS <= COMMIT_SEGMENTS_MAX, "a part is one job");

/* What one commit_flush() moves: parts, and segments of all of them. */
#define PVBLK_BATCH          64u
#define PVBLK_BATCH_SEGMENTS (2u * PVBLK_SEGMENTS)

/*
 * A request on its way:
 *
 *   taken -> [indirect segments copied] -> checked -> in line -> [flush] -> parts -> answered
 *                                                       ^------ the disk is stopped ----'
 *
 * A part is a request to the disk of BLK_MAX_BYTES (the last: the rest), a discard is made of one
 * after the other. A part is either to do, or flying: in flight or in the batch of copies.
 */
struct pvblk_cmd {
    struct pvblk_cmd *next; /* free, or in line */
    bool used, in_line;
    uint8_t queue;
    uint8_t operation; /* of the answer, with `id` */
    uint64_t id;
    enum blk_op io;
    bool preflush; /* a flush is to come first */
    bool fua;
    int16_t status; /* of the answer; not BLKIF_OKAY: nothing more is started */
    uint64_t sector;
    uint64_t sectors; /* BLK_DISCARD: what is left */
    uint32_t bytes;   /* others */
    /* A bit for each part. Held: flying in the batch. Lent: its pages are to be swapped. */
    unsigned todo, flying, held, lent;
    struct blk_req *req[PVBLK_PARTS];
    uint16_t n_segments;
    /* As an indirect page has them: it is copied here. */
    uint8_t segments[PVBLK_SEGMENTS * BLKIF_SEGMENT_BYTES];
};

struct pvblk_queue {
    struct blkif_ring ring;
    uint32_t refs[PVBLK_RING_PAGES];
    struct grant_map map; /* base NULL: none */
};

/* Indirect segments to be copied before their commands can be checked. */
struct pvblk_fetch {
    unsigned count;
    struct grant_copy copy[PVBLK_BUDGET];
    struct pvblk_cmd *cmd[PVBLK_BUDGET];
};

struct pvblk_part {
    struct commit_job job; /* first */
    struct pvblk *pv;
    struct pvblk_cmd *cmd;
    unsigned number;
};

struct pvblk {
    struct pvblk_params params;
    struct blk *blk;
    struct pvblk_counters counters;
    bool connected, broken, draining;
    bool sealed;      /* pvblk.h; until it gets another disk */
    bool turning;     /* within pvblk_turn() */
    bool ended;       /* a command, in this turn */
    uint64_t started; /* bytes, in this turn */
    bool hungry;      /* requests were left in the rings for want of a command or of the disk */

    unsigned n_queues, next_queue;
    struct pvblk_queue queue[PVBLK_QUEUES];

    unsigned n_cmds;
    struct pvblk_cmd *cmds, *free;
    struct pvblk_cmd *line, **line_end;
    struct pvblk_cmd *barrier; /* nothing is taken until it is over */

    struct commit *commit; /* while connected */
    unsigned n_segments, n_batch;
    struct commit_segment segments[PVBLK_BATCH_SEGMENTS];
    struct pvblk_part batch[PVBLK_BATCH];
};

/* pvblk_request.c: what was taken becomes a command, is refused, or waits in `fetch`. There is a
 * free command. */
void pvblk_begin(struct pvblk *pv, unsigned queue, const struct blkif_req *request,
                 struct pvblk_fetch *fetch);
/* The segments that were waited for. */
void pvblk_fetch(struct pvblk *pv, struct pvblk_fetch *fetch);

/* pvblk_io.c */
extern const struct blk_client_ops pvblk_client;
/* A command that has been checked. */
void pvblk_start(struct pvblk *pv, struct pvblk_cmd *cmd);
/* Whoever is in line, as far as the disk has room. */
void pvblk_advance(struct pvblk *pv);
/* Copies all that is to be copied. */
void pvblk_run_batch(struct pvblk *pv);
/* Lets go of every command. */
void pvblk_abandon(struct pvblk *pv);

/* pvblk.c: its answer; the command is free. */
void pvblk_answer(struct pvblk *pv, struct pvblk_cmd *cmd, int16_t status);

#endif
