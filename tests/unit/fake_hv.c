/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/fake_hv.h"

static struct ioreq_slot *fake_slots(struct hv_guest *guest)
{
    return guest->slots;
}

static struct buf_ioreq_page *fake_buffered(struct hv_guest *guest)
{
    return &guest->buffered;
}

static void fake_notify(struct hv_guest *guest, uint32_t vcpu)
{
    guest->notified[vcpu]++;
}

/* RAM below FAKE_HV_RAM; a hole above. */
static int fake_pin(struct hv_guest *guest, uint64_t gpa, size_t len, bool write, struct iovec *iov,
                    size_t *ret_len)
{
    size_t ram = gpa < FAKE_HV_RAM ? FAKE_HV_RAM - gpa : 0;

    if (guest->pin_error)
        return guest->pin_error;
    guest->counters.map_calls += guest->pin_maps;
    guest->pins++;
    if (ram >= len || !ram) {
        iov[0] = (struct iovec){ram ? guest->ram + gpa : NULL, len};
        *ret_len = len;
        return 1;
    }
    iov[0] = (struct iovec){guest->ram + gpa, ram};
    iov[1] = (struct iovec){NULL, len - ram};
    *ret_len = len;
    return 2;
}

static const struct hv_counters *fake_counters(const struct hv_guest *guest)
{
    return &guest->counters;
}

static void fake_unpin(struct hv_guest *guest, uint64_t gpa, size_t len)
{
    guest->pins--;
}

static void fake_dirty(struct hv_guest *guest, uint64_t gpa, size_t len)
{
    guest->dirty_calls++;
}

static void fake_invalidate(struct hv_guest *guest)
{
    guest->invalidated++;
}

const struct hv_ops fake_hv = {
    .name = "fake",
    .guest_counters = fake_counters,
    .slots = fake_slots,
    .buffered = fake_buffered,
    .notify = fake_notify,
    .pin = fake_pin,
    .unpin = fake_unpin,
    .mark_dirty = fake_dirty,
    .invalidate = fake_invalidate,
};
