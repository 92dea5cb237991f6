/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ioreq/grant_broker_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECOND_NS UINT64_C(1000000000)

/* ---- a message --------------------------------------------------------------------------------*/

static bool segment_is_good(const struct grant_wire_segment *segment)
{
    return segment->len && segment->to_guest <= 1 &&
           segment->offset + (uint64_t)segment->len <= GRANT_PAGE &&
           segment->place + (uint64_t)segment->len <= GRANT_WIRE_WINDOW;
}

/* Exactly as long as its count says, and that within its struct. */
static bool is_good(const struct grant_broker_guest *guest,
                    const struct grant_wire_request *request, size_t length)
{
    uint32_t most;

    if (length < grant_wire_size(GRANT_WIRE_UNMAP, 0) || !request->count)
        return false;
    switch (request->kind) {
    case GRANT_WIRE_COPY:
        most = GRANT_WIRE_SEGMENTS;
        break;
    case GRANT_WIRE_MAP:
        most = GRANT_MAP_MAX;
        break;
    case GRANT_WIRE_UNMAP:
        most = guest->mapped;
        break;
    default:
        return false;
    }
    if (request->count > most || length != grant_wire_size(request->kind, request->count))
        return false;
    for (uint32_t i = 0; request->kind == GRANT_WIRE_COPY && i < request->count; i++)
        if (!segment_is_good(&request->segment[i]))
            return false;
    return true;
}

static void copy(const struct grant_broker_guest *guest, const struct grant_wire_request *request,
                 struct grant_broker_reply *reply)
{
    struct grant_copy copies[GRANT_WIRE_SEGMENTS];

    for (uint32_t i = 0; i < request->count; i++) {
        const struct grant_wire_segment *segment = &request->segment[i];

        /* The window is the worker's to change at any time: nothing in this process looks at it,
         * only the kernel is told where it is. */
        copies[i] = (struct grant_copy){.local = guest->window + segment->place,
                                        .ref = segment->ref,
                                        .offset = segment->offset,
                                        .len = segment->len,
                                        .to_guest = segment->to_guest};
    }
    grants_copy(guest->grants, copies, request->count);
    for (uint32_t i = 0; i < request->count; i++)
        reply->copied.status[i] = copies[i].status;
    reply->length = request->count * sizeof(reply->copied.status[0]);
}

static bool may_map(const struct grant_broker_guest *guest, uint32_t count)
{
    struct grant_broker_bounds *bounds = guest->bounds;
    uint64_t now_ns = guest->calls->now_ns(guest->ctx);
    uint64_t gained = (now_ns - bounds->filled_ns) / (SECOND_NS / GRANT_BROKER_REFILL);
    uint64_t pages = bounds->may_map + gained;

    bounds->filled_ns += gained * (SECOND_NS / GRANT_BROKER_REFILL);
    bounds->may_map = (uint32_t)(pages < GRANT_BROKER_BURST ? pages : GRANT_BROKER_BURST);
    if (count > bounds->may_map || bounds->mapped + count > GRANT_XEN_MAPPED_MAX)
        return false;
    bounds->may_map -= count;
    return true;
}

static void count_mapped(struct grant_broker_guest *guest, uint32_t count)
{
    guest->mapped += count;
    guest->bounds->mapped += count;
}

static void count_unmapped(struct grant_broker_guest *guest, uint32_t count)
{
    guest->mapped -= count;
    guest->bounds->mapped -= count;
}

static void map(struct grant_broker_guest *guest, const struct grant_wire_request *request,
                struct grant_broker_reply *reply)
{
    struct grant_wire_mapped *mapped = &reply->mapped;

    reply->length = sizeof(*mapped);
    *mapped = (struct grant_wire_mapped){.error = -ENOSPC};
    if (!may_map(guest, request->count))
        return;
    mapped->error = guest->calls->map(guest->ctx, guest->domid, request->ref, request->count,
                                      &reply->fd, &mapped->offset);
    if (!mapped->error)
        count_mapped(guest, request->count);
}

bool grant_broker_answer(struct grant_broker_guest *guest, const struct grant_wire_request *request,
                         size_t length, struct grant_broker_reply *ret_reply)
{
    if (!is_good(guest, request, length))
        return false;
    ret_reply->length = 0;
    ret_reply->fd = -1;
    switch (request->kind) {
    case GRANT_WIRE_COPY:
        copy(guest, request, ret_reply);
        break;
    case GRANT_WIRE_MAP:
        map(guest, request, ret_reply);
        break;
    case GRANT_WIRE_UNMAP:
        count_unmapped(guest, request->count);
        break;
    }
    return true;
}

/* ---- life -------------------------------------------------------------------------------------*/

/* Sealed, so that no page of it can be taken away again. */
static int make_window(uint8_t **ret_window, int *ret_fd)
{
    int err, fd = memfd_create("ioemud-grants", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *base = MAP_FAILED;

    if (fd < 0)
        return -errno;
    if (!ftruncate(fd, GRANT_WIRE_WINDOW) &&
        !fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW))
        base = mmap(NULL, GRANT_WIRE_WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        err = -errno;
        close(fd);
        return err;
    }
    *ret_window = base;
    *ret_fd = fd;
    return 0;
}

void grant_broker_bounds_init(struct grant_broker_bounds *bounds,
                              const struct grant_broker_calls *calls, void *ctx)
{
    *bounds = (struct grant_broker_bounds){.may_map = GRANT_BROKER_BURST,
                                           .filled_ns = calls->now_ns(ctx)};
}

int grant_broker_guest_open(struct grant_broker_guest *guest, struct grant_xen *xen, uint32_t domid,
                            struct grant_broker_bounds *bounds,
                            const struct grant_broker_calls *calls, void *ctx, int *ret_window_fd)
{
    int err, fd = -1;

    *guest = (struct grant_broker_guest){
        .calls = calls,
        .ctx = ctx,
        .domid = domid,
        .bounds = bounds,
    };
    err = make_window(&guest->window, &fd);
    if (err)
        return err;
    err = grant_xen_guest_open(xen, domid, &guest->grants);
    if (err) {
        munmap(guest->window, GRANT_WIRE_WINDOW);
        close(fd);
        return err;
    }
    *ret_window_fd = fd;
    return 0;
}

void grant_broker_guest_close(struct grant_broker_guest *guest)
{
    grant_xen_guest_close(guest->grants);
    munmap(guest->window, GRANT_WIRE_WINDOW);
}
