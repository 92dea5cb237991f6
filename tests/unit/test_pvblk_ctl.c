// SPDX-License-Identifier: GPL-2.0-or-later
/* devices/pv/pvblk_ctl: what stands in the store, and when rings are connected. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/pv/pvblk_ctl.h"
#include "tests/unit/fake_store.h"

#define BACK  "/local/domain/0/backend/vbd/7/51712"
#define FRONT "/local/domain/7/device/vbd/51712"

struct rig {
    struct fake_store store;
    struct pvblk_ctl *ctl;
    struct pvblk_rings rings;
    unsigned connects, disconnects, gone, logged;
};

static void on_connect(void *ctx, const struct pvblk_rings *rings)
{
    struct rig *rig = ctx;

    rig->connects++;
    rig->rings = *rings;
}

static void on_disconnect(void *ctx)
{
    ((struct rig *)ctx)->disconnects++;
}

static void on_gone(void *ctx)
{
    ((struct rig *)ctx)->gone++;
}

static void on_log(void *ctx, const char *what, const char *why)
{
    assert_true(*what && *why);
    ((struct rig *)ctx)->logged++;
}

static const struct pvblk_ctl_ops ops = {
    .connect = on_connect, .disconnect = on_disconnect, .gone = on_gone, .log = on_log};

static void back(struct rig *rig, const char *node, const char *value)
{
    fake_store_set(&rig->store, BACK, node, value);
}

static void front(struct rig *rig, const char *node, const char *value)
{
    fake_store_set(&rig->store, FRONT, node, value);
}

static void front_state(struct rig *rig, const char *state)
{
    front(rig, "state", state);
    pvblk_ctl_event(rig->ctl);
}

static void assert_node(struct rig *rig, const char *node, const char *value)
{
    const char *is = fake_store_get(&rig->store, BACK, node);

    if (!value) {
        assert_null(is);
        return;
    }
    assert_non_null(is);
    assert_string_equal(is, value);
}

static struct pvblk_ctl_params params_of(struct rig *rig)
{
    return (struct pvblk_ctl_params){
        .bus = &rig->store.bus,
        .backend = BACK,
        .frontend_id = 7,
        .max_queues = 4,
        .disk = {.sectors = 4096,
                 .physical_block = 4096,
                 .discard = true,
                 .discard_granularity = 65536},
        .ops = &ops,
        .ctx = rig,
    };
}

/* As libxl leaves it. */
static int setup_store(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    assert_non_null(rig);
    fake_store_init(&rig->store);
    back(rig, "frontend", FRONT);
    back(rig, "frontend-id", "7");
    back(rig, "online", "1");
    back(rig, "state", "1");
    front(rig, "state", "1");
    *state = rig;
    return 0;
}

static int setup(void **state)
{
    struct rig *rig;
    struct pvblk_ctl_params params;

    setup_store(state);
    rig = *state;
    params = params_of(rig);
    assert_int_equal(pvblk_ctl_create(&params, &rig->ctl), 0);
    pvblk_ctl_event(rig->ctl);
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    pvblk_ctl_destroy(rig->ctl);
    free(rig);
    return 0;
}

static void offer_ring(struct rig *rig)
{
    front(rig, "ring-ref", "8");
    front(rig, "event-channel", "12");
}

static void connect_it(struct rig *rig)
{
    offer_ring(rig);
    front_state(rig, "3");
    assert_int_equal(rig->connects, 1);
    pvblk_ctl_connected(rig->ctl, 0);
    assert_node(rig, "state", "4");
    front_state(rig, "4");
}

static void what_the_disk_can_do_is_written_before_the_frontend_decides(void **state)
{
    struct rig *rig = *state;

    assert_node(rig, "state", "2");
    assert_node(rig, "feature-flush-cache", "1");
    assert_node(rig, "feature-barrier", "1");
    assert_node(rig, "feature-persistent", "0");
    assert_node(rig, "feature-discard", "1");
    assert_node(rig, "discard-granularity", "65536");
    assert_node(rig, "discard-alignment", "0");
    assert_node(rig, "discard-secure", "0");
    assert_node(rig, "feature-max-indirect-segments", "256");
    assert_node(rig, "max-ring-page-order", "4");
    assert_node(rig, "multi-queue-max-queues", "4");
    assert_node(rig, "sectors", NULL);
    assert_int_equal(rig->connects, 0);
    assert_string_equal(pvblk_ctl_frontend(rig->ctl), FRONT);
}

