/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ioreq/abi.h says in our words what Xen's headers say in theirs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <xenctrl.h>

#include <xen/grant_table.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/ioreq.h>
#include <xen/memory.h>
#include <xen/sched.h>

#undef IOREQ_READ /* Xen's is the value of a bit-field, ours its place */
#include "ioreq/abi.h"
#include "ioreq/hv_shm_proto.h"

#define SAME_FIELD(ours, theirs)                                                                   \
    _Static_assert(offsetof(struct ioreq_slot, ours) == offsetof(struct ioreq, theirs) &&          \
                       sizeof(((struct ioreq_slot *)0)->ours) ==                                   \
                           sizeof(((struct ioreq *)0)->theirs),                                    \
                   "struct ioreq_slot: " #ours)

SAME_FIELD(addr, addr);
SAME_FIELD(data, data);
SAME_FIELD(count, count);
SAME_FIELD(size, size);
SAME_FIELD(vp_eport, vp_eport);
SAME_FIELD(type, type);
_Static_assert(sizeof(struct ioreq_slot) == sizeof(struct ioreq), "struct ioreq");

_Static_assert((int)IOREQ_PIO == IOREQ_TYPE_PIO && (int)IOREQ_COPY == IOREQ_TYPE_COPY &&
                   (int)IOREQ_PCI_CONFIG == IOREQ_TYPE_PCI_CONFIG &&
                   (int)IOREQ_TIMEOFFSET == IOREQ_TYPE_TIMEOFFSET &&
                   (int)IOREQ_INVALIDATE == IOREQ_TYPE_INVALIDATE,
               "types");
_Static_assert((int)IOREQ_STATE_NONE == STATE_IOREQ_NONE &&
                   (int)IOREQ_STATE_READY == STATE_IOREQ_READY &&
                   (int)IOREQ_STATE_INPROCESS == STATE_IOREQ_INPROCESS &&
                   (int)IOREQ_STATE_RESP_READY == STATE_IORESP_READY,
               "states");
_Static_assert(sizeof(struct hv_shm_grant) == sizeof(struct grant_entry_v1) &&
                   offsetof(struct hv_shm_grant, domid) == offsetof(struct grant_entry_v1, domid) &&
                   offsetof(struct hv_shm_grant, frame) == offsetof(struct grant_entry_v1, frame),
               "grants");
_Static_assert(HV_SHM_GRANT_TYPE_MASK == GTF_type_mask &&
                   HV_SHM_GRANT_ACCESS == GTF_permit_access &&
                   HV_SHM_GRANT_READONLY == GTF_readonly && HV_SHM_GRANT_READING == GTF_reading &&
                   HV_SHM_GRANT_WRITING == GTF_writing,
               "flags of grants");
_Static_assert(BUF_IOREQ_SLOTS == IOREQ_BUFFER_SLOT_NUM, "buffered ring");
_Static_assert(offsetof(struct buf_ioreq_page, read_pointer) ==
                       offsetof(struct buffered_iopage, read_pointer) &&
                   offsetof(struct buf_ioreq_page, write_pointer) ==
                       offsetof(struct buffered_iopage, write_pointer) &&
                   offsetof(struct buf_ioreq_page, slot) ==
                       offsetof(struct buffered_iopage, buf_ioreq) &&
                   sizeof(struct buf_ioreq_page) == sizeof(struct buffered_iopage),
               "struct buf_ioreq_page");

/* Bit-fields have no offset to assert at compile time. */
static uint8_t flags_of(struct ioreq ioreq)
{
    struct ioreq_slot slot;

    memcpy(&slot, &ioreq, sizeof(slot));
    return slot.flags;
}

static void flags_are_xens_bit_fields(void **state)
{
    assert_int_equal(flags_of((struct ioreq){.state = 0xf}), IOREQ_STATE_MASK);
    assert_int_equal(flags_of((struct ioreq){.data_is_ptr = 1}), IOREQ_DATA_IS_PTR);
    assert_int_equal(flags_of((struct ioreq){.dir = 1}), IOREQ_READ);
    assert_int_equal(flags_of((struct ioreq){.df = 1}), IOREQ_DF);
}

static uint64_t word_of(struct buf_ioreq entry)
{
    uint64_t word;

    _Static_assert(sizeof(entry) == sizeof(word), "struct buf_ioreq");
    memcpy(&word, &entry, sizeof(word));
    return word;
}

static void buffered_entries_are_taken_apart_as_xen_puts_them_together(void **state)
{
    for (unsigned size = 0; size < 4; size++) {
        struct buf_ioreq entry = {
            .type = 0x5a,
            .dir = size & 1,
            .size = size & 3,
            .addr = 0xabcde,
            .data = 0x12345678,
        };
        uint64_t word = word_of(entry);

        assert_int_equal(BUF_IOREQ_TYPE(word), 0x5a);
        assert_int_equal(BUF_IOREQ_READ(word), size & 1);
        assert_int_equal(BUF_IOREQ_SIZE(word), 1u << size);
        assert_int_equal(BUF_IOREQ_ADDR(word), 0xabcde);
        assert_int_equal(BUF_IOREQ_DATA(word), 0x12345678);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_are_xens_bit_fields),
        cmocka_unit_test(buffered_entries_are_taken_apart_as_xen_puts_them_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
