// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ioreq/hv_shm_priv.h"
#include "tests/peer/peer.h"

#define PAGE   4096u
#define PAGES  256u /* of the model: guest-physical 0 to 1 MiB */
#define ABSENT 0
#define RAM    1
#define ROM    2

struct model {
    struct hv_shm_mem mem;
    int fd;
    uint8_t kind[PAGES];
};

static int add(struct model *m, unsigned page, unsigned count, bool rom)
{
    struct hv_shm_region region = {.gpa = page * PAGE,
                                   .size = count * PAGE,
                                   .offset = page * PAGE,
                                   .flags = rom ? HV_SHM_REGION_READONLY : 0};
    const char *why;
    int rc = hv_shm_mem_add(&m->mem, &region, m->fd, &why);

    if (rc == 0)
        memset(m->kind + page, rom ? ROM : RAM, count);
    return rc;
}

static int setup(void **state)
{
    struct model *m = calloc(1, sizeof(*m));

    m->fd = peer_memfd("ram", PAGES * PAGE, true);
    /* Each page says its number. */
    for (uint32_t i = 0; i < PAGES; i++)
        assert_int_equal(pwrite(m->fd, &i, sizeof(i), i * PAGE), sizeof(i));
    *state = m;
    return 0;
}

static int teardown(void **state)
{
    struct model *m = *state;

    hv_shm_mem_finish(&m->mem);
    close(m->fd);
    free(m);
    return 0;
}

static uint8_t kind_of(const struct model *m, uint64_t gpa)
{
    return gpa < PAGES * PAGE ? m->kind[gpa / PAGE] : ABSENT;
}

/* What is found is what the model says, from gpa on. */
static void agrees(struct model *m, uint64_t gpa, size_t len, bool write)
{
    struct iovec iov[HV_PIN_IOV];
    uint64_t holes = 0, at = gpa;
    size_t covered = 0, total = 0;
    int n = hv_shm_mem_find(&m->mem, gpa, len, write, iov, &covered, &holes);

    assert_in_range(n, 1, HV_PIN_IOV);
    assert_in_range(covered, 1, len);
    if (n < HV_PIN_IOV)
        assert_int_equal(covered, len);
    for (int i = 0; i < n; i++) {
        assert_true(iov[i].iov_len > 0);
        for (size_t o = 0; o < iov[i].iov_len;) {
            uint8_t kind = kind_of(m, at);
            size_t in_page = PAGE - at % PAGE;
            uint32_t number;

            assert_int_equal(iov[i].iov_base != NULL, kind == RAM || (kind == ROM && !write));
            if (iov[i].iov_base && at % PAGE == 0 && iov[i].iov_len - o >= sizeof(number)) {
                memcpy(&number, (uint8_t *)iov[i].iov_base + o, sizeof(number));
                assert_int_equal(number, at / PAGE);
            }
            in_page = in_page > iov[i].iov_len - o ? iov[i].iov_len - o : in_page;
            o += in_page;
            at += in_page;
        }
        total += iov[i].iov_len;
    }
    assert_int_equal(total, covered);
}

static void any_place_is_found_as_it_was_added(void **state)
{
    struct model *m = *state;
    uint64_t seed = 99;

    assert_int_equal(add(m, 200, 20, true), 0); /* not in order */
    assert_int_equal(add(m, 10, 5, false), 0);
    assert_int_equal(add(m, 15, 1, false), 0); /* touches */
    assert_int_equal(add(m, 17, 1, true), 0);
    assert_int_equal(add(m, 0, 1, false), 0);
    for (unsigned i = 0; i < 20000; i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        agrees(m, (seed >> 33) % (PAGES * PAGE), 1 + (seed >> 20) % 70000, seed >> 63);
    }
}

static void more_pieces_than_fit_are_covered_in_part(void **state)
{
    struct model *m = *state;
    struct iovec iov[HV_PIN_IOV];
    uint64_t holes = 0;
    size_t covered;

    for (unsigned i = 0; i < HV_SHM_REGIONS_MAX; i++)
        assert_int_equal(add(m, 2 * i, 1, false), 0);
    assert_int_equal(hv_shm_mem_find(&m->mem, 0, 64 * PAGE, false, iov, &covered, &holes),
                     HV_PIN_IOV);
    assert_int_equal(covered, HV_PIN_IOV * PAGE);
    assert_int_equal(holes, HV_PIN_IOV / 2);
    for (unsigned at = 0; at < 64; at++)
        agrees(m, at * PAGE + 5, 64 * PAGE, true);
    assert_int_equal(add(m, 100, 1, false), -ENOSPC);
}

