/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IDE DMA of a simulated guest through the shipped daemon ($IOEMUD): a vCPU for each channel, each
 * with a command at a time on a disk of its own. What as many jobs of fio do at depth 1, to be
 * compared with it (tests/bench/blk.sh).
 *
 * bench_ide FILE0 [FILE1] read|write KIB MS
 *
 * Prints commands a second, of all channels together.
 */
#include <pthread.h>
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
/* How long a vCPU watches for an answer before it sleeps, and for an interrupt, like a guest with
 * idle=poll: the latter only if there is a processor for each vCPU and one for the daemon. Where a
 * halted processor takes 20 us to wake, as in a virtual machine, that would be what is measured. */
#define SPIN_NS     20000u
#define IRQ_SPIN_NS 200000u

struct channel {
    struct ide ide;
    pthread_t thread;
    bool write;
    unsigned sectors, index;
    uint64_t capacity, done;
    uint64_t end_ns;
};

static void check(int rc, const char *what)
{
    if (rc == 0)
        return;
    fprintf(stderr, "bench_ide: %s: error %d\n", what, rc);
    exit(1);
}

static void *work(void *arg)
{
    struct channel *channel = arg;
    uint64_t lba = 0, gpa = BUF + channel->index * 0x100000u;

    while (bench_now() < channel->end_ns) {
        check(channel->write ? ide_dma_write(&channel->ide, lba, channel->sectors, gpa)
                             : ide_dma_read(&channel->ide, lba, channel->sectors, gpa),
              "DMA");
        channel->done++;
        lba += channel->sectors;
        if (lba + channel->sectors > channel->capacity)
            lba = 0;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    unsigned channels = argc == 6 ? 2 : 1;
    struct channel channel[CHANNELS] = {0};
    char disks[2 * RIG_PATH] = "", socket[RIG_PATH];
    struct peer_options options = {
        .socket = socket, .name = "bench", .ram_size = RAM, .vcpus = CHANNELS, .spin_ns = SPIN_NS};
    uint16_t words[256];
    struct peer *peer;
    struct rig rig;
    uint64_t begin, done = 0;
    int ms;

    if (argc != 5 && argc != 6) {
        fprintf(stderr, "bench_ide FILE0 [FILE1] read|write KIB MS\n");
        return 2;
    }
    for (unsigned i = 0; i < channels; i++)
        snprintf(disks + strlen(disks), sizeof(disks) - strlen(disks),
                 "%s{\"vdev\": \"hd%c\", \"path\": \"%s\"}", i ? ", " : "", 'a' + 2 * i,
                 argv[1 + i]);
    if (sysconf(_SC_NPROCESSORS_ONLN) > (long)channels)
        options.irq_spin_ns = IRQ_SPIN_NS;
    rig_start(&rig, "\"workers\": 1");
    rig_guest(&rig, "bench", disks);
    snprintf(socket, sizeof(socket), "%s/shm.sock", rig.dir);
    check(peer_connect(&options, &peer, NULL), "connect");
    check(peer_wait_enabled(peer), "enable");
    argv += 1 + channels;
    ms = atoi(argv[2]);
    for (unsigned i = 0; i < channels; i++) {
        struct channel *c = &channel[i];

        check(ide_init(&c->ide, peer, i, i, 0, PRD + i * 0x1000), "drive");
        check(ide_identify(&c->ide, words), "IDENTIFY");
        c->index = i;
        c->capacity = ide_capacity(words);
        c->write = !strcmp(argv[0], "write");
        c->sectors = (unsigned)atoi(argv[1]) * 2;
    }
    begin = bench_now();
    for (unsigned i = 0; i < channels; i++) {
        channel[i].end_ns = begin + (uint64_t)ms * 1000000u;
        pthread_create(&channel[i].thread, NULL, work, &channel[i]);
    }
    for (unsigned i = 0; i < channels; i++) {
        pthread_join(channel[i].thread, NULL);
        done += channel[i].done;
    }
    printf("%.0f\n", (double)done / ((double)(bench_now() - begin) / 1e9));
    peer_close(peer);
    rig_stop(&rig);
    return 0;
}
