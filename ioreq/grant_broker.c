/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ioreq/grant_broker.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ioreq/grant_broker_priv.h"
#include "ioreq/hv_shm_reaper.h"

/* After grant_xen.h, whose types it needs. */
#include <xen/sys/gntdev.h>

#define GNTDEV_PATH "/dev/xen/gntdev"

/* Sockets that have a turn before anything else is looked at. */
#define EVENTS 16

/* The most descriptors that the kernel lets through with a message. */
#define SCM_FDS 253

/* What a domain may map, for as long as it is not cut off: whoever closes one of its sockets and is
 * given another has no more for that. */
struct domain {
    struct domain *next;
    uint32_t domid;
    unsigned members;
    bool cut;
    struct grant_broker_bounds bounds; /* the thread's */
};

struct member {
    struct member *next;
    struct domain *domain;
    struct grant_broker_guest guest;
    int sock;
    bool cut;
};

struct grant_broker {
    struct grant_xen *xen;
    const struct grant_broker_calls *calls;
    void *ctx;
    struct hv_shm_reaper *reaper;
    int epoll_fd, stop_fd;
    pthread_t thread;
    struct grant_wire_request request; /* the thread's: what came, and nobody can change */
    struct grant_broker_reply reply;
    pthread_mutex_t lock;   /* of all below, and of grant_xen's guests; not held while copying */
    struct member *members; /* the thread ends them, as long as there is one */
    struct domain *domains;
};

/* ---- messages ---------------------------------------------------------------------------------*/

/* A worker has none for us. Who sends one may have made it hang when it is closed. */
static bool close_fds(struct grant_broker *broker, struct msghdr *msg)
{
    bool any = msg->msg_flags & MSG_CTRUNC;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len; at += sizeof(int)) {
            int fd;

            memcpy(&fd, (char *)c + at, sizeof(fd));
            hv_shm_reaper_close(broker->reaper, fd);
        }
        any = true;
    }
    return any;
}

/* Returns the message's length, or 0 at the end: the worker's, or of our patience. -EAGAIN: there
 * is none. */
static ssize_t receive(struct grant_broker *broker, int sock)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(SCM_FDS * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = &broker->request, .iov_len = sizeof(broker->request)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    ssize_t length;

    do
        length = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (length < 0 && errno == EINTR);
    if (length < 0)
        return errno == EAGAIN ? -EAGAIN : 0;
    return close_fds(broker, &msg) || msg.msg_flags & MSG_TRUNC ? 0 : length;
}

/* Whether it has arrived; a worker that waits for it has room for it. */
static bool reply(struct grant_broker *broker, int sock)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {.iov_base = &broker->reply, .iov_len = broker->reply.length};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t length;

    if (broker->reply.fd >= 0) {
        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control);
        control.align = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.align), &broker->reply.fd, sizeof(int));
    }
    do
        length = sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (length < 0 && errno == EINTR);
    return length == (ssize_t)broker->reply.length;
}

/* One message. False: its part is over. */
static bool serve(struct grant_broker *broker, struct member *member)
{
    ssize_t length;
    bool going_on = true;

    if (__atomic_load_n(&member->cut, __ATOMIC_ACQUIRE))
        return false;
    length = receive(broker, member->sock);
    if (length < 0)
        return true;
    if (!grant_broker_answer(&member->guest, &broker->request, (size_t)length, &broker->reply))
        return false;
    if (broker->reply.length)
        going_on = reply(broker, member->sock);
    if (broker->reply.fd >= 0)
        close(broker->reply.fd);
    return going_on;
}

/* ---- domains, with the lock held --------------------------------------------------------------*/

static struct domain *domain_of(struct grant_broker *broker, uint32_t domid)
{
    struct domain *domain = broker->domains;

