/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hv_shm, control side: a peer becomes a guest, and its end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ioreq/hv_shm_priv.h"

/*
 * A doorbell of ours: we write the eventfd, the peer gets an epoll descriptor that watches it
 * edge-triggered. If the peer had the eventfd, it could clear O_NONBLOCK on the open file that we
 * share, fill the counter, and so block our write.
 */
static int doorbell_create(int *ret_event, int *ret_epoll)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int epoll_fd, rc;

    if (fd < 0)
        return -errno;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        rc = -errno;
        if (epoll_fd >= 0)
            close(epoll_fd);
        close(fd);
        return rc;
    }
    *ret_event = fd;
    *ret_epoll = epoll_fd;
    return 0;
}

/*
 * The worker's descriptor. The kick eventfd is only waited for, edge-triggered, and never read: the
 * peer shares its open file and could make a read block.
 */
static int waiting_create(struct hv_guest *guest)
{
    struct epoll_event kick = hv_shm_kick_event;
    struct epoll_event sock = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = guest->sock};

    /* Readable from the beginning, which guest_rearm() relies on: a peer's very first request may
     * come while kicks need not be sent. */
    guest->kick_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    if (guest->kick_fd < 0)
        return -errno;
    guest->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (guest->epoll_fd < 0 ||
        epoll_ctl(guest->epoll_fd, EPOLL_CTL_ADD, guest->kick_fd, &kick) < 0 ||
        epoll_ctl(guest->epoll_fd, EPOLL_CTL_ADD, guest->sock, &sock) < 0)
        return -errno;
    return 0;
}

/* Makes the doorbells and hands them to the peer. */
static int welcome(struct hv_guest *guest)
{
    struct hv_shm_welcome message = {.version = HV_SHM_VERSION, .features = guest->info.features};
    int fds[2 + HV_SHM_VCPUS_MAX] = {guest->kick_fd};
    unsigned count = 1;
    int rc;

    rc = doorbell_create(&guest->irq_fd, &fds[count]);
    if (rc == 0)
        count++;
    for (uint32_t i = 0; i < guest->info.vcpus && rc == 0; i++) {
        rc = doorbell_create(&guest->answer_fd[i], &fds[count]);
        if (rc == 0)
            count++;
    }
    if (rc == 0)
        rc = hv_shm_send(guest->sock, HV_SHM_WELCOME, &message, sizeof(message), fds, count);
    for (unsigned i = 1; i < count; i++)
        close(fds[i]);
    return rc;
}

static void close_doorbells(struct hv_guest *guest)
{
    for (uint32_t i = 0; i < guest->info.vcpus; i++)
        if (guest->answer_fd[i] >= 0)
            close(guest->answer_fd[i]);
    if (guest->irq_fd >= 0)
        close(guest->irq_fd);
    if (guest->epoll_fd >= 0)
        close(guest->epoll_fd);
    if (guest->kick_fd >= 0)
        close(guest->kick_fd);
    for (uint32_t i = 0; i < guest->info.vcpus; i++)
        guest->answer_fd[i] = -1;
    guest->irq_fd = guest->epoll_fd = guest->kick_fd = -1;
}

int hv_shm_guest_create(struct hv_host *host, const struct hv_guest_params *params,
                        struct hv_guest **ret_guest)
{
    struct hv_shm_conn *conn = hv_shm_host_offered(host, params->peer);
    struct epoll_event event = {.events = EPOLLRDHUP};
    struct hv_guest *guest;
    int rc;

    /* It hung up while the guest waited for something else; another may have its place by now. */
    if (!conn || strcmp(conn->hello.name, params->name))
        return -EPIPE;
    guest = calloc(1, sizeof(*guest));
    if (!guest)
        return -ENOMEM;
    guest->watch = HV_SHM_WATCH_GUEST;
    guest->host = host;
    guest->sock = conn->fd;
    guest->info =
        (struct hv_guest_info){.vcpus = conn->hello.vcpus, .features = conn->hello.features};
    if (!params->buffered_pio)
        guest->info.features &= ~HV_FEATURE_BUFFERED_PIO;
    guest->epoll_fd = guest->kick_fd = guest->irq_fd = -1;
    for (uint32_t i = 0; i < HV_SHM_VCPUS_MAX; i++)
        guest->answer_fd[i] = -1;

    rc = waiting_create(guest);
    if (rc == 0)
        rc = welcome(guest);
    if (rc < 0) {
        /* The connection stays the host's, to be refused. */
        close_doorbells(guest);
        free(guest);
        return rc;
    }
    guest->pages = conn->hello.pages;
    guest->pages_size = hv_shm_pages_size(conn->hello.features);
    guest->mem = conn->hello.mem;
    guest->pages->status = (struct hv_shm_status){0};
    hv_shm_host_take(host, conn);
    free(conn);
    event.data.ptr = guest;
    if (epoll_ctl(host->epoll_fd, EPOLL_CTL_ADD, guest->sock, &event) < 0) {
        rc = -errno;
        hv_shm_guest_destroy(guest);
        return rc;
    }
    *ret_guest = guest;
    return 0;
}

void hv_shm_guest_fail(struct hv_guest *guest, const char *why)
{
    if (guest->gone)
        return;
    guest->gone = true;
    /* The control side sees the hang-up and then why. The worker's own descriptor falls silent. */
    __atomic_store_n(&guest->gone_why, why, __ATOMIC_RELEASE);
    epoll_ctl(guest->epoll_fd, EPOLL_CTL_DEL, guest->sock, NULL);
    shutdown(guest->sock, SHUT_RDWR);
}

void hv_shm_guest_destroy(struct hv_guest *guest)
{
    if (!guest)
        return;
    epoll_ctl(guest->host->epoll_fd, EPOLL_CTL_DEL, guest->sock, NULL);
    hv_shm_grants_finish(guest);
    hv_shm_mem_finish(&guest->mem);
    if (guest->pages)
        munmap(guest->pages, guest->pages_size);
    close_doorbells(guest);
    shutdown(guest->sock, SHUT_RDWR);
    hv_shm_reaper_close(guest->host->reaper, guest->sock);
    free(guest);
}

unsigned hv_shm_guest_descriptors(const struct hv_guest *guest, int *ret_fds)
{
    unsigned count = 0;

    ret_fds[count++] = guest->sock;
    ret_fds[count++] = guest->epoll_fd;
    ret_fds[count++] = guest->kick_fd;
    ret_fds[count++] = guest->irq_fd;
    for (uint32_t i = 0; i < guest->info.vcpus; i++)
        ret_fds[count++] = guest->answer_fd[i];
    return count;
}

/* The socket stays: the control side waits for its end. */
void hv_shm_guest_handed_over(struct hv_guest *guest)
{
    hv_shm_mem_finish(&guest->mem);
    munmap(guest->pages, guest->pages_size);
    guest->pages = NULL;
    close_doorbells(guest);
}
