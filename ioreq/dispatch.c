/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ioreq/dispatch.h"

#include <errno.h>
#include <string.h>

#include "devices/count.h"
#include "ioreq/guestmem.h"

/* A validated copy of a slot. */
struct request {
    uint64_t addr, data;
    uint32_t count, size;
    uint8_t flags, type;
};

static uint64_t size_mask(uint32_t size)
{
    return size >= 8 ? UINT64_MAX : (UINT64_C(1) << size * 8) - 1;
}

/* One element through the bus. `index` counts elements of a string request, downwards with DF. */
static uint64_t element_addr(const struct request *req, uint64_t base, uint32_t index)
{
    uint64_t step = (uint64_t)index * req->size;

    return req->flags & IOREQ_DF ? base - step : base + step;
}

static uint64_t read_one(struct dispatch *dispatch, const struct request *req, uint32_t index)
{
    uint64_t value;

    if (req->type == IOREQ_COPY)
        value = bus_read(dispatch->bus, BUS_MMIO, element_addr(req, req->addr, index), req->size);
    else if (req->type == IOREQ_PIO)
        value = bus_read(dispatch->bus, BUS_PORT, req->addr, req->size);
    else
        value = bus_pci_read(dispatch->bus, req->addr >> 32, (uint32_t)req->addr, req->size);
    return value & size_mask(req->size);
}

static void write_one(struct dispatch *dispatch, const struct request *req, uint32_t index,
                      uint64_t value)
{
    value &= size_mask(req->size);
    if (req->type == IOREQ_COPY)
        bus_write(dispatch->bus, BUS_MMIO, element_addr(req, req->addr, index), req->size, value);
    else if (req->type == IOREQ_PIO)
        bus_write(dispatch->bus, BUS_PORT, req->addr, req->size, value);
    else
        bus_pci_write(dispatch->bus, req->addr >> 32, (uint32_t)req->addr, req->size,
                      (uint32_t)value);
}

/* 0, or -errno: some of a string's memory cannot be had. */
static int reach(struct dispatch *dispatch, const struct request *req)
{
    const struct hv_ops *hv = dispatch->hv;
    uint64_t gpa = req->data, len = (uint64_t)req->count * req->size;
    struct iovec iov[HV_PIN_IOV];

    if (req->flags & IOREQ_DF)
        gpa -= len - req->size;
    while (len) {
        size_t pinned;
        int n = hv->pin(dispatch->guest, gpa, len, req->flags & IOREQ_READ, iov, &pinned);

        if (n < 0)
            return n;
        hv->unpin(dispatch->guest, gpa, pinned);
        gpa += pinned;
        len -= pinned;
    }
    return 0;
}

/* Element by element through a copy: MMIO, descending strings, buffers with holes in them. Devices
 * cannot take an access back, so all the memory is made sure of before the first. */
static int string_by_element(struct dispatch *dispatch, const struct request *req)
{
    int err = reach(dispatch, req);

    for (uint32_t i = 0; i < req->count && !err; i++) {
        uint64_t gpa = element_addr(req, req->data, i), value = 0;

        if (req->flags & IOREQ_READ) {
            value = read_one(dispatch, req, i);
            err = guestmem_write(dispatch->hv, dispatch->guest, gpa, &value, req->size);
        } else {
            err = guestmem_read(dispatch->hv, dispatch->guest, gpa, &value, req->size);
            if (!err)
                write_one(dispatch, req, i, value);
        }
    }
    return err;
}

/*
 * `rep ins/outs`, ascending: the device's block access straight on pinned guest memory, so a sector
 * is one bounds check and one memcpy. 1: done; 0: the buffer is not one piece of RAM; -errno: the
 * memory cannot be had, and nothing has been done.
 */
