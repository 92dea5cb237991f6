/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hv_shm, worker side, and the ops table. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "ioreq/hv_shm_priv.h"

/* Messages of a peer that are handled in one turn; its socket stays readable for the next. */
#define MESSAGES_PER_TURN 4

_Static_assert(HV_FEATURE_BUFFERED_PIO == HV_SHM_FEATURE_BUFFERED_PIO &&
                   HV_FEATURE_SWAP == HV_SHM_FEATURE_SWAP &&
                   HV_FEATURE_DIRTY_LOG == HV_SHM_FEATURE_DIRTY_LOG &&
                   HV_FEATURE_MSI == HV_SHM_FEATURE_MSI &&
                   HV_FEATURE_GRANTS == HV_SHM_FEATURE_GRANTS,
               "one numbering");
_Static_assert(HV_SHM_RANGE_PORT == HV_RANGE_PORT && HV_SHM_RANGE_MMIO == HV_RANGE_MMIO &&
                   HV_SHM_RANGE_PCI == HV_RANGE_PCI,
               "one numbering");
_Static_assert(HV_SHM_VCPUS_MAX == HV_MAX_VCPUS, "one page of slots");

#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELEASE)

static void ring(int fd)
{
    const uint64_t one = 1;
    /* Fails only when the counter is full, and then it rings anyway. */
    ssize_t rc = write(fd, &one, sizeof(one));

    (void)rc;
}

/* A peer notices that its daemon is gone; nothing stays. */
static int shm_guest_intend(struct hv_host *host, const struct hv_guest_params *params,
                            struct hv_record *ret_record)
{
    *ret_record = (struct hv_record){0};
    return 0;
}

static void shm_guest_record(const struct hv_guest *guest, struct hv_record *ret_record)
{
    *ret_record = (struct hv_record){0};
}

/* Peers introduce themselves; there is nobody to look for. */
static int shm_find_domain(struct hv_host *host, const char *name, uint32_t *ret_domid)
{
    return -ENOENT;
}

static bool shm_disks_have_pv(struct hv_host *host, uint32_t domid, const struct hv_disk *disks,
                              unsigned n_disks, bool own)
{
    return false;
}

static int shm_orphan_remove(struct hv_host *host, const struct hv_record *record)
{
    return -ESRCH;
}

static int shm_worker_open(struct hv_host *host, struct hv_worker **ret_worker)
{
    struct hv_worker *worker = calloc(1, sizeof(*worker));

    if (!worker)
        return -ENOMEM;
    worker->host = host;
    *ret_worker = worker;
    return 0;
}

static void shm_worker_close(struct hv_worker *worker)
{
    free(worker);
}

static int shm_guest_start(struct hv_guest *guest, struct hv_worker *worker)
{
    /* The pages and descriptors are there since guest_create(). */
    return guest->info.features & HV_FEATURE_GRANTS ? hv_shm_grants_create(guest) : 0;
}

/* A message that the peer must have read before it routes another access. */
static int tell(struct hv_guest *guest, enum hv_shm_type type, void *message, size_t length)
{
    int rc = guest->gone ? -EPIPE : hv_shm_send(guest->sock, type, message, length, NULL, 0);

    if (rc < 0) {
        hv_shm_guest_fail(guest, "does not read its messages");
        return rc;
    }
    STORE(guest->pages->status.ranges, ++guest->status.ranges);
    return 0;
}

static int shm_guest_enable(struct hv_guest *guest)
{
    struct hv_shm_header message = {0};
    int rc = tell(guest, HV_SHM_ENABLE, &message, sizeof(message));

    guest->enabled = rc == 0;
    return rc;
}

static void shm_guest_stop(struct hv_guest *guest)
{
    struct hv_shm_header message = {0};

    if (guest->enabled && !guest->gone)
        tell(guest, HV_SHM_DISABLE, &message, sizeof(message));
    guest->enabled = false;
    /* The descriptor falls silent: a loop may look at it once more after it was told not to. */
    epoll_ctl(guest->epoll_fd, EPOLL_CTL_DEL, guest->kick_fd, NULL);
    epoll_ctl(guest->epoll_fd, EPOLL_CTL_DEL, guest->sock, NULL);
    hv_shm_grants_finish(guest);
    hv_shm_mem_finish(&guest->mem); /* The pages stay: devices lower their lines as they go. */
}

static const struct hv_guest_info *shm_guest_info(const struct hv_guest *guest)
{
    return &guest->info;
}