static void a_disk_without_discard_has_no_granularity(void **state)
{
    struct rig *rig = *state;
    struct pvblk_ctl_params params = params_of(rig);

    params.disk.discard = false;
    assert_int_equal(pvblk_ctl_create(&params, &rig->ctl), 0);
    assert_node(rig, "feature-discard", "0");
    assert_node(rig, "discard-granularity", NULL);
}

static void one_ring_is_connected_and_the_disk_described(void **state)
{
    struct rig *rig = *state;

    offer_ring(rig);
    front_state(rig, "3");
    assert_int_equal(rig->connects, 1);
    assert_node(rig, "state", "2");
    pvblk_ctl_event(rig->ctl);
    assert_int_equal(rig->connects, 1);
    assert_int_equal(rig->rings.n_queues, 1);
    assert_int_equal(rig->rings.ring_order, 0);
    assert_int_equal(rig->rings.protocol, BLKIF_NATIVE);
    assert_int_equal(rig->rings.queue[0].ring_ref[0], 8);
    assert_int_equal(rig->rings.queue[0].event_channel, 12);
    pvblk_ctl_connected(rig->ctl, 0);
    assert_node(rig, "state", "4");
    assert_node(rig, "sectors", "4096");
    assert_node(rig, "sector-size", "512");
    assert_node(rig, "physical-sector-size", "4096");
    assert_node(rig, "info", "0");
    assert_int_equal(pvblk_ctl_state(rig->ctl), XENBUS_CONNECTED);
}

static void queues_and_longer_rings_lie_in_their_own_nodes(void **state)
{
    struct rig *rig = *state;

    front(rig, "protocol", "x86_32-abi");
    front(rig, "multi-queue-num-queues", "2");
    front(rig, "ring-page-order", "1");
    front(rig, "queue-0/ring-ref0", "10");
    front(rig, "queue-0/ring-ref1", "11");
    front(rig, "queue-0/event-channel", "1");
    front(rig, "queue-1/ring-ref0", "4294967295");
    front(rig, "queue-1/ring-ref1", "0");
    front(rig, "queue-1/event-channel", "2");
    front_state(rig, "3");
    assert_int_equal(rig->connects, 1);
    assert_int_equal(rig->rings.n_queues, 2);
    assert_int_equal(rig->rings.ring_order, 1);
    assert_int_equal(rig->rings.protocol, BLKIF_X86_32);
    assert_int_equal(rig->rings.queue[0].ring_ref[1], 11);
    assert_int_equal(rig->rings.queue[1].ring_ref[0], UINT32_MAX);
    assert_int_equal(rig->rings.queue[1].event_channel, 2);
}

static void a_ring_of_one_page_may_be_numbered(void **state)
{
    struct rig *rig = *state;

    front(rig, "protocol", "x86_64-abi");
    front(rig, "ring-page-order", "0");
    front(rig, "ring-ref0", "10");
    front(rig, "event-channel", "1");
    front_state(rig, "3");
    assert_int_equal(rig->connects, 1);
    assert_int_equal(rig->rings.protocol, BLKIF_X86_64);
    assert_int_equal(rig->rings.queue[0].ring_ref[0], 10);
}