static int string_in_place(struct dispatch *dispatch, const struct request *req)
{
    const struct hv_ops *hv = dispatch->hv;
    bool read = req->flags & IOREQ_READ;
    size_t len = (size_t)req->count * req->size, pinned = 0;
    struct iovec iov[HV_PIN_IOV];
    int n = hv->pin(dispatch->guest, req->data, len, read, iov, &pinned);
    bool whole = n == 1 && pinned == len && iov[0].iov_base;

    if (whole && read) {
        bus_port_read_block(dispatch->bus, (uint16_t)req->addr, req->size, iov[0].iov_base,
                            req->count);
        hv->mark_dirty(dispatch->guest, req->data, len);
    } else if (whole) {
        bus_port_write_block(dispatch->bus, (uint16_t)req->addr, req->size, iov[0].iov_base,
                             req->count);
    }
    if (n < 0)
        return n;
    hv->unpin(dispatch->guest, req->data, pinned);
    return whole;
}

static void serve_string(struct dispatch *dispatch, const struct request *req)
{
    int done = 0;

    if (req->type == IOREQ_PIO && !(req->flags & IOREQ_DF))
        done = string_in_place(dispatch, req);
    if (!done)
        done = string_by_element(dispatch, req);
    if (done < 0) {
        dispatch->unserved = true;
        dispatch->starved |= done != -ESRCH; /* for a guest that is gone nobody need wait */
        return;
    }
    count_add(&dispatch->counters.string, 1);
    count_add(&dispatch->counters.string_bytes, (uint64_t)req->count * req->size);
    dispatch->spent += req->count / DISPATCH_STRING_COST;
}

static enum dispatch_kind kind_of(const struct request *req)
{
    bool read = req->flags & IOREQ_READ;

    if (req->type == IOREQ_PIO)
        return read ? DISPATCH_PIO_READ : DISPATCH_PIO_WRITE;
    if (req->type == IOREQ_COPY)
        return read ? DISPATCH_MMIO_READ : DISPATCH_MMIO_WRITE;
    return read ? DISPATCH_PCI_READ : DISPATCH_PCI_WRITE;
}

/* `vcpu` NULL: it came through the buffered ring, or nobody wants to know. */
static void count_access(struct dispatch_counters *counters, struct dispatch_vcpu *vcpu,
                         const struct request *req)
{
    uint64_t *const counter[] = {
        [DISPATCH_PIO_READ] = &counters->pio_read,   [DISPATCH_PIO_WRITE] = &counters->pio_write,
        [DISPATCH_MMIO_READ] = &counters->mmio_read, [DISPATCH_MMIO_WRITE] = &counters->mmio_write,
        [DISPATCH_PCI_READ] = &counters->pci_read,   [DISPATCH_PCI_WRITE] = &counters->pci_write,
    };
    enum dispatch_kind kind = kind_of(req);

    count_add(counter[kind], 1);
    if (!vcpu)
        return;
    count_add(&vcpu->requests[kind][__builtin_ctz(req->size)], 1);
    count_add(&vcpu->bytes, (uint64_t)req->count * req->size);
}

/* NULL if the request is one that a hypervisor may send, else what is wrong with it. */
static const char *validate(const struct request *req)
{
    if (req->type != IOREQ_PIO && req->type != IOREQ_COPY && req->type != IOREQ_PCI_CONFIG)
        return "type";
    if (req->size != 1 && req->size != 2 && req->size != 4 && req->size != 8)
        return "size";
    if (req->type != IOREQ_COPY && req->size == 8)
        return "size";
    if (req->type == IOREQ_PIO && req->addr > UINT16_MAX)
        return "port";
    if (req->count == 0 || req->count > DISPATCH_MAX_COUNT)
        return "count";
    if (req->count > 1 && !(req->flags & IOREQ_DATA_IS_PTR) && req->type == IOREQ_PCI_CONFIG)
        return "count";
    return NULL;
}

/* What the hypervisor tells the daemon, not a device. */
static bool is_for_us(const struct request *req)
{
    return req->type == IOREQ_INVALIDATE || req->type == IOREQ_TIMEOFFSET;
}

