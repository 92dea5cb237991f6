/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The numbers of a daemon whose guests do what the test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/stats.h"
#include "tests/unit/guest_rig.h"

static struct guest_rig the_rig;
static struct rig_outcome outcome;

static int setup(void **state)
{
    guest_rig_start(&the_rig);
    *state = &the_rig;
    return 0;
}

static int teardown(void **state)
{
    guest_rig_stop(*state);
    return 0;
}

struct asked {
    struct hv_guest *guest;
    uint32_t vcpu;
};

static bool is_answered(struct guest_rig *rig, void *arg)
{
    const struct asked *asked = arg;

    return guest_rig_answered(asked->guest, asked->vcpu);
}

static void ask(struct guest_rig *rig, uint32_t vcpu, unsigned times)
{
    struct asked asked = {.guest = rig->last, .vcpu = vcpu};

    for (unsigned i = 0; i < times; i++) {
        guest_rig_ask(asked.guest, vcpu, 0x1f7);
        guest_rig_kick(asked.guest, false);
        guest_rig_run(rig, is_answered, &asked);
    }
}

static void ask_string(struct guest_rig *rig, uint32_t vcpu, uint32_t count)
{
    struct asked asked = {.guest = rig->last, .vcpu = vcpu};

    __atomic_store_n(&rig->pin_error, 0, __ATOMIC_RELEASE);
    guest_rig_ask_string(asked.guest, vcpu, 0x1f0, count, true);
    guest_rig_kick(asked.guest, false);
    guest_rig_run(rig, is_answered, &asked);
}

static void attach(struct guest_rig *rig)
{
    guest_rig_attach(rig,
                     "{'name': 'a', 'disks': [{'vdev': 'hda', 'format': 'mem', 'size': '1M'},"
                     "{'vdev': 'hdc', 'type': 'cdrom'}]}",
                     &outcome);
    guest_rig_settle(rig, 1);
    assert_int_equal(outcome.err, 0);
}

/* The number at a path of keys and indices ("guests/0/bytes"); -1: there is none. */
static json_int_t at(const json_t *from, const char *path)
{
    char steps[128], *save, *step;

    snprintf(steps, sizeof(steps), "%s", path);
    for (step = strtok_r(steps, "/", &save); step; step = strtok_r(NULL, "/", &save))
        from = json_is_array(from) ? json_array_get(from, (size_t)(step[0] - '0'))
                                   : json_object_get(from, step);
    return from ? json_integer_value(from) : -1;
}

static void requests_are_counted_by_vcpu_type_and_size(void **state)
{
    struct guest_rig *rig = *state;
    json_t *stats;

    /* Events are vCPU 0's; what the other asks is found by watching. */
    rig->daemon.worker[0]->watcher.limit_ns = UINT64_C(10000000000); /* no guest runs yet */
    attach(rig);
    ask(rig, 0, 3);
    ask(rig, 1, 2);
    ask_string(rig, 1, 100);
    stats = daemon_stats_of(&rig->daemon, NULL, false);
    assert_int_equal(at(stats, "guests/0/ioreqs/pio_read"), 6);
    assert_int_equal(at(stats, "guests/0/accesses/pio_read/1"), 6);
    assert_int_equal(at(stats, "guests/0/bytes"), 3 + 2 + 100);
    assert_int_equal(at(stats, "guests/0/vcpus/0/vcpu"), 0);
    assert_int_equal(at(stats, "guests/0/vcpus/0/accesses/pio_read/1"), 3);
    assert_int_equal(at(stats, "guests/0/vcpus/0/bytes"), 3);
    assert_int_equal(at(stats, "guests/0/vcpus/1/accesses/pio_read/1"), 3);
    assert_int_equal(at(stats, "guests/0/vcpus/1/bytes"), 102);
    assert_int_equal(at(stats, "guests/0/vcpus/1/accesses/pio_write/1"), -1);
    json_decref(stats);
}

/* Each waits for the one before, so no turn has more than one of them. */
static void a_few_of_the_round_trips_are_timed(void **state)
{
    struct guest_rig *rig = *state;
    json_int_t timed;
    json_t *stats;

    rig->daemon.worker[0]->watcher.limit_ns = 0; /* no guest runs yet */
    attach(rig);
    ask(rig, 0, 4 * WATCH_TIMED);
    stats = daemon_stats_of(&rig->daemon, NULL, true);
    timed = at(stats, "guests/0/round_trip/count");
    assert_true(timed >= 1 && timed <= 5);
    assert_int_equal(at(stats, "guests/0/vcpus/0/round_trip/count"), timed);
    assert_int_equal(at(stats, "guests/0/vcpus/1/round_trip/count"), -1);
    assert_int_equal(at(stats, "daemon/workers/0/round_trip/count"), timed);
    assert_true(at(stats, "guests/0/round_trip/max_ns") > 0);
    assert_true(at(stats, "guests/0/round_trip/p50_ns") <= at(stats, "guests/0/round_trip/max_ns"));
    json_decref(stats);
}

