// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/shm_server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

struct impl {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int wake_fd;
    void (*fn)(struct shm_server *server, void *arg);
    void *arg;
    bool stop;
};

static const struct hv_ops *const hv = &hv_shm_ops;

static uint64_t regs_read(void *dev, uint64_t offset, unsigned size)
{
    struct shm_server_guest *g = dev;
    uint64_t value = 0;

    memcpy(&value, g->regs + offset, size);
    return value;
}

static void regs_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct shm_server_guest *g = dev;

    memcpy(g->regs + offset, &value, size);
}

static uint32_t stream_read_block(void *dev, uint64_t offset, unsigned size, void *buf,
                                  uint32_t count)
{
    struct shm_server_guest *g = dev;

    for (uint32_t i = 0; i < count * size; i++)
        ((uint8_t *)buf)[i] = g->next_byte++;
    return count;
}

static uint32_t stream_write_block(void *dev, uint64_t offset, unsigned size, const void *buf,
                                   uint32_t count)
{
    struct shm_server_guest *g = dev;

    if (g->written_len + (size_t)count * size > sizeof(g->written))
        g->written_len = 0;
    memcpy(g->written + g->written_len, buf, (size_t)count * size);
    g->written_len += (size_t)count * size;
    return count;
}

static uint64_t stream_read(void *dev, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    stream_read_block(dev, offset, size, &value, 1);
    return value;
}

static void stream_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    stream_write_block(dev, offset, size, &value, 1);
}

static uint64_t mmio_read(void *dev, uint64_t offset, unsigned size)
{
    struct shm_server_guest *g = dev;
    uint64_t value = 0;

    memcpy(&value, g->mmio + offset, size);
    return value;
}

static void mmio_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct shm_server_guest *g = dev;

    memcpy(g->mmio + offset, &value, size);
}

static const struct bus_io_ops regs_ops = {.read = regs_read, .write = regs_write, .max_size = 4};
static const struct bus_io_ops stream_ops = {.read = stream_read,
                                             .write = stream_write,
                                             .read_block = stream_read_block,
                                             .write_block = stream_write_block,
                                             .max_size = 4};
static const struct bus_io_ops mmio_ops = {.read = mmio_read, .write = mmio_write, .max_size = 8};

static int listener_claim(void *ctx, enum bus_space space, uint64_t first, uint64_t last)
{
    struct shm_server_guest *g = ctx;

    return hv->claim(g->guest, space == BUS_PORT ? HV_RANGE_PORT : HV_RANGE_MMIO, first, last);
}

static void listener_release(void *ctx, enum bus_space space, uint64_t first, uint64_t last)
{
    struct shm_server_guest *g = ctx;

    hv->release(g->guest, space == BUS_PORT ? HV_RANGE_PORT : HV_RANGE_MMIO, first, last);
}

static const struct bus_listener listener = {.claim = listener_claim, .release = listener_release};

static void count_illegal(void *ctx, uint32_t vcpu, const char *what)
{
    struct shm_server_guest *g = ctx;

    g->illegal++;
}

static const struct {
    enum bus_space space;
    uint64_t first, count;
    const struct bus_io_ops *ops;
} ranges[] = {
    {BUS_PORT, 0x300, 8, &regs_ops},
    {BUS_PORT, 0x310, 4, &stream_ops},
    {BUS_MMIO, 0xf0000000, 4096, &mmio_ops},
};

static int guest_up(struct shm_server *server, struct shm_server_guest *g)
{
    int rc = hv->guest_start(g->guest, server->worker);

    if (rc == 0)
        rc = bus_create(&listener, g, &g->bus);
    for (unsigned i = 0; rc == 0 && i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        rc = bus_claim(g->bus, ranges[i].space, ranges[i].first, ranges[i].count, ranges[i].ops, g);
        g->claimed += rc == 0;
    }
    if (rc == 0)
        rc = hv->claim(g->guest, HV_RANGE_PCI, 5 << 3, 5 << 3);
    g->dispatch = (struct dispatch){.hv = hv,
                                    .guest = g->guest,
                                    .bus = g->bus,
                                    .vcpus = hv->guest_info(g->guest)->vcpus,
                                    .illegal = count_illegal,
                                    .ctx = g};
    return rc == 0 ? hv->guest_enable(g->guest) : rc;
}