static void what_no_frontend_says_closes_the_device(void **state)
{
    static const struct {
        const char *node, *value;
    } bad[] = {
        {"protocol", "arm-abi"},
        {"protocol", ""},
        {"protocol", "x86_64-abix"},
        {"multi-queue-num-queues", "0"},
        {"multi-queue-num-queues", "5"},
        {"multi-queue-num-queues", "4294967297"},
        {"multi-queue-num-queues", "-1"},
        {"multi-queue-num-queues", "99999999999999999999999999999999"},
        {"multi-queue-num-queues", "2"}, /* and no queues */
        {"ring-page-order", "5"},
        {"ring-page-order", "31"},
        {"ring-page-order", "4294967295"},
        {"ring-page-order", "1"}, /* and one reference */
        {"ring-page-order", "0x0"},
        {"ring-ref", ""},
        {"ring-ref", "4294967296"},
        {"ring-ref", "8 "},
        {"ring-ref", " 8"},
        {"ring-ref", "+8"},
        {"ring-ref", "8\n"},
        {"ring-ref", "00000000000000000000000000000000000000000000000000000000000000000000008"},
        {"event-channel", "0"},
        {"event-channel", "x"},
        {"event-channel", "12345678901"},
    };
    struct rig *rig = *state;

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        unsigned logged = rig->logged, writes;

        fake_store_remove(&rig->store, FRONT);
        offer_ring(rig);
        front_state(rig, "1");
        assert_node(rig, "state", "2");
        front(rig, bad[i].node, bad[i].value);
        front_state(rig, "3");
        assert_node(rig, "state", "5");
        assert_int_equal(rig->connects, 0);
        assert_int_equal(rig->logged, logged + 1);
        /* It is not asked again and again. */
        writes = rig->store.writes;
        front_state(rig, "4");
        pvblk_ctl_event(rig->ctl);
        assert_int_equal(rig->logged, logged + 1);
        assert_int_equal(rig->store.writes, writes);
        front_state(rig, "6");
        assert_node(rig, "state", "6");
    }
    fake_store_remove(&rig->store, FRONT);
    front_state(rig, "1");
    connect_it(rig);
}

static void values_with_zeroes_and_long_ones_are_no_numbers(void **state)
{
    struct rig *rig = *state;
    char big[300];

    memset(big, '1', sizeof(big));
    offer_ring(rig);
    fake_store_set_bytes(&rig->store, FRONT, "ring-ref", "8\0009", 3);
    front_state(rig, "3");
    assert_node(rig, "state", "5");
    front_state(rig, "6");
    front_state(rig, "1");
    offer_ring(rig);
    fake_store_set_bytes(&rig->store, FRONT, "event-channel", big, sizeof(big));
    front_state(rig, "3");
    assert_node(rig, "state", "5");
    assert_int_equal(rig->connects, 0);
}

static void states_that_are_none_are_no_frontend(void **state)
{
    static const char *const none[] = {"", "7", "8", "03 ", "4294967299", "x", "-3"};
    struct rig *rig = *state;

    offer_ring(rig);
    for (unsigned i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        front_state(rig, none[i]);
        assert_int_equal(rig->connects, 0);
        assert_node(rig, "state", "2");
    }
    connect_it(rig);
    front_state(rig, "x");
    assert_int_equal(rig->disconnects, 1);
    pvblk_ctl_drained(rig->ctl);
    assert_node(rig, "state", "6");
}

static void a_frontend_that_closes_is_closed_when_nothing_is_in_flight(void **state)
{
    struct rig *rig = *state;

    connect_it(rig);
    front_state(rig, "5");
    assert_node(rig, "state", "5");
    assert_int_equal(rig->disconnects, 1);
    front_state(rig, "6");
    assert_node(rig, "state", "5");
    assert_int_equal(rig->disconnects, 1);
    pvblk_ctl_drained(rig->ctl);
    assert_node(rig, "state", "6");
    assert_int_equal(rig->gone, 0);
    assert_int_equal(rig->logged, 0);
}

static void a_frontend_may_begin_anew(void **state)
{
    struct rig *rig = *state;

    for (unsigned i = 0; i < 3; i++) {
        rig->connects = 0;
        connect_it(rig);
        front_state(rig, "5");
        pvblk_ctl_drained(rig->ctl);
        front_state(rig, "6");
        front_state(rig, "1");
        assert_node(rig, "state", "2");
    }
}

/* A kernel that was started by another (kexec), or a driver that lost its state. */
static void a_frontend_that_begins_anew_without_closing_waits_for_the_old_requests(void **state)
{
    struct rig *rig = *state;

    connect_it(rig);
    front_state(rig, "1");
    assert_int_equal(rig->disconnects, 1);
    assert_node(rig, "state", "5");
    rig->connects = 0;
    front_state(rig, "3"); /* too early */
    assert_int_equal(rig->connects, 0);
    front_state(rig, "1");
    pvblk_ctl_drained(rig->ctl);
    assert_node(rig, "state", "2");
    connect_it(rig);
}

