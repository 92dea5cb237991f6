/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest_rig's hypervisor, and its guests' half. */
#include "tests/unit/guest_rig_hv.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

struct hv_worker {
    int unused;
};

struct hv_guest {
    struct guest_rig *rig;
    _Alignas(IOREQ_PAGE) struct ioreq_slot slots[IOREQ_SLOTS];
    _Alignas(IOREQ_PAGE) struct buf_ioreq_page buffered;
    uint8_t ram[4096];
    uint32_t server_id;
    struct hv_guest_info info;
    struct hv_counters counters;
    int fd;
    unsigned claimed;
    bool started, enabled, gone, stay_ready;
    bool stopped; /* asked to; nothing of the guest may be touched afterwards */
    bool shared;  /* `slots` is a page that it has in common with its half in a worker process */
};

static struct hv_worker workers;
static struct hv_host bare; /* of a worker process: as the last guest's */

static int step(struct guest_rig *rig, enum rig_step which)
{
    if (rig->fail != which || rig->fail_after--)
        return 0;
    rig->fail = RIG_NONE;
    return -ENXIO;
}

/* `fd`: what it is to have in common with another process; -1: nothing any more, since the memory
 * is used for something else. */
static void share_slots(struct hv_guest *guest, int fd)
{
    int flags = MAP_FIXED | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);

    _Static_assert(sizeof(guest->slots) == IOREQ_PAGE, "all of a page");
    assert_ptr_equal(mmap(guest->slots, sizeof(guest->slots), PROT_READ | PROT_WRITE, flags, fd, 0),
                     guest->slots);
    guest->shared = fd >= 0;
}

static void guest_free(struct hv_guest *guest)
{
    if (guest->shared)
        share_slots(guest, -1);
    close(guest->fd);
    free(guest);
}

static int fake_worker_open(struct hv_host *host, struct hv_worker **ret_worker)
{
    *ret_worker = &workers;
    return 0;
}

static void fake_worker_close(struct hv_worker *worker)
{
}

static int fake_intend(struct hv_host *host, const struct hv_guest_params *params,
                       struct hv_record *ret_record)
{
    if (step(host->rig, RIG_INTEND))
        return -ENXIO;
    *ret_record = (struct hv_record){.domid = params->domid, .server_id = 1};
    return 0;
}

static int fake_create(struct hv_host *host, const struct hv_guest_params *params,
                       struct hv_guest **ret_guest)
{
    struct guest_rig *rig = host->rig;
    struct hv_guest *guest;

    bare = *host;
    /* A daemon that is killed right after this leaves a server that its successor finds. */
    if (!params->peer)
        assert_int_equal(guest_rig_has_record(rig, params->name, params->domid, 1),
                         !params->no_server);
    if (step(rig, RIG_CREATE))
        return -ENXIO;
    guest = aligned_alloc(IOREQ_PAGE, sizeof(*guest));
    assert_non_null(guest);
    memset(guest, 0, sizeof(*guest));
    guest->rig = rig;
    guest->info.domid = params->domid;
    guest->server_id = rig->server_id;
    guest->info.vcpus = params->no_server ? 0 : 2;
    guest->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (guest->fd < 0) {
        int err = -errno;

        free(guest);
        return err;
    }
    rig->hv_guests++;
    rig->last = guest;
    *ret_guest = guest;
    return 0;
}

static void fake_destroy(struct hv_guest *guest)
{
    if (guest->started)
        assert_true(guest->stopped);
    assert_int_equal(guest->claimed, 0); /* the machine gave its ranges back first */
    guest->rig->hv_guests--;
    guest_free(guest);
}

static int fake_pause(struct hv_guest *guest, bool pause)
{
    guest->rig->paused += pause ? 1 : -1u;
    return 0;
}

static void fake_paused(struct hv_guest *guest, bool paused)
{
}

static void fake_record(const struct hv_guest *guest, struct hv_record *ret_record)
{
    *ret_record = (struct hv_record){.domid = guest->info.domid, .server_id = guest->server_id};
}

static int fake_domain(const struct hv_guest *guest, struct hv_domain *ret_domain)
{
    const struct rig_domain *domain = &guest->rig->domain[guest->info.domid];

    if (domain->gone)
        return -ESRCH;
    snprintf(ret_domain->name, sizeof(ret_domain->name), "%s", domain->name);
    ret_domain->over = domain->over;
    return 0;
}

static int fake_find_domain(struct hv_host *host, const char *name, uint32_t *ret_domid)
{
    for (uint32_t i = 1; i < RIG_DOMAINS; i++) {
        const struct rig_domain *domain = &host->rig->domain[i];

        if (domain->gone || strcmp(domain->name, name) != 0)
            continue;
        *ret_domid = i;
        return 0;
    }
    return -ENOENT;
}

