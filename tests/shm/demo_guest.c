/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The main job, without a hypervisor: starts the shipped daemon ($IOEMUD), lets several simulated
 * guests work on disks of theirs by PIO and by DMA at once, verifies every byte (also in the image
 * files, beside the daemon), and shows the daemon's statistics ($IOEMUCTL).
 *
 * demo_guest [GUESTS]    1 to 8, default 4; the last one has two vCPUs on two channels
 *
 * Exit status 0: everything was as it should be.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/shm/rig.h"

#define GUESTS_MAX 8
#define RAM        (32u << 20)
#define SECTORS    65536u /* 32 MiB a disk */
#define PIO_AT     64u
#define PIO_COUNT  1024u /* sectors moved by PIO */
#define DMA_AT     8192u
#define DMA_COUNT  32768u /* 16 MiB by DMA */
#define CHUNK      256u

/* One vCPU and its disk. */
struct cpu {
    struct peer *peer;
    const char *name;
    unsigned vcpu, channel;
    uint64_t seed;
    char image[RIG_PATH];
    pthread_t thread;
    int rc;
    unsigned wrong;
    double seconds[4];
};

static const char *const phase_name[4] = {"PIO write", "PIO read", "DMA write", "DMA read"};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int pio_phase(struct cpu *cpu, struct ide *disk, bool write, uint64_t buf, uint8_t *ram)
{
    for (unsigned done = 0; done < PIO_COUNT && cpu->rc == 0; done += CHUNK / 2) {
        uint64_t lba = PIO_AT + done;
        enum ide_pio how = done % (2 * CHUNK) == CHUNK ? IDE_PIO_REP32 : IDE_PIO_REP16;

        if (write) {
            rig_fill(cpu->seed, lba, CHUNK / 2, ram);
            cpu->rc = ide_pio_write(disk, how, lba, CHUNK / 2, buf);
        } else {
            memset(ram, 0, CHUNK / 2 * 512);
            cpu->rc = ide_pio_read(disk, how, lba, CHUNK / 2, buf);
            cpu->wrong += rig_mismatches(cpu->seed, lba, CHUNK / 2, ram);
        }
    }
    return cpu->rc;
}

static int dma_phase(struct cpu *cpu, struct ide *disk, bool write, uint64_t buf, uint8_t *ram)
{
    for (unsigned done = 0; done < DMA_COUNT && cpu->rc == 0; done += CHUNK) {
        uint64_t lba = DMA_AT + done;

        if (write) {
            rig_fill(cpu->seed, lba, CHUNK, ram);
            cpu->rc = ide_dma_write(disk, lba, CHUNK, buf);
        } else {
            memset(ram, 0, CHUNK * 512);
            cpu->rc = ide_dma_read(disk, lba, CHUNK, buf);
            cpu->wrong += rig_mismatches(cpu->seed, lba, CHUNK, ram);
        }
    }
    return write && cpu->rc == 0 ? ide_flush(disk) : cpu->rc;
}

static void *cpu_thread(void *arg)
{
    struct cpu *cpu = arg;
    uint64_t buf = 0x100000 + cpu->vcpu * 0x800000ull;
    uint8_t *ram = peer_ram(cpu->peer, buf, CHUNK * 512);
    uint16_t words[256];
    struct ide disk;

    cpu->rc =
        ide_init(&disk, cpu->peer, cpu->vcpu, cpu->channel, 0, 0x10000 + cpu->vcpu * 0x10000ull);
    if (cpu->rc == 0)
        cpu->rc = ide_identify(&disk, words);
    if (cpu->rc == 0 && ide_capacity(words) != SECTORS)
        cpu->wrong++;
    if (cpu->rc == 0)
        cpu->rc = ide_set_multiple(&disk, 16);
    for (unsigned phase = 0; phase < 4 && cpu->rc == 0; phase++) {
        double start = now();

        cpu->rc = phase < 2 ? pio_phase(cpu, &disk, phase == 0, buf, ram)
                            : dma_phase(cpu, &disk, phase == 2, buf, ram);
        cpu->seconds[phase] = now() - start;
    }
    return NULL;
}

