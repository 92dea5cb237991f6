/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The peer as hypervisor: connection, messages, memory. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/peer/peer_priv.h"

#define WELCOME_FDS (2 + HV_SHM_VCPUS_MAX)

uint64_t peer_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t peer_deadline(const struct peer *peer)
{
    return peer_now_ns() + (uint64_t)peer->timeout_ms * 1000000u;
}

int peer_remaining(uint64_t deadline)
{
    uint64_t now = peer_now_ns();

    return now >= deadline ? 0 : (int)((deadline - now + 999999u) / 1000000u);
}

void peer_fail(struct peer *peer, int error)
{
    int none = 0;

    __atomic_compare_exchange_n(&peer->error, &none, error, false, __ATOMIC_SEQ_CST,
                                __ATOMIC_SEQ_CST);
}

int peer_error(const struct peer *peer)
{
    return __atomic_load_n(&peer->error, __ATOMIC_SEQ_CST);
}

void peer_error_clear(struct peer *peer)
{
    __atomic_store_n(&peer->error, 0, __ATOMIC_SEQ_CST);
}

int peer_memfd(const char *name, size_t size, bool sealed)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)size) < 0 ||
        (sealed && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)) {
        int rc = -errno;

        close(fd);
        return rc;
    }
    return fd;
}

int peer_send_raw(int sock, const void *message, size_t length, const int *fds, unsigned fd_count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(253 * sizeof(int))];
    } control = {0};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)message, .iov_len = length};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (fd_count) {
        struct cmsghdr *c;

        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
    }
    return sendmsg(sock, &msg, MSG_NOSIGNAL) == (ssize_t)length ? 0 : -errno;
}

static int receive(int sock, void *buf, int *fds, unsigned *ret_fd_count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(WELCOME_FDS * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = buf, .iov_len = HV_SHM_MESSAGE_MAX};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    ssize_t len = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cmsghdr *c;

    *ret_fd_count = 0;
    if (len < 0)
        return errno == EAGAIN || errno == EINTR ? -EAGAIN : -EPIPE;
    c = CMSG_FIRSTHDR(&msg);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
        *ret_fd_count = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(c), *ret_fd_count * sizeof(int));
    }
    return len < (ssize_t)sizeof(struct hv_shm_header) ? -EPIPE : (int)len;
}

static void range_message(struct peer *peer, const struct hv_shm_range *range, bool claim)
{
    if (claim) {
        if (peer->range_count < PEER_RANGES)
            peer->range[peer->range_count++] = (struct peer_range){
                .kind = range->kind, .first = range->first, .last = range->last};
        return;
    }
    for (unsigned i = 0; i < peer->range_count; i++) {
        struct peer_range *r = &peer->range[i];

        if (r->kind == range->kind && r->first == range->first && r->last == range->last) {
            *r = peer->range[--peer->range_count];
            return;
        }
    }
}

/* One message, lock held. False: none there. */
static bool message_take(struct peer *peer)
{
    uint64_t buf[HV_SHM_MESSAGE_MAX / sizeof(uint64_t)];
    const struct hv_shm_header *header = (const void *)buf;
    const struct hv_shm_answer *answer = (const void *)buf;
    int fds[WELCOME_FDS];
    unsigned fd_count;
    int len = receive(peer->sock, buf, fds, &fd_count);

    if (len == -EAGAIN)
        return false;
    if (len < 0) {
        peer->gone = true;
        return false;
    }
    for (unsigned i = 0; i < fd_count; i++)
        close(fds[i]);
    switch (header->type) {
    case HV_SHM_CLAIM:
    case HV_SHM_RELEASE:
        range_message(peer, (const void *)buf, header->type == HV_SHM_CLAIM);
        peer->ranges_seen++;
        break;
    case HV_SHM_ENABLE:
    case HV_SHM_DISABLE:
        peer->enabled = header->type == HV_SHM_ENABLE;
        peer->ranges_seen++;
        break;
    case HV_SHM_ANSWER:
        peer->answer_id = header->id;
        peer->answer_error = answer->error;
        break;
    }
    return true;
}

void peer_sync(struct peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    while (!peer->gone &&
           __atomic_load_n(&peer->pages->status.ranges, __ATOMIC_ACQUIRE) != peer->ranges_seen &&
           message_take(peer))
        ;
    pthread_mutex_unlock(&peer->lock);
}

