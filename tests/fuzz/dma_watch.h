/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asserts that bus masters write to guest memory only where a descriptor that they read says so.
 * One at a time: the host's hooks take only the fake host.
 */
#ifndef IOEMUD_TESTS_DMA_WATCH_H
#define IOEMUD_TESTS_DMA_WATCH_H

#include "tests/unit/fake_host.h"

#define DMA_WATCH_DESCRIBED 4096 /* descriptors that are remembered */

/* What a read of memory out of reach leaves behind. */
#define DMA_WATCH_UNREACHABLE 23u
extern const char dma_watch_unreachable[DMA_WATCH_UNREACHABLE + 1];

struct dma_watch {
    struct host_ops ops;
    int (*dma_read)(void *ctx, uint64_t gpa, void *buf, size_t len);
    int (*dma_write)(void *ctx, uint64_t gpa, const void *buf, size_t len);
    struct {
        uint32_t addr, len;
    } described[DMA_WATCH_DESCRIBED];
    unsigned n_described;
};

void dma_watch_install(struct dma_watch *watch, struct fake_host *fake);

#endif
