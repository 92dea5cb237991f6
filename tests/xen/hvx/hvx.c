/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hv_xen on its own, in a dom0: a device model of one made-up device (hvx.h) straight on
 * hv_xen_ops, dispatch and the bus.
 *
 *   hvx serve DOMID MODE [RECORD]   until the domain is gone; then whether anything was left open
 *   hvx orphan RECORD               removes the server that a killed `serve` left
 *   hvx limits DOMID                all servers, all ranges, failures at every step
 *   hvx find NAME                   the domain, and whether its disks have PV backends
 *   hvx fakedm ARGS...              what libxl takes for a device model, and nothing else
 */
#include "hvx.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <syslog.h>
#include <unistd.h>

#include "devices/bus.h"
#include "devices/pci.h"
#include "ioreq/dispatch.h"
#include "ioreq/hv.h"
#include "ioreq/hv_xen.h" /* turns the log of dirty pages on where the daemon will */

int fakedm(int argc, char **argv);

struct hvx {
    const struct hv_ops *hv;
    struct hv_host *host;
    struct hv_worker *worker;
    struct hv_guest *guest;
    struct bus *bus;
    struct dispatch dispatch;
    struct pci_func pci;
    unsigned mode;
    bool gone;
    uint8_t regs[16];
    uint8_t mmio[HVX_MMIO_SIZE];
    uint8_t fifo[HVX_FIFO_SIZE];
    uint32_t fifo_in, fifo_out;
};

static uint32_t reg(const struct hvx *hvx, unsigned n)
{
    uint32_t value;

    memcpy(&value, hvx->regs + 4 * n, sizeof(value));
    return value;
}

static void set_reg(struct hvx *hvx, unsigned n, uint32_t value)
{
    memcpy(hvx->regs + 4 * n, &value, sizeof(value));
}

/* Commands. */

static uint32_t invert_memory(struct hvx *hvx, uint64_t gpa, size_t len)
{
    struct iovec iov[HV_PIN_IOV];
    uint32_t holes = 0;

    while (len) {
        size_t pinned;
        int n = hvx->hv->pin(hvx->guest, gpa, len, true, iov, &pinned);

        if (n < 0) {
            printf("hvx: pin: %s\n", strerror(-n));
            return UINT32_MAX;
        }
        for (int i = 0; i < n; i++) {
            uint8_t *at = iov[i].iov_base;

            if (!at)
                holes += (uint32_t)iov[i].iov_len;
            else
                for (size_t k = 0; k < iov[i].iov_len; k++)
                    at[k] = (uint8_t)~at[k];
        }
        hvx->hv->mark_dirty(hvx->guest, gpa, pinned);
        hvx->hv->unpin(hvx->guest, gpa, pinned);
        gpa += pinned;
        len -= pinned;
    }
    return holes;
}

static void hold_memory(struct hvx *hvx, uint64_t gpa, size_t len)
{
    struct iovec iov[HV_PIN_IOV];
    size_t pinned;

    printf("hvx: holds %d pieces\n", hvx->hv->pin(hvx->guest, gpa, len, true, iov, &pinned));
}

/* The request that is being served stays without an answer until the domain is gone. */
static void stall(struct hvx *hvx)
{
    printf("hvx: stalls\n");
    fflush(stdout);
    while (!hvx->gone) {
        struct pollfd fd = {.fd = hvx->hv->host_fd(hvx->host), .events = POLLIN};

        poll(&fd, 1, -1);
        hvx->hv->host_dispatch(hvx->host);
    }
}

/* Bits of the 32 pages from gpa on that Xen thinks dirty once [gpa, gpa + len) was inverted. */
static uint32_t log_dirty(struct hvx *hvx, uint64_t gpa, size_t len)
{
    const unsigned pages = 8192; /* of a 32 MiB guest */
    xc_interface *xc = xc_interface_open(NULL, NULL, 0);
    uint32_t domid = hvx->hv->guest_info(hvx->guest)->domid, bits = UINT32_MAX;
    DECLARE_HYPERCALL_BUFFER(uint8_t, map);

    map = xc_hypercall_buffer_alloc_pages(xc, map, 1);
    if (!map || xc_shadow_control(xc, domid, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, NULL, 0) < 0 ||
        xc_logdirty_control(xc, domid, XEN_DOMCTL_SHADOW_OP_CLEAN, HYPERCALL_BUFFER(map), pages, 0,
                            NULL) < 0) {
        perror("hvx: log dirty");
    } else {
        atomic_store(&hvx->guest->log_dirty, true);
        invert_memory(hvx, gpa, len);
        atomic_store(&hvx->guest->log_dirty, false);
        if (xc_logdirty_control(xc, domid, XEN_DOMCTL_SHADOW_OP_CLEAN, HYPERCALL_BUFFER(map), pages,
                                0, NULL) < 0)
            perror("hvx: log dirty");
        else
            memcpy(&bits, map + gpa / 4096 / 8, sizeof(bits));
        xc_shadow_control(xc, domid, XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0);
    }
    xc_hypercall_buffer_free_pages(xc, map, 1);
    xc_interface_close(xc);
    return bits;
}