static const struct hv_counters *shm_guest_counters(const struct hv_guest *guest)
{
    return &guest->counters;
}

static int shm_claim(struct hv_guest *guest, enum hv_range type, uint64_t first, uint64_t last)
{
    struct hv_shm_range message = {.kind = type, .first = first, .last = last};

    return tell(guest, HV_SHM_CLAIM, &message, sizeof(message));
}

static void shm_release(struct hv_guest *guest, enum hv_range type, uint64_t first, uint64_t last)
{
    struct hv_shm_range message = {.kind = type, .first = first, .last = last};

    tell(guest, HV_SHM_RELEASE, &message, sizeof(message));
}

static int shm_guest_fd(const struct hv_guest *guest)
{
    return guest->epoll_fd;
}

static void answer(struct hv_guest *guest, uint32_t id, int error)
{
    struct hv_shm_answer message = {.header.id = id, .error = error};

    if (hv_shm_send(guest->sock, HV_SHM_ANSWER, &message, sizeof(message), NULL, 0) < 0)
        hv_shm_guest_fail(guest, "does not read its answers");
}

void hv_shm_answer_removed(struct hv_guest *guest)
{
    uint32_t id;

    while (!guest->gone && hv_shm_mem_reap(&guest->mem, &id))
        answer(guest, id, 0);
}

static int memory_add(struct hv_guest *guest, const struct hv_shm_memory *message, int fd)
{
    const char *why;

    if (message->region.fd != 0)
        return -EINVAL;
    return hv_shm_mem_add(&guest->mem, &message->region, fd, &why);
}

/* Length and descriptors of what a peer may send once it is a guest. */
static const struct {
    uint32_t length;
    unsigned fds;
} message_shape[] = {
    [HV_SHM_MEMORY_ADD] = {sizeof(struct hv_shm_memory), 1},
    [HV_SHM_MEMORY_REMOVE] = {sizeof(struct hv_shm_memory), 0},
    [HV_SHM_DIRTY_START] = {sizeof(struct hv_shm_dirty), 1},
    [HV_SHM_DIRTY_STOP] = {sizeof(struct hv_shm_dirty), 0},
};
#define MESSAGE_SHAPES (sizeof(message_shape) / sizeof(message_shape[0]))

static void message_handle(struct hv_guest *guest, const void *message, const int *fds)
{
    const struct hv_shm_header *header = message;
    const struct hv_shm_memory *memory = message;
    const struct hv_shm_dirty *dirty = message;
    bool logs = guest->info.features & HV_SHM_FEATURE_DIRTY_LOG;
    int rc = 0;

    switch (header->type) {
    case HV_SHM_MEMORY_ADD:
        rc = memory_add(guest, memory, fds[0]);
        break;
    case HV_SHM_MEMORY_REMOVE:
        rc = hv_shm_mem_remove(&guest->mem, memory->region.gpa, memory->region.size, header->id);
        if (rc == 0) {
            hv_shm_answer_removed(guest);
            return;
        }
        break;
    case HV_SHM_DIRTY_START:
        rc = logs ? hv_shm_mem_dirty_start(&guest->mem, dirty->gpa, dirty->size, fds[0])
                  : -EOPNOTSUPP;
        break;
    case HV_SHM_DIRTY_STOP:
        hv_shm_mem_dirty_stop(&guest->mem);
        break;
    }
    answer(guest, header->id, rc);
}

/* One message of the peer. False: nothing more for now, or never again. */
static bool message_take(struct hv_guest *guest)
{
    uint64_t message[HV_SHM_MESSAGE_MAX / sizeof(uint64_t)];
    const struct hv_shm_header *header = (const void *)message;
    int fds[HV_SHM_HELLO_FDS];
    unsigned fd_count = 0;
    int len = hv_shm_receive(guest->sock, guest->host->reaper, message, fds, &fd_count);

    if (len == -EAGAIN)
        return false;
    if (len <= 0) {
        hv_shm_guest_fail(guest, len ? "sent a malformed message" : NULL);
        return false;
    }
    if (header->type < MESSAGE_SHAPES && message_shape[header->type].length == (uint32_t)len &&
        message_shape[header->type].fds == fd_count)
        message_handle(guest, message, fds);
    else
        hv_shm_guest_fail(guest, "sent a message that does not exist");
    hv_shm_reaper_close_all(guest->host->reaper, fds, fd_count);
    return !guest->gone;
}

