/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PV disk of a simulated guest over hv_shm: the daemon's worker with its loop, pool and libaio
 * context, its backend of blkif with the grants of hv_shm, and in another thread a frontend that
 * keeps so many requests on their way and sleeps when there is no answer. Event channels are
 * eventfds, since hv_shm has none. What fio does with ioengine=libaio on the same file, to be
 * compared with it (tests/bench/blk.sh).
 *
 * bench_pvblk FILE read|randread|write|randwrite KIB DEPTH MS
 *
 * Prints requests a second. With $VERBOSE what each cost: processor time of both sides, events,
 * turns, system calls of the disk.
 */
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "daemon/vm_pv.h"
#include "devices/backend/images.h"
#include "tests/bench/bench.h"
#include "tests/peer/blkfront.h"
#include "tests/unit/grant_rig.h"

/* What the daemon's configuration has where nothing is said. */
#define POOL_PAGES 2048u
#define AIO_DEPTH  256u
#define POLL_US    200u

#define DEPTH_MAX 32u /* a ring of one page */
#define HANG_S    10u /* an answer that comes no more ends the program */

struct hv_channels {
    int to_backend, to_frontend;
    uint64_t told_backend, told_frontend;
};

/* What the frontend has of one request. */
struct slot {
    uint32_t ref[PVBLK_SEGMENTS], table;
};

static struct bench {
    /* The daemon's side. */
    struct log log;
    struct hv_ops ops;
    struct worker *worker;
    struct vm vm; /* as much of it as a guest without emulated devices needs */
    struct vm_disk disk;
    struct vm_pv *pv;
    struct mail mail;
    sem_t over;
    int err;
    struct hv_channels channels;
    struct pvblk_rings rings;
    /* The guest's. */
    struct grant_rig *grants;
    struct blkfront front;
    struct slot slot[DEPTH_MAX];
    unsigned pages; /* of a request */
    struct bench_places places;
    uint64_t sleeps;
} bench;

/* ---- event channels ---------------------------------------------------------------------------*/

static void tell(int fd)
{
    const uint64_t one = 1;

    bench_check_call(write(fd, &one, sizeof(one)) == sizeof(one), "event");
}

static int channels_adopt(struct hv_guest *guest, int fd, struct hv_channels **ret_channels)
{
    *ret_channels = &bench.channels;
    return 0;
}

static int channels_bind(struct hv_channels *channels, unsigned index, uint32_t port)
{
    return 0;
}

static void channels_nothing(struct hv_channels *channels)
{
}

static int channels_fd(const struct hv_channels *channels)
{
    return channels->to_backend;
}

static uint32_t channels_pending(struct hv_channels *channels)
{
    uint64_t count;

    return read(channels->to_backend, &count, sizeof(count)) > 0;
}

static void channels_notify(struct hv_channels *channels, unsigned index)
{
    channels->told_frontend++;
    tell(channels->to_frontend);
}

static const struct hv_pv_ops channels_ops = {
    .channels_adopt = channels_adopt,
    .channels_close = channels_nothing,
    .channels_bind = channels_bind,
    .channels_unbind = channels_nothing,
    .channels_fd = channels_fd,
    .channels_pending = channels_pending,
    .channels_notify = channels_notify,
};

/* ---- the daemon's side ------------------------------------------------------------------------*/

/* On the worker's thread. */
static void call(void (*run)(struct mail *mail), const char *what)
{
    bench.mail.run = run;
    mailbox_post(&bench.worker->mailbox, &bench.mail);
    while (sem_wait(&bench.over))
        ;
    errno = -bench.err;
    bench_check_call(!bench.err, what);
}

static void on_news(void *ctx, unsigned unit, const struct vm_pv_news *news)
{
    bench_check(news->event == VM_PV_DRAINED, *news->why ? news->why : strerror(-news->error));
}

static void on_disk_error(void *ctx, enum host_log_level level, const char *device,
                          const char *format, va_list args)
{
    bench_check(false, format);
}

static const struct host_ops host_ops = {.log = on_disk_error};