static void a_frontend_that_changes_its_mind_while_rings_connect(void **state)
{
    struct rig *rig = *state;

    offer_ring(rig);
    front_state(rig, "3");
    front_state(rig, "6");
    assert_int_equal(rig->disconnects, 1);
    pvblk_ctl_connected(rig->ctl, 0); /* crossed */
    assert_node(rig, "state", "5");
    pvblk_ctl_drained(rig->ctl);
    assert_node(rig, "state", "6");
    assert_node(rig, "sectors", NULL);
}

static void rings_that_cannot_be_mapped_close_the_device(void **state)
{
    struct rig *rig = *state;

    offer_ring(rig);
    front_state(rig, "3");
    pvblk_ctl_connected(rig->ctl, -EACCES);
    assert_node(rig, "state", "5");
    assert_int_equal(rig->logged, 1);
    assert_int_equal(rig->disconnects, 0);
    front_state(rig, "6");
    assert_node(rig, "state", "6");
    front_state(rig, "1");
    rig->connects = 0;
    connect_it(rig);
}

static void a_ring_that_breaks_closes_the_device(void **state)
{
    struct rig *rig = *state;

    connect_it(rig);
    pvblk_ctl_broken(rig->ctl, "more requests than room");
    assert_node(rig, "state", "5");
    assert_int_equal(rig->disconnects, 1);
    pvblk_ctl_broken(rig->ctl, "again");
    assert_int_equal(rig->disconnects, 1);
    pvblk_ctl_drained(rig->ctl);
    assert_node(rig, "state", "5");
    front_state(rig, "6");
    assert_node(rig, "state", "6");
}

/* xl block-detach: online 0 and Closing, then it waits for Closed. */
static void a_detached_disk_waits_for_its_frontend_and_is_gone(void **state)
{
    struct rig *rig = *state;

    connect_it(rig);
    back(rig, "online", "0");
    back(rig, "state", "5");
    pvblk_ctl_event(rig->ctl);
    assert_int_equal(rig->disconnects, 1);
    pvblk_ctl_drained(rig->ctl);
    assert_node(rig, "state", "5");
    assert_int_equal(rig->gone, 0);
    front_state(rig, "5");
    front_state(rig, "6");
    assert_node(rig, "state", "6");
    assert_int_equal(rig->gone, 1);
    pvblk_ctl_event(rig->ctl);
    assert_int_equal(rig->gone, 1);
}

static void a_detached_disk_that_nobody_uses_is_gone_at_once(void **state)
{
    struct rig *rig = *state;

    back(rig, "online", "0");
    back(rig, "state", "5");
    pvblk_ctl_event(rig->ctl);
    assert_node(rig, "state", "6");
    assert_int_equal(rig->gone, 1);
}

/* xl destroy: the frontend's directory goes first, then ours. */
static void a_disk_of_a_destroyed_guest_is_gone_and_not_written_again(void **state)
{
    struct rig *rig = *state;
    unsigned writes;

    connect_it(rig);
    fake_store_remove(&rig->store, FRONT);
    fake_store_remove(&rig->store, BACK);
    writes = rig->store.writes;
    pvblk_ctl_event(rig->ctl);
    assert_int_equal(rig->disconnects, 1);
    assert_int_equal(rig->gone, 0);
    pvblk_ctl_drained(rig->ctl);
    assert_int_equal(rig->gone, 1);
    assert_int_equal(rig->store.writes, writes);
    assert_null(fake_store_get(&rig->store, BACK, "state"));
}

static void a_directory_that_goes_while_rings_connect_is_not_written_again(void **state)
{
    for (int error = 0; error >= -EACCES; error -= EACCES) {
        struct rig *rig = *state;

        offer_ring(rig);
        front_state(rig, "3");
        fake_store_remove(&rig->store, BACK);
        rig->store.writes = 0;
        pvblk_ctl_connected(rig->ctl, error);
        if (!error)
            pvblk_ctl_drained(rig->ctl);
        assert_int_equal(rig->gone, 1);
        assert_int_equal(rig->store.writes, 0);
        teardown(state);
        setup(state);
    }
}

