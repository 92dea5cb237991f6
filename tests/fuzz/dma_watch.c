/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/dma_watch.h"

#include <assert.h>
#include <string.h>

const char dma_watch_unreachable[DMA_WATCH_UNREACHABLE + 1] = "nobody has written this";

static struct dma_watch *current;

/* Descriptors are read in batches of eight bytes each; data may look like one and is remembered
 * too, which only makes the check weaker. */
static int hook_dma_read(void *ctx, uint64_t gpa, void *buf, size_t len)
{
    const uint8_t *bytes = buf;
    int err;

    assert(gpa <= UINT32_MAX && len <= UINT32_MAX - gpa + 1);
    err = current->dma_read(ctx, gpa, buf, len);
    for (size_t i = 0; err && i < len; i++)
        ((uint8_t *)buf)[i] = (uint8_t)dma_watch_unreachable[i % DMA_WATCH_UNREACHABLE];
    if (err || len % 8 || len > 256)
        return err;
    for (size_t at = 0; at < len; at += 8) {
        unsigned i = current->n_described++ % DMA_WATCH_DESCRIBED;
        uint32_t addr, count;
        memcpy(&addr, bytes + at, 4);
        memcpy(&count, bytes + at + 4, 4);
        current->described[i].addr = addr & ~1u;
        current->described[i].len = count & 0xfffe ? count & 0xfffe : 0x10000;
    }
    return 0;
}

/* How many bytes from `addr` on the latest descriptor that has it describes; 0: none has it. */
static uint32_t describes(uint32_t addr)
{
    unsigned known = current->n_described;
    unsigned n = known < DMA_WATCH_DESCRIBED ? known : DMA_WATCH_DESCRIBED;

    for (unsigned i = 1; i <= n; i++) {
        unsigned at = (known - i) % DMA_WATCH_DESCRIBED;
        uint32_t offset = addr - current->described[at].addr;
        if (offset < current->described[at].len)
            return current->described[at].len - offset;
    }
    return 0;
}

static int hook_dma_write(void *ctx, uint64_t gpa, const void *buf, size_t len)
{
    assert(gpa <= UINT32_MAX && len && len <= UINT32_MAX - gpa + 1);
    for (size_t at = 0; at < len;) {
        uint32_t n = describes((uint32_t)(gpa + at));
        assert(n);
        at += n;
    }
    return current->dma_write(ctx, gpa, buf, len);
}

void dma_watch_install(struct dma_watch *watch, struct fake_host *fake)
{
    watch->ops = *fake->host.ops;
    watch->dma_read = watch->ops.dma_read;
    watch->dma_write = watch->ops.dma_write;
    watch->ops.dma_read = hook_dma_read;
    watch->ops.dma_write = hook_dma_write;
    fake->host.ops = &watch->ops;
    current = watch;
}
