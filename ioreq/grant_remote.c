/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ioreq/grant_remote.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ioreq/grant_wire.h"

struct remote {
    struct grants grants;
    struct grant_counters counters;
    int sock; /* -1: left, or lost */
    uint8_t *window;
    bool closed;
    struct grant_wire_request request;
    struct grant_wire_copied copied;
};

/* ---- messages ---------------------------------------------------------------------------------*/

static void leave(struct remote *remote)
{
    if (remote->sock >= 0)
        close(remote->sock);
    remote->sock = -1;
}

/* What `request` has. 0, or -ESRCH: there is nobody. */
static int tell(struct remote *remote)
{
    const struct grant_wire_request *request = &remote->request;
    size_t length = grant_wire_size(request->kind, request->count);
    ssize_t n;

    if (remote->sock < 0)
        return -ESRCH;
    do
        n = send(remote->sock, request, length, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)length)
        return 0;
    leave(remote);
    return -ESRCH;
}

static int fd_of(struct msghdr *msg)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(msg);
    int fd = -1;

    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    return fd;
}

/* The same, and waits for the answer, which is `length` bytes. *ret_fd is the caller's, -1: none
 * came. NULL: the kernel drops it. */
static int ask(struct remote *remote, void *answer, size_t length, int *ret_fd)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = answer, .iov_len = length};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = ret_fd ? &control : NULL,
                         .msg_controllen = ret_fd ? sizeof(control) : 0};
    int err = tell(remote);
    ssize_t n;

    if (err)
        return err;
    do
        n = recvmsg(remote->sock, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)length) {
        leave(remote);
        return -ESRCH;
    }
    if (ret_fd)
        *ret_fd = fd_of(&msg);
    return 0;
}

/* ---- copies -----------------------------------------------------------------------------------*/

/* Where the next `len` bytes go: not across two pages of the window, which would be two operations
 * for the hypervisor. So each segment has a page at most, and there is room for all of a message.
 */
_Static_assert(GRANT_WIRE_SEGMENTS *GRANT_PAGE <= GRANT_WIRE_WINDOW, "a page each");
static uint32_t place_for(uint32_t at, uint32_t len)
{
    return at % GRANT_PAGE + len > GRANT_PAGE ? at + GRANT_PAGE - at % GRANT_PAGE : at;
}

/* Into the message, and its data into the window: the first of `copies`, as many as a message has.
 * Those that cannot be are left out. Returns how many; *ret_sent of them are in `sent`. */
static unsigned fill(struct remote *remote, struct grant_copy *copies, unsigned count,
                     struct grant_copy **sent, uint32_t *ret_sent)
{
    struct grant_wire_request *request = &remote->request;
    uint32_t at = 0, n = 0;
    unsigned taken;

    for (taken = 0; taken < count && n < GRANT_WIRE_SEGMENTS; taken++) {
        struct grant_copy *copy = &copies[taken];
        uint32_t place;

        copy->status = -EINVAL;
        if (!grant_copy_fits(copy))
            continue;
        place = place_for(at, copy->len);
        if (copy->to_guest)
            memcpy(remote->window + place, copy->local, copy->len);
        request->segment[n] = (struct grant_wire_segment){.ref = copy->ref,
                                                          .place = place,
                                                          .offset = copy->offset,
                                                          .len = copy->len,
                                                          .to_guest = copy->to_guest};
        sent[n++] = copy;
        at = place + copy->len;
    }
    request->kind = GRANT_WIRE_COPY;
    request->count = n;
    *ret_sent = n;
    return taken;
}

static unsigned copy_batch(struct remote *remote, struct grant_copy *copies, unsigned count)
{
    struct grant_copy *sent[GRANT_WIRE_SEGMENTS];
    uint32_t n;
    unsigned taken = fill(remote, copies, count, sent, &n);
    int err = n ? ask(remote, &remote->copied, n * sizeof(remote->copied.status[0]), NULL) : 0;

    for (uint32_t i = 0; i < n; i++) {
        sent[i]->status = err ? err : remote->copied.status[i];
        if (!sent[i]->status && !sent[i]->to_guest)
            memcpy(sent[i]->local, remote->window + remote->request.segment[i].place, sent[i]->len);
    }
    return taken;
}

