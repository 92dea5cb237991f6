// SPDX-License-Identifier: GPL-2.0-or-later
/* A worker process's grants, by way of a broker over a hypervisor that is made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ioreq/grant_remote.h"
#include "tests/unit/broker_rig.h"

static struct broker_rig rig;
static const struct grants *grants;

static int setup(void **state)
{
    broker_rig_start(&rig);
    grants = broker_rig_remote(&rig, 0);
    return 0;
}

static int teardown(void **state)
{
    grant_remote_close(grants);
    broker_rig_stop(&rig);
    assert_int_equal(rig.strange, 0);
    return 0;
}

static uint8_t *page(uint32_t ref)
{
    return rig.memory[0] + (size_t)ref * GRANT_PAGE;
}

/* ---- copies -----------------------------------------------------------------------------------*/

static void segments_are_copied_both_ways_in_one_round_trip(void **state)
{
    uint8_t buf[1024];
    struct grant_copy copies[] = {
        {.local = buf, .ref = 5, .offset = 512, .len = 100, .to_guest = true},
        {.local = buf + 512, .ref = 6, .offset = 3584, .len = 512},
    };

    memset(buf, 'w', sizeof(buf));
    memset(page(6), 'g', GRANT_PAGE);
    grants_copy(grants, copies, 2);
    assert_int_equal(copies[0].status, 0);
    assert_int_equal(copies[1].status, 0);
    assert_int_equal(rig.copy_calls, 1);
    assert_int_equal(page(5)[511], 0);
    assert_int_equal(page(5)[512], 'w');
    assert_int_equal(page(5)[611], 'w');
    assert_int_equal(page(5)[612], 0);
    assert_int_equal(buf[511], 'w');
    assert_int_equal(buf[512], 'g');
    assert_int_equal(buf[1023], 'g');
    assert_int_equal(grants->counters->copies, 2);
    assert_int_equal(grants->counters->copied_bytes, 612);
    assert_int_equal(grants->counters->copy_calls, 1);
}

static void each_segment_has_its_status(void **state)
{
    uint8_t buf[6] = "------";
    struct grant_copy copies[] = {
        {.local = buf, .ref = 1, .len = 1},
        {.local = buf + 1, .ref = BROKER_RIG_NONE, .len = 1},
        {.local = buf + 2, .ref = BROKER_RIG_RO, .len = 1},
        {.local = buf + 3, .ref = BROKER_RIG_RO, .len = 1, .to_guest = true},
        {.local = buf + 4, .ref = UINT32_MAX, .len = 1, .to_guest = true},
        {.local = buf + 5, .ref = 2, .len = 1},
    };

    page(1)[0] = 'a';
    page(2)[0] = 'b';
    page(BROKER_RIG_RO)[0] = 'c';
    grants_copy(grants, copies, 6);
    assert_int_equal(copies[0].status, 0);
    assert_int_equal(copies[1].status, -EACCES);
    assert_int_equal(copies[2].status, 0);
    assert_int_equal(copies[3].status, -EACCES);
    assert_int_equal(copies[4].status, -EACCES);
    assert_int_equal(copies[5].status, 0);
    assert_memory_equal(buf, "a-c--b", 6);
    assert_int_equal(page(BROKER_RIG_RO)[0], 'c');
    assert_int_equal(grants->counters->errors, 3);
}

static void what_leaves_the_page_is_not_asked_for(void **state)
{
    uint8_t byte = 0;
    struct grant_copy copies[] = {
        {.local = &byte, .ref = 1, .offset = 4095, .len = 2},
        {.local = &byte, .ref = 2, .offset = 0, .len = 0},
        {.local = &byte, .ref = 4, .offset = 65535, .len = 65535},
        {.local = &byte, .ref = 3, .offset = 4095, .len = 1},
    };

    grants_copy(grants, copies, 3);
    assert_int_equal(rig.copy_calls, 0);
    grants_copy(grants, copies, 4);
    assert_int_equal(rig.copy_calls, 1);
    assert_int_equal(rig.segments, 1);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(copies[i].status, -EINVAL);
    assert_int_equal(copies[3].status, 0);
}

