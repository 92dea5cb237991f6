/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/fake_host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka is not needed: fuzzers use this file too. */
static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "fake_host: %s\n", what);
    abort();
}

static bool broken(const struct fake_host *fake, uint64_t gpa, size_t len)
{
    return gpa < fake->broken_from + fake->broken_len && gpa + len > fake->broken_from;
}

static int fake_dma_read(void *ctx, uint64_t gpa, void *buf, size_t len)
{
    struct fake_host *fake = ctx;
    size_t inside = gpa < fake->ram_size ? fake->ram_size - (size_t)gpa : 0;

    if (inside > len)
        inside = len;
    if (inside)
        memcpy(buf, fake->ram + gpa, inside);
    if (inside < len)
        memset((uint8_t *)buf + inside, 0xff, len - inside);
    fake->dma_holes += len - inside;
    if (!broken(fake, gpa, len))
        return 0;
    memset(buf, 0xff, len); /* as daemon/vm.c would: nobody may use it */
    return -ENOMEM;
}

static int fake_dma_write(void *ctx, uint64_t gpa, const void *buf, size_t len)
{
    struct fake_host *fake = ctx;
    size_t inside = gpa < fake->ram_size ? fake->ram_size - (size_t)gpa : 0;

    if (broken(fake, gpa, len))
        return -ENOMEM;
    if (inside > len)
        inside = len;
    if (inside)
        memcpy(fake->ram + gpa, buf, inside);
    fake->dma_holes += len - inside;
    return 0;
}

static uint64_t fake_dma_rest(void *ctx)
{
    struct fake_host *fake = ctx;

    return fake->dma_rests > fake->now ? fake->dma_rests : 0;
}

static void fake_isa_irq(void *ctx, unsigned irq, bool level)
{
    struct fake_host *fake = ctx;

    require(irq < 16, "ISA IRQ out of range");
    if (level && !fake->isa[irq])
        fake->isa_rises[irq]++;
    fake->isa[irq] = level;
}

static void fake_pci_intx(void *ctx, unsigned slot, unsigned pin, bool level)
{
    struct fake_host *fake = ctx;

    require(slot < 32 && pin < 4, "INTx out of range");
    if (level && !fake->intx[slot][pin])
        fake->intx_rises[slot][pin]++;
    fake->intx[slot][pin] = level;
}

static void fake_pci_link_route(void *ctx, unsigned link, unsigned irq)
{
    struct fake_host *fake = ctx;

    require(link < 4 && irq < 16, "PCI link or IRQ out of range");
    fake->link[link] = irq;
}

static void fake_msi(void *ctx, uint64_t address, uint32_t data)
{
    struct fake_host *fake = ctx;

    if (fake->msis < FAKE_HOST_MSIS) {
        fake->msi[fake->msis].address = address;
        fake->msi[fake->msis].data = data;
    }
    fake->msis++;
}

static uint64_t fake_now_ns(void *ctx)
{
    return ((struct fake_host *)ctx)->now;
}

static void fake_timer_disarm(void *ctx, struct host_timer *timer)
{
    struct fake_host *fake = ctx;

    timer->deadline_ns = 0;
    for (unsigned i = 0; i < fake->timers_armed; i++) {
        if (fake->timers[i] == timer) {
            fake->timers[i] = fake->timers[--fake->timers_armed];
            return;
        }
    }
}

static void fake_timer_arm(void *ctx, struct host_timer *timer, uint64_t deadline_ns)
{
    struct fake_host *fake = ctx;

    fake_timer_disarm(ctx, timer);
    require(fake->timers_armed < FAKE_HOST_TIMERS, "too many timers");
    timer->deadline_ns = deadline_ns ? deadline_ns : 1;
    fake->timers[fake->timers_armed++] = timer;
}

static void fake_power(void *ctx, enum host_power event)
{
    struct fake_host *fake = ctx;

    if (event == HOST_POWER_OFF)
        fake->power_offs++;
    else
        fake->power_resets++;
}

__attribute__((format(printf, 4, 0))) static void fake_log(void *ctx, enum host_log_level level,
                                                           const char *device, const char *format,
                                                           va_list args)
{
    struct fake_host *fake = ctx;
    char *line = fake->log[fake->logs++ % FAKE_HOST_LOGS];
    size_t size = sizeof(fake->log[0]);
    int used = snprintf(line, size, "%s: ", device);

    if (used >= 0 && (size_t)used < size)
        vsnprintf(line + used, size - (size_t)used, format, args);
}

static void fake_disk_left(void *ctx, unsigned drive)
{
    struct fake_host *fake = ctx;

    fake->disks_left |= 1u << drive;
    fake->leavings++;
}

static const struct host_ops fake_ops = {
    .dma_read = fake_dma_read,
    .dma_write = fake_dma_write,
    .dma_rest = fake_dma_rest,
    .isa_irq = fake_isa_irq,
    .pci_intx = fake_pci_intx,
    .pci_link_route = fake_pci_link_route,
    .msi = fake_msi,
    .now_ns = fake_now_ns,
    .timer_arm = fake_timer_arm,
    .timer_disarm = fake_timer_disarm,
    .disk_left = fake_disk_left,
    .power = fake_power,
    .log = fake_log,
};

void fake_host_init(struct fake_host *fake, size_t ram_size)
{
    memset(fake, 0, sizeof(*fake));
    fake->host.ops = &fake_ops;
    fake->host.ctx = fake;
    fake->now = 1000000000;
    fake->ram_size = ram_size;
    fake->ram = calloc(1, ram_size ? ram_size : 1);
    require(fake->ram, "out of memory");
}

void fake_host_finish(struct fake_host *fake)
{
    require(!fake->timers_armed, "a timer outlives its device");
    free(fake->ram);
    fake->ram = NULL;
}

void fake_host_advance(struct fake_host *fake, uint64_t ns)
{
    uint64_t until = fake->now + ns;

    for (;;) {
        struct host_timer *next = NULL;
        for (unsigned i = 0; i < fake->timers_armed; i++) {
            if (!next || fake->timers[i]->deadline_ns < next->deadline_ns)
                next = fake->timers[i];
        }
        if (!next || next->deadline_ns > until)
            break;
        if (next->deadline_ns > fake->now)
            fake->now = next->deadline_ns;
        fake_timer_disarm(fake, next);
        next->expire(next->arg);
    }
    fake->now = until;
}

const char *fake_host_last_log(const struct fake_host *fake)
{
    return fake->logs ? fake->log[(fake->logs - 1) % FAKE_HOST_LOGS] : "";
}
