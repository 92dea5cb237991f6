/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nine simulated guests read their disks while frames of the smallest size come as fast as an
 * interface delivers them: at a tap interface that nobody serves, and at the NIC of a tenth guest
 * of the same worker, by turns in one run. What counts is the ratio of the latencies: it stays
 * below 2.
 * On a machine that does other work the latency is mostly that; the processor time that the daemon
 * took between a read's beginning and its end is not.
 * As root: in a network namespace of its own.
 *
 * bench_flood [ROUNDS [MS [GUESTS]]]    default: 6 rounds of 1000 ms each way, 9 guests
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench.h"
#include "tests/peer/e1000.h"
#include "tests/shm/rig.h"

#define GUESTS  9u /* at most */
#define RAM     (4u << 20)
#define PRD     0x1000u
#define BUF     0x100000u
#define SECTORS 8u /* 4 KiB a read */
#define BLOCKS  1024u
#define SAMPLES 1000000u

enum flooded {
    NOBODY, /* an interface whose queue is full all the time */
    GUEST,
    FLOODS,
};

static const char *const interface[FLOODS] = {[NOBODY] = "flood0", [GUEST] = "flood1"};

enum figure {
    LATENCY,
    PROCESSOR, /* the daemon's, meanwhile */
    FIGURES,
};

static struct bench {
    struct rig rig;
    struct e1000_driver nic;
    struct reader {
        struct ide ide;
        pthread_t thread;
        uint32_t *sample[FIGURES];
        unsigned n;
    } reader[GUESTS];
    unsigned guests;
    clockid_t processor;
    atomic_bool stop, stop_taking;
    uint32_t *all[FLOODS][FIGURES];
    unsigned n_all[FLOODS];
    uint64_t packets[FLOODS]; /* that the guest got */
    uint64_t processor_ns[FLOODS];
} bench;

static void set_up(int socket, const char *name)
{
    struct ifreq ifr = {.ifr_flags = IFF_UP | IFF_NOARP};

    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
    bench_check_call(ioctl(socket, SIOCSIFFLAGS, &ifr) == 0, name);
}

/* A process that does nothing but send to the interface; what does not fit into its queue is lost.
 */
static pid_t flood(const char *name)
{
    uint8_t frame[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5};
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons(ETH_P_ALL),
                                  .sll_ifindex = (int)if_nametoindex(name)};
    pid_t pid = fork();
    int fd;

    bench_check_call(pid >= 0, "fork");
    if (pid)
        return pid;
    fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)))
        _exit(1);
    for (;;)
        (void)!send(fd, frame, sizeof(frame), MSG_DONTWAIT);
}

/* The tenth guest's driver: gives buffers back as fast as it can. */
static void *take_packets(void *arg)
{
    const struct timespec nap = {.tv_nsec = 20000};

    while (!atomic_load(&bench.stop_taking))
        if (!e1000_driver_take_all(&bench.nic))
            nanosleep(&nap, NULL);
    return NULL;
}

static void *read_disk(void *arg)
{
    struct reader *reader = arg;
    uint64_t block = (uint64_t)(reader - bench.reader) * 7;

    while (!atomic_load(&bench.stop) && reader->n < SAMPLES) {
        uint64_t start = bench_now(), processor = bench_now_ns(bench.processor);

        bench_check_call(!ide_dma_read(&reader->ide, block * SECTORS, SECTORS, BUF), "DMA read");
        reader->sample[PROCESSOR][reader->n] =
            (uint32_t)(bench_now_ns(bench.processor) - processor);
        reader->sample[LATENCY][reader->n++] = (uint32_t)(bench_now() - start);
        block = (block * 5 + 1) % BLOCKS;
    }
    return NULL;
}

static void make_guests(void)
{
    char name[16], image[RIG_PATH], disks[2 * RIG_PATH];

    rig_start(&bench.rig, "\"workers\": 1");
    rig_guest_more(&bench.rig, "flooded", "", "\"nics\": [{\"ifname\": \"flood1\"}]");
    bench.nic.peer = rig_peer(&bench.rig, "flooded", 1, E1000_RAM);
    e1000_driver_start(&bench.nic);
    for (unsigned i = 0; i < bench.guests; i++) {
        struct reader *reader = &bench.reader[i];

        snprintf(name, sizeof(name), "g%u", i);
        rig_image(&bench.rig, name, (uint64_t)BLOCKS * SECTORS, image);
        snprintf(disks, sizeof(disks), "{\"vdev\": \"hda\", \"path\": \"%s\"}", image);
        rig_guest(&bench.rig, name, disks);
        bench_check_call(!ide_init(&reader->ide, rig_peer(&bench.rig, name, 1, RAM), 0, 0, 0, PRD),
                         name);
        for (unsigned j = 0; j < FIGURES; j++) {
            reader->sample[j] = malloc(SAMPLES * sizeof(*reader->sample[j]));
            bench_check_call(reader->sample[j], "memory");
        }
    }
    bench_check_call(!clock_getcpuclockid(bench.rig.pid, &bench.processor), "the daemon's clock");
}