static void what_is_larger_than_the_window_takes_several_round_trips(void **state)
{
    enum { SEGMENTS = 600 };
    static struct grant_copy copies[SEGMENTS];
    uint8_t *bytes = malloc((size_t)SEGMENTS * GRANT_PAGE);

    for (unsigned i = 0; i < SEGMENTS; i++) {
        uint8_t *local = bytes + (size_t)i * GRANT_PAGE;
        bool to_guest = i % 3 == 0;

        memset(to_guest ? local : page(i), (int)(i % 251), GRANT_PAGE);
        copies[i] = (struct grant_copy){
            .local = local, .ref = i, .len = GRANT_PAGE, .to_guest = to_guest, .status = 1};
    }
    grants_copy(grants, copies, SEGMENTS);
    for (unsigned i = 0; i < SEGMENTS; i++) {
        assert_int_equal(copies[i].status, 0);
        assert_memory_equal(bytes + (size_t)i * GRANT_PAGE, page(i), GRANT_PAGE);
        assert_int_equal(page(i)[GRANT_PAGE - 1], i % 251);
    }
    assert_int_equal(rig.copy_calls, 3);
    assert_int_equal(rig.segments, SEGMENTS);
    free(bytes);
}

static void small_segments_of_a_message_are_256(void **state)
{
    static struct grant_copy copies[600];
    uint8_t bytes[600];

    for (unsigned i = 0; i < 600; i++) {
        page(i)[7] = (uint8_t)i;
        copies[i] = (struct grant_copy){
            .local = bytes + i, .ref = i == 299 ? BROKER_RIG_NONE : i, .offset = 7, .len = 1};
    }
    grants_copy(grants, copies, 600);
    assert_int_equal(rig.copy_calls, 3);
    for (unsigned i = 0; i < 600; i++) {
        assert_int_equal(copies[i].status, i == 299 ? -EACCES : 0);
        if (i != 299)
            assert_int_equal(bytes[i], (uint8_t)i);
    }
}

/* Each would be two operations of the hypervisor's. */
static void no_segment_lies_across_two_pages_of_the_window(void **state)
{
    static uint8_t bytes[256][GRANT_PAGE];
    struct grant_copy copies[256];

    for (unsigned i = 0; i < 256; i++) {
        uint16_t len = i % 2 ? GRANT_PAGE : (uint16_t)(1 + i);

        memset(page(i), (int)(i + 1), GRANT_PAGE);
        copies[i] = (struct grant_copy){.local = bytes[i], .ref = i, .len = len};
    }
    grants_copy(grants, copies, 256);
    assert_int_equal(rig.copy_calls, 1);
    assert_int_equal(rig.astride, 0);
    for (unsigned i = 0; i < 256; i++) {
        assert_int_equal(copies[i].status, 0);
        assert_memory_equal(bytes[i], page(i), copies[i].len);
    }
}

static void a_hypercall_that_fails_fails_its_segments(void **state)
{
    uint8_t byte = 'x';
    struct grant_copy copies[2] = {{.local = &byte, .ref = 1, .len = 1},
                                   {.local = &byte, .ref = 2, .len = 1, .to_guest = true}};

    rig.copy_errno = EFAULT;
    grants_copy(grants, copies, 2);
    assert_int_equal(copies[0].status, -EFAULT);
    assert_int_equal(copies[1].status, -EFAULT);
    assert_int_equal(byte, 'x');
    rig.copy_errno = 0;
    grants_copy(grants, copies, 2);
    assert_int_equal(copies[0].status, 0);
}

/* ---- maps -------------------------------------------------------------------------------------*/

static void pages_are_mapped_and_the_descriptor_is_closed(void **state)
{
    const uint32_t refs[] = {7, 8, 9};
    struct grant_map map = {.refs = refs, .count = 3, .writable = true};
    unsigned fds = broker_rig_fds();

    page(8)[10] = 'g';
    assert_int_equal(grants_map(grants, &map), 0);
    assert_int_equal(map.base[GRANT_PAGE + 10], 'g');
    map.base[2 * GRANT_PAGE] = 'w';
    assert_int_equal(page(9)[0], 'w');
    assert_int_equal(grants->counters->mapped, 3);
    grants_unmap(grants, &map);
    assert_int_equal(grants->counters->mapped, 0);
    assert_int_equal(grants->counters->maps, 3);
    assert_int_equal(grants->counters->unmaps, 3);
    /* The broker has closed its own at the latest when it answers again. */
    grants_copy(grants, &(struct grant_copy){.local = &(char){0}, .ref = 1, .len = 1}, 1);
    assert_int_equal(broker_rig_fds(), fds);
}

