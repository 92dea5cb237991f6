/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Moves data over a network and looks at every word of it: both ends of what the jobs about network
 * cards do.
 *
 *   nettest serve PORT [NAME...]             one end, for TCP and UDP, until it is told to end; a
 *                                            line for each transfer, with the CPU time of the
 *                                            processes of these names
 *   nettest put|get ADDRESS PORT BYTES       a TCP transfer of that many
 *   nettest put-for|get-for ADDRESS PORT SECONDS  one that goes on for that long
 *   nettest echo ADDRESS PORT FROM TO STEP   UDP datagrams of these sizes, there and back
 *   nettest group ADDRESS PORT INTERFACE     joins a multicast group, gets its packets, no others
 *   nettest ping ADDRESS COUNT               ICMP echoes: the mean round trip
 *   nettest end ADDRESS PORT                 ends a server
 *
 * Exit status: 0 when all was as it should be; else the last line says what was not.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 60 /* how long the other end may be silent */
#define CHUNK      65536
#define DATAGRAM   16384
#define MAX_NAMES  8

/* Hashed alike by none of the cards' filters: the second one is not joined. */
#define GROUP        "239.77.1.2"
#define OTHER_GROUP  "239.77.9.10"
#define GROUP_PORT   7077
#define GROUP_COUNT  20
#define GROUP_ASKING "group"
#define END_ASKING   "end"

enum { OP_PUT = 1, OP_GET, OP_PUT_FOR, OP_GET_FOR, OP_END };
static const char *const op_names[] = {"", "put", "get", "put-for", "get-for", "end"};

struct request {
    uint32_t op, seconds;
    uint64_t bytes, seed;
};

/* What the receiver of a stream says at its end. */
struct verdict {
    uint64_t bytes, bad_at; /* UINT64_MAX: nothing was bad */
};

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void fail(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    printf("\n");
    exit(1);
}

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static struct sockaddr_in address_of(const char *address, const char *port)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};

    if (inet_pton(AF_INET, address, &sin.sin_addr) != 1)
        fail("%s is no address", address);
    return sin;
}