static void command(struct hvx *hvx, uint32_t what)
{
    const struct hv_ops *hv = hvx->hv;
    uint32_t a = reg(hvx, 0), b = reg(hvx, 1);

    switch (what) {
    case HVX_FIFO_RESET:
        hvx->fifo_in = hvx->fifo_out = 0;
        break;
    case HVX_DMA:
        set_reg(hvx, 2, invert_memory(hvx, a, b));
        break;
    case HVX_ISA_IRQ:
        hv->isa_irq(hvx->guest, a, b);
        break;
    case HVX_INTX:
        hv->pci_intx(hvx->guest, HVX_PCI_SLOT, a, b);
        break;
    case HVX_LINK_ROUTE:
        hv->pci_link_route(hvx->guest, a, b);
        break;
    case HVX_MSI:
        hv->msi(hvx->guest, a, b);
        break;
    case HVX_POWEROFF:
        hv->shutdown(hvx->guest, HV_SHUTDOWN_POWEROFF);
        break;
    case HVX_STALL:
        stall(hvx);
        break;
    case HVX_HOLD:
        hold_memory(hvx, a, b);
        break;
    case HVX_COUNTERS:
        set_reg(hvx, 0, (uint32_t)hvx->dispatch.counters.buffered);
        set_reg(hvx, 1, (uint32_t)hvx->dispatch.counters.invalidate);
        break;
    case HVX_LOG_DIRTY:
        set_reg(hvx, 2, log_dirty(hvx, a, b));
        break;
    default:
        printf("hvx: command %u?\n", what);
    }
}

/* The device. */

static uint32_t fifo_read(void *dev, uint64_t offset, unsigned size, void *buf, uint32_t count)
{
    struct hvx *hvx = dev;

    if (offset != HVX_FIFO || hvx->fifo_out + size * count > HVX_FIFO_SIZE)
        return 0;
    memcpy(buf, hvx->fifo + hvx->fifo_out, size * count);
    hvx->fifo_out += size * count;
    return count;
}

static uint32_t fifo_write(void *dev, uint64_t offset, unsigned size, const void *buf,
                           uint32_t count)
{
    struct hvx *hvx = dev;

    if (offset != HVX_FIFO || hvx->fifo_in + size * count > HVX_FIFO_SIZE)
        return 0;
    memcpy(hvx->fifo + hvx->fifo_in, buf, size * count);
    hvx->fifo_in += size * count;
    return count;
}

static uint64_t port_read(void *dev, uint64_t offset, unsigned size)
{
    struct hvx *hvx = dev;
    uint32_t value = UINT32_MAX;

    if (offset + size <= sizeof(hvx->regs))
        memcpy(&value, hvx->regs + offset, size);
    else if (offset == HVX_FIFO)
        fifo_read(hvx, offset, size, &value, 1);
    else if (offset == HVX_COMMAND)
        value = hvx->mode;
    return value;
}

static void port_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct hvx *hvx = dev;

    if (offset + size <= sizeof(hvx->regs))
        memcpy(hvx->regs + offset, &value, size);
    else if (offset == HVX_FIFO)
        fifo_write(hvx, offset, size, &value, 1);
    else if (offset == HVX_COMMAND)
        command(hvx, (uint32_t)value);
}

static const struct bus_io_ops port_ops = {
    .read = port_read,
    .write = port_write,
    .read_block = fifo_read,
    .write_block = fifo_write,
    .max_size = 4,
};

static uint64_t mmio_read(void *dev, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, ((struct hvx *)dev)->mmio + offset, size);
    return value;
}

static void mmio_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    memcpy(((struct hvx *)dev)->mmio + offset, &value, size);
}

static const struct bus_io_ops mmio_ops = {
    .read = mmio_read,
    .write = mmio_write,
    .max_size = 8,
};