static void trace(const struct dispatch *dispatch, uint32_t vcpu, const struct request *req,
                  uint64_t data, const char *illegal)
{
    const struct dispatch_request request = {
        .addr = req->addr,
        .data = req->flags & IOREQ_DATA_IS_PTR ? req->data : data & size_mask(req->size),
        .count = req->count,
        .size = req->size,
        .vcpu = vcpu,
        .type = req->type,
        .read = req->flags & IOREQ_READ,
        .string = req->flags & IOREQ_DATA_IS_PTR,
        .illegal = illegal,
    };

    dispatch->traced(dispatch->trace_ctx, &request);
}

/* Returns the data to answer with. */
static uint64_t serve(struct dispatch *dispatch, uint32_t vcpu, const struct request *req)
{
    const char *wrong;

    if (req->type == IOREQ_INVALIDATE) {
        count_add(&dispatch->counters.invalidate, 1);
        dispatch->hv->invalidate(dispatch->guest);
        return req->data;
    }
    if (req->type == IOREQ_TIMEOFFSET) {
        count_add(&dispatch->counters.other,
                  1); /* the clock is Xen's; nothing here depends on it */
        return req->data;
    }
    wrong = validate(req);
    if (wrong) {
        count_add(&dispatch->counters.illegal, 1);
        dispatch->illegal(dispatch->ctx, vcpu, wrong);
        return req->flags & IOREQ_READ ? UINT64_MAX : req->data;
    }
    if (dispatch->bufpio && req->type == IOREQ_PIO)
        bufpio_access(dispatch->bufpio, req->addr, req->size, req->flags & IOREQ_DATA_IS_PTR);
    if (req->flags & IOREQ_DATA_IS_PTR)
        serve_string(dispatch, req);
    if (!dispatch->unserved)
        count_access(&dispatch->counters, dispatch->vcpu ? &dispatch->vcpu[vcpu] : NULL, req);
    if (req->flags & IOREQ_DATA_IS_PTR)
        return req->data;
    if (req->flags & IOREQ_READ) {
        /* A repeated read into one register: each has its effect, the last is what is seen. */
        uint64_t value = 0;

        for (uint32_t i = 0; i < req->count; i++)
            value = read_one(dispatch, req, i);
        return value;
    }
    for (uint32_t i = 0; i < req->count; i++)
        write_one(dispatch, req, i, req->data);
    return req->data;
}

static void time_answer(struct dispatch *dispatch, uint32_t vcpu)
{
    uint64_t took_ns = dispatch->now_ns(dispatch->ctx) - dispatch->since_ns;

    if (dispatch->vcpu)
        histogram_add(&dispatch->vcpu[vcpu].round_trip, took_ns);
    if (dispatch->round_trip)
        histogram_add(dispatch->round_trip, took_ns);
}

/* A slot that was seen READY: only our answer changes that. False: it stays so, for want of memory.
 */
static bool serve_slot(struct dispatch *dispatch, struct ioreq_slot *slot, uint32_t vcpu)
{
    struct request req = {
        .addr = __atomic_load_n(&slot->addr, __ATOMIC_RELAXED),
        .data = __atomic_load_n(&slot->data, __ATOMIC_RELAXED),
        .count = __atomic_load_n(&slot->count, __ATOMIC_RELAXED),
        .size = __atomic_load_n(&slot->size, __ATOMIC_RELAXED),
        .flags = __atomic_load_n(&slot->flags, __ATOMIC_RELAXED),
        .type = __atomic_load_n(&slot->type, __ATOMIC_RELAXED),
    };
    uint64_t data;

    if (dispatch->bufpio)
        bufpio_take_out(dispatch->bufpio);
    data = serve(dispatch, vcpu, &req);
    if (dispatch->bufpio)
        bufpio_arm(dispatch->bufpio);
    if (dispatch->unserved) {
        dispatch->unserved = false;
        return false;
    }
    if (dispatch->traced)
        trace(dispatch, vcpu, &req, data, is_for_us(&req) ? NULL : validate(&req));
    __atomic_store_n(&slot->data, data, __ATOMIC_RELAXED);
    /* Pairs with the hypervisor's read barrier after it sees RESP_READY. */
    __atomic_store_n(&slot->flags, (req.flags & ~IOREQ_STATE_MASK) | IOREQ_STATE_RESP_READY,
                     __ATOMIC_RELEASE);
    dispatch->hv->notify(dispatch->guest, vcpu);
    if (dispatch->timed)
        time_answer(dispatch, vcpu);
    return true;
}