/* Waits for the socket and reads all there is until done() or the deadline. */
static int messages_until(struct peer *peer, bool (*done)(const struct peer *, uint32_t),
                          uint32_t arg)
{
    uint64_t deadline = peer_deadline(peer);
    int rc;

    for (;;) {
        struct pollfd pfd = {.fd = peer->sock, .events = POLLIN};

        pthread_mutex_lock(&peer->lock);
        while (!peer->gone && !done(peer, arg) && message_take(peer))
            ;
        rc = done(peer, arg) ? 0 : peer->gone ? -EPIPE : 1;
        pthread_mutex_unlock(&peer->lock);
        if (rc <= 0)
            return rc;
        if (peer_remaining(deadline) == 0)
            return -ETIMEDOUT;
        /* Another thread may take the message, so look again now and then. */
        poll(&pfd, 1, peer_remaining(deadline) > 20 ? 20 : peer_remaining(deadline));
    }
}

static bool is_enabled(const struct peer *peer, uint32_t arg)
{
    return peer->enabled;
}

int peer_wait_enabled(struct peer *peer)
{
    return messages_until(peer, is_enabled, 0);
}

static bool is_answered(const struct peer *peer, uint32_t id)
{
    return peer->answer_id == id;
}

int peer_transact(struct peer *peer, void *message, uint16_t type, size_t length, int fd)
{
    struct hv_shm_header *header = message;
    int rc;

    pthread_mutex_lock(&peer->lock);
    *header = (struct hv_shm_header){.magic = HV_SHM_MAGIC,
                                     .type = type,
                                     .fds = fd >= 0,
                                     .length = (uint32_t)length,
                                     .id = ++peer->next_id};
    pthread_mutex_unlock(&peer->lock);
    rc = peer_send_raw(peer->sock, message, length, &fd, fd >= 0);
    if (rc == 0)
        rc = messages_until(peer, is_answered, header->id);
    return rc < 0 ? rc : peer->answer_error;
}