static void without_writable_the_pages_are_for_reading(void **state)
{
    struct grant_map map = {.refs = &(uint32_t){7}, .count = 1};
    int pipes[2];

    page(7)[0] = 'g';
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(grants_map(grants, &map), 0);
    assert_int_equal(map.base[0], 'g');
    assert_int_equal(write(pipes[1], "w", 1), 1);
    assert_int_equal(read(pipes[0], map.base, 1), -1);
    assert_int_equal(errno, EFAULT);
    assert_int_equal(page(7)[0], 'g');
    grants_unmap(grants, &map);
    close(pipes[0]);
    close(pipes[1]);
}

static void maps_are_bounded_and_undone(void **state)
{
    static uint32_t refs[GRANT_MAP_MAX];
    struct grant_map map[5];

    for (unsigned i = 0; i < 5; i++)
        map[i] = (struct grant_map){.refs = refs, .count = GRANT_MAP_MAX};
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(grants_map(grants, &map[i]), 0);
    assert_int_equal(grants_map(grants, &map[4]), -ENOSPC);
    assert_int_equal(grants->counters->mapped, 4 * GRANT_MAP_MAX);
    assert_int_equal(grants->counters->errors, 1);
    grants_unmap(grants, &map[2]);
    assert_int_equal(grants_map(grants, &map[4]), 0);
    grants_unmap(grants, &map[0]);
    grants_unmap(grants, &map[1]);
    grants_unmap(grants, &map[3]);
    grants_unmap(grants, &map[4]);
    assert_int_equal(grants->counters->mapped, 0);
}

/* gntdev learns of that from mmap(2) only. */
static void a_page_that_is_not_granted_is_no_page_that_is_mapped(void **state)
{
    static uint32_t refs[GRANT_MAP_MAX];
    struct grant_map map = {.refs = refs, .count = GRANT_MAP_MAX, .writable = true};

    rig.map_refused = true;
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(grants_map(grants, &map), -EACCES); /* of this file's mmap(2) */
    assert_int_equal(rig.map_pages, 8 * GRANT_MAP_MAX);
    rig.map_refused = false;
    assert_int_equal(grants_map(grants, &map), 0);
    grants_unmap(grants, &map);
    assert_int_equal(grants->counters->errors, 8);
}

static void what_gntdev_says_is_told(void **state)
{
    struct grant_map map = {.refs = &(uint32_t){7}, .count = 1};

    rig.map_error = -ENOMEM;
    assert_int_equal(grants_map(grants, &map), -ENOMEM);
    rig.map_error = 0;
    assert_int_equal(grants_map(grants, &map), 0);
    grants_unmap(grants, &map);
}

static void nothing_is_swapped(void **state)
{
    uint8_t *taken;

    assert_int_equal(grants->can, GRANT_CAN_COPY | GRANT_CAN_MAP);
    assert_false(grants_swap_take(grants, &taken, 1));
    assert_int_equal(grants->from.map, GRANT_NEVER);
    assert_int_equal(grants->from.swap, GRANT_NEVER);
}

/* ---- ends -------------------------------------------------------------------------------------*/

static void expect_nobody(const struct grants *of)
{
    uint8_t byte = 'x';
    struct grant_copy copies[2] = {{.local = &byte, .ref = 1, .len = 1},
                                   {.local = &byte, .ref = 2, .len = 1, .to_guest = true}};
    struct grant_map map = {.refs = &(uint32_t){7}, .count = 1};

    grants_copy(of, copies, 2);
    assert_int_equal(copies[0].status, -ESRCH);
    assert_int_equal(copies[1].status, -ESRCH);
    assert_int_equal(byte, 'x');
    assert_int_equal(grants_map(of, &map), -ESRCH);
}

static void a_broker_that_is_gone_is_told_and_what_is_mapped_stays(void **state)
{
    struct grant_map map = {.refs = &(uint32_t){7}, .count = 1, .writable = true};

    assert_int_equal(grants_map(grants, &map), 0);
    grant_broker_close(rig.broker);
    rig.broker = NULL;
    expect_nobody(grants);
    expect_nobody(grants);
    map.base[0] = 'w';
    assert_int_equal(page(7)[0], 'w');
    grants_unmap(grants, &map);
    assert_int_equal(grants->counters->errors, 6);
}

static void a_guest_that_is_cut_off_has_nobody(void **state)
{
    const struct grants *other = broker_rig_remote(&rig, 1);
    struct grant_copy copy = {.local = &(char){0}, .ref = 1, .len = 1};

    grant_broker_cut(rig.broker, BROKER_RIG_DOMID);
    expect_nobody(grants);
    grants_copy(other, &copy, 1);
    assert_int_equal(copy.status, 0);
    grant_remote_close(other);
}