static int on_claim(void *ctx, enum bus_space space, uint64_t first, uint64_t last)
{
    struct hvx *hvx = ctx;

    return hvx->hv->claim(hvx->guest, space == BUS_PORT ? HV_RANGE_PORT : HV_RANGE_MMIO, first,
                          last);
}

static void on_release(void *ctx, enum bus_space space, uint64_t first, uint64_t last)
{
    struct hvx *hvx = ctx;

    hvx->hv->release(hvx->guest, space == BUS_PORT ? HV_RANGE_PORT : HV_RANGE_MMIO, first, last);
}

static int on_claim_pci(void *ctx, uint8_t devfn)
{
    struct hvx *hvx = ctx;

    return hvx->hv->claim(hvx->guest, HV_RANGE_PCI, devfn, devfn);
}

static void on_release_pci(void *ctx, uint8_t devfn)
{
    struct hvx *hvx = ctx;

    hvx->hv->release(hvx->guest, HV_RANGE_PCI, devfn, devfn);
}

static const struct bus_listener listener = {on_claim, on_release, on_claim_pci, on_release_pci};

static int device_create(struct hvx *hvx)
{
    static const struct pci_id id = {
        .vendor = HVX_PCI_ID & 0xffff,
        .device = HVX_PCI_ID >> 16,
        .class_code = 0xff0000,
    };
    int err = bus_create(&listener, hvx, &hvx->bus);

    if (!err)
        err = bus_claim(hvx->bus, BUS_PORT, HVX_PORTS, 32, &port_ops, hvx);
    if (!err)
        err = bus_claim(hvx->bus, BUS_MMIO, HVX_MMIO, HVX_MMIO_SIZE, &mmio_ops, hvx);
    if (!err)
        err = pci_func_init(&hvx->pci, hvx->bus, PCI_DEVFN(HVX_PCI_SLOT, 0), &id);
    return err;
}

static void device_destroy(struct hvx *hvx)
{
    pci_func_finish(&hvx->pci);
    bus_release(hvx->bus, BUS_MMIO, HVX_MMIO);
    bus_release(hvx->bus, BUS_PORT, HVX_PORTS);
    bus_destroy(hvx->bus);
}

/* The daemon's part. */

static void on_gone(void *ctx, struct hv_guest *guest)
{
    ((struct hvx *)ctx)->gone = true;
}

static void on_log(void *ctx, int priority, const char *line)
{
    printf("hvx: log %d %s\n", priority, line);
}

static const struct hv_host_events events = {.guest_gone = on_gone, .log = on_log};

static void on_illegal(void *ctx, uint32_t vcpu, const char *what)
{
    printf("hvx: illegal: vcpu %u: %s\n", vcpu, what);
}

static void fail(const char *what, int err)
{
    printf("hvx: FAILED: %s: %s\n", what, strerror(-err));
    exit(1);
}

static void host_open(struct hvx *hvx)
{
    struct hv_host_params params = {.events = &events, .ctx = hvx, .listen_fd = -1};
    int err;

    hvx->hv = &hv_xen_ops;
    err = hvx->hv->host_open(&params, &hvx->host);
    if (!err)
        err = hvx->hv->worker_open(hvx->host, &hvx->worker);
    if (err)
        fail("host", err);
}

static void host_close(struct hvx *hvx)
{
    hvx->hv->worker_close(hvx->worker);
    hvx->hv->host_close(hvx->host);
}

static unsigned count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static unsigned count_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned count = 0;
    char line[512];

    while (fgets(line, sizeof(line), maps))
        count += strstr(line, "privcmd") != NULL;
    fclose(maps);
    return count;
}

static void loop(struct hvx *hvx)
{
    while (!hvx->gone) {
        struct pollfd fds[] = {
            {.fd = hvx->hv->host_fd(hvx->host), .events = POLLIN},
            {.fd = hvx->hv->guest_fd(hvx->guest), .events = POLLIN},
        };
        struct hv_pending pending;
        int err;

        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[0].revents) {
            err = hvx->hv->host_dispatch(hvx->host);
            if (err)
                fail("host_dispatch", err);
        }
        if (fds[1].revents && !hvx->gone) {
            err = hvx->hv->guest_pending(hvx->guest, &pending);
            if (err || pending.gone)
                printf("hvx: pending: %d%s\n", err, pending.gone ? ", gone" : "");
            dispatch_turn(&hvx->dispatch, pending.slots);
            hvx->hv->guest_rearm(hvx->guest);
        }
    }
}

