// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/pvblk_checks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

void pv_assert_disk(const uint8_t *bytes, uint64_t offset, size_t len)
{
    for (size_t i = 0; i < len; i++)
        assert_int_equal(bytes[i], pv_rig_byte(offset + i));
}

void pv_fill(uint8_t *bytes, size_t len, uint8_t seed)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(seed + i * 13 + i / 251);
}

unsigned pv_responses(struct pv_rig *rig, unsigned queue)
{
    struct blkfront_response response;
    unsigned n = 0;

    while (pv_rig_response(rig, queue, &response))
        n++;
    return n;
}

void pv_hold(struct pv_rig *rig, bool on)
{
    pv_rig_fault(rig, &(struct mem_faults){.hold = on});
}

uint32_t pv_make_table(struct pv_rig *rig, uint32_t table, unsigned n, bool small)
{
    uint32_t sectors = 0;

    for (unsigned i = 0; i < n; i++) {
        uint8_t first = small ? (uint8_t)(i % 5) : 0;
        uint8_t last = small ? (uint8_t)(first + i % 3) : 7;

        blkfront_segment(pv_rig_page(rig, table) + (size_t)i * 8, (i * 37) % 256, first, last);
        sectors += last - first + 1u;
    }
    return sectors;
}

void pv_assert_table(struct pv_rig *rig, uint32_t table, unsigned n, uint64_t offset)
{
    for (unsigned i = 0; i < n; i++) {
        struct blkif_segment segment;
        uint32_t bytes;

        blkif_segment_decode(pv_rig_page(rig, table) + (size_t)i * 8, &segment);
        bytes = (segment.last - segment.first + 1u) * 512;
        pv_assert_disk(pv_rig_page(rig, segment.ref) + segment.first * 512, offset, bytes);
        offset += bytes;
    }
}
