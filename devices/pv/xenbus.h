/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XenBus as a backend sees it: two directories of a store that others write to as well, and a state
 * in each (xen/include/public/io/xenbus.h). An ops table, so that negotiation can be tested without
 * a store. Everything that is read is text of somebody else's: a frontend's directory is the
 * guest's to fill with whatever it likes.
 *
 * Threads: the control side. A real store's operations block.
 */
#ifndef IOEMUD_DEVICES_PV_XENBUS_H
#define IOEMUD_DEVICES_PV_XENBUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XENBUS_PATH  256u /* of what we use; the store takes longer ones */
#define XENBUS_VALUE 64u  /* the longest that means anything here, with its end */

enum xenbus_state {
    XENBUS_UNKNOWN = 0, /* no directory, or no state in it */
    XENBUS_INITIALISING = 1,
    XENBUS_INIT_WAIT = 2,   /* the backend's: what it can do is written down */
    XENBUS_INITIALISED = 3, /* the frontend's: its rings are */
    XENBUS_CONNECTED = 4,
    XENBUS_CLOSING = 5,
    XENBUS_CLOSED = 6,
};

struct xenbus_ops {
    /* The node's value, with an end. -ENOENT; -EINVAL: it does not fit, or has a zero in it; other
     * -errno: the store cannot be asked. */
    int (*read)(void *ctx, const char *path, char *value, size_t size);
    int (*write)(void *ctx, const char *path, const char *value);
};

struct xenbus {
    const struct xenbus_ops *ops;
    void *ctx;
};

/* DIRECTORY/NODE. -EINVAL also when the path is too long. */
int xenbus_read(const struct xenbus *bus, const char *directory, const char *node, char *value,
                size_t size);
/* Digits only, nothing before or behind them, at most UINT32_MAX; -ERANGE beyond, -EINVAL else. */
int xenbus_read_u32(const struct xenbus *bus, const char *directory, const char *node,
                    uint32_t *ret_value);
/* What is no number from 0 to 6 is XENBUS_UNKNOWN. */
enum xenbus_state xenbus_read_state(const struct xenbus *bus, const char *directory);
int xenbus_write(const struct xenbus *bus, const char *directory, const char *node,
                 const char *value);
int xenbus_write_u64(const struct xenbus *bus, const char *directory, const char *node,
                     uint64_t value);

#endif
