// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/pv/xenbus.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

static int join(char *path, const char *directory, const char *node)
{
    int n = snprintf(path, XENBUS_PATH, "%s/%s", directory, node);

    return n < 0 || (unsigned)n >= XENBUS_PATH ? -EINVAL : 0;
}

int xenbus_read(const struct xenbus *bus, const char *directory, const char *node, char *value,
                size_t size)
{
    char path[XENBUS_PATH];
    int err = join(path, directory, node);

    return err ? err : bus->ops->read(bus->ctx, path, value, size);
}

int xenbus_read_u32(const struct xenbus *bus, const char *directory, const char *node,
                    uint32_t *ret_value)
{
    char text[XENBUS_VALUE];
    uint64_t value = 0;
    int err = xenbus_read(bus, directory, node, text, sizeof(text));

    if (err)
        return err;
    if (!*text)
        return -EINVAL;
    for (const char *digit = text; *digit; digit++) {
        if (*digit < '0' || *digit > '9')
            return -EINVAL;
        value = value * 10 + (uint64_t)(*digit - '0');
        if (value > UINT32_MAX)
            return -ERANGE;
    }
    *ret_value = (uint32_t)value;
    return 0;
}

enum xenbus_state xenbus_read_state(const struct xenbus *bus, const char *directory)
{
    uint32_t state;

    if (xenbus_read_u32(bus, directory, "state", &state) || state > XENBUS_CLOSED)
        return XENBUS_UNKNOWN;
    return (enum xenbus_state)state;
}

int xenbus_write(const struct xenbus *bus, const char *directory, const char *node,
                 const char *value)
{
    char path[XENBUS_PATH];
    int err = join(path, directory, node);

    return err ? err : bus->ops->write(bus->ctx, path, value);
}

int xenbus_write_u64(const struct xenbus *bus, const char *directory, const char *node,
                     uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, value);
    return xenbus_write(bus, directory, node, text);
}
