/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counters that one thread writes and others read while it does: no lock, no locked instruction, no
 * word that two threads write. A reader sees each counter whole, perhaps a request older than its
 * neighbour.
 */
#ifndef IOEMUD_DEVICES_COUNT_H
#define IOEMUD_DEVICES_COUNT_H

#include <stdint.h>

/* By the counter's thread only. */
static inline void count_add(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* By anyone. */
static inline uint64_t count_read(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

#endif