static void a_worker_keeps_what_its_former_guests_took(void **state)
{
    struct guest_rig *rig = *state;
    json_int_t before;
    json_t *stats;

    attach(rig);
    ask(rig, 0, 4 * WATCH_TIMED);
    stats = daemon_stats_of(&rig->daemon, NULL, false);
    before = at(stats, "daemon/workers/0/round_trip/count");
    json_decref(stats);
    guest_detach(rig->daemon.guests, NULL, NULL);
    guest_rig_settle(rig, 0);
    stats = daemon_stats_of(&rig->daemon, NULL, false);
    assert_true(before >= 1);
    assert_int_equal(at(stats, "daemon/workers/0/round_trip/count"), before);
    json_decref(stats);
}

static void buckets_are_told_to_who_asks_for_them(void **state)
{
    struct guest_rig *rig = *state;
    struct histogram histogram = {0};
    struct histogram_sum sum = {0};
    json_t *object = json_object();

    (void)rig;
    histogram_add(&histogram, 100);
    histogram_add(&histogram, 100);
    histogram_add(&histogram, 5000);
    histogram_read(&histogram, &sum);
    stats_add_histogram(object, "without", &sum, false);
    stats_add_histogram(object, "with", &sum, true);
    assert_int_equal(at(object, "without/count"), 3);
    assert_int_equal(at(object, "without/p50_ns"), 127);
    assert_int_equal(at(object, "without/buckets/0/0"), -1);
    assert_int_equal(at(object, "with/buckets/0/0"), 128);
    assert_int_equal(at(object, "with/buckets/0/1"), 2);
    assert_int_equal(at(object, "with/buckets/1/0"), 5120);
    assert_int_equal(at(object, "with/buckets/1/1"), 1);
    json_decref(object);
}

static void disks_have_sizes_and_latencies(void **state)
{
    struct guest_rig *rig = *state;
    struct blk_histograms *histograms;
    json_t *stats;

    attach(rig);
    histograms = rig->daemon.guests->vm->drive[0].histograms;
    histogram_add(&histograms->latency[BLK_WRITE], 3000000);
    histograms->writes[3] = 1;
    stats = daemon_stats_of(&rig->daemon, NULL, false);
    assert_int_equal(at(stats, "guests/0/disks/0/latency/write/max_ns"), 3000000);
    assert_int_equal(at(stats, "guests/0/disks/0/latency/read/count"), -1);
    assert_int_equal(at(stats, "guests/0/disks/0/write_sizes/3"), 1);
    assert_int_equal(at(stats, "guests/0/disks/0/read_sizes/3"), 0);
    assert_int_equal(at(stats, "guests/0/disks/1/in_flight_max"), 0); /* an empty drive */
    json_decref(stats);
}

static void samples_of_a_guest_go_on_without_it(void **state)
{
    struct guest_rig *rig = *state;
    const char *heard;
    int fd = guest_rig_dial(rig);

    attach(rig);
    guest_rig_say(fd, "{'id': 1, 'method': 'subscribe', 'params': {'guest': 'b'}}");
    assert_non_null(strstr(guest_rig_hear(rig, fd), "no guest b"));
    guest_rig_say(fd, "{'id': 1, 'method': 'subscribe', 'params': {'guest': 'a',"
                      "'interval_ms': 100}}");
    assert_non_null(strstr(guest_rig_hear(rig, fd), "\"interval_ms\":100"));
    heard = guest_rig_hear(rig, fd);
    assert_non_null(strstr(heard, "\"sequence\":0,\"lost\":0"));
    assert_non_null(strstr(heard, "\"name\":\"a\""));
    guest_detach(rig->daemon.guests, NULL, NULL);
    guest_rig_settle(rig, 0);
    do /* one may have been on its way */
        heard = guest_rig_hear(rig, fd);
    while (strstr(heard, "\"name\":\"a\""));
    assert_non_null(strstr(heard, "\"guests\":[]"));
    close(fd);
}

static void the_process_tells_of_itself(void **state)
{
    json_t *process = stats_process();

    assert_true(at(process, "resident_bytes") > 65536);
    assert_true(at(process, "virtual_bytes") >= at(process, "resident_bytes"));
    assert_int_equal(at(process, "descriptors"), guest_rig_descriptors());
    assert_true(at(process, "descriptors_max") > at(process, "descriptors"));
    json_decref(process);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(requests_are_counted_by_vcpu_type_and_size),
        TEST(a_few_of_the_round_trips_are_timed),
        TEST(a_worker_keeps_what_its_former_guests_took),
        TEST(buckets_are_told_to_who_asks_for_them),
        TEST(disks_have_sizes_and_latencies),
        TEST(samples_of_a_guest_go_on_without_it),
        TEST(the_process_tells_of_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
