/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hv_shm, control side: a peer becomes a guest, and its end. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
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
static int wait_for(struct hv_guest *guest)
{
    struct epoll_event kick = hv_shm_kick_event;
    struct epoll_event sock = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = guest->sock};

    guest->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (guest->epoll_fd < 0 ||
        epoll_ctl(guest->epoll_fd, EPOLL_CTL_ADD, guest->kick_fd, &kick) < 0 ||
        epoll_ctl(guest->epoll_fd, EPOLL_CTL_ADD, guest->sock, &sock) < 0)
        return -errno;
    return 0;
}

static int waiting_create(struct hv_guest *guest)
{
    /* Readable from the beginning, which guest_rearm() relies on: a peer's very first request may
     * come while kicks need not be sent. */
    guest->kick_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    return guest->kick_fd < 0 ? -errno : wait_for(guest);
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
    guest->kept = conn->kept;
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
    hv_shm_kept_free(guest->host->reaper, guest->kept);
    shutdown(guest->sock, SHUT_RDWR);
    hv_shm_reaper_close(guest->host->reaper, guest->sock);
    free(guest);
}

/* ---- to another process -----------------------------------------------------------------------*/

struct packed_guest {
    _Alignas(uint64_t) struct hv_guest_info info; /* as HELLO is to be */
    uint32_t hello, hello_fds; /* bytes of HELLO, which follows, and its descriptors */
};
_Static_assert(sizeof(struct packed_guest) + HV_SHM_MESSAGE_MAX <= HV_PACKED_BYTES, "it fits");
_Static_assert(3 + HV_SHM_VCPUS_MAX + HV_SHM_HELLO_FDS <= HV_PACKED_FDS, "they fit");

/* The socket stays as well: the control side waits for its end. */
int hv_shm_guest_pack(struct hv_guest *guest, struct hv_packed *ret_packed)
{
    struct hv_shm_kept *kept = guest->kept;
    struct packed_guest packed = {guest->info, kept->length, kept->fd_count};
    unsigned count = 0;
    int sock;

    assert(kept); /* hv_host_params.packs */
    sock = fcntl(guest->sock, F_DUPFD_CLOEXEC, 0);
    if (sock < 0)
        return -errno;
    *ret_packed = (struct hv_packed){.bytes = (uint32_t)sizeof(packed) + kept->length};
    memcpy(ret_packed->data, &packed, sizeof(packed));
    memcpy((char *)ret_packed->data + sizeof(packed), kept->message, kept->length);
    ret_packed->fds[count++] = sock;
    ret_packed->fds[count++] = guest->kick_fd;
    ret_packed->fds[count++] = guest->irq_fd;
    for (uint32_t i = 0; i < guest->info.vcpus; i++) {
        ret_packed->fds[count++] = guest->answer_fd[i];
        guest->answer_fd[i] = -1;
    }
    memcpy(&ret_packed->fds[count], kept->fds, kept->fd_count * sizeof(kept->fds[0]));
    ret_packed->count = count + kept->fd_count;
    guest->kick_fd = guest->irq_fd = -1;
    close_doorbells(guest); /* the epoll descriptor: it knows others by their numbers here */
    free(kept);
    guest->kept = NULL;
    hv_shm_mem_finish(&guest->mem);
    munmap(guest->pages, guest->pages_size);
    guest->pages = NULL;
    return 0;
}

/* The numbers in `fds` are as guest_pack() put them. */
static void take_doorbells(struct hv_guest *guest, const int *fds)
{
    guest->sock = fds[0];
    guest->kick_fd = fds[1];
    guest->irq_fd = fds[2];
    for (uint32_t i = 0; i < guest->info.vcpus; i++)
        guest->answer_fd[i] = fds[3 + i];
}

int hv_shm_guest_unpack(struct hv_host *host, const struct hv_packed *packed,
                        struct hv_guest **ret_guest)
{
    struct hv_guest *guest = calloc(1, sizeof(*guest));
    struct hv_shm_hello_info hello = {0};
    struct packed_guest from;
    const char *why;
    const int *fds;
    int rc;

    memcpy(&from, packed->data, sizeof(from));
    fds = &packed->fds[3 + from.info.vcpus];
    if (!guest) {
        hv_shm_reaper_close_all(host->reaper, packed->fds, packed->count);
        return -ENOMEM;
    }
    guest->watch = HV_SHM_WATCH_GUEST;
    guest->host = host;
    guest->info = from.info;
    guest->epoll_fd = -1;
    take_doorbells(guest, packed->fds);
    rc = hv_shm_hello_parse((const char *)packed->data + sizeof(from), from.hello, fds,
                            from.hello_fds, &hello, &why);
    hv_shm_reaper_close_all(host->reaper, fds, from.hello_fds);
    if (rc == 0) {
        guest->pages = hello.pages;
        guest->pages_size = hv_shm_pages_size(hello.features);
        guest->mem = hello.mem;
        rc = wait_for(guest);
    }
    if (rc < 0) {
        hv_shm_guest_destroy(guest);
        return rc;
    }
    *ret_guest = guest;
    return 0;
}
