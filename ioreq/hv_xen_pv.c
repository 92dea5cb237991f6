// SPDX-License-Identifier: GPL-2.0-or-later
#include "ioreq/hv_pv.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ioreq/grant_broker.h"
#include "ioreq/grant_remote.h"
#include "ioreq/grant_xen.h"
#include "ioreq/hv_xen.h"

#include <xenevtchn.h>
#include <xenstore.h>

/* A transaction collides with others' now and then; not for ever. */
#define WRITE_TRIES 8

/* Ports read in one go: those of a device, and what came again in between. */
#define PENDING_BUDGET (2 * HV_CHANNELS)

static int store_error(void)
{
    return errno ? -errno : -EIO;
}

/* ---- the store --------------------------------------------------------------------------------*/

static int store_read(void *ctx, const char *path, char *value, size_t size)
{
    struct xs_handle *xs = ctx;
    unsigned len = 0;
    char *read;
    int err = 0;

    errno = 0;
    read = xs_read(xs, XBT_NULL, path, &len);
    if (!read)
        return store_error();
    if (len >= size || memchr(read, 0, len))
        err = -EINVAL;
    else
        memcpy(value, read, len + 1); /* the library ends it */
    free(read);
    return err;
}

/* A write makes directories that are not there. One that a toolstack has removed is to stay so. */
static int write_into(struct xs_handle *xs, xs_transaction_t transaction, const char *path,
                      const char *value)
{
    char parent[XENBUS_PATH];
    char *slash, *there;
    int n = snprintf(parent, sizeof(parent), "%s", path);

    slash = strrchr(parent, '/');
    if (n < 0 || (unsigned)n >= sizeof(parent) || !slash)
        return -EINVAL;
    *slash = 0;
    errno = 0;
    there = xs_read(xs, transaction, parent, NULL);
    if (!there)
        return store_error();
    free(there);
    return xs_write(xs, transaction, path, value, (unsigned)strlen(value)) ? 0 : store_error();
}

static int store_write(void *ctx, const char *path, const char *value)
{
    struct xs_handle *xs = ctx;

    for (int i = 0; i < WRITE_TRIES; i++) {
        xs_transaction_t transaction;
        int err;

        errno = 0;
        transaction = xs_transaction_start(xs);
        if (transaction == XBT_NULL)
            return store_error();
        err = write_into(xs, transaction, path, value);
        errno = 0;
        if (xs_transaction_end(xs, transaction, err != 0) || err)
            return err;
        if (errno != EAGAIN)
            return store_error();
    }
    return -EAGAIN;
}

static const struct xenbus_ops store_ops = {.read = store_read, .write = store_write};

void hv_xen_store_init(struct xenbus *bus, struct xs_handle *xs)
{
    *bus = (struct xenbus){.ops = &store_ops, .ctx = xs};
}

static const struct xenbus *store(struct hv_host *host)
{
    return hv_xen_host_store(host);
}

static struct xs_handle *xs_of(struct hv_host *host)
{
    return hv_xen_host_store(host)->ctx;
}

static int store_list(struct hv_host *host, const char *path,
                      void (*each)(void *ctx, const char *name), void *ctx)
{
    unsigned count = 0;
    char **names;

    errno = 0;
    names = xs_directory(xs_of(host), XBT_NULL, path, &count);
    if (!names)
        return store_error();
    for (unsigned i = 0; i < count; i++)
        each(ctx, names[i]);
    free(names);
    return 0;
}

static int store_watch(struct hv_host *host, const char *path, const char *token)
{
    errno = 0;
    return xs_watch(xs_of(host), path, token) ? 0 : store_error();
}

static void store_unwatch(struct hv_host *host, const char *path, const char *token)
{
    xs_unwatch(xs_of(host), path, token);
}

/* ---- channels ---------------------------------------------------------------------------------*/

struct hv_channels {
    xenevtchn_handle *handle; /* restricted to the domain */
    int fd;
    uint16_t domid;
    uint32_t port[HV_CHANNELS]; /* ours; HV_XEN_NO_PORT */
};

/* Whoever makes the descriptor does not use it: the library's half is made where it is. */
static int channels_open(struct hv_guest *guest)
{
    xenevtchn_handle *handle;
    int fd = hv_xen_open_evtchn(guest->domid, &handle);
    int own;

    if (fd < 0)
        return fd;
    own = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* of the same open file, with its restriction */
    if (own < 0)
        own = -errno;
    xenevtchn_close(handle); /* and the descriptor */
    return own;
}

