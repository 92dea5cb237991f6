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

#include "daemon/evloop.h"
#include "devices/backend/aio.h"
#include "devices/backend/images.h"
#include "devices/backend/pool.h"
#include "tests/bench/bench.h"

#define DEPTH_MAX 256u

struct bench {
    struct ev_loop *ev;
    struct evloop evloop;
    struct aio *aio;
    struct pool *pool;
    struct blk *blk;
    uint32_t bytes;
    struct bench_places places;
    uint64_t done, end_ns;
    unsigned in_flight;
};

static void give_up(const char *what, const char *why)
{
    fprintf(stderr, "bench_blk: %s: %s\n", what, why);
    exit(1);
}

static void submit_one(struct bench *bench)
{
    struct blk_req *req;
    uint64_t sector = bench_place(&bench->places) * bench->bytes / BLK_SECTOR;

    if (blk_get(bench->blk, bench->places.write ? BLK_WRITE : BLK_READ, sector, bench->bytes, 0,
                &req))
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
    if (bench_now() < bench->end_ns)
        submit_one(bench);
    else if (!bench->in_flight)
        ev_break(bench->ev, EVBREAK_ALL);
}

static const struct blk_client_ops client_ops = {.done = on_done};

static void open_disk(struct bench *bench, const char *path, const char *rw, unsigned depth)
{
    const struct loop *loop = &bench->evloop.loop;
    const struct raw_options options = {.direct = true, .read_only = !strstr(rw, "write")};
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
    bench_places_init(&bench->places, rw, file.bytes / bench->bytes);
}

int main(int argc, char **argv)
{
    struct bench bench = {0};
    unsigned depth = argc == 6 ? (unsigned)atoi(argv[4]) : 0;
    uint64_t begin;

    if (depth < 1 || depth > DEPTH_MAX || atoi(argv[3]) < 1 || atoi(argv[3]) > 128) {
        fprintf(stderr, "bench_blk FILE read|randread|write|randwrite KIB DEPTH MS\n");
        return 2;
    }
    bench.bytes = (uint32_t)atoi(argv[3]) * 1024;
    bench.ev = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    evloop_init(&bench.evloop, bench.ev);
    open_disk(&bench, argv[1], argv[2], depth);
    begin = bench_now();
    bench.end_ns = begin + (uint64_t)atoi(argv[5]) * 1000000u;
    for (unsigned i = 0; i < depth; i++)
        submit_one(&bench);
    ev_run(bench.ev, 0);
    printf("%.0f\n", (double)bench.done / ((double)(bench_now() - begin) / 1e9));
    blk_close(bench.blk, NULL, NULL);
    aio_destroy(bench.aio);
    pool_destroy(bench.pool);
    evloop_finish(&bench.evloop);
    ev_loop_destroy(bench.ev);
    return 0;
}
