/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the shipped daemon ($IOEMUD) costs without a hypervisor in the way: register reads, PIO,
 * DMA, memory and descriptors a guest. The floor beside it is two processes that wake each other by
 * eventfd and do nothing else.
 *
 * bench_shm [SECONDS]    time for each line, default 0.5
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench.h"
#include "tests/shm/rig.h"

#define RAM         (16u << 20)
#define BUF         0x100000u
#define PRD         0x10000u
#define SAMPLES     200000u
#define MANY_GUESTS 16u

static double seconds = 0.5;

/* Runs `once` for the time of a line and prints the distribution of how long it took. */
static void latency(const char *what, void (*once)(void *arg), void *arg)
{
    uint32_t *sample = malloc(SAMPLES * sizeof(*sample));
    uint64_t end = bench_now() + (uint64_t)(seconds * 1e9), sum = 0;
    unsigned n = 0;

    for (unsigned i = 0; i < 100; i++)
        once(arg);
    while (n < SAMPLES && bench_now() < end) {
        uint64_t start = bench_now();

        once(arg);
        sample[n] = (uint32_t)(bench_now() - start);
        sum += sample[n++];
    }
    qsort(sample, n, sizeof(*sample), bench_by_value);
    printf("  %-44s %8.2f %8.2f %8.2f us  (n=%u)\n", what, (double)sum / n / 1e3,
           sample[n / 2] / 1e3, sample[n - 1 - n / 100] / 1e3, n);
    free(sample);
}

/* The same for something that moves `bytes`. */
static void throughput(const char *what, void (*once)(void *arg), void *arg, size_t bytes)
{
    uint64_t start = bench_now(), end = start + (uint64_t)(seconds * 1e9), n = 0;
    double took;

    while (bench_now() < end) {
        once(arg);
        n++;
    }
    took = (double)(bench_now() - start) / 1e9;
    printf("  %-44s %8.1f MiB/s %10.0f commands/s\n", what,
           (double)n * (double)bytes / took / (1 << 20), (double)n / took);
}

struct floor_pair {
    int to, from;
};

static void floor_once(void *arg)
{
    const struct floor_pair *pair = arg;
    uint64_t value = 1;

    if (write(pair->to, &value, 8) != 8 || read(pair->from, &value, 8) != 8)
        abort();
}

static void bench_floor(void)
{
    struct floor_pair pair = {eventfd(0, 0), eventfd(0, 0)};
    pid_t pid = fork();

    if (pid == 0) {
        for (;;) {
            uint64_t value;

            if (read(pair.to, &value, 8) != 8 || value > 1 || write(pair.from, &value, 8) != 8)
                _exit(0);
        }
    }
    latency("floor: two processes, two eventfds", floor_once, &pair);
    write(pair.to, &(uint64_t){2}, 8);
    waitpid(pid, NULL, 0);
    close(pair.to);
    close(pair.from);
}

static void read_status(void *arg)
{
    const struct ide *ide = arg;

    peer_in(ide->peer, 0, ide->ctl, 1);
}

struct transfer {
    struct ide *ide;
    enum ide_pio how;
    unsigned count;
    uint64_t lba;
};

static void check(int rc, const char *what)
{
    if (rc == 0)
        return;
    fprintf(stderr, "%s: error %d\n", what, rc);
    exit(1);
}

static uint64_t next_lba(struct transfer *t)
{
    t->lba = t->lba + t->count > 30000 ? 0 : t->lba + t->count;
    return t->lba;
}

static void pio_read(void *arg)
{
    struct transfer *t = arg;

    check(ide_pio_read(t->ide, t->how, next_lba(t), t->count, BUF), "PIO read");
}

static void pio_write(void *arg)
{
    struct transfer *t = arg;

    check(ide_pio_write(t->ide, t->how, next_lba(t), t->count, BUF), "PIO write");
}

static void dma_read(void *arg)
{
    struct transfer *t = arg;

    check(ide_dma_read(t->ide, next_lba(t), t->count, BUF), "DMA read");
}

static void dma_write(void *arg)
{
    struct transfer *t = arg;

    check(ide_dma_write(t->ide, next_lba(t), t->count, BUF), "DMA write");
}

/* A guest with a disk in memory (hda) and one in a file (hdc). */
static struct peer *bench_guest(struct rig *rig, unsigned spin_ns, uint32_t features,
                                struct ide ide[2])
{
    char path[RIG_PATH], image[RIG_PATH], disks[2 * RIG_PATH];
    struct peer_options options = {.socket = path,
                                   .name = "bench",
                                   .ram_size = RAM,
                                   .vcpus = 1,
                                   .spin_ns = spin_ns,
                                   .features = features};
    struct peer *peer;

    snprintf(path, sizeof(path), "%s/shm.sock", rig->dir);
    rig_image(rig, "bench.img", 32768, image);
    snprintf(disks, sizeof(disks),
             "{\"vdev\": \"hda\", \"format\": \"mem\", \"size\": \"16M\"},"
             "{\"vdev\": \"hdc\", \"path\": \"%s\"}",
             image);
    rig_guest(rig, "bench", disks);
    check(peer_connect(&options, &peer, NULL), "connect");
    check(peer_wait_enabled(peer), "enable");
    check(ide_init(&ide[0], peer, 0, 0, 0, PRD), "hda");
    check(ide_init(&ide[1], peer, 0, 1, 0, PRD), "hdc");
    check(ide_set_multiple(&ide[0], 16), "SET MULTIPLE");
    return peer;
}