/* The image beside the daemon: what was written, and nothing else touched. */
static unsigned image_wrong(const struct cpu *cpu)
{
    static const struct {
        uint64_t lba;
        unsigned count;
        bool written;
    } areas[] = {
        {0, PIO_AT, false},
        {PIO_AT, PIO_COUNT, true},
        {PIO_AT + PIO_COUNT, DMA_AT - PIO_AT - PIO_COUNT, false},
        {DMA_AT, DMA_COUNT, true},
        {DMA_AT + DMA_COUNT, SECTORS - DMA_AT - DMA_COUNT, false},
    };
    uint8_t *data = malloc(SECTORS * 512u);
    int fd = open(cpu->image, O_RDONLY | O_CLOEXEC);
    unsigned wrong = 0;

    if (!data || fd < 0 || pread(fd, data, SECTORS * 512u, 0) != SECTORS * 512)
        wrong = 1;
    for (size_t i = 0; i < sizeof(areas) / sizeof(areas[0]) && !wrong; i++)
        wrong += rig_mismatches(areas[i].written ? cpu->seed : 0, areas[i].lba, areas[i].count,
                                data + areas[i].lba * 512);
    if (fd >= 0)
        close(fd);
    free(data);
    return wrong;
}

static bool report(const struct cpu *cpu)
{
    bool good = cpu->rc == 0 && cpu->wrong == 0 && image_wrong(cpu) == 0;

    printf("  %-7s vCPU %u, channel %u: ", cpu->name, cpu->vcpu, cpu->channel);
    for (unsigned phase = 0; phase < 4 && cpu->rc == 0; phase++) {
        double mib = (phase < 2 ? PIO_COUNT : DMA_COUNT) / 2048.0;

        printf("%s %.0f MiB/s, ", phase_name[phase], mib / cpu->seconds[phase]);
    }
    if (cpu->rc)
        printf("error %d, ", cpu->rc);
    puts(good ? "every byte verified" : "WRONG");
    return good;
}

static void statistics(const struct rig *rig)
{
    const char *program = getenv("IOEMUCTL");
    char path[RIG_PATH];
    pid_t pid;

    snprintf(path, sizeof(path), "%s/stats.sock", rig->dir);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        execlp(program ? program : "ioemuctl", "ioemuctl", "--socket", path, "stats", (char *)NULL);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
    static const char *const names[GUESTS_MAX] = {"anna", "berta", "carla", "dora",
                                                  "emma", "frida", "greta", "hanna"};
    unsigned guests = argc > 1 ? (unsigned)atoi(argv[1]) : 4, cpus = 0;
    struct cpu *cpu = calloc(GUESTS_MAX + 1, sizeof(*cpu));
    struct peer *peer[GUESTS_MAX];
    bool good = true;
    struct rig rig;
    double start;

    if (!cpu || guests < 1 || guests > GUESTS_MAX) {
        fprintf(stderr, "usage: %s [GUESTS, 1 to %d]\n", argv[0], GUESTS_MAX);
        return 2;
    }
    rig_start(&rig, NULL);
    printf("ioemud runs as process %d; making %u guests with disks of %u MiB.\n", (int)rig.pid,
           guests, SECTORS / 2048);
    for (unsigned i = 0; i < guests; i++) {
        bool two = i == guests - 1;
        char disks[3 * RIG_PATH], file[32];
        size_t used = 0;

        for (unsigned v = 0; v <= two; v++) {
            struct cpu *c = &cpu[cpus++];

            *c = (struct cpu){.name = names[i], .vcpu = v, .channel = v, .seed = 1000 + cpus};
            snprintf(file, sizeof(file), "%s-%u.img", names[i], v);
            rig_image(&rig, file, SECTORS, c->image);
            used += (size_t)snprintf(disks + used, sizeof(disks) - used,
                                     "%s{\"vdev\": \"hd%c\", \"path\": \"%s\"}", v ? ", " : "",
                                     v ? 'c' : 'a', c->image);
        }
        rig_guest(&rig, names[i], disks);
        peer[i] = rig_peer(&rig, names[i], 1 + two, RAM);
        for (unsigned v = 0; v <= two; v++)
            cpu[cpus - 1 - v].peer = peer[i];
    }
    puts("All guests at work: each writes and reads back half a MiB by PIO and 16 MiB by DMA.");
    start = now();
    for (unsigned i = 0; i < cpus; i++)
        pthread_create(&cpu[i].thread, NULL, cpu_thread, &cpu[i]);
    for (unsigned i = 0; i < cpus; i++) {
        pthread_join(cpu[i].thread, NULL);
        good &= report(&cpu[i]);
    }
    printf("Done in %.1f s. The daemon's statistics:\n\n", now() - start);
    statistics(&rig);
    for (unsigned i = 0; i < guests; i++)
        peer_close(peer[i]);
    good &= rig_wait_guests(&rig, 0, 5000);
    good &= rig_stop(&rig) == 0;
    free(cpu);
    puts(good ? "\nOK: all guests' data is right, and the daemon ended cleanly."
              : "\nFAILED: see above.");
    return good ? 0 : 1;
}