static void be_patient(int fd, unsigned seconds)
{
    const struct timeval patience = {.tv_sec = seconds};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

/* ---- streams --------------------------------------------------------------------------------- */

/* Each word depends on its place, so that nothing can be lost, doubled or shifted unseen. */
static uint64_t word(uint64_t seed, uint64_t index)
{
    return (index + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ seed;
}

static bool send_all(int fd, const void *data, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        ssize_t n = send(fd, (const char *)data + at, bytes - at, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

/* How many were sent: as many as asked for, or until the deadline. */
static uint64_t send_stream(int fd, uint64_t seed, uint64_t bytes, uint64_t deadline_us)
{
    static uint64_t chunk[CHUNK / 8];
    uint64_t at = 0;

    while (at < bytes && now_us() < deadline_us) {
        size_t n = bytes - at < CHUNK ? (size_t)(bytes - at) : CHUNK;

        for (size_t i = 0; i < (n + 7) / 8; i++)
            chunk[i] = word(seed, at / 8 + i);
        if (!send_all(fd, chunk, n))
            break;
        at += n;
    }
    return at;
}

/* All that comes until the stream's end or `bytes`. */
static struct verdict receive_stream(int fd, uint64_t seed, uint64_t bytes)
{
    static uint64_t chunk[CHUNK / 8];
    struct verdict verdict = {.bad_at = UINT64_MAX};

    while (verdict.bytes < bytes) {
        uint64_t left = bytes - verdict.bytes;
        ssize_t n = recv(fd, chunk, left < CHUNK ? (size_t)left : CHUNK, MSG_WAITALL);

        if (n <= 0)
            break;
        for (size_t i = 0; i < (size_t)n; i += 8) {
            uint64_t wanted = word(seed, (verdict.bytes + i) / 8);
            size_t size = (size_t)n - i < 8 ? (size_t)n - i : 8;

            if (memcmp(&chunk[i / 8], &wanted, size) && verdict.bad_at == UINT64_MAX)
                verdict.bad_at = verdict.bytes + i;
        }
        verdict.bytes += (uint64_t)n;
    }
    return verdict;
}

/* ---- the serving end ------------------------------------------------------------------------- */

struct usage {
    uint64_t us, processes_ns, busy_ms;
};

/* What the scheduler counted for all of a process' threads. */
static uint64_t process_ns(const char *pid)
{
    char path[300];
    uint64_t sum = 0;
    struct dirent *entry;
    DIR *tasks;

    snprintf(path, sizeof(path), "/proc/%.20s/task", pid);
    tasks = opendir(path);
    while (tasks && (entry = readdir(tasks))) {
        unsigned long long ns = 0;
        FILE *file;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/%.20s/task/%.20s/schedstat", pid, entry->d_name);
        file = fopen(path, "r");
        if (file && fscanf(file, "%llu", &ns) == 1)
            sum += ns;
        if (file)
            fclose(file);
    }
    if (tasks)
        closedir(tasks);
    return sum;
}

/* All processors, but for idling, waiting and what the hypervisor gave to others. */
static uint64_t busy_ms(void)
{
    unsigned long long user = 0, nice = 0, system = 0, irq = 0, softirq = 0;
    FILE *file = fopen("/proc/stat", "r");

    if (!file || fscanf(file, "cpu %llu %llu %llu %*u %*u %llu %llu", &user, &nice, &system, &irq,
                        &softirq) != 5)
        user = 0;
    if (file)
        fclose(file);
    return (user + nice + system + irq + softirq) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

/* Whether the process' name, which is cut off at 15 characters, is one of these. */
static bool is_one_of(const char *pid, char *const *names)
{
    char path[64], name[17] = "";
    bool found = false;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
    file = fopen(path, "r");
    if (file && fscanf(file, "%16s", name) == 1)
        for (unsigned i = 0; names[i] && !found; i++)
            found = !strncmp(name, names[i], 15);
    if (file)
        fclose(file);
    return found;
}

/* By name, because a guest that is restarted has another device model. */
static struct usage usage(char *const *names)
{
    struct usage usage = {.us = now_us(), .busy_ms = busy_ms()};
    DIR *processes = opendir("/proc");
    struct dirent *entry;

    while (processes && (entry = readdir(processes)))
        if (isdigit((unsigned char)entry->d_name[0]) && is_one_of(entry->d_name, names))
            usage.processes_ns += process_ns(entry->d_name);
    if (processes)
        closedir(processes);
    return usage;
}

static void serve_stream(int fd, const char *peer, char *const *names)
{
    struct request request;
    struct verdict verdict = {0};
    uint64_t deadline = UINT64_MAX, sent = 0;
    struct usage before, after;
    bool good;

    if (recv(fd, &request, sizeof(request), MSG_WAITALL) != sizeof(request) ||
        request.op < OP_PUT || request.op >= OP_END)
        return;
    printf("begins %s %s\n", op_names[request.op], peer);
    before = usage(names);
    if (request.op == OP_GET_FOR)
        deadline = before.us + request.seconds * UINT64_C(1000000);
    if (request.op == OP_PUT || request.op == OP_PUT_FOR) {
        verdict = receive_stream(fd, request.seed, request.bytes);
        good = send_all(fd, &verdict, sizeof(verdict)) &&
               (verdict.bytes == request.bytes || request.op == OP_PUT_FOR);
    } else {
        sent = send_stream(fd, request.seed, request.bytes, deadline);
        shutdown(fd, SHUT_WR);
        good = recv(fd, &verdict, sizeof(verdict), MSG_WAITALL) == sizeof(verdict) &&
               verdict.bytes == sent;
    }
    after = usage(names);
    printf("did %s %s %s bytes=%llu ms=%llu process_us=%llu busy_ms=%llu\n", op_names[request.op],
           peer,
           verdict.bad_at != UINT64_MAX ? "wrong"
           : good                       ? "right"
                                        : "cut",
           (unsigned long long)verdict.bytes, (unsigned long long)(after.us - before.us) / 1000,
           (unsigned long long)(after.processes_ns - before.processes_ns) / 1000,
           (unsigned long long)(after.busy_ms - before.busy_ms));
}

/* Sends to both groups by way of the interface that leads to the one who asks. */
static void serve_groups(const struct sockaddr_in *peer)
{
    struct sockaddr_in own = {0}, group;
    socklen_t length = sizeof(own);
    char text[2] = "";
    int fd = socket(AF_INET, SOCK_DGRAM, 0), ttl = 1;

    if (fd < 0 || connect(fd, (const struct sockaddr *)peer, sizeof(*peer)) ||
        getsockname(fd, (struct sockaddr *)&own, &length))
        fail("no way to the one who asks: %s", strerror(errno));
    close(fd);
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &own.sin_addr, sizeof(own.sin_addr));
    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof(ttl));
    for (int i = 0; i < 2 * GROUP_COUNT; i++) {
        group = address_of(i & 1 ? GROUP : OTHER_GROUP, "7077");
        text[0] = (char)(i / 2);
        if (sendto(fd, text, 1, 0, (struct sockaddr *)&group, sizeof(group)) != 1)
            printf("group: %s\n", strerror(errno));
        /* Linux's 8390 reads nine frames an interrupt and leaves the rest until the next one. */
        usleep(20000);
    }
    close(fd);
}

/* False when it is the end. */
static bool serve_datagram(int fd)
{
    static char data[DATAGRAM];
    struct sockaddr_in peer;
    socklen_t length = sizeof(peer);
    ssize_t n = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&peer, &length);

    if (n == sizeof(END_ASKING) && !memcmp(data, END_ASKING, sizeof(END_ASKING))) {
        sendto(fd, data, (size_t)n, 0, (struct sockaddr *)&peer, length);
        return false;
    }
    if (n == sizeof(GROUP_ASKING) && !memcmp(data, GROUP_ASKING, sizeof(GROUP_ASKING)))
        serve_groups(&peer);
    else if (n >= 0)
        sendto(fd, data, (size_t)n, 0, (struct sockaddr *)&peer, length);
    return true;
}

static int serve(const char *port, char *const *names)
{
    struct sockaddr_in own = address_of("0.0.0.0", port), peer;
    struct pollfd ready[2] = {{.fd = socket(AF_INET, SOCK_STREAM, 0), .events = POLLIN},
                              {.fd = socket(AF_INET, SOCK_DGRAM, 0), .events = POLLIN}};
    int one = 1;

    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGCHLD, SIG_IGN);
    setsockopt(ready[0].fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    for (int i = 0; i < 2; i++)
        if (bind(ready[i].fd, (struct sockaddr *)&own, sizeof(own)))
            fail("port %s: %s", port, strerror(errno));
    listen(ready[0].fd, 8);
    printf("serves\n");
    for (;;) {
        socklen_t length = sizeof(peer);
        int fd;

        if (poll(ready, 2, -1) < 0)
            continue;
        if (ready[1].revents && !serve_datagram(ready[1].fd))
            return 0;
        if (!ready[0].revents || (fd = accept(ready[0].fd, (struct sockaddr *)&peer, &length)) < 0)
            continue;
        if (!fork()) {
            be_patient(fd, PATIENCE_S);
            serve_stream(fd, inet_ntoa(peer.sin_addr), names);
            exit(0);
        }
        close(fd);
    }
}

/* ---- the asking end -------------------------------------------------------------------------- */

/* An answer of the connection's other end, which must say that all came and was right. */
static void transfer(unsigned op, const char *address, const char *port, uint64_t amount)
{
    const bool for_long = op == OP_PUT_FOR || op == OP_GET_FOR;
    const bool put = op == OP_PUT || op == OP_PUT_FOR;
    struct sockaddr_in peer = address_of(address, port);
    struct request request = {.op = op,
                              .seconds = for_long ? (uint32_t)amount : 0,
                              .bytes = for_long ? UINT64_MAX : amount,
                              .seed = now_us() * UINT64_C(0x5851f42d4c957f2d)};
    uint64_t began = now_us(), sent = 0;
    struct verdict verdict;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    be_patient(fd, PATIENCE_S);
    if (connect(fd, (struct sockaddr *)&peer, sizeof(peer)))
        fail("connection: %s", strerror(errno));
    if (!send_all(fd, &request, sizeof(request)))
        fail("request: %s", strerror(errno));
    if (put) {
        sent = send_stream(fd, request.seed, request.bytes,
                           for_long ? began + amount * 1000000 : UINT64_MAX);
        shutdown(fd, SHUT_WR);
        if (recv(fd, &verdict, sizeof(verdict), MSG_WAITALL) != sizeof(verdict))
            fail("no answer after %llu bytes: %s", (unsigned long long)sent, strerror(errno));
    } else {
        verdict = receive_stream(fd, request.seed, request.bytes);
        sent = for_long ? verdict.bytes : amount;
        if (for_long && recv(fd, &request, 1, 0))
            fail("the stream broke off after %llu bytes", (unsigned long long)verdict.bytes);
        send_all(fd, &verdict, sizeof(verdict));
    }
    if (verdict.bad_at != UINT64_MAX)
        fail("byte %llu is wrong", (unsigned long long)verdict.bad_at);
    if (verdict.bytes != sent || !sent || (!for_long && sent != amount))
        fail("%llu of %llu bytes came", (unsigned long long)verdict.bytes,
             (unsigned long long)sent);
    printf("%llu bytes in %llu ms\n", (unsigned long long)sent,
           (unsigned long long)(now_us() - began) / 1000);
}

static int datagram_socket(const char *address, const char *port)
{
    struct sockaddr_in peer = address_of(address, port);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    be_patient(fd, 3);
    if (connect(fd, (struct sockaddr *)&peer, sizeof(peer)))
        fail("%s: %s", address, strerror(errno));
    return fd;
}

/* A datagram may be lost; one that comes back must be the one that went. */
static void echo(const char *address, const char *port, unsigned from, unsigned to, unsigned step)
{
    static uint8_t there[DATAGRAM], back[DATAGRAM];
    int fd = datagram_socket(address, port);
    unsigned sizes = 0;

    if (to > DATAGRAM || !step)
        fail("sizes up to %u, please", DATAGRAM);
    for (unsigned size = from; size <= to; size += step, sizes++) {
        unsigned tries = 3;
        ssize_t n = -1;

        for (unsigned i = 0; i < size; i++)
            there[i] = (uint8_t)(i * 7 + size);
        while (tries-- && n != (ssize_t)size) {
            if (send(fd, there, size, 0) != (ssize_t)size)
                fail("%u bytes: %s", size, strerror(errno));
            n = recv(fd, back, sizeof(back), 0);
        }
        if (n != (ssize_t)size)
            fail("%u bytes do not come back", size);
        if (memcmp(there, back, size))
            fail("%u bytes came back as others", size);
    }
    printf("%u sizes from %u to %u\n", sizes, from, to);
}

static unsigned long received_packets(const char *interface)
{
    unsigned long packets = 0;
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "/sys/class/net/%.32s/statistics/rx_packets", interface);
    file = fopen(path, "r");
    if (!file || fscanf(file, "%lu", &packets) != 1)
        fail("%s: %s", path, strerror(errno));
    fclose(file);
    return packets;
}

/* How many of the group's packets come within `seconds` of silence at most. */
static unsigned take_group(int fd, unsigned wanted, unsigned seconds)
{
    unsigned came = 0;
    char byte;

    be_patient(fd, seconds);
    while (came < wanted && recv(fd, &byte, 1, 0) == 1)
        came++;
    return came;
}

static void group(const char *address, const char *port, const char *interface)
{
    struct sockaddr_in own = address_of(GROUP, "7077");
    struct ip_mreqn join = {.imr_multiaddr = own.sin_addr};
    int fd = socket(AF_INET, SOCK_DGRAM, 0), asking = datagram_socket(address, port);
    unsigned long before, packets;
    struct sockaddr_in name;
    socklen_t length = sizeof(name);
    unsigned came;

    getsockname(asking, (struct sockaddr *)&name, &length);
    join.imr_address = name.sin_addr;
    if (bind(fd, (struct sockaddr *)&own, sizeof(own)) ||
        setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof(join)))
        fail("the group cannot be joined: %s", strerror(errno));
    usleep(500000); /* the driver sets its filter from a work queue */
    before = received_packets(interface);
    if (send(asking, GROUP_ASKING, sizeof(GROUP_ASKING), 0) < 0)
        fail("%s: %s", address, strerror(errno));
    came = take_group(fd, GROUP_COUNT, 5);
    usleep(500000);
    packets = received_packets(interface) - before;
    if (came != GROUP_COUNT)
        fail("%u of %u packets of the group came", came, GROUP_COUNT);
    /* Some others may come at any time, an ARP request for one. */
    if (packets >= GROUP_COUNT + GROUP_COUNT / 2)
        fail("the filter lets packets of another group in: %lu came in all", packets);
    setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &join, sizeof(join));
    usleep(500000);
    send(asking, GROUP_ASKING, sizeof(GROUP_ASKING), 0);
    came = take_group(fd, 1, 2);
    if (came)
        fail("a group that was left is still heard");
    printf("%u of the group, %lu packets in all\n", GROUP_COUNT, packets);
}