static void guest_down(struct shm_server_guest *g)
{
    if (g->bus) {
        for (; g->claimed; g->claimed--)
            bus_release(g->bus, ranges[g->claimed - 1].space, ranges[g->claimed - 1].first);
        bus_destroy(g->bus);
    }
    g->bus = NULL;
    hv->guest_stop(g->guest);
    hv->guest_destroy(g->guest);
    g->guest = NULL;
}

static int on_peer(void *ctx, const char *name, void *peer)
{
    struct shm_server *server = ctx;
    struct hv_guest_params params = {
        .name = name, .peer = peer, .buffered_pio = server->buffered_pio};

    server->peer = peer;
    __atomic_fetch_add(&server->offered, 1, __ATOMIC_SEQ_CST);
    if (server->refuse || server->ignore)
        return server->refuse;
    for (unsigned i = 0; i < SHM_SERVER_GUESTS; i++) {
        struct shm_server_guest *g = &server->guests[i];
        int rc;

        if (g->guest)
            continue;
        memset(g, 0, sizeof(*g));
        g->server = server;
        rc = hv->guest_create(server->host, &params, &g->guest);
        if (rc == 0)
            guest_up(server, g); /* a failure is told by the peer's being gone */
        return rc;
    }
    return -ENOSPC;
}

static void on_gone(void *ctx, struct hv_guest *guest)
{
    struct shm_server *server = ctx;

    for (unsigned i = 0; i < SHM_SERVER_GUESTS; i++)
        if (server->guests[i].guest == guest)
            guest_down(&server->guests[i]);
    __atomic_fetch_add(&server->gone, 1, __ATOMIC_SEQ_CST);
}

static void on_log(void *ctx, int priority, const char *line)
{
    struct shm_server *server = ctx;

    snprintf(server->last_log, sizeof(server->last_log), "%s", line);
    __atomic_fetch_add(&server->log_lines, 1, __ATOMIC_SEQ_CST);
}

static const struct hv_host_events host_events = {
    .guest_gone = on_gone, .peer = on_peer, .log = on_log};

static void guest_serve(struct shm_server_guest *g)
{
    struct hv_pending pending;

    if (hv->guest_pending(g->guest, &pending) == 0)
        dispatch_turn(&g->dispatch, pending.slots);
    hv->guest_rearm(g->guest);
}

static void *server_thread(void *arg)
{
    struct shm_server *server = arg;
    struct impl *impl = server->impl;
    struct pollfd fds[2 + SHM_SERVER_GUESTS];

    for (;;) {
        uint64_t wakes;

        fds[0] = (struct pollfd){.fd = impl->wake_fd, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = hv->host_fd(server->host), .events = POLLIN};
        for (unsigned i = 0; i < SHM_SERVER_GUESTS; i++)
            fds[2 + i] = (struct pollfd){.fd = server->guests[i].guest && !server->control
                                                   ? hv->guest_fd(server->guests[i].guest)
                                                   : -1,
                                         .events = POLLIN};
        poll(fds, 2 + SHM_SERVER_GUESTS, -1);
        for (unsigned i = 0; i < SHM_SERVER_GUESTS; i++)
            if (fds[2 + i].revents && server->guests[i].guest)
                guest_serve(&server->guests[i]);
        if (fds[1].revents)
            hv->host_dispatch(server->host);
        if (!fds[0].revents || read(impl->wake_fd, &wakes, sizeof(wakes)) < 0)
            continue;
        pthread_mutex_lock(&impl->lock);
        if (impl->fn)
            impl->fn(server, impl->arg);
        impl->fn = NULL;
        pthread_cond_broadcast(&impl->cond);
        pthread_mutex_unlock(&impl->lock);
        if (impl->stop)
            return NULL;
    }
}