static void the_end_of_the_address_space_is_a_hole(void **state)
{
    static const uint64_t ends[] = {UINT64_MAX, UINT64_MAX - 4095, 1ull << 52, (1ull << 52) - 1};
    struct model *m = *state;
    struct iovec iov[HV_PIN_IOV];

    assert_int_equal(add(m, 0, 1, false), 0);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t holes = 0;
        size_t covered;

        assert_int_equal(hv_shm_mem_find(&m->mem, ends[i], 1 << 20, false, iov, &covered, &holes),
                         1);
        assert_null(iov[0].iov_base); /* also where it would wrap to RAM at 0 */
        assert_int_equal(covered, 1 << 20);
    }
}

static void overlaps_are_refused_in_every_way(void **state)
{
    struct model *m = *state;

    assert_int_equal(add(m, 10, 10, false), 0);
    assert_int_equal(add(m, 10, 10, false), -EEXIST);
    assert_int_equal(add(m, 5, 6, false), -EEXIST);
    assert_int_equal(add(m, 19, 1, false), -EEXIST);
    assert_int_equal(add(m, 12, 2, true), -EEXIST);
    assert_int_equal(add(m, 0, 100, false), -EEXIST);
    assert_int_equal(add(m, 20, 1, false), 0);
    assert_int_equal(add(m, 9, 1, false), 0);
}

static void what_is_removed_stays_mapped_while_pinned_and_counts(void **state)
{
    struct model *m = *state;
    uint32_t id = 0;

    for (unsigned i = 0; i < HV_SHM_REGIONS_MAX; i++)
        assert_int_equal(add(m, 2 * i, 1, false), 0);
    assert_int_equal(hv_shm_mem_remove(&m->mem, PAGE, PAGE, 1), -ENOENT);
    assert_int_equal(hv_shm_mem_remove(&m->mem, 0, 2 * PAGE, 1), -ENOENT);
    m->mem.pins = 1;
    assert_int_equal(hv_shm_mem_remove(&m->mem, 2 * PAGE, PAGE, 77), 0);
    m->kind[2] = ABSENT;
    assert_false(hv_shm_mem_reap(&m->mem, &id));
    agrees(m, 0, 6 * PAGE, false);
    assert_int_equal(add(m, 2, 1, false), -ENOSPC); /* so the table cannot be overrun */
    m->mem.pins = 0;
    assert_true(hv_shm_mem_reap(&m->mem, &id));
    assert_int_equal(id, 77);
    assert_false(hv_shm_mem_reap(&m->mem, &id));
    assert_int_equal(add(m, 2, 1, false), 0);
    agrees(m, 0, 6 * PAGE, false);
}

static void dirty_bits_stop_at_both_ends(void **state)
{
    struct model *m = *state;
    int fd = peer_memfd("dirty", PAGE, true);

    assert_int_equal(hv_shm_mem_dirty_start(&m->mem, 16 * PAGE, 70 * PAGE, fd), 0);
    hv_shm_mem_dirty(&m->mem, 0, 16 * PAGE);
    hv_shm_mem_dirty(&m->mem, 86 * PAGE, 100 * PAGE);
    hv_shm_mem_dirty(&m->mem, 20 * PAGE, 0);
    hv_shm_mem_dirty(&m->mem, UINT64_MAX - 5, 100); /* wraps */
    assert_int_equal(m->mem.dirty[0] | m->mem.dirty[1], 0);
    hv_shm_mem_dirty(&m->mem, 79 * PAGE + 4095, 2);
    assert_true(m->mem.dirty[0] == 1ull << 63 && m->mem.dirty[1] == 1);
    hv_shm_mem_dirty(&m->mem, 0, 1 << 20);
    assert_true(m->mem.dirty[0] == UINT64_MAX && m->mem.dirty[1] == 0x3f);
    hv_shm_mem_dirty_stop(&m->mem);
    hv_shm_mem_dirty(&m->mem, 20 * PAGE, 1);
    close(fd);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(any_place_is_found_as_it_was_added),
        CASE(more_pieces_than_fit_are_covered_in_part),
        CASE(the_end_of_the_address_space_is_a_hole),
        CASE(overlaps_are_refused_in_every_way),
        CASE(what_is_removed_stays_mapped_while_pinned_and_counts),
        CASE(dirty_bits_stop_at_both_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