static void bench_latency(const char *polling, unsigned spin_ns, const char *what)
{
    struct ide ide[2];
    struct peer *peer;
    struct rig rig;

    rig_start(&rig, polling);
    peer = bench_guest(&rig, spin_ns, 0, ide);
    latency(what, read_status, &ide[0]);
    peer_close(peer);
    rig_stop(&rig);
}

static void bench_pio(struct ide *ide)
{
    struct transfer t = {.ide = ide, .count = 16};

    t.how = IDE_PIO_LOOP16;
    throughput("PIO read, inw loop, 8 KiB commands", pio_read, &t, 8192);
    throughput("PIO write, outw loop, 8 KiB commands", pio_write, &t, 8192);
    t.how = IDE_PIO_REP16;
    t.count = 128;
    throughput("PIO read, rep insw, 64 KiB commands", pio_read, &t, 65536);
    throughput("PIO write, rep outsw, 64 KiB commands", pio_write, &t, 65536);
}

/* The same with a peer that answers from the page. */
static void bench_buffered(void)
{
    uint64_t answered, declined;
    struct ide ide[2];
    struct peer *peer;
    struct rig rig;

    rig_start(&rig, "\"workers\": 1");
    peer = bench_guest(&rig, 0, HV_SHM_FEATURE_BUFFERED_PIO, ide);
    bench_pio(&ide[0]);
    peer_bufpio_counters(peer, &answered, &declined);
    printf("  single accesses to data ports: %.1f answered from the page for one request\n",
           (double)answered / (double)(declined ? declined : 1));
    peer_close(peer);
    rig_stop(&rig);
}

static void bench_transfers(struct ide ide[2])
{
    struct transfer t = {.ide = &ide[0]};

    bench_pio(&ide[0]);
    for (unsigned d = 0; d < 2; d++) {
        static const unsigned counts[] = {8, 64, 256};

        t.ide = &ide[d];
        for (unsigned i = 0; i < 3; i++) {
            char what[64];

            t.count = counts[i];
            snprintf(what, sizeof(what), "DMA read, %u KiB, %s", t.count / 2,
                     d ? "file, O_DIRECT" : "disk in memory");
            throughput(what, dma_read, &t, t.count * 512u);
            snprintf(what, sizeof(what), "DMA write, %u KiB, %s", t.count / 2,
                     d ? "file, O_DIRECT" : "disk in memory");
            throughput(what, dma_write, &t, t.count * 512u);
        }
    }
}

/* What one guest more costs, from many. Each has touched its disk. */
static void bench_memory(void)
{
    char name[16], image[RIG_PATH], disks[2 * RIG_PATH];
    struct peer *peer[MANY_GUESTS];
    unsigned long kib = 0;
    unsigned fds = 0, threads = 0;
    struct rig rig;

    rig_start(&rig, NULL);
    for (unsigned i = 0; i < MANY_GUESTS; i++) {
        struct ide ide;

        snprintf(name, sizeof(name), "g%u", i);
        rig_image(&rig, name, 1024, image);
        snprintf(disks, sizeof(disks), "{\"vdev\": \"hda\", \"path\": \"%s\"}", image);
        rig_guest(&rig, name, disks);
        peer[i] = rig_peer(&rig, name, 1, 1 << 20);
        check(ide_init(&ide, peer[i], 0, 0, 0, PRD), name);
        check(ide_dma_read(&ide, 0, 256, 0x20000), name);
        check(ide_pio_read(&ide, IDE_PIO_REP16, 0, 16, 0x20000), name);
        if (i == 0) {
            kib = rig_private_kib(&rig);
            fds = rig_descriptors(&rig);
            threads = rig_threads(&rig);
        }
    }
    printf("  private memory: %lu KiB with one guest, then %.1f KiB for each more\n", kib,
           (double)(rig_private_kib(&rig) - kib) / (MANY_GUESTS - 1));
    printf("  descriptors: %u with one guest, then %.1f for each more; threads: %u, then %.1f\n",
           fds, (double)(rig_descriptors(&rig) - fds) / (MANY_GUESTS - 1), threads,
           (double)(rig_threads(&rig) - threads) / (MANY_GUESTS - 1));
    for (unsigned i = 0; i < MANY_GUESTS; i++)
        peer_close(peer[i]);
    rig_stop(&rig);
}

int main(int argc, char **argv)
{
    struct ide ide[2];
    struct peer *peer;
    struct rig rig;

    if (argc > 1)
        seconds = atof(argv[1]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("register read: %33s%8s %8s %8s\n", "", "mean", "median", "99%");
    bench_floor();
    bench_latency("\"workers\": 1, \"poll_us\": 0", 0, "both sides sleep");
    bench_latency("\"workers\": 1", 0, "the daemon polls after service (default)");
    bench_latency("\"workers\": 1", 50000, "both poll");
    puts("transfers, daemon with defaults:");
    rig_start(&rig, "\"workers\": 1");
    peer = bench_guest(&rig, 0, 0, ide);
    bench_transfers(ide);
    peer_close(peer);
    rig_stop(&rig);
    puts("with buffered PIO:");
    bench_buffered();
    puts("a guest's share:");
    bench_memory();
    return 0;
}