static void what_is_mapped_outlives_its_guest(void **state)
{
    const struct grants *other = broker_rig_remote(&rig, 0);
    struct grant_map map = {.refs = &(uint32_t){7}, .count = 1, .writable = true};

    assert_int_equal(grants_map(other, &map), 0);
    grant_remote_close(other);
    expect_nobody(other);
    map.base[0] = 'w';
    assert_int_equal(page(7)[0], 'w');
    grants_unmap(other, &map);
}

static void a_window_of_another_size_is_refused(void **state)
{
    const struct grants *none = NULL;
    int sock[2], window_fd = memfd_create("window", MFD_CLOEXEC);
    unsigned fds = broker_rig_fds();

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock), 0);
    assert_int_equal(ftruncate(window_fd, GRANT_WIRE_WINDOW / 2), 0);
    assert_int_equal(grant_remote_open(sock[0], window_fd, &none), -EINVAL);
    assert_null(none);
    close(sock[1]);
    assert_int_equal(broker_rig_fds(), fds - 1); /* both were taken over */
}

/* ---- a broker that does not do its part -------------------------------------------------------*/

static struct {
    int sock, answer_bytes; /* -1: hangs up instead */
    struct grant_wire_request request;
} odd;

static void *odd_broker(void *arg)
{
    static const char zeroes[64];

    if (recv(odd.sock, &odd.request, sizeof(odd.request), 0) > 0 && odd.answer_bytes >= 0)
        send(odd.sock, zeroes, (size_t)odd.answer_bytes, MSG_NOSIGNAL);
    if (odd.answer_bytes < 0)
        close(odd.sock);
    return NULL;
}

static void ask_odd_broker(int answer_bytes)
{
    uint8_t byte = 'x';
    struct grant_copy copies[2] = {{.local = &byte, .ref = 1, .len = 1},
                                   {.local = &byte, .ref = 2, .len = 1}};
    const struct grants *of;
    int sock[2], window_fd = memfd_create("window", MFD_CLOEXEC);
    pthread_t thread;

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock), 0);
    assert_int_equal(ftruncate(window_fd, GRANT_WIRE_WINDOW), 0);
    assert_int_equal(grant_remote_open(sock[0], window_fd, &of), 0);
    odd.sock = sock[1];
    odd.answer_bytes = answer_bytes;
    assert_int_equal(pthread_create(&thread, NULL, odd_broker, NULL), 0);
    grants_copy(of, copies, 2);
    pthread_join(thread, NULL);
    assert_int_equal(copies[0].status, -ESRCH);
    assert_int_equal(copies[1].status, -ESRCH);
    assert_int_equal(byte, 'x');
    expect_nobody(of);
    grant_remote_close(of);
    if (answer_bytes >= 0)
        close(sock[1]);
}

static void a_broker_that_hangs_up_instead_of_an_answer_is_lost(void **state)
{
    ask_odd_broker(-1);
}

static void an_answer_of_another_length_is_the_end(void **state)
{
    ask_odd_broker(4);
    ask_odd_broker(0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(segments_are_copied_both_ways_in_one_round_trip),
        TEST(each_segment_has_its_status),
        TEST(what_leaves_the_page_is_not_asked_for),
        TEST(what_is_larger_than_the_window_takes_several_round_trips),
        TEST(small_segments_of_a_message_are_256),
        TEST(no_segment_lies_across_two_pages_of_the_window),
        TEST(a_hypercall_that_fails_fails_its_segments),
        TEST(pages_are_mapped_and_the_descriptor_is_closed),
        TEST(without_writable_the_pages_are_for_reading),
        TEST(maps_are_bounded_and_undone),
        TEST(a_page_that_is_not_granted_is_no_page_that_is_mapped),
        TEST(what_gntdev_says_is_told),
        TEST(nothing_is_swapped),
        TEST(a_broker_that_is_gone_is_told_and_what_is_mapped_stays),
        TEST(a_guest_that_is_cut_off_has_nobody),
        TEST(what_is_mapped_outlives_its_guest),
        TEST(a_window_of_another_size_is_refused),
        TEST(a_broker_that_hangs_up_instead_of_an_answer_is_lost),
        TEST(an_answer_of_another_length_is_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
