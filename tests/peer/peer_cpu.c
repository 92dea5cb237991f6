/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The peer as a machine's processors: instructions, interrupts. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/peer/peer_priv.h"

#define PAGE_OFFSET(gpa) ((gpa) & (IOREQ_PAGE - 1))

bool peer_claimed(struct peer *peer, uint32_t kind, uint64_t first, uint64_t last)
{
    bool claimed = false;

    peer_sync(peer);
    pthread_mutex_lock(&peer->lock);
    for (unsigned i = 0; i < peer->range_count && !claimed; i++) {
        const struct peer_range *r = &peer->range[i];

        claimed = r->kind == kind && first >= r->first && last <= r->last;
    }
    claimed = claimed && peer->enabled && !peer->gone;
    pthread_mutex_unlock(&peer->lock);
    return claimed;
}

/* After the bit that it is for. */
static void kick(struct peer *peer)
{
    const uint64_t one = 1;
    ssize_t rc;

    if (__atomic_load_n(&peer->pages->status.watched, __ATOMIC_SEQ_CST))
        return;
    rc = write(peer->kick_fd, &one, sizeof(one));
    (void)rc;
}

void peer_kick(struct peer *peer, unsigned vcpu)
{
    __atomic_fetch_or(&peer->pages->control.kick_slots[vcpu / 64], 1ull << vcpu % 64,
                      __ATOMIC_SEQ_CST);
    kick(peer);
}

static unsigned slot_state(const struct ioreq_slot *slot)
{
    return __atomic_load_n(&slot->flags, __ATOMIC_ACQUIRE) & IOREQ_STATE_MASK;
}

static bool answered(struct peer *peer, const struct ioreq_slot *slot, unsigned vcpu)
{
    uint64_t *watched = &peer->pages->control.watched_slots[vcpu / 64], bit = 1ull << vcpu % 64;
    uint64_t deadline = peer_deadline(peer), spin = peer_now_ns() + peer->spin_ns;

    while (peer->spin_ns && peer_now_ns() < spin)
        if (slot_state(slot) == IOREQ_STATE_RESP_READY)
            return true;
    if (peer->spin_ns)
        __atomic_fetch_and(watched, ~bit, __ATOMIC_SEQ_CST);
    while (slot_state(slot) != IOREQ_STATE_RESP_READY) {
        struct epoll_event event[2];
        int remaining = peer_remaining(deadline);
        int n = remaining ? epoll_wait(peer->answer_fd[vcpu], event, 2, remaining) : 0;

        for (int i = 0; i < n; i++) {
            if (!(event[i].events & EPOLLRDHUP))
                continue;
            peer_fail(peer, -EPIPE);
            return false;
        }
        if (n == 0 && slot_state(slot) != IOREQ_STATE_RESP_READY) {
            peer_fail(peer, -ETIMEDOUT);
            return false;
        }
    }
    return true;
}

/* As it lies in the slot. watch: its answer is looked for there, nobody need ring. */
static void post(struct peer *peer, unsigned vcpu, bool watch)
{
    struct ioreq_slot *slot = &peer->pages->slots[vcpu];
    uint8_t flags = slot->flags & (uint8_t)~IOREQ_STATE_MASK;

    if (watch)
        __atomic_fetch_or(&peer->pages->control.watched_slots[vcpu / 64], 1ull << vcpu % 64,
                          __ATOMIC_RELAXED);
    __atomic_store_n(&slot->flags, flags | IOREQ_STATE_READY, __ATOMIC_RELEASE);
    peer_kick(peer, vcpu);
}

/* Its data; the slot is free. */
static uint64_t take(struct ioreq_slot *slot)
{
    uint8_t flags = slot->flags & (uint8_t)~IOREQ_STATE_MASK;

    __atomic_store_n(&slot->flags, flags, __ATOMIC_RELEASE);
    return slot->data;
}

uint64_t peer_issue(struct peer *peer, unsigned vcpu)
{
    struct ioreq_slot *slot = &peer->pages->slots[vcpu];

    post(peer, vcpu, peer->spin_ns);
    return answered(peer, slot, vcpu) ? take(slot) : UINT64_MAX;
}

