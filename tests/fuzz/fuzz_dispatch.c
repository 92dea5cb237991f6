/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared pages full of whatever a guest could put there, against dispatch and a small bus.
 *
 * Input: records of 40 bytes: an action and a slot, or ring contents. Invariants, each an assert:
 *  - a slot changes only if it was READY, and then to RESP_READY; its vp_eport never changes
 *  - as many notifications as answers; every pin is undone
 *  - a turn serves at most the ring's slots and one request a vCPU
 *  - the ring's read pointer never passes the write pointer it was given
 *  - guest memory changes only inside what a well-formed string read described
 */
#include <assert.h>
#include <string.h>

#include "ioreq/dispatch.h"
#include "tests/unit/fake_hv.h"

#define VCPUS       8u
#define RECORD      40u
#define MAX_RECORDS 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct target {
    struct hv_guest guest;
    struct dispatch dispatch;
    struct bus *bus;
    uint64_t illegal;
};

static uint64_t any_read(void *dev, uint64_t offset, unsigned size)
{
    assert(size == 1 || size == 2 || size == 4 || size == 8);
    return UINT64_C(0x0123456789abcdef) + offset;
}

static void any_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    assert(size == 8 || value >> size * 8 == 0);
}

static uint32_t some_read(void *dev, uint64_t offset, unsigned size, void *buf, uint32_t count)
{
    memset(buf, 0x5a, (size_t)count / 2 * size);
    return count / 2; /* the bus does the rest */
}

static const struct bus_io_ops ops = {
    .read = any_read, .write = any_write, .read_block = some_read, .max_size = 4};
static const struct bus_io_ops mmio_ops = {.read = any_read, .write = any_write, .max_size = 8};

static void on_illegal(void *ctx, uint32_t vcpu, const char *what)
{
    struct target *target = ctx;

    assert(vcpu < VCPUS || vcpu == UINT32_MAX);
    assert(what && *what);
    target->illegal++;
}

static void turn(struct target *target)
{
    struct hv_guest *guest = &target->guest;
    struct ioreq_slot before[VCPUS];
    unsigned notified[VCPUS], served = 0;
    uint32_t write = guest->buffered.write_pointer;

    memcpy(before, guest->slots, sizeof(before));
    memcpy(notified, guest->notified, sizeof(notified));
    /* However small the budget: some work a turn, and the same in the end. */
    do {
        unsigned now = dispatch_turn(&target->dispatch, NULL);

        assert(now > 0 || !target->dispatch.more);
        assert(!target->dispatch.budget || now <= target->dispatch.budget);
        served += now;
    } while (target->dispatch.more);
    assert(served <= BUF_IOREQ_SLOTS + VCPUS);
    for (unsigned i = 0; i < VCPUS; i++) {
        const struct ioreq_slot *slot = &guest->slots[i];
        bool ready = (before[i].flags & IOREQ_STATE_MASK) == IOREQ_STATE_READY;

        assert(slot->vp_eport == before[i].vp_eport && slot->addr == before[i].addr);
        assert(guest->notified[i] == notified[i] + ready);
        if (ready)
            assert((slot->flags & IOREQ_STATE_MASK) == IOREQ_STATE_RESP_READY);
        else
            assert(!memcmp(slot, &before[i], sizeof(*slot)));
    }
    assert(guest->buffered.read_pointer == write && guest->buffered.write_pointer == write);
    assert(guest->pins == 0);
    assert(target->illegal == target->dispatch.counters.illegal);
}

/* A string read may write here; returns false when it may write nowhere. */
static bool window(const struct ioreq_slot *slot, uint64_t *ret_first, uint64_t *ret_len)
{
    uint64_t len = (uint64_t)slot->count * slot->size;

    if ((slot->flags & IOREQ_STATE_MASK) != IOREQ_STATE_READY || !(slot->flags & IOREQ_READ) ||
        !(slot->flags & IOREQ_DATA_IS_PTR))
        return false;
    *ret_first = slot->flags & IOREQ_DF ? slot->data - len + slot->size : slot->data;
    *ret_len = len;
    return true;
}

static void one_slot(struct target *target, const uint8_t *record)
{
    struct ioreq_slot *slot = &target->guest.slots[record[1] % VCPUS];
    uint64_t first = 0, len = 0;
    bool writes;

    memcpy(slot, record + 8, sizeof(*slot));
    if (record[2] & 1) { /* mostly what a guest can really get a hypervisor to write */
        slot->type %= 3;
        slot->size = 1u << (slot->size & 3);
        slot->count = 1 + slot->count % 300;
        slot->data %= FAKE_HV_RAM + 512;
        slot->flags = (uint8_t)((slot->flags & 0x70) | IOREQ_STATE_READY);
    }
    if (record[2] & 2)
        slot->addr = slot->type == IOREQ_COPY ? 0xa0000 + slot->addr % 0x1100 : slot->addr % 0x210;
    writes = window(slot, &first, &len);
    memset(target->guest.ram, 0xee, FAKE_HV_RAM);
    turn(target);
    for (uint64_t i = 0; i < FAKE_HV_RAM; i++)
        if (!writes || i - first >= len)
            assert(target->guest.ram[i] == 0xee);
}

static void ring(struct target *target, const uint8_t *record)
{
    struct buf_ioreq_page *page = &target->guest.buffered;
    uint32_t count = record[1] * 3u;

    if (record[2] & 1) { /* pointers as they come, else plausible ones */
        memcpy(&page->read_pointer, record + 8, 8);
    } else {
        memcpy(&page->read_pointer, record + 8, 4);
        page->write_pointer = page->read_pointer + count;
    }
    for (uint32_t i = 0; i < count && i < BUF_IOREQ_SLOTS; i++)
        memcpy(&page->slot[(page->read_pointer + i) % BUF_IOREQ_SLOTS], record + 16 + i % 16, 8);
    turn(target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct target target; /* page-aligned members */

    memset(&target, 0, sizeof(target));
    assert(!bus_create(NULL, NULL, &target.bus));
    assert(!bus_claim(target.bus, BUS_PORT, 0x1f0, 8, &ops, NULL));
    assert(!bus_claim(target.bus, BUS_MMIO, 0xa0000, 0x1000, &mmio_ops, NULL));
    target.dispatch = (struct dispatch){
        .hv = &fake_hv,
        .guest = &target.guest,
        .bus = target.bus,
        .vcpus = VCPUS,
        .illegal = on_illegal,
        .ctx = &target,
    };
    for (unsigned n = 0; size >= RECORD && n < MAX_RECORDS; n++, data += RECORD, size -= RECORD) {
        target.dispatch.budget = data[3] % 8; /* 0: none */
        if (data[0] & 3)
            one_slot(&target, data);
        else
            ring(&target, data);
    }
    bus_release(target.bus, BUS_PORT, 0x1f0);
    bus_release(target.bus, BUS_MMIO, 0xa0000);
    bus_destroy(target.bus);
    return 0;
}
