/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Xen platform device, 00:02.0: what PV drivers bind to, and the unplug protocol at ports
 * 0x10-0x13 (Xen's docs/misc/hvm-emulated-unplug).
 *
 *     port  size  read                      write
 *     0x10  2     magic                     bits of what to unplug
 *     0x10  4     -                         the drivers' build number
 *     0x12  1     protocol version          a byte of a log line
 *     0x12  2     -                         the drivers' product number
 *
 * A guest that reads the magic gives its emulated disks up and waits for PV ones, so the magic is
 * there only where the machine's policy says that they have somewhere to go.
 */
#include <errno.h>
#include <stdlib.h>

#include "devices/chipset/ports.h"
#include "devices/models.h"
#include "devices/pci.h"

#define MAGIC   0x49d2
#define VERSION 1

#define UNPLUG_DISKS     0x0001
#define UNPLUG_NICS      0x0002
#define UNPLUG_AUX_DISKS 0x0004

/* Of the I/O BAR: a flag register that old firmware uses to lock its ROM; nothing hangs on it. */
#define BAR_FLAGS          0
#define BAR_FLAGS_ROM_LOCK 0x01
#define BAR_FLAGS_WRITABLE 0x03

#define LOG_LINE 120 /* longer lines are broken */
/* The lines that a guest may log at once, and one more for each interval after that. */
#define LOG_BURST       20
#define LOG_INTERVAL_NS 1000000000ull

struct xen_platform {
    struct dev dev;
    struct pci_func func;
    const struct host *host;
    struct bus *bus;
    struct machine *machine;
    enum machine_unplug unplug;

    uint8_t flags;
    uint16_t product;
    uint32_t build;

    char line[LOG_LINE + 1];
    unsigned line_len;
    unsigned log_tokens;
    uint64_t log_refilled_ns;
    uint64_t log_dropped; /* lines */
    struct dev_counter counters[1];
};

static bool log_allowed(struct xen_platform *platform)
{
    uint64_t now = host_now_ns(platform->host);
    uint64_t earned = (now - platform->log_refilled_ns) / LOG_INTERVAL_NS;

    if (earned) {
        uint64_t tokens = platform->log_tokens + earned;
        platform->log_tokens = tokens < LOG_BURST ? (unsigned)tokens : LOG_BURST;
        platform->log_refilled_ns += earned * LOG_INTERVAL_NS;
    }
    if (!platform->log_tokens)
        return false;
    platform->log_tokens--;
    return true;
}

static void log_flush(struct xen_platform *platform)
{
    platform->line[platform->line_len] = '\0';
    if (platform->line_len && log_allowed(platform))
        host_log(platform->host, HOST_LOG_INFO, platform->dev.name, "event=guest-log text=\"%s\"",
                 platform->line);
    else if (platform->line_len)
        platform->log_dropped++;
    platform->line_len = 0;
}

/* The text goes to a log that an administrator reads on a terminal: nothing but printable ASCII,
 * and no quotation marks, which end the field. */
static void log_byte(struct xen_platform *platform, uint8_t byte)
{
    if (byte == '\n') {
        log_flush(platform);
        return;
    }
    bool plain = byte >= ' ' && byte <= '~' && byte != '"' && byte != '\\';
    platform->line[platform->line_len++] = plain ? (char)byte : '?';
    if (platform->line_len == LOG_LINE)
        log_flush(platform);
}

static bool answers(const struct xen_platform *platform)
{
    return platform->unplug != MACHINE_UNPLUG_NEVER;
}

static void unplug(struct xen_platform *platform, uint32_t what)
{
    if (log_allowed(platform))
        host_log(platform->host, HOST_LOG_INFO, platform->dev.name,
                 "event=unplug mask=0x%x product=%u build=%u", what, platform->product,
                 platform->build);
    if (what & UNPLUG_DISKS)
        machine_unplug_disks(platform->machine);
    else if (what & UNPLUG_AUX_DISKS)
        machine_unplug_aux_disks(platform->machine);
    if (what & UNPLUG_NICS)
        machine_unplug_nics(platform->machine);
}

static uint64_t protocol_read(void *dev, uint64_t offset, unsigned size)
{
    const struct xen_platform *platform = dev;

    if (answers(platform) && offset == 0 && size == 2)
        return MAGIC;
    if (answers(platform) && offset == 2 && size == 1)
        return VERSION;
    return UINT64_MAX;
}

static void protocol_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct xen_platform *platform = dev;

    if (!answers(platform))
        return;
    if (offset == 0 && size == 2)
        unplug(platform, (uint32_t)value);
    else if (offset == 0 && size == 4)
        platform->build = (uint32_t)value;
    else if (offset == 2 && size == 1)
        log_byte(platform, (uint8_t)value);
    else if (offset == 2 && size == 2)
        platform->product = (uint16_t)value;
}