static void connect_backend(struct mail *mail)
{
    struct vm_pv_params params = {.disk = bench.disk,
                                  .twin = -1,
                                  .channels_fd = bench.channels.to_backend,
                                  .grants_fd = {-1, -1},
                                  .counts_fd = -1,
                                  .ret_pv = &bench.pv};

    bench.vm.host = (struct host){.ops = &host_ops};
    bench.err =
        pool_share_create(bench.worker->pool, BLK_HELD_BYTES / POOL_PAGE, &bench.vm.pool_share);
    if (!bench.err)
        bench.err = vm_pv_open(&bench.vm, &params);
    if (!bench.err)
        bench.err = vm_pv_connect(bench.pv, &bench.rings);
    sem_post(&bench.over);
}

/* Nothing is in flight. */
static void end_backend(struct mail *mail)
{
    vm_pv_close_all(&bench.vm);
    pool_share_close(bench.vm.pool_share);
    sem_post(&bench.over);
}

static void start_worker(const char *path, const char *rw)
{
    struct raw_options options = {.direct = true, .read_only = !strstr(rw, "write")};
    struct worker_params params = {
        .pool_pages = POOL_PAGES, .aio_depth = AIO_DEPTH, .poll_us = POLL_US, .log = &bench.log};
    const char *what;
    char why[256];

    bench_check(!raw_probe(path, &options, &bench.disk.raw, why, sizeof(why)), why);
    bench_check(bench.disk.raw.direct, bench.disk.raw.why);
    bench.disk.drive = MACHINE_IDE_DRIVES;
    bench_places_init(&bench.places, rw, bench.disk.raw.bytes / (bench.pages * GRANT_PAGE));
    log_init(&bench.log, STDERR_FILENO);
    sem_init(&bench.over, 0, 0);
    bench_check(!worker_create(&params, &bench.worker, &what), what);
    bench.ops = hv_shm_ops;
    bench.ops.pv = &channels_ops;
    bench.vm.worker = bench.worker;
    bench.vm.params.hv = &bench.ops;
    bench.vm.params.pv_news = on_news;
    bench.vm.params.guest = bench.grants->at[0].guest;
    bench.channels.to_backend = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bench.channels.to_frontend = eventfd(0, EFD_CLOEXEC);
    bench_check_call(bench.channels.to_backend >= 0 && bench.channels.to_frontend >= 0, "eventfd");
    call(connect_backend, "PV disk");
}

/* ---- the guest --------------------------------------------------------------------------------*/

/* The ring, then tables of segments, then the requests' pages. */
static void start_guest(unsigned depth, bool readonly)
{
    size_t size = (1 + depth * (1 + (size_t)bench.pages)) * GRANT_PAGE;
    uint64_t gpa = GRANT_PAGE;

    bench.grants = grant_rig_start();
    grant_rig_guest(bench.grants, 0, size, 0, HV_SHM_FEATURE_GRANTS);
    grant_rig_grant(bench.grants, 0, 0, false, 1, bench.rings.queue[0].ring_ref);
    bench.rings.n_queues = 1;
    blkfront_init(&bench.front, peer_ram(bench.grants->at[0].peer, 0, GRANT_PAGE), 1,
                  bench.rings.protocol);
    blkfront_reset(&bench.front);
    for (unsigned i = 0; i < depth; i++, gpa += GRANT_PAGE) {
        struct slot *slot = &bench.slot[i];
        uint8_t *table = peer_ram(bench.grants->at[0].peer, gpa, GRANT_PAGE);

        grant_rig_grant(bench.grants, 0, gpa, true, 1, &slot->table);
        grant_rig_grant(bench.grants, 0, (1 + depth + i * (uint64_t)bench.pages) * GRANT_PAGE,
                        readonly, bench.pages, slot->ref);
        for (unsigned j = 0; j < bench.pages; j++)
            blkfront_segment(table + (size_t)j * BLKIF_SEGMENT_BYTES, slot->ref[j], 0,
                             BLKIF_PAGE_SECTORS - 1);
    }
}