    while (domain && (domain->cut || domain->domid != domid))
        domain = domain->next;
    if (domain)
        return domain;
    domain = calloc(1, sizeof(*domain));
    if (!domain)
        return NULL;
    domain->domid = domid;
    grant_broker_bounds_init(&domain->bounds, broker->calls, broker->ctx);
    domain->next = broker->domains;
    broker->domains = domain;
    return domain;
}

/* Those that are cut off, and have nobody any more. */
static void forget_domains(struct grant_broker *broker)
{
    struct domain **link = &broker->domains;

    while (*link) {
        struct domain *domain = *link;

        if (domain->cut && !domain->members) {
            *link = domain->next;
            free(domain);
        } else {
            link = &domain->next;
        }
    }
}

static void cut_domain(struct grant_broker *broker, uint32_t domid)
{
    for (struct domain *domain = broker->domains; domain; domain = domain->next)
        domain->cut |= domain->domid == domid;
    forget_domains(broker);
}

/* ---- the thread -------------------------------------------------------------------------------*/

/* With the lock held, or nobody else there. What the worker has sent and was not read may hang when
 * it is closed. */
static void member_free(struct grant_broker *broker, struct member *member)
{
    struct member **link = &broker->members;

    while (*link != member)
        link = &(*link)->next;
    *link = member->next;
    epoll_ctl(broker->epoll_fd, EPOLL_CTL_DEL, member->sock, NULL);
    shutdown(member->sock, SHUT_RDWR);
    hv_shm_reaper_close(broker->reaper, member->sock);
    grant_broker_guest_close(&member->guest);
    member->domain->members--;
    forget_domains(broker);
    free(member);
}

static void *broker_thread(void *arg)
{
    struct grant_broker *broker = arg;
    struct epoll_event events[EVENTS];

    for (;;) {
        int count = epoll_wait(broker->epoll_fd, events, EVENTS, -1);

        for (int i = 0; i < count; i++) {
            struct member *member = events[i].data.ptr;

            if (!member)
                return NULL; /* grant_broker_close() waits */
            if (serve(broker, member))
                continue;
            pthread_mutex_lock(&broker->lock);
            member_free(broker, member);
            pthread_mutex_unlock(&broker->lock);
        }
    }
}

/* Signals are the main thread's. */
static int start_thread(struct grant_broker *broker)
{
    sigset_t all, before;
    int err;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    err = pthread_create(&broker->thread, NULL, broker_thread, broker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!err)
        pthread_setname_np(broker->thread, "grants");
    return -err;
}

/* ---- guests -----------------------------------------------------------------------------------*/

static int member_watch(struct grant_broker *broker, struct member *member)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = member};

    return epoll_ctl(broker->epoll_fd, EPOLL_CTL_ADD, member->sock, &event) ? -errno : 0;
}

int grant_broker_add(struct grant_broker *broker, uint32_t domid, int *ret_sock, int *ret_window_fd)
{
    struct member *member = calloc(1, sizeof(*member));
    int err, window_fd, sock[2];

    if (!member)
        return -ENOMEM;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock)) {
        err = -errno;
        goto free_member;
    }
    member->sock = sock[0];
    pthread_mutex_lock(&broker->lock);
    member->domain = domain_of(broker, domid);
    err = !member->domain
              ? -ENOMEM
              : grant_broker_guest_open(&member->guest, broker->xen, domid, &member->domain->bounds,
                                        broker->calls, broker->ctx, &window_fd);
    if (err)
        goto unlock;
    err = member_watch(broker, member);
    if (err)
        goto close_guest;
    member->domain->members++;
    member->next = broker->members;
    broker->members = member;
    pthread_mutex_unlock(&broker->lock);
    *ret_sock = sock[1];
    *ret_window_fd = window_fd;
    return 0;

close_guest:
    grant_broker_guest_close(&member->guest);
    close(window_fd);
unlock:
    pthread_mutex_unlock(&broker->lock);
    close(sock[0]);
    close(sock[1]);
free_member:
    free(member);
    return err;
}