static void append(enum flooded flooded, enum figure figure, const struct reader *reader)
{
    uint32_t **all = &bench.all[flooded][figure];
    unsigned had = bench.n_all[flooded];

    *all = realloc(*all, (had + reader->n + 1) * sizeof(**all));
    bench_check_call(*all, "memory");
    memcpy(*all + had, reader->sample[figure], reader->n * sizeof(**all));
}

static void run(enum flooded flooded, unsigned ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    const struct timespec drain = {.tv_nsec = 50000000};
    pid_t pid = flood(interface[flooded]);
    uint64_t processor = bench_now_ns(bench.processor);
    uint32_t before = bench.nic.got;
    pthread_t taker;

    atomic_store(&bench.stop, false);
    atomic_store(&bench.stop_taking, false);
    pthread_create(&taker, NULL, take_packets, NULL);
    for (unsigned i = 0; i < bench.guests; i++) {
        bench.reader[i].n = 0;
        pthread_create(&bench.reader[i].thread, NULL, read_disk, &bench.reader[i]);
    }
    nanosleep(&time, NULL);
    atomic_store(&bench.stop, true);
    for (unsigned i = 0; i < bench.guests; i++)
        pthread_join(bench.reader[i].thread, NULL);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    nanosleep(&drain, NULL);
    atomic_store(&bench.stop_taking, true);
    pthread_join(taker, NULL);
    bench.packets[flooded] += bench.nic.got - before;
    bench.processor_ns[flooded] += bench_now_ns(bench.processor) - processor;
    for (unsigned i = 0; i < bench.guests; i++) {
        append(flooded, LATENCY, &bench.reader[i]);
        append(flooded, PROCESSOR, &bench.reader[i]);
        bench.n_all[flooded] += bench.reader[i].n;
    }
}

/* Mean, median, 99th percentile, in us. */
static void summarize(uint32_t *all, unsigned n, double ret_us[3])
{
    uint64_t sum = 0;

    bench_check_call(n >= 100, "too few reads");
    qsort(all, n, sizeof(*all), bench_by_value);
    for (unsigned i = 0; i < n; i++)
        sum += all[i];
    ret_us[0] = (double)sum / n / 1e3;
    ret_us[1] = all[n / 2] / 1e3;
    ret_us[2] = all[n - 1 - n / 100] / 1e3;
}

static void report(enum figure figure)
{
    double us[FLOODS][3];

    printf("%-40s %9s %9s %9s us\n",
           figure == LATENCY ? "latency" : "the daemon's processor time meanwhile", "mean",
           "median", "99%");
    for (unsigned f = 0; f < FLOODS; f++) {
        summarize(bench.all[f][figure], bench.n_all[f], us[f]);
        printf("  %-38s %9.1f %9.1f %9.1f\n",
               f == GUEST ? "flood at a guest beside them" : "flood at nobody", us[f][0], us[f][1],
               us[f][2]);
    }
    printf("  %-38s %9.2f %9.2f %9.2f%s\n", "ratio", us[GUEST][0] / us[NOBODY][0],
           us[GUEST][1] / us[NOBODY][1], us[GUEST][2] / us[NOBODY][2],
           us[GUEST][0] <= 2 * us[NOBODY][0] ? "" : "   > 2");
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 6;
    unsigned ms = argc > 2 ? (unsigned)atoi(argv[2]) : 1000;
    struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI, .ifr_name = "flood0"};
    int tap, control;

    bench.guests = argc > 3 ? (unsigned)atoi(argv[3]) : GUESTS;
    if (!rounds || !ms || !bench.guests || bench.guests > GUESTS) {
        fputs("bench_flood [ROUNDS [MS [GUESTS]]]\n", stderr);
        return 2;
    }
    bench_check_call(unshare(CLONE_NEWNET) == 0, "a network namespace (are you root?)");
    tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    bench_check_call(tap >= 0 && ioctl(tap, TUNSETIFF, &ifr) == 0, "/dev/net/tun");
    control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    make_guests();
    for (unsigned f = 0; f < FLOODS; f++)
        set_up(control, interface[f]);
    for (unsigned i = 0; i < 2 * rounds; i++)
        run((i + i / 2) % FLOODS, ms); /* ABBA */
    for (unsigned f = 0; f < FLOODS; f++)
        printf("flood at %-10s %9.0f reads/s %9.0f packets/s taken, daemon's processor %3.0f %%\n",
               f == GUEST ? "a guest" : "nobody", bench.n_all[f] / (rounds * ms / 1e3),
               (double)bench.packets[f] / (rounds * ms / 1e3),
               (double)bench.processor_ns[f] / (rounds * ms * 1e4));
    report(LATENCY);
    report(PROCESSOR);
    peer_close(bench.nic.peer);
    for (unsigned i = 0; i < bench.guests; i++)
        peer_close(bench.reader[i].ide.peer);
    rig_stop(&bench.rig);
    close(tap);
    return 0;
}
