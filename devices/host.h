/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a device model may ask of its surroundings, and all that it may ask.
 *
 * Device code includes this header, the bus and the callers' half of the backends and nothing else,
 * so the same sources serve the daemon, unit tests, fuzzers, a mini-guest and firmware. Whoever
 * creates a device hands a `struct host` in; it outlives the device.
 *
 * Threads: a guest's devices run in one thread and every callback here is made from it. None
 * blocks.
 */
#ifndef IOEMUD_DEVICES_HOST_H
#define IOEMUD_DEVICES_HOST_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum host_log_level {
    HOST_LOG_ERR,
    HOST_LOG_WARN,
    HOST_LOG_INFO,
    HOST_LOG_DEBUG,
};

/* What a guest asked its power supply for. */
enum host_power {
    HOST_POWER_OFF,   /* ACPI S5 */
    HOST_POWER_RESET, /* 0xcf9, keyboard controller 0xfe, port 0x92 */
};

/*
 * A one-shot timer, embedded in the device. `expire` and `arg` are set once with host_timer_init();
 * the other members belong to the host.
 */
struct host_timer {
    void (*expire)(void *arg);
    void *arg;
    uint64_t deadline_ns; /* 0: not armed */
    void *impl;           /* the host's; NULL until first armed */
};

struct host_ops {
    /* Guest memory. `gpa` and `len` are whatever the guest programmed: a page that is not RAM reads
     * as all-ones and swallows writes, and is counted. A write is seen by the guest before any
     * interrupt that is raised after it. 0, or -errno: there is memory, but the host cannot reach
     * it, and has logged that. A device says so to its guest (a PCI device as of a master abort):
     * what was read is not to be used, what was written is there in part at most. */
    int (*dma_read)(void *ctx, uint64_t gpa, void *buf, size_t len);
    int (*dma_write)(void *ctx, uint64_t gpa, const void *buf, size_t len);
    /* What a device that moves much asks before each piece: 0, or the time before which it is not
     * to go on since the guest's memory costs the host too much (see now_ns). NULL: never. */
    uint64_t (*dma_rest)(void *ctx);
    /* Before something that is no access, timer or reset touches what a PIO window (bus.h) gives
     * or takes: how far the guest got with windows so far is told to their devices at once, by
     * their block accesses, from within this call. NULL: nobody looks at windows. */
    void (*windows_out)(void *ctx);

    /* Interrupt lines, level as driven by this device; repeating a level costs nothing. */
    void (*isa_irq)(void *ctx, unsigned irq /* 0-15 */, bool level);
    void (*pci_intx)(void *ctx, unsigned slot /* 0-31 */, unsigned pin /* 0 INTA - 3 INTD */,
                     bool level);
    /* PIRQ router: link 0-3 (PIRQA-D) goes to ISA `irq`, 0: disabled. */
    void (*pci_link_route)(void *ctx, unsigned link, unsigned irq);
    void (*msi)(void *ctx, uint64_t address, uint32_t data);

    /* CLOCK_MONOTONIC, and CLOCK_REALTIME's seconds are not needed: Xen emulates the RTC. */
    uint64_t (*now_ns)(void *ctx);
    /* Arming an armed timer moves it; a timer expires from the event loop, never inline. */
    void (*timer_arm)(void *ctx, struct host_timer *timer, uint64_t deadline_ns);
    void (*timer_disarm)(void *ctx, struct host_timer *timer);

    /* The IDE disk at this place, which the guest has unplugged, is at rest: what it had
     * acknowledged is stable, or could not be made so, and nothing of it can overtake others'
     * requests for its image any more. May come from within the unplugging. NULL: nobody takes its
     * image over. */
    void (*disk_left)(void *ctx, unsigned drive);

    /* Asks for the power event; it happens later. */
    void (*power)(void *ctx, enum host_power event);

    /* One event, in key=value words without a newline; the host adds time, guest and rate limit.
     * Not for the request path: formatted only when it will be printed. */
    void (*log)(void *ctx, enum host_log_level level, const char *device, const char *format,
                va_list args);
};

struct host {
    const struct host_ops *ops;
    void *ctx;
};

__attribute__((warn_unused_result)) static inline int host_dma_read(const struct host *host,
                                                                    uint64_t gpa, void *buf,
                                                                    size_t len)
{
    return host->ops->dma_read(host->ctx, gpa, buf, len);
}

__attribute__((warn_unused_result)) static inline int host_dma_write(const struct host *host,
                                                                     uint64_t gpa, const void *buf,
                                                                     size_t len)
{
    return host->ops->dma_write(host->ctx, gpa, buf, len);
}

static inline uint64_t host_dma_rest(const struct host *host)
{
    return host->ops->dma_rest ? host->ops->dma_rest(host->ctx) : 0;
}

static inline void host_windows_out(const struct host *host)
{
    if (host->ops->windows_out)
        host->ops->windows_out(host->ctx);
}

static inline void host_disk_left(const struct host *host, unsigned drive)
{
    if (host->ops->disk_left)
        host->ops->disk_left(host->ctx, drive);
}

static inline void host_isa_irq(const struct host *host, unsigned irq, bool level)
{
    host->ops->isa_irq(host->ctx, irq, level);
}

static inline void host_pci_intx(const struct host *host, unsigned slot, unsigned pin, bool level)
{
    host->ops->pci_intx(host->ctx, slot, pin, level);
}

static inline void host_pci_link_route(const struct host *host, unsigned link, unsigned irq)
{
    host->ops->pci_link_route(host->ctx, link, irq);
}

static inline void host_msi(const struct host *host, uint64_t address, uint32_t data)
{
    host->ops->msi(host->ctx, address, data);
}

static inline uint64_t host_now_ns(const struct host *host)
{
    return host->ops->now_ns(host->ctx);
}

static inline void host_timer_init(struct host_timer *timer, void (*expire)(void *arg), void *arg)
{
    *timer = (struct host_timer){.expire = expire, .arg = arg};
}

static inline void host_timer_arm(const struct host *host, struct host_timer *timer,
                                  uint64_t deadline_ns)
{
    host->ops->timer_arm(host->ctx, timer, deadline_ns);
}

/* Must be called before the memory that holds an armed timer goes away. */
static inline void host_timer_disarm(const struct host *host, struct host_timer *timer)
{
    host->ops->timer_disarm(host->ctx, timer);
}

static inline void host_power(const struct host *host, enum host_power event)
{
    host->ops->power(host->ctx, event);
}

__attribute__((format(printf, 4, 5))) static inline void host_log(const struct host *host,
                                                                  enum host_log_level level,
                                                                  const char *device,
                                                                  const char *format, ...)
{
    va_list args;
    va_start(args, format);
    host->ops->log(host->ctx, level, device, format, args);
    va_end(args);
}

#endif