static int shm_guest_pending(struct hv_guest *guest, struct hv_pending *ret_pending)
{
    struct hv_shm_control *control = &guest->pages->control;
    struct epoll_event events[2];
    int n = epoll_wait(guest->epoll_fd, events, 2, 0);

    STORE(guest->pages->status.watched, 1);
    /* Takes the edge of the kick before the bits are taken: a bit that comes later brings its own,
     * or is found by guest_rearm(). */
    for (int i = 0; i < n; i++) {
        if (events[i].data.fd != guest->sock)
            continue;
        for (unsigned m = 0; m < MESSAGES_PER_TURN && message_take(guest); m++)
            ;
    }
    for (size_t i = 0; i < 2; i++)
        ret_pending->slots[i] = __atomic_exchange_n(&control->kick_slots[i], 0, __ATOMIC_SEQ_CST);
    ret_pending->buffered = __atomic_exchange_n(&control->kick_buffered, 0, __ATOMIC_SEQ_CST) != 0;
    ret_pending->gone = guest->gone;
    return 0;
}

/* A peer that sets a bit and then still sees `watched` sends no kick; but then the bit is here.
 * Modifying an edge-triggered descriptor that is readable, as one that is never read stays, makes
 * an edge. */
static void shm_guest_rearm(struct hv_guest *guest)
{
    const struct hv_shm_control *control = &guest->pages->control;
    struct epoll_event kick = hv_shm_kick_event;

    __atomic_store_n(&guest->pages->status.watched, 0, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&control->kick_slots[0], __ATOMIC_SEQ_CST) ||
        __atomic_load_n(&control->kick_slots[1], __ATOMIC_SEQ_CST) ||
        __atomic_load_n(&control->kick_buffered, __ATOMIC_SEQ_CST))
        epoll_ctl(guest->epoll_fd, EPOLL_CTL_MOD, guest->kick_fd, &kick);
}

static struct ioreq_slot *shm_slots(struct hv_guest *guest)
{
    return guest->pages->slots;
}

static struct buf_ioreq_page *shm_buffered(struct hv_guest *guest)
{
    return &guest->pages->buffered;
}

static void *shm_bufpio(struct hv_guest *guest)
{
    return guest->info.features & HV_FEATURE_BUFFERED_PIO ? &guest->pages->bufpio : NULL;
}

static void shm_notify(struct hv_guest *guest, uint32_t vcpu)
{
    uint64_t *watched = guest->pages->control.watched_slots;

    if (vcpu >= guest->info.vcpus)
        return;
    /* Either this sees that the peer has ceased to look, or its last look finds the answer. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!(__atomic_load_n(&watched[vcpu / 64], __ATOMIC_RELAXED) >> vcpu % 64 & 1))
        ring(guest->answer_fd[vcpu]);
}

static int shm_pin(struct hv_guest *guest, uint64_t gpa, size_t len, bool write, struct iovec *iov,
                   size_t *ret_len)
{
    guest->mem.pins++;
    return hv_shm_mem_find(&guest->mem, gpa, len, write, iov, ret_len, &guest->counters.holes);
}

static void shm_unpin(struct hv_guest *guest, uint64_t gpa, size_t len)
{
    if (guest->mem.pins)
        guest->mem.pins--;
    if (guest->mem.dying_count)
        hv_shm_answer_removed(guest);
}

static void shm_invalidate(struct hv_guest *guest)
{
    guest->counters.invalidates++; /* Nothing to drop: the peer removes regions by message. */
}

static void shm_mark_dirty(struct hv_guest *guest, uint64_t gpa, size_t len)
{
    hv_shm_mem_dirty(&guest->mem, gpa, len);
}

/* After the fields of the status page. */
static void status_changed(struct hv_guest *guest)
{
    STORE(guest->pages->status.sequence, ++guest->status.sequence);
    ring(guest->irq_fd);
}

static void shm_isa_irq(struct hv_guest *guest, unsigned irq, bool level)
{
    struct hv_shm_status *to = &guest->pages->status;
    struct hv_shm_told *own = &guest->status;
    uint16_t bit = (uint16_t)(1u << (irq & 15));

    if (irq > 15 || !!(own->isa_level & bit) == level)
        return;
    own->isa_level ^= bit;
    STORE(to->isa_level, own->isa_level);
    if (level)
        STORE(to->isa_rises[irq], ++own->isa_rises[irq]);
    status_changed(guest);
}