static int socket_open(const struct peer_options *options)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd, rc;

    if (!options->socket)
        return options->fd;
    if (strlen(options->socket) >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    memcpy(addr.sun_path, options->socket, strlen(options->socket));
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

static int hello(struct peer *peer, const struct peer_options *options)
{
    struct {
        struct hv_shm_hello hello;
        struct hv_shm_region region;
    } message = {.hello = {.version = HV_SHM_VERSION,
                           .features = options->features,
                           .vcpus = peer->vcpus,
                           .regions = options->ram_size ? 1 : 0},
                 .region = {.size = options->ram_size,
                            .fd = 1,
                            .flags = options->spares ? HV_SHM_REGION_FRAMES : 0}};
    size_t length = sizeof(message.hello) + message.hello.regions * sizeof(message.region);
    int fds[2] = {-1, -1};
    void *pages;
    int rc;

    snprintf(message.hello.name, sizeof(message.hello.name), "%s", options->name);
    fds[0] = peer_memfd("peer-pages", sizeof(*peer->pages), true);
    if (fds[0] < 0)
        return fds[0];
    pages = mmap(NULL, sizeof(*peer->pages), PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
    if (pages == MAP_FAILED || (options->ram_size && !peer_region_new(peer, 0, options->ram_size,
                                                                      options->spares, &fds[1]))) {
        rc = -ENOMEM;
    } else {
        message.hello.header = (struct hv_shm_header){.magic = HV_SHM_MAGIC,
                                                      .type = HV_SHM_HELLO,
                                                      .fds = options->ram_size ? 2 : 1,
                                                      .length = (uint32_t)length};
        rc = peer_send_raw(peer->sock, &message, length, fds, message.hello.header.fds);
    }
    if (pages != MAP_FAILED) {
        peer->pages = pages;
        peer->bufpio.page = &peer->pages->bufpio;
    }
    if (fds[1] >= 0)
        close(fds[1]);
    close(fds[0]);
    return rc;
}

/* The daemon's doorbells; each also tells when the daemon hangs up. */
static int welcome_fds(struct peer *peer, const int *fds, unsigned fd_count)
{
    struct epoll_event hangup = {.events = EPOLLRDHUP};

    if (fd_count != 2 + peer->vcpus) {
        for (unsigned i = 0; i < fd_count; i++)
            close(fds[i]);
        return -EPROTO;
    }
    peer->kick_fd = fds[0];
    peer->irq_fd = fds[1];
    memcpy(peer->answer_fd, fds + 2, peer->vcpus * sizeof(int));
    for (unsigned i = 1; i < fd_count; i++)
        if (epoll_ctl(fds[i], EPOLL_CTL_ADD, peer->sock, &hangup) < 0)
            return -errno;
    return 0;
}

static int welcome(struct peer *peer, char reason[112])
{
    uint64_t buf[HV_SHM_MESSAGE_MAX / sizeof(uint64_t)];
    const struct hv_shm_header *header = (const void *)buf;
    const struct hv_shm_refused *refused = (const void *)buf;
    const struct hv_shm_welcome *agreed = (const void *)buf;
    struct pollfd pfd = {.fd = peer->sock, .events = POLLIN};
    int fds[WELCOME_FDS];
    unsigned fd_count;
    int len;

    if (poll(&pfd, 1, peer->timeout_ms) == 0)
        return -ETIMEDOUT;
    len = receive(peer->sock, buf, fds, &fd_count);
    if (len < 0)
        return len;
    if (header->type == HV_SHM_REFUSED) {
        if (reason)
            snprintf(reason, 112, "%.111s", refused->reason);
        return refused->error < 0 ? refused->error : -EPROTO;
    }
    peer->features = agreed->features;
    return header->type == HV_SHM_WELCOME ? welcome_fds(peer, fds, fd_count) : -EPROTO;
}

int peer_connect(const struct peer_options *options, struct peer **ret_peer, char reason[112])
{
    struct peer *peer = calloc(1, sizeof(*peer));
    int rc;

    if (!peer)
        return -ENOMEM;
    if (reason)
        reason[0] = 0;
    peer->vcpus = options->vcpus ? options->vcpus : 1;
    peer->timeout_ms = options->timeout_ms ? options->timeout_ms : 10000;
    peer->spin_ns = options->spin_ns;
    peer->irq_spin_ns = options->irq_spin_ns;
    peer->kick_fd = peer->irq_fd = -1;
    for (unsigned i = 0; i < HV_SHM_VCPUS_MAX; i++)
        peer->answer_fd[i] = -1;
    pthread_mutex_init(&peer->lock, NULL);
    pthread_mutex_init(&peer->pci_lock, NULL);
    pthread_mutex_init(&peer->sleeper_lock, NULL);
    hv_bufpio_init(&peer->bufpio, NULL);
    rc = peer->sock = socket_open(options);
    if (rc >= 0)
        rc = hello(peer, options);
    if (rc == 0 || rc == -EPIPE) /* refused without being heard: the words are there to be read */
        rc = welcome(peer, reason);
    if (rc < 0) {
        peer_close(peer);
        return rc;
    }
    *ret_peer = peer;
    return 0;
}

void peer_close(struct peer *peer)
{
    if (!peer)
        return;
    if (peer->sock >= 0)
        close(peer->sock);
    for (unsigned i = 0; i < peer->vcpus && i < HV_SHM_VCPUS_MAX; i++)
        if (peer->answer_fd[i] >= 0)
            close(peer->answer_fd[i]);
    while (peer->sleepers)
        close(peer->sleeper[--peer->sleepers]);
    if (peer->irq_fd >= 0)
        close(peer->irq_fd);
    if (peer->kick_fd >= 0)
        close(peer->kick_fd);
    for (unsigned i = 0; i < PEER_REGIONS; i++)
        peer_region_free(&peer->region[i]);
    if (peer->dirty)
        munmap(peer->dirty, peer->dirty_bytes);
    if (peer->pages)
        munmap(peer->pages, sizeof(*peer->pages));
    pthread_mutex_destroy(&peer->sleeper_lock);
    pthread_mutex_destroy(&peer->pci_lock);
    pthread_mutex_destroy(&peer->lock);
    hv_bufpio_finish(&peer->bufpio);
    free(peer);
}

bool peer_has_feature(const struct peer *peer, uint32_t feature)
{
    return peer->features & feature;
}

int peer_socket(const struct peer *peer)
{
    return peer->sock;
}