static const struct bus_io_ops protocol_io = {
    .read = protocol_read, .write = protocol_write, .max_size = 4};

static const struct port_range ranges[] = {
    {0x10, 4, &protocol_io},
};

static uint64_t bar_io_read(void *dev, uint64_t offset, unsigned size)
{
    return offset == BAR_FLAGS ? ((struct xen_platform *)dev)->flags : 0xff;
}

static void bar_io_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    if (offset == BAR_FLAGS)
        ((struct xen_platform *)dev)->flags = value & BAR_FLAGS_WRITABLE;
}

static const struct bus_io_ops bar_io = {.read = bar_io_read, .write = bar_io_write};

/* The memory BAR is room for the guest to put its grant table and shared pages in. What is not
 * covered by them reads as zero. */
static uint64_t bar_mem_read(void *dev, uint64_t offset, unsigned size)
{
    return 0;
}

static const struct bus_io_ops bar_mem = {.read = bar_mem_read, .max_size = 8};

static void xen_platform_reset(struct dev *dev)
{
    struct xen_platform *platform = (struct xen_platform *)dev;

    pci_func_reset(&platform->func);
    platform->flags = BAR_FLAGS_ROM_LOCK;
    platform->product = 0;
    platform->build = 0;
    platform->line_len = 0;
}

/* A half-written log line is not worth keeping. */
static void xen_platform_save(const struct dev *dev, struct state_writer *writer)
{
    const struct xen_platform *platform = (const struct xen_platform *)dev;

    pci_func_save(&platform->func, writer);
    state_put_u8(writer, platform->flags);
    state_put_u16(writer, platform->product);
    state_put_u32(writer, platform->build);
}

static void xen_platform_load(struct dev *dev, struct state_reader *reader, uint32_t version)
{
    struct xen_platform *platform = (struct xen_platform *)dev;

    pci_func_load(&platform->func, reader);
    platform->flags = state_get_u8(reader) & BAR_FLAGS_WRITABLE;
    platform->product = state_get_u16(reader);
    platform->build = state_get_u32(reader);
}

static void xen_platform_destroy(struct dev *dev)
{
    struct xen_platform *platform = (struct xen_platform *)dev;

    ports_release(platform->bus, ranges, PORTS_COUNT(ranges));
    pci_func_finish(&platform->func);
    free(platform);
}

static const struct dev_ops xen_platform_ops = {
    .model = "xen-platform",
    .version = 1,
    .reset = xen_platform_reset,
    .save = xen_platform_save,
    .load = xen_platform_load,
    .destroy = xen_platform_destroy,
};

void xen_platform_set_unplug(struct dev *dev, enum machine_unplug unplug)
{
    ((struct xen_platform *)dev)->unplug = unplug;
}

int xen_platform_create(const struct dev_env *env, struct dev **ret_dev)
{
    static const struct pci_id id = {.vendor = 0x5853,
                                     .device = 0x0001,
                                     .subvendor = 0x5853,
                                     .subdevice = 0x0001,
                                     .revision = 1,
                                     .class_code = 0xff8000,
                                     .interrupt_pin = 1};
    struct xen_platform *platform = calloc(1, sizeof(*platform));
    int err;

    if (!platform)
        return -ENOMEM;
    platform->dev.ops = &xen_platform_ops;
    platform->dev.name = "xen-platform";
    platform->counters[0] = (struct dev_counter){"log_lines_dropped", &platform->log_dropped};
    platform->dev.counters = platform->counters;
    platform->dev.n_counters = 1;
    platform->host = env->host;
    platform->bus = env->bus;
    platform->machine = env->machine;
    platform->unplug = env->spec->unplug;
    platform->flags = BAR_FLAGS_ROM_LOCK;
    platform->log_tokens = LOG_BURST;
    platform->log_refilled_ns = host_now_ns(env->host);

    platform->func.name = "xen-platform";
    platform->func.dev = platform;
    platform->func.bar[0] = (struct pci_bar){.type = PCI_BAR_IO, .size = 0x100, .ops = &bar_io};
    platform->func.bar[1] =
        (struct pci_bar){.type = PCI_BAR_MEM_PREFETCH, .size = 16 << 20, .ops = &bar_mem};
    err = pci_func_init(&platform->func, env->bus, PCI_DEVFN(2, 0), &id);
    if (err)
        goto free_platform;
    err = ports_claim(env->bus, ranges, PORTS_COUNT(ranges), platform);
    if (err)
        goto finish_func;
    *ret_dev = &platform->dev;
    return 0;

finish_func:
    pci_func_finish(&platform->func);
free_platform:
    free(platform);
    return err;
}