/* Both pointers in one load: the hypervisor renormalises the pair by one compare-and-exchange. */
static void ring_pointers(struct buf_ioreq_page *page, uint32_t *ret_read, uint32_t *ret_write)
{
    uint64_t pair = __atomic_load_n((uint64_t *)(void *)page, __ATOMIC_ACQUIRE);

    *ret_read = (uint32_t)pair;
    *ret_write = (uint32_t)(pair >> 32);
}

static void ring_illegal(struct dispatch *dispatch, const char *what)
{
    count_add(&dispatch->counters.illegal, 1);
    dispatch->illegal(dispatch->ctx, UINT32_MAX, what);
}

/* Serves the entry at read pointer `read` of which `left` are there; returns how many slots it
 * took. */
static uint32_t serve_buffered(struct dispatch *dispatch, struct buf_ioreq_page *page,
                               uint32_t read, uint32_t left)
{
    uint64_t entry = __atomic_load_n(&page->slot[read % BUF_IOREQ_SLOTS], __ATOMIC_RELAXED);
    struct request req = {
        .addr = BUF_IOREQ_ADDR(entry),
        .data = BUF_IOREQ_DATA(entry),
        .count = 1,
        .size = BUF_IOREQ_SIZE(entry),
        .type = BUF_IOREQ_TYPE(entry),
    };
    uint32_t taken = 1;
    const char *wrong;

    if (req.size == 8) {
        if (left < 2) {
            ring_illegal(dispatch, "half an 8-byte write");
            return 1;
        }
        entry = __atomic_load_n(&page->slot[(read + 1) % BUF_IOREQ_SLOTS], __ATOMIC_RELAXED);
        req.data |= (uint64_t)BUF_IOREQ_DATA(entry) << 32;
        taken = 2;
    }
    count_add(&dispatch->counters.buffered, 1);
    if (req.type == IOREQ_TIMEOFFSET)
        return taken;
    wrong = BUF_IOREQ_READ(entry) ? "buffered read" : validate(&req);
    if (wrong || req.type == IOREQ_PCI_CONFIG) {
        ring_illegal(dispatch, wrong ? wrong : "type");
        return taken;
    }
    count_access(&dispatch->counters, NULL, &req);
    write_one(dispatch, &req, 0, req.data);
    if (dispatch->traced)
        trace(dispatch, UINT32_MAX, &req, req.data, NULL);
    return taken;
}

static bool spent_up(const struct dispatch *dispatch)
{
    uint64_t maps = dispatch->hv->guest_counters(dispatch->guest)->map_calls - dispatch->maps;

    return dispatch->budget && dispatch->spent + maps * DISPATCH_MAP_COST >= dispatch->budget;
}

/* What was in the ring when we came, however fast it is refilled. */
static unsigned drain_buffered(struct dispatch *dispatch, struct buf_ioreq_page *page)
{
    unsigned served = 0;
    uint32_t read, write, left;

    ring_pointers(page, &read, &write);
    left = write - read;
    if (left > BUF_IOREQ_SLOTS) {
        /* Not a state that Xen produces: skip to where the writer claims to be. */
        ring_illegal(dispatch, "ring pointers");
        __atomic_fetch_add(&page->read_pointer, left, __ATOMIC_RELEASE);
        return 0;
    }
    if (left && dispatch->bufpio)
        bufpio_take_out(dispatch->bufpio);
    while (left && !spent_up(dispatch)) {
        uint32_t taken = serve_buffered(dispatch, page, read, left);

        /* An add, not a store: the hypervisor may have renormalised in between. Renormalisation
         * takes multiples of the ring's size, so `read` still names the same slots. */
        __atomic_fetch_add(&page->read_pointer, taken, __ATOMIC_RELEASE);
        read += taken;
        left -= taken;
        served++;
        dispatch->spent++;
    }
    if (served && dispatch->bufpio)
        bufpio_arm(dispatch->bufpio);
    dispatch->more = left > 0;
    return served;
}