static bool fake_disks_have_pv(struct hv_host *host, uint32_t domid, const struct hv_disk *disks,
                               unsigned n_disks, bool own)
{
    struct guest_rig *rig = host->rig;

    assert_true(n_disks <= CONFIG_DISKS);
    rig->n_pv = n_disks;
    rig->own_pv = own;
    for (unsigned i = 0; i < n_disks; i++) {
        rig->pv_place[i] = disks[i].place;
        snprintf(rig->pv_path[i], sizeof(rig->pv_path[i]), "%s",
                 disks[i].path ? disks[i].path : "");
    }
    return rig->have_pv;
}

static bool fake_nic_has_pv(struct hv_host *host, uint32_t domid, unsigned devid,
                            struct hv_nic_credit *ret_credit)
{
    *ret_credit = host->rig->credit;
    return host->rig->nics_have_pv;
}

static int fake_start(struct hv_guest *guest, struct hv_worker *worker)
{
    assert_ptr_equal(worker, &workers);
    guest->started = true;
    return step(guest->rig, RIG_START);
}

static int fake_enable(struct hv_guest *guest)
{
    assert_true(guest->started && !guest->stopped);
    guest->enabled = true;
    return step(guest->rig, RIG_ENABLE);
}

static void fake_stop(struct hv_guest *guest)
{
    assert_true(guest->started && !guest->stopped);
    guest->stopped = true;
}

static const struct hv_guest_info *fake_info(const struct hv_guest *guest)
{
    return &guest->info;
}

static const struct hv_counters *fake_counters(const struct hv_guest *guest)
{
    return &guest->counters;
}

static int fake_claim(struct hv_guest *guest, enum hv_range type, uint64_t first, uint64_t last)
{
    assert_true(guest->started && !guest->stopped);
    if (step(guest->rig, RIG_CLAIM))
        return -ENXIO;
    guest->claimed++;
    return 0;
}

static void fake_release(struct hv_guest *guest, enum hv_range type, uint64_t first, uint64_t last)
{
    assert_true(guest->claimed > 0);
    guest->claimed--;
}

static int fake_fd(const struct hv_guest *guest)
{
    return guest->fd;
}

static int fake_pending(struct hv_guest *guest, struct hv_pending *ret_pending)
{
    uint64_t count;

    assert_true(guest->enabled && !guest->stopped);
    *ret_pending = (struct hv_pending){
        .gone = __atomic_load_n(&guest->gone, __ATOMIC_ACQUIRE),
    };
    ret_pending->slots[0] = 1;
    if (!__atomic_load_n(&guest->stay_ready, __ATOMIC_ACQUIRE) &&
        read(guest->fd, &count, sizeof(count)) < 0)
        ret_pending->slots[0] = 0;
    return 0;
}

static void fake_rearm(struct hv_guest *guest)
{
    assert_false(guest->stopped);
}

static struct ioreq_slot *fake_slots(struct hv_guest *guest)
{
    assert_false(guest->stopped);
    return guest->slots;
}

static struct buf_ioreq_page *fake_buffered(struct hv_guest *guest)
{
    return &guest->buffered;
}

static void fake_notify(struct hv_guest *guest, uint32_t vcpu)
{
}

static int fake_pin(struct hv_guest *guest, uint64_t gpa, size_t len, bool write, struct iovec *iov,
                    size_t *ret_len)
{
    int err = __atomic_load_n(&guest->rig->pin_error, __ATOMIC_ACQUIRE);

    assert_false(guest->stopped);
    if (err)
        return err;
    iov[0] = (struct iovec){.iov_base = guest->ram, .iov_len = len < 4096 ? len : 4096};
    *ret_len = iov[0].iov_len;
    return 1;
}

static void fake_unpin(struct hv_guest *guest, uint64_t gpa, size_t len)
{
}

static void fake_invalidate(struct hv_guest *guest)
{
}

static void fake_dirty(struct hv_guest *guest, uint64_t gpa, size_t len)
{
}

static void fake_isa(struct hv_guest *guest, unsigned irq, bool level)
{
}

static void fake_intx(struct hv_guest *guest, unsigned slot, unsigned pin, bool level)
{
}

static void fake_link(struct hv_guest *guest, unsigned link, unsigned irq)
{
}

static void *fake_bufpio(struct hv_guest *guest)
{
    return NULL;
}

static void fake_msi(struct hv_guest *guest, uint64_t address, uint32_t data)
{
}

static void fake_shutdown(struct hv_guest *guest, enum hv_shutdown reason)
{
}

static int fake_pack(struct hv_guest *guest, struct hv_packed *ret_packed)
{
    int fd = dup(guest->fd), slots_fd = memfd_create("slots", MFD_CLOEXEC);

    assert_false(guest->started); /* that is the other process's */
    if (fd < 0 || slots_fd < 0) {
        int err = -errno;

        if (fd >= 0)
            close(fd);
        return err;
    }
    assert_int_equal(ftruncate(slots_fd, sizeof(guest->slots)), 0);
    share_slots(guest, slots_fd);
    *ret_packed =
        (struct hv_packed){.count = 2, .fds = {fd, slots_fd}, .bytes = sizeof(guest->info)};
    memcpy(ret_packed->data, &guest->info, sizeof(guest->info));
    return 0;
}