static void remote_copy(void *ctx, struct grant_copy *copies, unsigned count)
{
    struct remote *remote = ctx;
    unsigned done;

    for (done = 0; done < count && remote->sock >= 0; remote->counters.copy_calls++)
        done += copy_batch(remote, copies + done, count - done);
    while (done < count)
        copies[done++].status = -ESRCH;
    grant_count_copies(&remote->counters, copies, count);
}

/* ---- maps -------------------------------------------------------------------------------------*/

static void tell_unmapped(struct remote *remote, uint32_t pages)
{
    remote->request.kind = GRANT_WIRE_UNMAP;
    remote->request.count = pages;
    tell(remote);
}

/* The pages' references are known to the descriptor; that they are granted shows in mmap(2). */
static int map_pages(struct remote *remote, struct grant_map *map)
{
    int fd, err, prot = map->writable ? PROT_READ | PROT_WRITE : PROT_READ;
    struct grant_wire_mapped mapped;
    void *base;

    remote->request.kind = GRANT_WIRE_MAP;
    remote->request.count = map->count;
    memcpy(remote->request.ref, map->refs, map->count * sizeof(map->refs[0]));
    err = ask(remote, &mapped, sizeof(mapped), &fd);
    if (!err)
        err = mapped.error;
    if (err)
        return err;
    base = mmap(NULL, map->count * (size_t)GRANT_PAGE, prot, MAP_SHARED, fd, (off_t)mapped.offset);
    err = base == MAP_FAILED ? -errno : 0;
    close(fd);
    if (err)
        tell_unmapped(remote, map->count);
    else
        map->base = base;
    return err;
}

static int remote_map(void *ctx, struct grant_map *map)
{
    struct remote *remote = ctx;
    int err;

    assert(map->count && map->count <= GRANT_MAP_MAX);
    err = map_pages(remote, map);
    if (err) {
        remote->counters.errors++;
        return err;
    }
    remote->counters.maps += map->count;
    remote->counters.mapped += map->count;
    return 0;
}

static void remote_free(struct remote *remote)
{
    if (remote->closed && !remote->counters.mapped)
        free(remote);
}

/* The broker hears of it afterwards, so that it never thinks of fewer pages than there are. */
static void remote_unmap(void *ctx, const struct grant_map *map)
{
    struct remote *remote = ctx;

    munmap(map->base, map->count * (size_t)GRANT_PAGE);
    remote->counters.unmaps += map->count;
    remote->counters.mapped -= map->count;
    tell_unmapped(remote, map->count);
    remote_free(remote);
}

/* ---- life -------------------------------------------------------------------------------------*/

static const struct grant_ops remote_ops = {
    .copy = remote_copy,
    .map = remote_map,
    .unmap = remote_unmap,
};

static int map_window(int window_fd, uint8_t **ret_window)
{
    struct stat st;
    void *base;

    if (fstat(window_fd, &st))
        return -errno;
    if (st.st_size != GRANT_WIRE_WINDOW)
        return -EINVAL;
    base = mmap(NULL, GRANT_WIRE_WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED, window_fd, 0);
    if (base == MAP_FAILED)
        return -errno;
    *ret_window = base;
    return 0;
}

int grant_remote_open(int sock, int window_fd, const struct grants **ret_grants)
{
    struct remote *remote = calloc(1, sizeof(*remote));
    int err = remote ? map_window(window_fd, &remote->window) : -ENOMEM;

    close(window_fd);
    if (err) {
        close(sock);
        free(remote);
        return err;
    }
    remote->sock = sock;
    remote->grants = (struct grants){.ops = &remote_ops,
                                     .ctx = remote,
                                     .can = GRANT_CAN_COPY | GRANT_CAN_MAP,
                                     /* As grant_xen has it, and a round trip more. */
                                     .from = {.map = GRANT_NEVER, .swap = GRANT_NEVER},
                                     .counters = &remote->counters};
    *ret_grants = &remote->grants;
    return 0;
}

void grant_remote_close(const struct grants *grants)
{
    struct remote *remote;

    if (!grants)
        return;
    remote = grants->ctx;
    leave(remote);
    munmap(remote->window, GRANT_WIRE_WINDOW);
    remote->closed = true;
    remote_free(remote);
}