/* The READY ones among `wanted`; other states that are not ours to see are counted here. */
static uint64_t ready_slots(struct dispatch *dispatch, const struct ioreq_slot *slots,
                            uint32_t base, uint64_t wanted)
{
    uint64_t ready = 0;

    for (uint64_t left = wanted; left; left &= left - 1) {
        uint32_t bit = (uint32_t)__builtin_ctzll(left);
        /* Pairs with the hypervisor's write barrier between the fields and state = READY. */
        uint8_t flags = __atomic_load_n(&slots[base + bit].flags, __ATOMIC_ACQUIRE);

        switch (flags & IOREQ_STATE_MASK) {
        case IOREQ_STATE_READY:
            ready |= UINT64_C(1) << bit;
            break;
        case IOREQ_STATE_NONE:       /* an event that came late */
        case IOREQ_STATE_RESP_READY: /* an answer that is not taken yet */
            break;
        default:
            /* INPROCESS only we could write, and never do; any answer would crash the domain or
             * hang its vCPU (XSA-262), so it is left alone. */
            count_add(&dispatch->counters.illegal, 1);
            dispatch->illegal(dispatch->ctx, base + bit, "state");
        }
    }
    return ready;
}

/* From the vCPU on at which the last turn ended early, around; so none waits for ever. */
static unsigned serve_slots(struct dispatch *dispatch, struct ioreq_slot *page,
                            const uint64_t ready[HV_MAX_VCPUS / 64])
{
    uint32_t first = dispatch->resume;
    unsigned served = 0;

    dispatch->resume = 0;
    for (uint32_t i = 0; i < dispatch->vcpus; i++) {
        uint32_t vcpu = (first + i) % dispatch->vcpus;

        if (!(ready[vcpu / 64] >> vcpu % 64 & 1))
            continue;
        if (spent_up(dispatch)) {
            dispatch->more = true;
            dispatch->resume = vcpu;
            break;
        }
        served += serve_slot(dispatch, &page[vcpu], vcpu);
        dispatch->spent++;
    }
    return served;
}

unsigned dispatch_turn(struct dispatch *dispatch, const uint64_t *slots)
{
    struct buf_ioreq_page *buffered = dispatch->hv->buffered(dispatch->guest);
    struct ioreq_slot *page = dispatch->hv->slots(dispatch->guest);
    uint64_t ready[HV_MAX_VCPUS / 64] = {0}, any = 0;
    unsigned served = 0;

    dispatch->more = dispatch->starved = false;
    dispatch->spent = 0;
    dispatch->maps = dispatch->hv->guest_counters(dispatch->guest)->map_calls;
    for (uint32_t base = 0; base < dispatch->vcpus; base += 64) {
        uint32_t vcpus = dispatch->vcpus - base < 64 ? dispatch->vcpus - base : 64;
        uint64_t all = vcpus == 64 ? UINT64_MAX : (UINT64_C(1) << vcpus) - 1;

        ready[base / 64] = ready_slots(dispatch, page, base, slots ? slots[base / 64] & all : all);
        any |= ready[base / 64];
    }
    if (any && dispatch->timed && !dispatch->since_ns)
        dispatch->since_ns = dispatch->now_ns(dispatch->ctx);
    /* After looking at the slots: whatever was buffered before a request is in the ring by now. */
    if (buffered)
        served += drain_buffered(dispatch, buffered);
    if (any && !dispatch->more)
        served += serve_slots(dispatch, page, ready);
    if (served)
        count_add(&dispatch->counters.turns, 1);
    else if (slots)
        count_add(&dispatch->counters.spurious,
                  1); /* an event for nothing; a look at the pages is none */
    return served;
}