static void request(unsigned number)
{
    const struct slot *slot = &bench.slot[number];
    struct blkif_segment segments[BLKIF_SEGMENTS];
    uint8_t operation = bench.places.write ? BLKIF_WRITE : BLKIF_READ;
    uint64_t sector = bench_place(&bench.places) * bench.pages * BLKIF_PAGE_SECTORS;

    if (bench.pages > BLKIF_SEGMENTS) {
        blkfront_indirect(&bench.front, operation, number, sector, slot->table, bench.pages);
        return;
    }
    for (unsigned i = 0; i < bench.pages; i++)
        segments[i] = (struct blkif_segment){.ref = slot->ref[i], .last = BLKIF_PAGE_SECTORS - 1};
    blkfront_request(&bench.front, operation, number, sector, segments, bench.pages);
}

static void publish(void)
{
    if (!blkfront_publish(&bench.front))
        return;
    bench.channels.told_backend++;
    tell(bench.channels.to_backend);
}

/* One system call in the place of an interrupt. */
static void sleep_for_answers(void)
{
    uint64_t count;

    bench.sleeps++;
    bench_check_call(read(bench.channels.to_frontend, &count, sizeof(count)) == sizeof(count),
                     "event");
}

/* The number of requests until they are all over. */
static uint64_t serve(unsigned depth, uint64_t end_ns)
{
    uint64_t done = 0;
    unsigned in_flight = depth;

    for (unsigned i = 0; i < depth; i++)
        request(i);
    publish();
    while (in_flight) {
        struct blkfront_response response;
        bool more = bench_now() < end_ns;

        while (blkfront_response(&bench.front, &response)) {
            bench_check(response.status == BLKIF_OKAY && response.id < depth, "request");
            done++;
            if (more)
                request((unsigned)response.id);
            else
                in_flight--;
        }
        publish();
        if (in_flight && !blkfront_rearm(&bench.front))
            sleep_for_answers();
    }
    return done;
}

static void tell_costs(double done, uint64_t processor_ns)
{
    const struct pvblk_counters *counters = vm_pv_counters(bench.pv);
    const struct aio_stats *aio = aio_stats(bench.worker->aio);

    fprintf(stderr,
            "a request: %.1f us of processor time, %.2f events to the backend, %.2f to the "
            "frontend, which slept %.2f times; "
            "%.2f turns of the loop, %.2f batches of copies, %.2f io_submit\n",
            (double)processor_ns / 1e3 / done, (double)bench.channels.told_backend / done,
            (double)bench.channels.told_frontend / done, (double)bench.sleeps / done,
            (double)bench.worker->watcher.wakeups / done, (double)counters->copy_calls / done,
            (double)aio->submits / done);
}

int main(int argc, char **argv)
{
    unsigned depth = argc == 6 ? (unsigned)atoi(argv[4]) : 0;
    unsigned kib = argc == 6 ? (unsigned)atoi(argv[3]) : 0;
    uint64_t begin, done, took_ns, processor_ns;

    if (depth < 1 || depth > DEPTH_MAX || !kib || kib % 4 || kib > PVBLK_SEGMENTS * 4) {
        fprintf(stderr, "bench_pvblk FILE read|randread|write|randwrite KIB DEPTH MS\n");
        return 2;
    }
    bench.pages = kib / 4;
    start_guest(depth, strstr(argv[2], "write") != NULL);
    start_worker(argv[1], argv[2]);
    alarm((unsigned)atoi(argv[5]) / 1000 + HANG_S);
    processor_ns = bench_now_ns(CLOCK_PROCESS_CPUTIME_ID);
    begin = bench_now();
    done = serve(depth, begin + (uint64_t)atoi(argv[5]) * 1000000u);
    took_ns = bench_now() - begin;
    alarm((unsigned)atoi(argv[5]) / 1000 + HANG_S);
    processor_ns = bench_now_ns(CLOCK_PROCESS_CPUTIME_ID) - processor_ns;
    printf("%.0f\n", (double)done / ((double)took_ns / 1e9));
    if (getenv("VERBOSE"))
        tell_costs((double)done, processor_ns);
    call(end_backend, "end");
    worker_destroy(bench.worker);
    grant_rig_stop(bench.grants);
    close(bench.channels.to_backend);
    close(bench.channels.to_frontend);
    return 0;
}
