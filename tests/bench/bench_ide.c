/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IDE DMA of a simulated guest through the shipped daemon ($IOEMUD): one vCPU that has a command on
 * each channel, each on a disk of its own, and takes their interrupts. What as many jobs of fio do
 * at depth 1, to be compared with it (tests/bench/blk.sh).
 *
 * bench_ide FILE0 [FILE1] read|write KIB MS
 *
 * Prints commands a second, of all channels together.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/bench.h"
#include "tests/shm/rig.h"

#define RAM      (4u << 20)
#define PRD      0x1000u
#define BUF      0x100000u
#define CHANNELS 2u
/* How long the vCPU watches for an answer before it sleeps, and for an interrupt, like a guest with
 * idle=poll: the latter only if there is a processor for it and one for the daemon. Where a halted
 * processor takes 20 us to wake, as in a virtual machine, that would be what is measured. */
#define SPIN_NS     20000u
#define IRQ_SPIN_NS 200000u

struct channel {
    struct ide ide;
    bool write, running;
    unsigned sectors, index;
    uint64_t capacity, lba, done;
    uint32_t rises; /* of its interrupt, before the command that is running */
};

struct bench {
    struct channel channel[CHANNELS];
    unsigned channels;
};

static void check(int rc, const char *what)
{
    if (rc == 0)
        return;
    fprintf(stderr, "bench_ide: %s: error %d\n", what, rc);
    exit(1);
}

static void begin(struct channel *c)
{
    check(
        ide_dma_begin(&c->ide, c->write, c->lba, c->sectors, BUF + c->index * 0x100000u, &c->rises),
        "command");
    c->running = true;
    c->lba += c->sectors;
    if (c->lba + c->sectors > c->capacity)
        c->lba = 0;
}

static void finish(struct channel *c)
{
    check(ide_dma_finish(&c->ide, c->rises), "DMA");
    c->running = false;
    c->done++;
}

static bool interrupted(const struct channel *c)
{
    return c->running && peer_isa_rises(c->ide.peer, c->ide.irq) != c->rises;
}

static bool any_interrupted(struct peer *peer, void *arg)
{
    struct bench *bench = arg;

    for (unsigned i = 0; i < bench->channels; i++)
        if (interrupted(&bench->channel[i]))
            return true;
    return false;
}

static void work(struct bench *bench, struct peer *peer, uint64_t end_ns)
{
    for (unsigned i = 0; i < bench->channels; i++)
        begin(&bench->channel[i]);
    while (bench_now() < end_ns) {
        check(peer_wait(peer, any_interrupted, bench), "interrupt");
        for (unsigned i = 0; i < bench->channels; i++) {
            if (!interrupted(&bench->channel[i]))
                continue;
            finish(&bench->channel[i]);
            begin(&bench->channel[i]);
        }
    }
    for (unsigned i = 0; i < bench->channels; i++)
        finish(&bench->channel[i]);
}

int main(int argc, char **argv)
{
    unsigned channels = argc == 6 ? 2 : 1;
    struct bench bench = {.channels = channels};
    char disks[2 * RIG_PATH] = "", socket[RIG_PATH];
    struct peer_options options = {
        .socket = socket, .name = "bench", .ram_size = RAM, .spin_ns = SPIN_NS};
    uint16_t words[256];
    struct peer *peer;
    struct rig rig;
    uint64_t begin_ns, done = 0;
    int ms;

    if (argc != 5 && argc != 6) {
        fprintf(stderr, "bench_ide FILE0 [FILE1] read|write KIB MS\n");
        return 2;
    }
    for (unsigned i = 0; i < channels; i++)
        snprintf(disks + strlen(disks), sizeof(disks) - strlen(disks),
                 "%s{\"vdev\": \"hd%c\", \"path\": \"%s\"}", i ? ", " : "", 'a' + 2 * i,
                 argv[1 + i]);
    if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
        options.irq_spin_ns = IRQ_SPIN_NS;
    rig_start(&rig, "\"workers\": 1");
    rig_guest(&rig, "bench", disks);
    snprintf(socket, sizeof(socket), "%s/shm.sock", rig.dir);
    check(peer_connect(&options, &peer, NULL), "connect");
    check(peer_wait_enabled(peer), "enable");
    argv += 1 + channels;
    ms = atoi(argv[2]);
    for (unsigned i = 0; i < channels; i++) {
        struct channel *c = &bench.channel[i];

        check(ide_init(&c->ide, peer, 0, i, 0, PRD + i * 0x1000), "drive");
        check(ide_identify(&c->ide, words), "IDENTIFY");
        c->index = i;
        c->capacity = ide_capacity(words);
        c->write = !strcmp(argv[0], "write");
        c->sectors = (unsigned)atoi(argv[1]) * 2;
    }
    begin_ns = bench_now();
    work(&bench, peer, begin_ns + (uint64_t)ms * 1000000u);
    for (unsigned i = 0; i < channels; i++)
        done += bench.channel[i].done;
    printf("%.0f\n", (double)done / ((double)(bench_now() - begin_ns) / 1e9));
    peer_close(peer);
    rig_stop(&rig);
    return 0;
}