static void write_record(struct hvx *hvx, const char *path)
{
    struct hv_record record;
    FILE *file = fopen(path, "w");

    hvx->hv->guest_record(hvx->guest, &record);
    fprintf(file, "%u %u %s\n", record.domid, record.server_id, record.domain_handle);
    fclose(file);
}

static void print_counters(struct hvx *hvx)
{
    const struct hv_counters *hv = hvx->hv->guest_counters(hvx->guest);
    const struct dispatch_counters *d = &hvx->dispatch.counters;

    printf("hvx: buckets=%lu pages=%lu unmapped=%lu holes=%lu invalidates=%lu hypercalls=%lu\n",
           hv->map_calls, hv->map_pages, hv->unmap_pages, hv->holes, hv->invalidates,
           hv->hypercalls);
    printf("hvx: pio=%lu+%lu mmio=%lu+%lu pci=%lu string=%lu buffered=%lu illegal=%lu "
           "spurious=%lu\n",
           d->pio_read, d->pio_write, d->mmio_read, d->mmio_write, d->pci_read, d->string,
           d->buffered, d->illegal, d->spurious);
}

static int serve(struct hvx *hvx, uint32_t domid, unsigned mode, const char *record)
{
    struct hv_guest_params params = {.name = "hvx", .domid = domid, .map_limit_mib = 4};
    unsigned fds, left_fds, left_maps;
    const struct hv_counters *counters;
    int err;

    host_open(hvx);
    fds = count_fds();
    hvx->mode = mode;
    err = hvx->hv->guest_create(hvx->host, &params, &hvx->guest);
    if (err)
        fail("guest_create", err);
    if (record)
        write_record(hvx, record);
    err = hvx->hv->guest_start(hvx->guest, hvx->worker);
    if (err)
        fail("guest_start", err);
    err = device_create(hvx);
    if (err)
        fail("claims", err);
    hvx->dispatch.hv = hvx->hv;
    hvx->dispatch.guest = hvx->guest;
    hvx->dispatch.bus = hvx->bus;
    hvx->dispatch.vcpus = hvx->hv->guest_info(hvx->guest)->vcpus;
    hvx->dispatch.illegal = on_illegal;
    err = hvx->hv->guest_enable(hvx->guest);
    if (err)
        fail("guest_enable", err);
    printf("hvx: serves %u vCPUs\n", hvx->dispatch.vcpus);
    fflush(stdout);
    loop(hvx);
    printf("hvx: gone\n");
    print_counters(hvx);
    device_destroy(hvx);
    hvx->hv->guest_stop(hvx->guest);
    counters = hvx->hv->guest_counters(hvx->guest);
    if (counters->map_pages != counters->unmap_pages)
        printf("hvx: FAILED: pages are left mapped\n");
    hvx->hv->guest_destroy(hvx->guest);
    left_fds = count_fds() - fds;
    left_maps = count_mappings();
    printf("hvx: %s: %u descriptors and %u mappings left\n",
           left_fds || left_maps ? "FAILED" : "clean", left_fds, left_maps);
    host_close(hvx);
    return left_fds || left_maps;
}

static int orphan(struct hvx *hvx, const char *path)
{
    FILE *file = fopen(path, "r");
    struct hv_record record;
    int err;

    if (!file ||
        fscanf(file, "%u %u %36s", &record.domid, &record.server_id, record.domain_handle) != 3)
        fail(path, -EINVAL);
    fclose(file);
    host_open(hvx);
    err = hvx->hv->orphan_remove(hvx->host, &record);
    printf("hvx: orphan: %s\n", err ? strerror(-err) : "removed");
    record.domain_handle[0] ^= 1;
    err = hvx->hv->orphan_remove(hvx->host, &record);
    printf("hvx: orphan of another domain: %s\n", strerror(-err));
    host_close(hvx);
    return 0;
}

/* Servers that the domain still takes; all are given back. */
static unsigned servers_free(struct hvx *hvx, uint32_t domid)
{
    struct hv_guest_params params = {.name = "limits", .domid = domid};
    struct hv_guest *guests[16];
    unsigned count = 0;
    int err = 0;

    while (count < 16 && !(err = hvx->hv->guest_create(hvx->host, &params, &guests[count])))
        count++;
    printf("hvx: %u servers, then %s\n", count, strerror(-err));
    for (unsigned i = 0; i < count; i++)
        hvx->hv->guest_destroy(guests[i]);
    return count;
}

