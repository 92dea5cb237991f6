/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ioreq/portmap.h"

#include <errno.h>
#include <stdlib.h>

int portmap_init(struct portmap *map, uint32_t ports)
{
    uint32_t size = 2;

    /* At most half full, so that probes stay short and always end at a free entry. */
    while (size < 2 * ports)
        size *= 2;
    map->entries = calloc(size, sizeof(*map->entries));
    if (!map->entries)
        return -ENOMEM;
    map->mask = size - 1;
    map->used = 0;
    return 0;
}

void portmap_finish(struct portmap *map)
{
    free(map->entries);
    *map = (struct portmap){0};
}

/* The entry of `port`, or the free one where it would go. Ports of one guest are mostly
 * consecutive numbers, which the low bits keep apart. */
static struct portmap_entry *probe(const struct portmap *map, uint32_t port)
{
    uint32_t i = port & map->mask;

    while (map->entries[i].port && map->entries[i].port != port)
        i = (i + 1) & map->mask;
    return &map->entries[i];
}

int portmap_add(struct portmap *map, uint32_t port, uint32_t channel)
{
    struct portmap_entry *entry;

    if (!port)
        return -EINVAL;
    if (!map->entries || map->used > map->mask / 2)
        return -ENOSPC;
    entry = probe(map, port);
    if (entry->port)
        return -EEXIST;
    *entry = (struct portmap_entry){.port = port, .channel = channel};
    map->used++;
    return 0;
}

int portmap_find(const struct portmap *map, uint32_t port, uint32_t *ret_channel)
{
    const struct portmap_entry *entry;

    if (!map->entries || !port)
        return -ENOENT;
    entry = probe(map, port);
    if (!entry->port)
        return -ENOENT;
    *ret_channel = entry->channel;
    return 0;
}