/* The thread finds it readable, and over. */
void grant_broker_cut(struct grant_broker *broker, uint32_t domid)
{
    pthread_mutex_lock(&broker->lock);
    for (struct member *member = broker->members; member; member = member->next) {
        if (member->guest.domid != domid)
            continue;
        __atomic_store_n(&member->cut, true, __ATOMIC_RELEASE);
        shutdown(member->sock, SHUT_RDWR);
    }
    cut_domain(broker, domid);
    pthread_mutex_unlock(&broker->lock);
}

/* ---- life -------------------------------------------------------------------------------------*/

static int gntdev_map(void *ctx, uint32_t domid, const uint32_t *refs, uint32_t count, int *ret_fd,
                      uint64_t *ret_offset)
{
    union {
        struct ioctl_gntdev_map_grant_ref op;
        char room[sizeof(struct ioctl_gntdev_map_grant_ref) +
                  GRANT_MAP_MAX * sizeof(struct ioctl_gntdev_grant_ref)];
    } map = {.op = {.count = count}};
    struct ioctl_gntdev_grant_ref *ref = map.op.refs;
    int err, fd = open(GNTDEV_PATH, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    for (uint32_t i = 0; i < count; i++)
        ref[i] = (struct ioctl_gntdev_grant_ref){.domid = domid, .ref = refs[i]};
    if (ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, &map)) {
        err = -errno;
        close(fd);
        return err;
    }
    *ret_fd = fd;
    *ret_offset = map.op.index;
    return 0;
}

static uint64_t monotonic_ns(void *ctx)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static const struct grant_broker_calls kernel = {.map = gntdev_map, .now_ns = monotonic_ns};

static int open_descriptors(struct grant_broker *broker)
{
    struct epoll_event stop = {.events = EPOLLIN};

    broker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (broker->epoll_fd < 0)
        return -errno;
    broker->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (broker->stop_fd < 0 ||
        epoll_ctl(broker->epoll_fd, EPOLL_CTL_ADD, broker->stop_fd, &stop) < 0)
        return -errno;
    return 0;
}

/* Without a thread any more, or yet. */
static void broker_free(struct grant_broker *broker)
{
    while (broker->members)
        member_free(broker, broker->members);
    for (struct domain *domain = broker->domains; domain; domain = domain->next)
        domain->cut = true;
    forget_domains(broker);
    grant_xen_close(broker->xen);
    if (broker->stop_fd >= 0)
        close(broker->stop_fd);
    if (broker->epoll_fd >= 0)
        close(broker->epoll_fd);
    hv_shm_reaper_destroy(broker->reaper);
    pthread_mutex_destroy(&broker->lock);
    free(broker);
}

int grant_broker_open_with(struct grant_xen *xen, const struct grant_broker_calls *calls, void *ctx,
                           struct grant_broker **ret_broker)
{
    struct grant_broker *broker = calloc(1, sizeof(*broker));
    int err;

    if (!broker) {
        grant_xen_close(xen);
        return -ENOMEM;
    }
    broker->xen = xen;
    broker->calls = calls;
    broker->ctx = ctx;
    broker->epoll_fd = broker->stop_fd = -1;
    pthread_mutex_init(&broker->lock, NULL);
    err = hv_shm_reaper_create(&broker->reaper);
    if (!err)
        err = open_descriptors(broker);
    if (!err)
        err = start_thread(broker);
    if (err) {
        broker_free(broker);
        return err;
    }
    *ret_broker = broker;
    return 0;
}

int grant_broker_open(struct grant_broker **ret_broker)
{
    struct grant_xen *xen;
    int err = grant_xen_open(&xen);

    return err ? err : grant_broker_open_with(xen, &kernel, NULL, ret_broker);
}

void grant_broker_close(struct grant_broker *broker)
{
    if (!broker)
        return;
    eventfd_write(broker->stop_fd, 1);
    pthread_join(broker->thread, NULL);
    broker_free(broker);
}
