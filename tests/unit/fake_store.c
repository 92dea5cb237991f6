// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/fake_store.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int find(const struct fake_store *store, const char *path)
{
    for (unsigned i = 0; i < store->n; i++)
        if (!strcmp(store->node[i].path, path))
            return (int)i;
    return -1;
}

static void set(struct fake_store *store, const char *path, const void *value, size_t size)
{
    int i = find(store, path);

    if (i < 0) {
        assert(store->n < FAKE_STORE_NODES && strlen(path) < XENBUS_PATH);
        i = (int)store->n++;
        strcpy(store->node[i].path, path);
    }
    assert(size < FAKE_STORE_VALUE);
    memcpy(store->node[i].value, value, size);
    store->node[i].value[size] = 0; /* the real store's library adds one as well */
    store->node[i].size = size;
}

static int on_read(void *ctx, const char *path, char *value, size_t size)
{
    struct fake_store *store = ctx;
    int i = find(store, path);

    if (store->error)
        return store->error;
    if (i < 0)
        return -ENOENT;
    if (store->node[i].size >= size || memchr(store->node[i].value, 0, store->node[i].size))
        return -EINVAL;
    memcpy(value, store->node[i].value, store->node[i].size + 1);
    return 0;
}

static int on_write(void *ctx, const char *path, const char *value)
{
    struct fake_store *store = ctx;

    if (store->error)
        return store->error;
    store->writes++;
    set(store, path, value, strlen(value));
    return 0;
}

static const struct xenbus_ops ops = {.read = on_read, .write = on_write};

void fake_store_init(struct fake_store *store)
{
    memset(store, 0, sizeof(*store));
    store->bus = (struct xenbus){.ops = &ops, .ctx = store};
}

void fake_store_set_bytes(struct fake_store *store, const char *directory, const char *node,
                          const void *value, size_t size)
{
    char path[XENBUS_PATH];

    snprintf(path, sizeof(path), "%s/%s", directory, node);
    set(store, path, value, size);
}

void fake_store_set(struct fake_store *store, const char *directory, const char *node,
                    const char *value)
{
    fake_store_set_bytes(store, directory, node, value, strlen(value));
}

void fake_store_remove(struct fake_store *store, const char *path)
{
    size_t len = strlen(path);

    for (unsigned i = 0; i < store->n;) {
        const char *other = store->node[i].path;

        if (!strncmp(other, path, len) && (!other[len] || other[len] == '/'))
            store->node[i] = store->node[--store->n];
        else
            i++;
    }
}

const char *fake_store_get(const struct fake_store *store, const char *directory, const char *node)
{
    char path[XENBUS_PATH];
    int i;

    snprintf(path, sizeof(path), "%s/%s", directory, node);
    i = find(store, path);
    return i < 0 ? NULL : (const char *)store->node[i].value;
}