static void shm_pci_intx(struct hv_guest *guest, unsigned slot, unsigned pin, bool level)
{
    struct hv_shm_status *to = &guest->pages->status;
    struct hv_shm_told *own = &guest->status;
    uint8_t bit = (uint8_t)(1u << (pin & 3));

    if (slot > 31 || pin > 3 || !!(own->intx_level[slot] & bit) == level)
        return;
    own->intx_level[slot] ^= bit;
    STORE(to->intx_level[slot], own->intx_level[slot]);
    if (level)
        STORE(to->intx_rises[slot], ++own->intx_rises[slot]);
    status_changed(guest);
}

static void shm_pci_link_route(struct hv_guest *guest, unsigned link, unsigned irq)
{
    if (link > 3 || irq > 15 || guest->status.link_route[link] == irq)
        return;
    guest->status.link_route[link] = (uint8_t)irq;
    STORE(guest->pages->status.link_route[link], (uint8_t)irq);
    status_changed(guest);
}

static void shm_msi(struct hv_guest *guest, uint64_t address, uint32_t data)
{
    struct hv_shm_status *to = &guest->pages->status;
    struct hv_shm_told *own = &guest->status;
    uint32_t read = __atomic_load_n(&guest->pages->control.msi_read, __ATOMIC_ACQUIRE);

    if (!(guest->info.features & HV_SHM_FEATURE_MSI) || own->msi_write - read >= HV_SHM_MSI_SLOTS) {
        STORE(to->msi_lost, ++own->msi_lost);
    } else {
        to->msi[own->msi_write % HV_SHM_MSI_SLOTS] =
            (struct hv_shm_msi){.address = address, .data = data};
        STORE(to->msi_write, ++own->msi_write);
    }
    status_changed(guest);
}

static void shm_shutdown(struct hv_guest *guest, enum hv_shutdown reason)
{
    static const uint32_t codes[] = {
        [HV_SHUTDOWN_POWEROFF] = HV_SHM_SHUTDOWN_POWEROFF,
        [HV_SHUTDOWN_REBOOT] = HV_SHM_SHUTDOWN_REBOOT,
        [HV_SHUTDOWN_CRASH] = HV_SHM_SHUTDOWN_CRASH,
    };

    guest->status.shutdown = codes[reason];
    STORE(guest->pages->status.shutdown, guest->status.shutdown);
    status_changed(guest);
}

/* Control side: the peer is told by the worker. */
static int shm_guest_pause(struct hv_guest *guest, bool pause)
{
    return 0;
}

static void shm_paused(struct hv_guest *guest, bool paused)
{
    STORE(guest->pages->status.paused, paused);
    status_changed(guest);
}

const struct hv_ops hv_shm_ops = {
    .name = "shm",
    .host_open = hv_shm_host_open,
    .host_close = hv_shm_host_close,
    .host_fd = hv_shm_host_fd,
    .host_dispatch = hv_shm_host_dispatch,
    .peer_refuse = hv_shm_peer_refuse,
    .guest_create = hv_shm_guest_create,
    .guest_destroy = hv_shm_guest_destroy,
    .guest_intend = shm_guest_intend,
    .guest_pause = shm_guest_pause,
    .guest_record = shm_guest_record,
    .find_domain = shm_find_domain,
    .disks_have_pv = shm_disks_have_pv,
    .orphan_remove = shm_orphan_remove,
    .worker_open = shm_worker_open,
    .worker_close = shm_worker_close,
    .guest_pack = hv_shm_guest_pack,
    .host_bare = hv_shm_host_bare,
    .guest_unpack = hv_shm_guest_unpack,
    .guest_let_go = hv_shm_guest_destroy,
    .guest_start = shm_guest_start,
    .guest_enable = shm_guest_enable,
    .guest_stop = shm_guest_stop,
    .guest_info = shm_guest_info,
    .guest_counters = shm_guest_counters,
    .claim = shm_claim,
    .release = shm_release,
    .guest_fd = shm_guest_fd,
    .guest_pending = shm_guest_pending,
    .guest_rearm = shm_guest_rearm,
    .slots = shm_slots,
    .buffered = shm_buffered,
    .bufpio = shm_bufpio,
    .notify = shm_notify,
    .pin = shm_pin,
    .unpin = shm_unpin,
    .invalidate = shm_invalidate,
    .mark_dirty = shm_mark_dirty,
    .grants = hv_shm_grants,
    .isa_irq = shm_isa_irq,
    .pci_intx = shm_pci_intx,
    .pci_link_route = shm_pci_link_route,
    .msi = shm_msi,
    .shutdown = shm_shutdown,
    .paused = shm_paused,
};
