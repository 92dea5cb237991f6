/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A store for tests of XenBus: paths and values, without watches. Asserts by abort() only. */
#ifndef IOEMUD_TESTS_FAKE_STORE_H
#define IOEMUD_TESTS_FAKE_STORE_H

#include "devices/pv/xenbus.h"

#define FAKE_STORE_NODES 128u
#define FAKE_STORE_VALUE 512u

struct fake_store {
    struct xenbus bus;
    struct {
        char path[XENBUS_PATH];
        uint8_t value[FAKE_STORE_VALUE]; /* anything, zeroes too */
        size_t size;
    } node[FAKE_STORE_NODES];
    unsigned n;
    int error; /* all operations fail with it, unless it is 0 */
    unsigned writes;
};

void fake_store_init(struct fake_store *store);
void fake_store_set(struct fake_store *store, const char *directory, const char *node,
                    const char *value);
void fake_store_set_bytes(struct fake_store *store, const char *directory, const char *node,
                          const void *value, size_t size);
/* The directory and all below it, or one node. */
void fake_store_remove(struct fake_store *store, const char *path);
/* NULL: there is none. Valid until the next change. */
const char *fake_store_get(const struct fake_store *store, const char *directory, const char *node);

#endif