static void fill(struct peer *peer, unsigned vcpu, uint8_t type, uint64_t addr, unsigned size,
                 uint32_t count, uint8_t flags, uint64_t data)
{
    struct ioreq_slot *slot = &peer->pages->slots[vcpu];

    slot->addr = addr;
    slot->data = data;
    slot->count = count;
    slot->size = size;
    slot->vp_eport = vcpu + 1;
    slot->type = type;
    slot->flags = flags;
}

static uint64_t request(struct peer *peer, unsigned vcpu, uint8_t type, uint64_t addr,
                        unsigned size, uint32_t count, uint8_t flags, uint64_t data)
{
    fill(peer, vcpu, type, addr, size, count, flags, data);
    return peer_issue(peer, vcpu);
}

static uint64_t ones(unsigned size)
{
    return size >= 8 ? UINT64_MAX : (1ull << 8 * size) - 1;
}

/* Where an access goes, as the hypervisor decides it. */
struct target {
    uint8_t type;
    uint64_t addr;
};

static bool port_target(struct peer *peer, uint16_t port, unsigned size, struct target *ret_target)
{
    uint32_t cf8 = __atomic_load_n(&peer->cf8, __ATOMIC_ACQUIRE);

    if ((port & ~3u) == 0xcfc && (cf8 & 0x80000000u)) {
        uint64_t sbdf = cf8 >> 8 & 0xffff;

        *ret_target = (struct target){.type = IOREQ_PCI_CONFIG,
                                      .addr = sbdf << 32 | (cf8 & 0xfc) | (port & 3)};
        return peer_claimed(peer, HV_SHM_RANGE_PCI, sbdf, sbdf);
    }
    *ret_target = (struct target){.type = IOREQ_PIO, .addr = port};
    return peer_claimed(peer, HV_SHM_RANGE_PORT, port, (uint64_t)port + size - 1);
}

/* Without a request, from the page that its device model shares. */
static bool from_page(struct peer *peer, const struct target *to, unsigned size, bool write,
                      uint32_t *value)
{
    return to->type == IOREQ_PIO && peer_has_feature(peer, HV_SHM_FEATURE_BUFFERED_PIO) &&
           hv_bufpio_access(&peer->bufpio, (uint16_t)to->addr, size, write, value);
}

void peer_bufpio_counters(const struct peer *peer, uint64_t *ret_answered, uint64_t *ret_declined)
{
    *ret_answered = __atomic_load_n(&peer->bufpio.answered, __ATOMIC_RELAXED);
    *ret_declined = __atomic_load_n(&peer->bufpio.declined, __ATOMIC_RELAXED);
}

uint32_t peer_in(struct peer *peer, unsigned vcpu, uint16_t port, unsigned size)
{
    struct target to;

    uint32_t value;

    if (!port_target(peer, port, size, &to))
        return (uint32_t)ones(size);
    if (from_page(peer, &to, size, false, &value))
        return value;
    return (uint32_t)(request(peer, vcpu, to.type, to.addr, size, 1, IOREQ_READ, 0) & ones(size));
}

bool peer_in_begin(struct peer *peer, unsigned vcpu, uint16_t port, unsigned size)
{
    struct target to;

    if (!port_target(peer, port, size, &to))
        return false;
    fill(peer, vcpu, to.type, to.addr, size, 1, IOREQ_READ, 0);
    post(peer, vcpu, true);
    return true;
}

bool peer_in_ended(struct peer *peer, unsigned vcpu, uint64_t *ret_value)
{
    struct ioreq_slot *slot = &peer->pages->slots[vcpu];

    if (slot_state(slot) != IOREQ_STATE_RESP_READY)
        return false;
    *ret_value = take(slot) & ones(slot->size);
    __atomic_fetch_and(&peer->pages->control.watched_slots[vcpu / 64], ~(1ull << vcpu % 64),
                       __ATOMIC_RELAXED);
    return true;
}