static void a_connected_frontend_is_told_of_another_size(void **state)
{
    struct rig *rig = *state;

    connect_it(rig);
    rig->store.writes = 0;
    pvblk_ctl_resized(rig->ctl, 8191);
    assert_node(rig, "sectors", "8191");
    assert_node(rig, "physical-sector-size", "512"); /* 8191 are no whole blocks */
    assert_node(rig, "state", "4");
    assert_true(rig->store.writes > 0);
}

static void a_directory_of_another_guest_is_refused(void **state)
{
    static const struct {
        const char *node, *value;
    } bad[] = {{"frontend-id", "8"},
               {"frontend-id", ""},
               {"frontend", ""},
               {"frontend", "local/domain/7/device/vbd/51712"}};
    struct rig *rig = *state;
    struct pvblk_ctl_params params = params_of(rig);

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        back(rig, "frontend", FRONT);
        back(rig, "frontend-id", "7");
        back(rig, bad[i].node, bad[i].value);
        assert_int_equal(pvblk_ctl_create(&params, &rig->ctl), -EINVAL);
    }
    back(rig, "frontend", FRONT);
    fake_store_remove(&rig->store, BACK "/state");
    assert_int_equal(pvblk_ctl_create(&params, &rig->ctl), -EINVAL);
    rig->store.error = -EIO;
    assert_int_equal(pvblk_ctl_create(&params, &rig->ctl), -EIO);
    rig->store.error = 0;
    assert_int_equal(rig->store.writes, 0);
}

static void a_connected_frontend_of_a_backend_that_died_is_taken_over(void **state)
{
    struct rig *rig = *state;
    struct pvblk_ctl_params params = params_of(rig);

    back(rig, "state", "4");
    front(rig, "state", "4");
    offer_ring(rig);
    assert_int_equal(pvblk_ctl_create(&params, &rig->ctl), 0);
    pvblk_ctl_event(rig->ctl);
    assert_int_equal(rig->connects, 1);
    pvblk_ctl_connected(rig->ctl, 0);
    assert_node(rig, "state", "4");
}

static void a_directory_that_is_closing_already_is_ended(void **state)
{
    struct rig *rig = *state;
    struct pvblk_ctl_params params = params_of(rig);

    back(rig, "state", "5");
    back(rig, "online", "0");
    assert_int_equal(pvblk_ctl_create(&params, &rig->ctl), 0);
    pvblk_ctl_event(rig->ctl);
    assert_node(rig, "state", "6");
    assert_int_equal(rig->gone, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define S(name) cmocka_unit_test_setup_teardown(name, setup_store, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_the_disk_can_do_is_written_before_the_frontend_decides),
        S(a_disk_without_discard_has_no_granularity),
        T(one_ring_is_connected_and_the_disk_described),
        T(queues_and_longer_rings_lie_in_their_own_nodes),
        T(a_ring_of_one_page_may_be_numbered),
        T(what_no_frontend_says_closes_the_device),
        T(values_with_zeroes_and_long_ones_are_no_numbers),
        T(states_that_are_none_are_no_frontend),
        T(a_frontend_that_closes_is_closed_when_nothing_is_in_flight),
        T(a_frontend_may_begin_anew),
        T(a_frontend_that_begins_anew_without_closing_waits_for_the_old_requests),
        T(a_frontend_that_changes_its_mind_while_rings_connect),
        T(rings_that_cannot_be_mapped_close_the_device),
        T(a_ring_that_breaks_closes_the_device),
        T(a_detached_disk_waits_for_its_frontend_and_is_gone),
        T(a_detached_disk_that_nobody_uses_is_gone_at_once),
        T(a_disk_of_a_destroyed_guest_is_gone_and_not_written_again),
        T(a_directory_that_goes_while_rings_connect_is_not_written_again),
        T(a_connected_frontend_is_told_of_another_size),
        S(a_directory_of_another_guest_is_refused),
        S(a_connected_frontend_of_a_backend_that_died_is_taken_over),
        S(a_directory_that_is_closing_already_is_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