static uint16_t internet_checksum(const void *data, size_t bytes)
{
    const uint8_t *byte = data;
    uint32_t sum = 0;

    for (size_t i = 0; i + 1 < bytes; i += 2)
        sum += (uint32_t)byte[i] << 8 | byte[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

static void ping(const char *address, unsigned count)
{
    struct sockaddr_in peer = address_of(address, "0");
    struct {
        struct icmphdr head;
        uint8_t data[56];
    } echo = {.head.type = ICMP_ECHO, .head.un.echo.id = htons((uint16_t)getpid())};
    uint8_t answer[256];
    uint64_t began = now_us(), took;
    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);

    be_patient(fd, 5);
    if (fd < 0 || connect(fd, (struct sockaddr *)&peer, sizeof(peer)))
        fail("ICMP: %s", strerror(errno));
    for (unsigned i = 0; i < count; i++) {
        struct icmphdr *head;
        ssize_t n;

        echo.head.un.echo.sequence = htons((uint16_t)i);
        echo.head.checksum = 0;
        echo.head.checksum = internet_checksum(&echo, sizeof(echo));
        if (send(fd, &echo, sizeof(echo), 0) != sizeof(echo))
            fail("echo %u: %s", i, strerror(errno));
        do {
            n = recv(fd, answer, sizeof(answer), 0);
            if (n < 0)
                fail("echo %u: no answer", i);
            head = (struct icmphdr *)(answer + (answer[0] & 15) * 4); /* RFC 791, 3.1: IHL */
        } while (n < 84 || head->type != ICMP_ECHOREPLY ||
                 head->un.echo.id != echo.head.un.echo.id ||
                 head->un.echo.sequence != echo.head.un.echo.sequence);
    }
    took = now_us() - began;
    printf("%u echoes, %llu us each\n", count, (unsigned long long)(took / (count ? count : 1)));
}

static void end(const char *address, const char *port)
{
    int fd = datagram_socket(address, port);
    char answer[sizeof(END_ASKING)];

    for (int i = 0; i < 5; i++) {
        send(fd, END_ASKING, sizeof(END_ASKING), 0);
        if (recv(fd, answer, sizeof(answer), 0) == sizeof(answer))
            return;
    }
    fail("the server does not end");
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (argc >= 3 && argc <= 3 + MAX_NAMES && !strcmp(what, "serve"))
        return serve(argv[2], argv + 3);
    for (unsigned op = OP_PUT; op < OP_END; op++) {
        if (argc == 5 && !strcmp(what, op_names[op])) {
            transfer(op, argv[2], argv[3], strtoull(argv[4], NULL, 10));
            return 0;
        }
    }
    if (argc == 7 && !strcmp(what, "echo"))
        echo(argv[2], argv[3], (unsigned)atoi(argv[4]), (unsigned)atoi(argv[5]),
             (unsigned)atoi(argv[6]));
    else if (argc == 5 && !strcmp(what, "group"))
        group(argv[2], argv[3], argv[4]);
    else if (argc == 4 && !strcmp(what, "ping"))
        ping(argv[2], (unsigned)atoi(argv[3]));
    else if (argc == 4 && !strcmp(what, "end"))
        end(argv[2], argv[3]);
    else
        fail("see the head of nettest.c");
    return 0;
}