bool peer_stand_in(struct peer *peer)
{
    uint32_t asleep = 0;

    return __atomic_compare_exchange_n(&peer->pages->status.watched, &asleep, 1, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

void peer_answer(struct peer *peer, unsigned vcpu, uint64_t value)
{
    struct ioreq_slot *slot = &peer->pages->slots[vcpu];
    uint8_t flags = __atomic_load_n(&slot->flags, __ATOMIC_ACQUIRE);

    if ((flags & IOREQ_STATE_MASK) != IOREQ_STATE_READY)
        return;
    slot->data = value;
    __atomic_store_n(&slot->flags, (flags & ~IOREQ_STATE_MASK) | IOREQ_STATE_RESP_READY,
                     __ATOMIC_RELEASE);
}

void peer_stand_down(struct peer *peer)
{
    __atomic_store_n(&peer->pages->status.watched, 0, __ATOMIC_SEQ_CST);
}

void peer_out(struct peer *peer, unsigned vcpu, uint16_t port, unsigned size, uint32_t value)
{
    struct target to;

    if (port == 0xcf8 && size == 4)
        __atomic_store_n(&peer->cf8, value, __ATOMIC_RELEASE);
    if (port_target(peer, port, size, &to) && !from_page(peer, &to, size, true, &value))
        request(peer, vcpu, to.type, to.addr, size, 1, 0, value & ones(size));
}

/* How many elements one request carries: those that lie within the page of the first; one that
 * straddles goes alone. */
static size_t rep_clip(uint64_t gpa, unsigned size, size_t count, bool df)
{
    size_t offset = PAGE_OFFSET(gpa), most;

    if (offset + size > IOREQ_PAGE)
        return 1;
    most = df ? offset / size + 1 : (IOREQ_PAGE - offset) / size;
    return count < most ? count : most;
}

static void rep(struct peer *peer, unsigned vcpu, uint16_t port, unsigned size, uint64_t gpa,
                size_t count, bool df, bool in)
{
    while (count && !peer_error(peer)) {
        size_t n = rep_clip(gpa, size, count, df);
        struct target to;

        if (port_target(peer, port, size, &to)) {
            request(peer, vcpu, to.type, to.addr, size, (uint32_t)n,
                    (uint8_t)(IOREQ_DATA_IS_PTR | (in ? IOREQ_READ : 0) | (df ? IOREQ_DF : 0)),
                    gpa);
        } else if (in) {
            uint64_t low = df ? gpa - (n - 1) * size : gpa;
            void *ram = peer_ram(peer, low, n * size);

            if (ram)
                memset(ram, 0xff, n * size);
        }
        gpa = df ? gpa - n * size : gpa + n * size;
        count -= n;
    }
}

void peer_rep_in(struct peer *peer, unsigned vcpu, uint16_t port, unsigned size, uint64_t gpa,
                 size_t count, bool df)
{
    rep(peer, vcpu, port, size, gpa, count, df, true);
}

void peer_rep_out(struct peer *peer, unsigned vcpu, uint16_t port, unsigned size, uint64_t gpa,
                  size_t count, bool df)
{
    rep(peer, vcpu, port, size, gpa, count, df, false);
}

uint64_t peer_mmio_read(struct peer *peer, unsigned vcpu, uint64_t gpa, unsigned size)
{
    if (!peer_claimed(peer, HV_SHM_RANGE_MMIO, gpa, gpa + size - 1))
        return ones(size);
    return request(peer, vcpu, IOREQ_COPY, gpa, size, 1, IOREQ_READ, 0) & ones(size);
}

void peer_mmio_write(struct peer *peer, unsigned vcpu, uint64_t gpa, unsigned size, uint64_t value)
{
    if (peer_claimed(peer, HV_SHM_RANGE_MMIO, gpa, gpa + size - 1))
        request(peer, vcpu, IOREQ_COPY, gpa, size, 1, 0, value & ones(size));
}

static void pci_select(struct peer *peer, unsigned vcpu, uint16_t bdf, unsigned reg)
{
    peer_out(peer, vcpu, 0xcf8, 4, 0x80000000u | (uint32_t)bdf << 8 | (reg & 0xfc));
}

uint32_t peer_pci_read(struct peer *peer, unsigned vcpu, uint16_t bdf, unsigned reg, unsigned size)
{
    uint32_t value;

    pthread_mutex_lock(&peer->pci_lock);
    pci_select(peer, vcpu, bdf, reg);
    value = peer_in(peer, vcpu, (uint16_t)(0xcfc | (reg & 3)), size);
    pthread_mutex_unlock(&peer->pci_lock);
    return value;
}

void peer_pci_write(struct peer *peer, unsigned vcpu, uint16_t bdf, unsigned reg, unsigned size,
                    uint32_t value)
{
    pthread_mutex_lock(&peer->pci_lock);
    pci_select(peer, vcpu, bdf, reg);
    peer_out(peer, vcpu, (uint16_t)(0xcfc | (reg & 3)), size, value);
    pthread_mutex_unlock(&peer->pci_lock);
}

/* Brings both pointers down by the same multiple of the ring's size so that they never overflow, as
 * long as the daemon does not move its own in between. */
static void ring_normalise(struct buf_ioreq_page *page)
{
    uint64_t *both = (uint64_t *)(void *)page, old = __atomic_load_n(both, __ATOMIC_SEQ_CST);

    for (int tries = 0; tries < BUF_IOREQ_SLOTS; tries++) {
        uint32_t read = (uint32_t)old, write = (uint32_t)(old >> 32);
        uint32_t less = read - read % BUF_IOREQ_SLOTS;

        if (!less ||
            __atomic_compare_exchange_n(both, &old, (uint64_t)(write - less) << 32 | (read - less),
                                        false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return;
    }
}

bool peer_buffered_write(struct peer *peer, uint8_t type, uint32_t addr, unsigned size,
                         uint64_t value)
{
    struct buf_ioreq_page *page = &peer->pages->buffered;
    unsigned need = size == 8 ? 2 : 1, shift = size == 8 ? 3 : size == 4 ? 2 : size == 2 ? 1 : 0;
    uint64_t slot = type | (uint64_t)shift << 10 | (uint64_t)(addr & 0xfffff) << 12;
    bool room;

    pthread_mutex_lock(&peer->lock);
    room = page->write_pointer - __atomic_load_n(&page->read_pointer, __ATOMIC_ACQUIRE) <=
           BUF_IOREQ_SLOTS - need;
    if (room) {
        uint32_t at = page->write_pointer;

        page->slot[at % BUF_IOREQ_SLOTS] = slot | (value & 0xffffffffu) << 32;
        if (need == 2)
            page->slot[(at + 1) % BUF_IOREQ_SLOTS] = slot | (value >> 32) << 32;
        __atomic_fetch_add(&page->write_pointer, need, __ATOMIC_SEQ_CST);
        ring_normalise(page);
    }
    pthread_mutex_unlock(&peer->lock);
    if (room) {
        __atomic_store_n(&peer->pages->control.kick_buffered, 1, __ATOMIC_SEQ_CST);
        kick(peer);
    }
    return room;
}

void peer_invalidate(struct peer *peer, unsigned vcpu)
{
    request(peer, vcpu, IOREQ_INVALIDATE, 0, 4, 0, 0, UINT64_MAX);
}

bool peer_isa_level(struct peer *peer, unsigned irq)
{
    return __atomic_load_n(&peer->pages->status.isa_level, __ATOMIC_ACQUIRE) >> irq & 1;
}

uint32_t peer_isa_rises(struct peer *peer, unsigned irq)
{
    return __atomic_load_n(&peer->pages->status.isa_rises[irq], __ATOMIC_ACQUIRE);
}

bool peer_intx_level(struct peer *peer, unsigned slot, unsigned pin)
{
    return __atomic_load_n(&peer->pages->status.intx_level[slot], __ATOMIC_ACQUIRE) >> pin & 1;
}

unsigned peer_link_route(struct peer *peer, unsigned link)
{
    return __atomic_load_n(&peer->pages->status.link_route[link], __ATOMIC_ACQUIRE);
}

uint32_t peer_shutdown(struct peer *peer)
{
    return __atomic_load_n(&peer->pages->status.shutdown, __ATOMIC_ACQUIRE);
}

bool peer_msi_take(struct peer *peer, struct hv_shm_msi *ret_msi)
{
    struct hv_shm_status *status = &peer->pages->status;
    uint32_t read = peer->pages->control.msi_read;

    if (__atomic_load_n(&status->msi_write, __ATOMIC_ACQUIRE) == read)
        return false;
    *ret_msi = status->msi[read % HV_SHM_MSI_SLOTS];
    __atomic_store_n(&peer->pages->control.msi_read, read + 1, __ATOMIC_RELEASE);
    return true;
}

/* Each thread that waits has an epoll descriptor of its own over irq_fd, so that all of them see an
 * interrupt, and at once. */
static int sleeper_take(struct peer *peer)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET};
    int fd = -1;

    pthread_mutex_lock(&peer->sleeper_lock);
    if (peer->sleepers)
        fd = peer->sleeper[--peer->sleepers];
    pthread_mutex_unlock(&peer->sleeper_lock);
    if (fd >= 0)
        return fd;
    fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd >= 0 && !epoll_ctl(fd, EPOLL_CTL_ADD, peer->irq_fd, &event)) {
        event.events = EPOLLRDHUP;
        event.data.fd = peer->sock;
        if (!epoll_ctl(fd, EPOLL_CTL_ADD, peer->sock, &event))
            return fd;
    }
    if (fd >= 0)
        close(fd);
    return -errno;
}

static void sleeper_give(struct peer *peer, int fd)
{
    pthread_mutex_lock(&peer->sleeper_lock);
    if (peer->sleepers < PEER_SLEEPERS) {
        peer->sleeper[peer->sleepers++] = fd;
        fd = -1;
    }
    pthread_mutex_unlock(&peer->sleeper_lock);
    if (fd >= 0)
        close(fd);
}

/* An edge from before is a sleep in vain, no more. */
static int irq_sleep(struct peer *peer, int fd, int remaining)
{
    struct epoll_event event[2];
    int n = epoll_wait(fd, event, 2, remaining);

    for (int i = 0; i < n; i++)
        if (event[i].data.fd == peer->sock)
            return -EPIPE;
    return 0;
}

int peer_wait(struct peer *peer, bool (*done)(struct peer *peer, void *arg), void *arg)
{
    uint64_t deadline = peer_deadline(peer);
    int fd = sleeper_take(peer), rc = fd < 0 ? fd : 0;
    bool is_done;
    uint64_t spin = peer_now_ns() + peer->irq_spin_ns;

    /* The processor may be wanted for what is waited for. */
    while (peer->irq_spin_ns && !done(peer, arg) && peer_now_ns() < spin)
        sched_yield();

    while (!(is_done = done(peer, arg)) && rc == 0) {
        int remaining = peer_remaining(deadline);

        rc = remaining ? irq_sleep(peer, fd, remaining) : -ETIMEDOUT;
    }
    if (fd >= 0)
        sleeper_give(peer, fd);
    if (is_done)
        return 0;
    peer_fail(peer, rc);
    return rc;
}

struct isa_wait {
    unsigned irq;
    uint32_t before;
    bool level;
};

static bool has_risen(struct peer *peer, void *arg)
{
    const struct isa_wait *wait = arg;

    return peer_isa_rises(peer, wait->irq) != wait->before;
}

static bool has_level(struct peer *peer, void *arg)
{
    const struct isa_wait *wait = arg;

    return peer_isa_level(peer, wait->irq) == wait->level;
}

int peer_wait_isa(struct peer *peer, unsigned irq, uint32_t before)
{
    return peer_wait(peer, has_risen, &(struct isa_wait){.irq = irq, .before = before});
}

int peer_wait_isa_level(struct peer *peer, unsigned irq, bool level)
{
    return peer_wait(peer, has_level, &(struct isa_wait){.irq = irq, .level = level});
}

struct ioreq_slot *peer_slot(struct peer *peer, unsigned vcpu)
{
    return &peer->pages->slots[vcpu];
}

struct buf_ioreq_page *peer_buffered_page(struct peer *peer)
{
    return &peer->pages->buffered;
}

struct bufpio_page *peer_bufpio_page(struct peer *peer)
{
    return &peer->pages->bufpio;
}

struct hv_shm_control *peer_control(struct peer *peer)
{
    return &peer->pages->control;
}

struct hv_shm_status *peer_status(struct peer *peer)
{
    return &peer->pages->status;
}

int peer_kick_fd(const struct peer *peer)
{
    return peer->kick_fd;
}
