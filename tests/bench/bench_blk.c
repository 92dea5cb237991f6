/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block backend alone, as a worker runs it: libev, libaio, the page pool, a disk through blk.h,
 * and no guest. What fio does with ioengine=libaio on the same file, to be compared with it
 * (tests/bench/blk.sh).
 *
 * bench_blk FILE read|randread|write|randwrite KIB DEPTH MS
 *
 * Prints requests a second.
 */
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/evloop.h"
#include "devices/backend/aio.h"
#include "devices/backend/images.h"
#include "devices/backend/pool.h"

#define DEPTH_MAX 256u

struct bench {
    struct ev_loop *ev;
    struct evloop evloop;
    struct aio *aio;
    struct pool *pool;
    struct blk *blk;
    uint32_t bytes;
    bool write, random;
    uint64_t blocks, next, seed, done;
    uint64_t end_ns;
    unsigned in_flight;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void give_up(const char *what, const char *why)
{
    fprintf(stderr, "bench_blk: %s: %s\n", what, why);
    exit(1);
}

static void submit_one(struct bench *bench)
{
    struct blk_req *req;
    uint64_t block = bench->next++ % bench->blocks;

    if (bench->random) {
        bench->seed ^= bench->seed << 13;
        bench->seed ^= bench->seed >> 7;
        bench->seed ^= bench->seed << 17;
        block = bench->seed % bench->blocks;
    }
    if (blk_get(bench->blk, bench->write ? BLK_WRITE : BLK_READ, block * bench->bytes / BLK_SECTOR,
                bench->bytes, 0, &req))
        give_up("request", "refused");
    bench->in_flight++;
    blk_submit(req);
}

static void on_done(void *owner, struct blk_req *req, int error)
{
    struct bench *bench = owner;

    if (error)
        give_up("request", strerror(-error));
    bench->in_flight--;
    bench->done++;
    blk_put(req);
    if (now_ns() < bench->end_ns)
        submit_one(bench);
    else if (!bench->in_flight)
        ev_break(bench->ev, EVBREAK_ALL);
}

static const struct blk_client_ops client_ops = {.done = on_done};

static void open_disk(struct bench *bench, const char *path, unsigned depth)
{
    const struct loop *loop = &bench->evloop.loop;
    const struct raw_options options = {.direct = true, .read_only = !bench->write};
    unsigned pages = depth * BLK_REQ_PAGES;
    struct blk_image *image;
    struct raw_image file;
    char why[256];

    if (raw_probe(path, &options, &file, why, sizeof(why)))
        give_up(path, why);
    if (!file.direct)
        give_up(path, file.why);
    if (pool_create(pages, &bench->pool) || aio_create(loop, DEPTH_MAX, &bench->aio) ||
        raw_open(&file, bench->aio, loop, bench->pool, &image) ||
        blk_open(image, depth, &bench->blk))
        give_up(path, "no memory, or fs.aio-max-nr");
    blk_bind(bench->blk, &client_ops, bench);
    bench->blocks = file.bytes / bench->bytes;
}

int main(int argc, char **argv)
{
    struct bench bench = {.seed = 88172645463325252u};
    unsigned depth = argc == 6 ? (unsigned)atoi(argv[4]) : 0;
    uint64_t begin;

    if (depth < 1 || depth > DEPTH_MAX || atoi(argv[3]) < 1 || atoi(argv[3]) > 128) {
        fprintf(stderr, "bench_blk FILE read|randread|write|randwrite KIB DEPTH MS\n");
        return 2;
    }
    bench.bytes = (uint32_t)atoi(argv[3]) * 1024;
    bench.write = strstr(argv[2], "write") != NULL;
    bench.random = strncmp(argv[2], "rand", 4) == 0;
    bench.ev = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    evloop_init(&bench.evloop, bench.ev);
    open_disk(&bench, argv[1], depth);
    begin = now_ns();
    bench.end_ns = begin + (uint64_t)atoi(argv[5]) * 1000000u;
    for (unsigned i = 0; i < depth; i++)
        submit_one(&bench);
    ev_run(bench.ev, 0);
    printf("%.0f\n", (double)bench.done / ((double)(now_ns() - begin) / 1e9));
    blk_close(bench.blk, NULL, NULL);
    aio_destroy(bench.aio);
    pool_destroy(bench.pool);
    evloop_finish(&bench.evloop);
    ev_loop_destroy(bench.ev);
    return 0;
}