/* The process is a copy of this one, without what it is not to have. */
static int fake_bare(struct hv_host **ret_host)
{
    *ret_host = &bare;
    return 0;
}

static int fake_unpack(struct hv_host *host, const struct hv_packed *packed,
                       struct hv_guest **ret_guest)
{
    struct hv_guest *guest = aligned_alloc(IOREQ_PAGE, sizeof(*guest));

    assert_non_null(guest);
    memset(guest, 0, sizeof(*guest));
    guest->rig = host->rig;
    memcpy(&guest->info, packed->data, sizeof(guest->info));
    guest->fd = packed->fds[0];
    share_slots(guest, packed->fds[1]);
    close(packed->fds[1]);
    *ret_guest = guest;
    return 0;
}

static void fake_let_go(struct hv_guest *guest)
{
    assert_int_equal(guest->claimed, 0);
    guest_free(guest);
}

const struct hv_ops guest_rig_hv_ops = {
    .name = "fake",
    .worker_open = fake_worker_open,
    .worker_close = fake_worker_close,
    .guest_create = fake_create,
    .guest_destroy = fake_destroy,
    .guest_intend = fake_intend,
    .guest_pause = fake_pause,
    .guest_record = fake_record,
    .guest_domain = fake_domain,
    .find_domain = fake_find_domain,
    .disks_have_pv = fake_disks_have_pv,
    .nic_has_pv = fake_nic_has_pv,
    .guest_pack = fake_pack,
    .host_bare = fake_bare,
    .guest_unpack = fake_unpack,
    .guest_let_go = fake_let_go,
    .guest_start = fake_start,
    .guest_enable = fake_enable,
    .guest_stop = fake_stop,
    .guest_info = fake_info,
    .guest_counters = fake_counters,
    .claim = fake_claim,
    .release = fake_release,
    .guest_fd = fake_fd,
    .guest_pending = fake_pending,
    .guest_rearm = fake_rearm,
    .slots = fake_slots,
    .buffered = fake_buffered,
    .bufpio = fake_bufpio,
    .notify = fake_notify,
    .pin = fake_pin,
    .unpin = fake_unpin,
    .invalidate = fake_invalidate,
    .mark_dirty = fake_dirty,
    .isa_irq = fake_isa,
    .pci_intx = fake_intx,
    .pci_link_route = fake_link,
    .msi = fake_msi,
    .shutdown = fake_shutdown,
    .paused = fake_paused,
};

/* The guest's half. */

void guest_rig_kick(struct hv_guest *guest, bool stay_ready)
{
    const uint64_t one = 1;

    __atomic_store_n(&guest->stay_ready, stay_ready, __ATOMIC_RELEASE);
    assert_int_equal(write(guest->fd, &one, sizeof(one)), sizeof(one));
}

void guest_rig_lose(struct hv_guest *guest)
{
    __atomic_store_n(&guest->gone, true, __ATOMIC_RELEASE);
    guest_rig_kick(guest, false);
}

static void ask(struct hv_guest *guest, uint32_t vcpu, uint16_t port, uint32_t count, uint8_t flags)
{
    struct ioreq_slot *slot = &guest->slots[vcpu];

    __atomic_store_n(&slot->addr, port, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->count, count, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->size, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->type, IOREQ_PIO, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->flags, flags | IOREQ_STATE_READY, __ATOMIC_RELEASE);
}

void guest_rig_ask(struct hv_guest *guest, uint32_t vcpu, uint16_t port)
{
    ask(guest, vcpu, port, 1, IOREQ_READ);
}

void guest_rig_tell(struct hv_guest *guest, uint16_t port, uint32_t size, uint32_t value)
{
    struct ioreq_slot *slot = &guest->slots[0];

    __atomic_store_n(&slot->data, value, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->addr, port, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->count, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->size, size, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->type, IOREQ_PIO, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->flags, IOREQ_STATE_READY, __ATOMIC_RELEASE);
}

void guest_rig_ask_nonsense(struct hv_guest *guest, uint32_t vcpu)
{
    ask(guest, vcpu, 0, 0, IOREQ_READ);
}

void guest_rig_ask_string(struct hv_guest *guest, uint32_t vcpu, uint16_t port, uint32_t count,
                          bool read)
{
    ask(guest, vcpu, port, count, (uint8_t)(read ? IOREQ_READ : 0) | IOREQ_DATA_IS_PTR);
}

bool guest_rig_answered(struct hv_guest *guest, uint32_t vcpu)
{
    uint8_t flags = __atomic_load_n(&guest->slots[vcpu].flags, __ATOMIC_ACQUIRE);

    return (flags & IOREQ_STATE_MASK) == IOREQ_STATE_RESP_READY;
}

uint8_t guest_rig_answer(struct hv_guest *guest, uint32_t vcpu)
{
    return (uint8_t)__atomic_load_n(&guest->slots[vcpu].data, __ATOMIC_RELAXED);
}