static int listen_at(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 64) < 0)
        return -1;
    return fd;
}

struct shm_server *shm_server_start(void)
{
    struct shm_server *server = calloc(1, sizeof(*server));
    struct impl *impl = calloc(1, sizeof(*impl));
    struct hv_host_params params = {.events = &host_events, .ctx = server};

    snprintf(server->path, sizeof(server->path), "/tmp/test_hv_shm.%d.%p", (int)getpid(),
             (void *)server);
    unlink(server->path);
    params.listen_fd = listen_at(server->path);
    if (params.listen_fd < 0 || hv->host_open(&params, &server->host) < 0 ||
        hv->worker_open(server->host, &server->worker) < 0) {
        fprintf(stderr, "the test's server does not start\n");
        abort();
    }
    server->impl = impl;
    pthread_mutex_init(&impl->lock, NULL);
    pthread_cond_init(&impl->cond, NULL);
    impl->wake_fd = eventfd(0, EFD_CLOEXEC);
    pthread_create(&impl->thread, NULL, server_thread, server);
    return server;
}

void shm_server_run(struct shm_server *server, void (*fn)(struct shm_server *server, void *arg),
                    void *arg)
{
    struct impl *impl = server->impl;
    const uint64_t one = 1;

    pthread_mutex_lock(&impl->lock);
    impl->fn = fn;
    impl->arg = arg;
    if (write(impl->wake_fd, &one, sizeof(one)) < 0)
        abort();
    while (impl->fn)
        pthread_cond_wait(&impl->cond, &impl->lock);
    pthread_mutex_unlock(&impl->lock);
}

static void stop(struct shm_server *server, void *arg)
{
    ((struct impl *)server->impl)->stop = true;
}

void shm_server_stop(struct shm_server *server)
{
    struct impl *impl = server->impl;

    shm_server_run(server, stop, NULL);
    pthread_join(impl->thread, NULL);
    for (unsigned i = 0; i < SHM_SERVER_GUESTS; i++)
        if (server->guests[i].guest)
            guest_down(&server->guests[i]);
    hv->worker_close(server->worker);
    hv->host_close(server->host);
    unlink(server->path);
    close(impl->wake_fd);
    pthread_cond_destroy(&impl->cond);
    pthread_mutex_destroy(&impl->lock);
    free(impl);
    free(server);
}

bool shm_server_wait(struct shm_server *server, const unsigned *value, unsigned least, int ms)
{
    for (int i = 0; i < ms; i++) {
        if (__atomic_load_n(value, __ATOMIC_SEQ_CST) >= least)
            return true;
        usleep(1000);
    }
    return false;
}

static void count_guests(struct shm_server *server, void *arg)
{
    for (unsigned i = 0; i < SHM_SERVER_GUESTS; i++)
        *(unsigned *)arg += server->guests[i].guest != NULL;
}

unsigned shm_server_guest_count(struct shm_server *server)
{
    unsigned count = 0;

    shm_server_run(server, count_guests, &count);
    return count;
}

struct peer *shm_server_peer(struct shm_server *server, const char *name, unsigned vcpus)
{
    struct peer_options options = {.socket = server->path,
                                   .name = name,
                                   .ram_size = 1 << 20,
                                   .vcpus = vcpus,
                                   .features = HV_SHM_FEATURE_MSI | HV_SHM_FEATURE_DIRTY_LOG,
                                   .timeout_ms = 5000};
    struct peer *peer = NULL;

    assert_int_equal(peer_connect(&options, &peer, NULL), 0);
    assert_int_equal(peer_wait_enabled(peer), 0);
    return peer;
}

int shm_server_socket(struct shm_server *server)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", server->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}