static void claim_all(struct hvx *hvx)
{
    unsigned count = 0;
    int err = 0;

    while (count < 1000 && !(err = hvx->hv->claim(hvx->guest, HV_RANGE_PORT, 0x1000 + 4 * count,
                                                  0x1001 + 4 * count)))
        count++;
    printf("hvx: %u ranges, then %s\n", count, strerror(-err));
    hvx->hv->release(hvx->guest, HV_RANGE_PORT, 0x1000, 0x1001);
    err = hvx->hv->claim(hvx->guest, HV_RANGE_PORT, 0x1000, 0x1001);
    printf("hvx: after a release: %s\n", strerror(-err));
}

/* Descriptors run out at each step in turn: whatever failed, all is given back. */
static void starve(struct hvx *hvx, uint32_t domid)
{
    struct hv_guest_params params = {.name = "starve", .domid = domid};
    struct rlimit old, now;
    int err = -1;

    getrlimit(RLIMIT_NOFILE, &old);
    for (rlim_t limit = 3; err && limit < 64; limit++) {
        now = (struct rlimit){.rlim_cur = limit, .rlim_max = old.rlim_max};
        setrlimit(RLIMIT_NOFILE, &now);
        err = hvx->hv->guest_create(hvx->host, &params, &hvx->guest);
    }
    setrlimit(RLIMIT_NOFILE, &old);
    if (err)
        fail("guest_create after starving", err);
    /* Stops and starts at any point of its life. */
    for (int step = 0; step < 3; step++) {
        err = hvx->hv->guest_start(hvx->guest, hvx->worker);
        if (!err && step > 0)
            err = hvx->hv->guest_enable(hvx->guest);
        if (err)
            fail("restart", err);
        if (step == 2)
            claim_all(hvx);
        hvx->hv->guest_stop(hvx->guest);
        hvx->hv->guest_stop(hvx->guest);
    }
    hvx->hv->guest_destroy(hvx->guest);
}

static int limits(struct hvx *hvx, uint32_t domid)
{
    struct hv_guest_params nobody = {.name = "nobody", .domid = 31999};
    struct hv_guest_params dom0 = {.name = "dom0", .domid = 0};
    unsigned fds, servers;
    int err;

    host_open(hvx);
    fds = count_fds();
    err = hvx->hv->guest_create(hvx->host, &nobody, &hvx->guest);
    printf("hvx: no domain: %s\n", strerror(-err));
    err = hvx->hv->guest_create(hvx->host, &dom0, &hvx->guest);
    printf("hvx: dom0: %s\n", strerror(-err));
    servers = servers_free(hvx, domid);
    starve(hvx, domid);
    err = servers != servers_free(hvx, domid) || fds != count_fds() || count_mappings();
    printf("hvx: %s\n", err ? "FAILED: something is left" : "clean");
    host_close(hvx);
    return err;
}

/* Disks as in hda=/path. */
static int find(struct hvx *hvx, const char *name, char **args, int n_args)
{
    struct hv_disk disk[4];
    uint32_t domid = 0;
    unsigned n = 0;
    int err;

    for (int i = 0; i < n_args && n < 4; i++)
        disk[n++] = (struct hv_disk){.place = (unsigned)(args[i][2] - 'a'), .path = args[i] + 4};

    host_open(hvx);
    err = hvx->hv->find_domain(hvx->host, name, &domid);
    if (err)
        printf("hvx: %s: %s\n", name, strerror(-err));
    else
        printf("hvx: %s is %u, PV disks: %d\n", name, domid,
               hvx->hv->disks_have_pv(hvx->host, domid, disk, n, false));
    host_close(hvx);
    return 0;
}

int main(int argc, char **argv)
{
    static struct hvx hvx;
    const char *verb = argc > 1 ? argv[1] : "";

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!strcmp(verb, "fakedm"))
        return fakedm(argc - 2, argv + 2);
    if (!strcmp(verb, "serve") && argc >= 4)
        return serve(&hvx, (uint32_t)atoi(argv[2]), (unsigned)atoi(argv[3]),
                     argc > 4 ? argv[4] : NULL);
    if (!strcmp(verb, "orphan") && argc == 3)
        return orphan(&hvx, argv[2]);
    if (!strcmp(verb, "limits") && argc == 3)
        return limits(&hvx, (uint32_t)atoi(argv[2]));
    if (!strcmp(verb, "find") && argc >= 3)
        return find(&hvx, argv[2], argv + 3, argc - 3);
    fprintf(stderr, "usage: hvx serve|orphan|limits|find|fakedm ...\n");
    return 2;
}