static int channels_adopt(struct hv_guest *guest, int fd, struct hv_channels **ret_channels)
{
    struct hv_channels *channels = calloc(1, sizeof(*channels));

    if (channels)
        channels->handle = xenevtchn_fdopen(NULL, fd, 0);
    if (!channels || !channels->handle) {
        close(fd);
        free(channels);
        return -ENOMEM;
    }
    channels->domid = guest->domid;
    channels->fd = fd;
    *ret_channels = channels;
    return 0;
}

static void channels_unbind(struct hv_channels *channels)
{
    for (unsigned i = 0; i < HV_CHANNELS; i++)
        if (channels->port[i] != HV_XEN_NO_PORT)
            xenevtchn_unbind(channels->handle, channels->port[i]);
    memset(channels->port, 0, sizeof(channels->port));
}

static void channels_close(struct hv_channels *channels)
{
    channels_unbind(channels);
    xenevtchn_close(channels->handle); /* and the descriptor */
    free(channels);
}

static int channels_bind(struct hv_channels *channels, unsigned index, uint32_t port)
{
    xenevtchn_port_or_error_t local;

    assert(index < HV_CHANNELS && channels->port[index] == HV_XEN_NO_PORT);
    errno = 0;
    local = xenevtchn_bind_interdomain(channels->handle, channels->domid, port);
    if (local < 0)
        return store_error();
    channels->port[index] = (uint32_t)local;
    return 0;
}

static int channels_fd(const struct hv_channels *channels)
{
    return channels->fd;
}

static uint32_t channels_pending(struct hv_channels *channels)
{
    uint32_t pending = 0;

    for (unsigned n = 0; n < PENDING_BUDGET; n++) {
        xenevtchn_port_or_error_t port = xenevtchn_pending(channels->handle);

        if (port < 0)
            break; /* the descriptor does not block */
        for (unsigned i = 0; i < HV_CHANNELS; i++)
            if (channels->port[i] == (uint32_t)port)
                pending |= 1u << i;
        xenevtchn_unmask(channels->handle, (evtchn_port_t)port);
    }
    return pending;
}

static void channels_notify(struct hv_channels *channels, unsigned index)
{
    assert(index < HV_CHANNELS);
    if (channels->port[index] != HV_XEN_NO_PORT)
        xenevtchn_notify(channels->handle, channels->port[index]);
}

/* ---- grants of worker processes ---------------------------------------------------------------*/

static int broker_open(struct hv_broker **ret_broker)
{
    struct grant_broker *broker;
    int err = grant_broker_open(&broker);

    if (!err)
        *ret_broker = (struct hv_broker *)broker;
    return err;
}

static void broker_close(struct hv_broker *broker)
{
    grant_broker_close((struct grant_broker *)broker);
}

static int broker_add(struct hv_broker *broker, struct hv_guest *guest, int ret_fds[HV_GRANT_FDS])
{
    return grant_broker_add((struct grant_broker *)broker, guest->domid, &ret_fds[0], &ret_fds[1]);
}

static void broker_cut(struct hv_broker *broker, const struct hv_guest *guest)
{
    grant_broker_cut((struct grant_broker *)broker, guest->domid);
}

static int grants_adopt(struct hv_guest *guest, const int fds[HV_GRANT_FDS])
{
    int err;

    if (guest->grants) { /* two disks may have come with some each */
        for (unsigned i = 0; i < HV_GRANT_FDS; i++)
            close(fds[i]);
        return 0;
    }
    err = grant_remote_open(fds[0], fds[1], &guest->grants);
    guest->grants_are_remote = !err;
    return err;
}

void hv_xen_close_grants(struct hv_guest *guest)
{
    if (guest->grants_are_remote)
        grant_remote_close(guest->grants);
    else
        grant_xen_guest_close(guest->grants);
    guest->grants = NULL;
    guest->grants_are_remote = false;
}

const struct hv_pv_ops hv_xen_pv_ops = {
    .store = store,
    .store_list = store_list,
    .store_watch = store_watch,
    .store_unwatch = store_unwatch,
    .disk_is = hv_xen_vbd_is,
    .channels_open = channels_open,
    .channels_adopt = channels_adopt,
    .channels_close = channels_close,
    .channels_bind = channels_bind,
    .channels_unbind = channels_unbind,
    .channels_fd = channels_fd,
    .channels_pending = channels_pending,
    .channels_notify = channels_notify,
    .broker_open = broker_open,
    .broker_close = broker_close,
    .broker_add = broker_add,
    .broker_cut = broker_cut,
    .grants_adopt = grants_adopt,
};
