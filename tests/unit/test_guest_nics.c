/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NICs of a guest from the control side: opened, changed while it runs, gone without a trace. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/guest_nics.h"
#include "devices/backend/net_internal.h"
#include "tests/unit/guest_rig.h"
#include "tests/unit/json_text.h"

static struct rig_outcome outcome;

static int setup(void **state)
{
    static struct guest_rig rig;

    memset(&outcome, 0, sizeof(outcome));
    guest_rig_start(&rig);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    guest_rig_stop(*state);
    return 0;
}

static const char *in_dir(struct guest_rig *rig, const char *name)
{
    static char path[4][128];
    static unsigned next;

    next = (next + 1) % 4;
    snprintf(path[next], sizeof(path[next]), "%s/%s", rig->dir, name);
    return path[next];
}

static bool exists(const char *path)
{
    struct stat st;

    return !lstat(path, &st);
}

static void attach(struct guest_rig *rig, const char *nics)
{
    static char json[1024];

    snprintf(json, sizeof(json), "{'name': 'a', 'nics': [%s]}", nics);
    guest_rig_attach(rig, json, &outcome);
}

/* ---- changes, and what comes of them ---- */

struct answer {
    bool told;
    int err;
    char why[GUEST_WHY_SIZE];
};

static void on_answer(void *ctx, int err, const char *why)
{
    struct answer *answer = ctx;

    assert_false(answer->told);
    answer->told = true;
    answer->err = err;
    snprintf(answer->why, sizeof(answer->why), "%s", why);
}

static bool is_told(struct guest_rig *rig, void *arg)
{
    return ((struct answer *)arg)->told;
}

static int add(struct guest_rig *rig, const char *text, struct answer *ret_answer)
{
    struct nic_config config;
    struct config_error error;
    json_t *object = json_text(text);

    assert_int_equal(nic_config_from_json(object, &config, &error), 0);
    json_decref(object);
    *ret_answer = (struct answer){0};
    guest_nic_add(rig->daemon.guests, &config, on_answer, ret_answer);
    guest_rig_run(rig, is_told, ret_answer);
    return ret_answer->err;
}

static int remove_nic(struct guest_rig *rig, unsigned number, bool force)
{
    struct answer answer = {0};

    guest_nic_remove(rig->daemon.guests, number, force, on_answer, &answer);
    guest_rig_run(rig, is_told, &answer);
    return answer.err;
}

static bool nic_is_gone(struct guest_rig *rig, void *arg)
{
    return !guest_has_nic(rig->daemon.guests, *(unsigned *)arg);
}

static json_t *nic_stats(struct guest_rig *rig, size_t index)
{
    json_t *stats = daemon_stats(&rig->daemon, NULL);
    json_t *guest = json_array_get(json_object_get(stats, "guests"), 0);
    json_t *nic = json_array_get(json_object_get(guest, "nics"), index);

    json_incref(nic);
    json_decref(stats);
    return nic;
}

static void every_way_out_is_opened_and_nothing_is_left(void **state)
{
    struct guest_rig *rig = *state;
    unsigned descriptors = guest_rig_descriptors();
    char nics[800];

    for (unsigned i = 0; i < 3; i++) {
        snprintf(nics, sizeof(nics),
                 "{'backend': 'null'}, {'backend': 'user'},"
                 "{'backend': 'socket', 'path': '%s', 'peer': '/nonexistent'},"
                 "{'backend': 'socket', 'mode': 'listen', 'path': '%s'}",
                 in_dir(rig, "d"), in_dir(rig, "l"));
        attach(rig, nics);
        guest_rig_settle(rig, 1);
        if (outcome.err)
            fail_msg("%s", outcome.why);
        assert_true(exists(in_dir(rig, "d")) && exists(in_dir(rig, "l")));
        for (unsigned j = 0; j < 4; j++) {
            json_t *nic = nic_stats(rig, j);

            assert_int_equal(json_integer_value(json_object_get(nic, "devid")), j);
            json_decref(nic);
        }
        guest_detach(rig->daemon.guests, NULL, NULL);
        guest_rig_settle(rig, 0);
        assert_int_equal(guest_rig_descriptors(), descriptors);
        assert_false(exists(in_dir(rig, "d")) || exists(in_dir(rig, "l")));
        memset(&outcome, 0, sizeof(outcome));
    }
}

static void what_cannot_be_opened_is_named(void **state)
{
    struct guest_rig *rig = *state;
    unsigned descriptors = guest_rig_descriptors();
    char nics[300];
    FILE *file;

    attach(rig, "{'backend': 'socket', 'mode': 'connect', 'path': '/nonexistent/s'}");
    guest_rig_settle(rig, 0);
    assert_int_equal(outcome.err, -ENOENT);
    assert_non_null(strstr(outcome.why, "NIC 0"));
    attach(rig, "{'backend': 'null'}, {'devid': 5, 'backend': 'macvtap', 'ifname': 'nothere0'}");
    guest_rig_settle(rig, 0);
    assert_int_equal(outcome.err, -ENODEV);
    assert_non_null(strstr(outcome.why, "NIC 5"));
    file = fopen(in_dir(rig, "no.rom"), "w");
    for (unsigned i = 0; i < 1024; i++)
        fputc(0, file);
    fclose(file);
    snprintf(nics, sizeof(nics), "{'backend': 'null', 'rom': '%s'}", in_dir(rig, "no.rom"));
    attach(rig, nics);
    guest_rig_settle(rig, 0);
    assert_int_equal(outcome.err, -EINVAL);
    assert_non_null(strstr(outcome.why, "55 aa"));
    unlink(in_dir(rig, "no.rom"));
    assert_int_equal(guest_rig_descriptors(), descriptors);
}

static void two_guests_share_a_rom(void **state)
{
    struct guest_rig *rig = *state;
    FILE *file = fopen(in_dir(rig, "x.rom"), "w");
    char json[300];

    fputs("\x55\xaa", file);
    for (unsigned i = 0; i < 2046; i++)
        fputc((int)i, file);
    fclose(file);
    for (unsigned i = 0; i < 2; i++) {
        snprintf(json, sizeof(json), "{'name': 'g%u', 'nics': [{'backend': 'null', 'rom': '%s'}]}",
                 i, in_dir(rig, "x.rom"));
        guest_rig_attach(rig, json, &outcome);
        guest_rig_settle(rig, i + 1);
        assert_int_equal(outcome.err, 0);
    }
    assert_ptr_equal(rig->daemon.guests->rom[0], rig->daemon.guests->next->rom[0]);
    assert_non_null(rig->daemon.guests->rom[0]);
    unlink(in_dir(rig, "x.rom"));
    guest_detach(rig->daemon.guests, NULL, NULL);
    guest_rig_settle(rig, 1);
    assert_non_null(rig->daemon.roms);
    guest_detach(rig->daemon.guests, NULL, NULL);
    guest_rig_settle(rig, 0);
    assert_null(rig->daemon.roms);
}

static void the_cable_is_pulled_and_plugged_in(void **state)
{
    struct guest_rig *rig = *state;
    struct answer answer = {0};
    json_t *nic;

    attach(rig, "{'backend': 'null', 'link': false}");
    guest_rig_settle(rig, 1);
    nic = nic_stats(rig, 0);
    assert_true(json_is_false(json_object_get(nic, "link")));
    json_decref(nic);
    guest_nic_link(rig->daemon.guests, 0, true, on_answer, &answer);
    guest_rig_run(rig, is_told, &answer);
    assert_int_equal(answer.err, 0);
    nic = nic_stats(rig, 0);
    assert_true(json_is_true(json_object_get(nic, "link")));
    json_decref(nic);
    answer.told = false;
    guest_nic_link(rig->daemon.guests, 3, true, on_answer, &answer);
    guest_rig_run(rig, is_told, &answer);
    assert_int_equal(answer.err, -ENOENT);
    assert_non_null(strstr(answer.why, "no NIC 3"));
}

static void a_capture_begins_and_ends(void **state)
{
    struct guest_rig *rig = *state;
    unsigned descriptors;
    const char *path = in_dir(rig, "c.pcap");
    json_t *nic;

    attach(rig, "{'backend': 'null'}");
    guest_rig_settle(rig, 1);
    descriptors = guest_rig_descriptors();
    for (unsigned i = 0; i < 2; i++) {
        struct answer answer = {0};
        struct stat st;

        guest_nic_capture(rig->daemon.guests, 0, path, 1 << 20, on_answer, &answer);
        guest_rig_run(rig, is_told, &answer);
        assert_int_equal(answer.err, i ? -EEXIST : 0); /* never over what is there */
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, 24);
    }
    nic = nic_stats(rig, 0);
    assert_non_null(json_object_get(nic, "capture"));
    json_decref(nic);
    struct answer answer = {0};
    guest_nic_capture(rig->daemon.guests, 0, NULL, 0, on_answer, &answer);
    guest_rig_run(rig, is_told, &answer);
    assert_int_equal(answer.err, 0);
    assert_int_equal(guest_rig_descriptors(), descriptors);
    nic = nic_stats(rig, 0);
    assert_null(json_object_get(nic, "capture"));
    json_decref(nic);
    unlink(path);
}

static void nics_come_and_go_while_statistics_are_read(void **state)
{
    struct guest_rig *rig = *state;
    struct answer answer;
    unsigned three = 3, descriptors;
    char text[200];

    attach(rig, "{'backend': 'null'}");
    guest_rig_settle(rig, 1);
    descriptors = guest_rig_descriptors();
    for (unsigned i = 0; i < 20; i++) {
        snprintf(text, sizeof(text),
                 "{'devid': 3, 'backend': 'socket', 'path': '%s', 'peer': '/p'}", in_dir(rig, "d"));
        assert_int_equal(add(rig, text, &answer), 0);
        assert_true(guest_has_nic(rig->daemon.guests, 3));
        assert_true(exists(in_dir(rig, "d")));
        assert_int_equal(add(rig, "{'devid': 3, 'backend': 'null'}", &answer), -EEXIST);
        assert_true(exists(in_dir(rig, "d"))); /* still the first one's */
        assert_int_equal(rig->daemon.guests->config.n_nics, 2);
        answer = (struct answer){0};
        guest_nic_remove(rig->daemon.guests, 3, true, on_answer, &answer);
        while (!answer.told) {
            json_decref(daemon_stats(&rig->daemon, NULL));
            ev_run(rig->daemon.ev, EVRUN_NOWAIT);
        }
        assert_int_equal(answer.err, 0);
        while (guest_has_nic(rig->daemon.guests, 3))
            json_decref(daemon_stats(&rig->daemon, NULL));
        assert_int_equal(remove_nic(rig, 3, true), -ENOENT);
        assert_int_equal(guest_rig_descriptors(), descriptors);
    }
    snprintf(text, sizeof(text),
             "{'devid': 3, 'backend': 'socket', 'path': '%s', 'peer': '/p', 'slot': 1}",
             in_dir(rig, "d"));
    assert_int_equal(add(rig, text, &answer), -EEXIST);
    assert_non_null(strstr(answer.why, "slot"));
    assert_false(exists(in_dir(rig, "d")));
    assert_int_equal(guest_rig_descriptors(), descriptors);
    assert_int_equal(add(rig, "{'devid': 3, 'backend': 'null'}", &answer), 0);
    assert_int_equal(remove_nic(rig, 3, false), 0); /* asked: the guest does not answer here */
    assert_false(nic_is_gone(rig, &three));
}

static void nics_do_not_hide_what_another_server_has(void **state)
{
    struct guest_rig *rig = *state;

    attach(rig, "{'backend': 'null', 'slot': 30}");
    guest_rig_settle(rig, 1);
    rig->domid--;
    guest_rig_attach(rig, "{'name': 'b', 'role': 'secondary', 'nics': [{'backend': 'null'}]}",
                     &outcome);
    guest_rig_settle(rig, 1);
    assert_int_equal(outcome.err, -EEXIST);
    assert_non_null(strstr(outcome.why, "PCI slot 30"));
    rig->domid--;
    guest_rig_attach(rig,
                     "{'name': 'b', 'role': 'secondary', 'slot': 31, 'nics': [{'backend': 'null'},"
                     "{'backend': 'null', 'slot': 5}]}",
                     &outcome);
    guest_rig_settle(rig, 2);
    assert_int_equal(outcome.err, 0);
    rig->domid--;
    guest_rig_attach(rig, "{'name': 'c', 'role': 'secondary', 'nics': [{'backend': 'null'}]}",
                     &outcome);
    guest_rig_settle(rig, 2);
    assert_int_equal(outcome.err, -EEXIST);
}

static bool is_answered(struct guest_rig *rig, void *arg)
{
    return guest_rig_answered(rig->last, 0);
}

/* The protocol's version, at a port that answers only when there is something to be unplugged
 * (Xen's docs/misc/hvm-emulated-unplug); after the worker has had all mail. */
static uint8_t unplug_version(struct guest_rig *rig)
{
    guest_rig_hold_worker(rig);
    guest_rig_release_worker(rig);
    guest_rig_ask(rig->last, 0, 0x12);
    guest_rig_kick(rig->last, false);
    guest_rig_run(rig, is_answered, NULL);
    return guest_rig_answer(rig->last, 0);
}

static bool has_returned(struct guest_rig *rig, void *arg)
{
    char answer[256];
    ssize_t n = recv(*(int *)arg, answer, sizeof(answer) - 1, MSG_DONTWAIT);

    answer[n > 0 ? n : 0] = '\0';
    return strstr(answer, "\"return\"");
}

/* As libxl unpauses a domain. */
static void cont(struct guest_rig *rig)
{
    static const char *const lines[] = {"{\"execute\":\"qmp_capabilities\"}\n",
                                        "{\"execute\":\"cont\"}\n"};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), listening;
    char why[OPENER_WHY_SIZE];

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", in_dir(rig, "qmp"));
    assert_int_equal(opener_listen(address.sun_path, SOCK_STREAM, 0600, "", &listening, why), 0);
    assert_int_equal(guest_qmp_add(rig->daemon.guests, listening), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(write(fd, lines[i], strlen(lines[i])), (ssize_t)strlen(lines[i]));
        guest_rig_run(rig, has_returned, &fd);
    }
    close(fd);
    unlink(address.sun_path);
}

/* libxl adds NICs to xenstore when the device model runs already. */
static void what_libxl_gives_nics_later_counts_from_the_first_cont(void **state)
{
    struct guest_rig *rig = *state;
    struct net *const *net;

    rig->have_pv = true;
    attach(rig, "{'devid': 0, 'backend': 'null'}, {'devid': 3, 'backend': 'null', 'rate': 5000}");
    guest_rig_settle(rig, 1);
    net = rig->daemon.guests->vm->net;
    assert_int_equal(unplug_version(rig), 0xff);
    assert_int_equal(net[0]->tx_bucket.rate, 0);
    rig->nics_have_pv = true;
    rig->credit = (struct hv_nic_credit){.bytes = 10000, .interval_us = 50000};
    cont(rig);
    assert_int_equal(unplug_version(rig), 1);
    assert_int_equal(net[0]->tx_bucket.rate, 200000);
    assert_int_equal(net[0]->tx_bucket.burst, 10000);
    assert_int_equal(net[3]->tx_bucket.rate, 5000); /* the description goes first */
    /* A `cont` after a pause changes nothing any more. */
    rig->nics_have_pv = false;
    guest_settle_pv(rig->daemon.guests);
    assert_int_equal(unplug_version(rig), 1);
    assert_int_equal(net[0]->tx_bucket.rate, 200000);
}

static void a_nic_without_a_pv_backend_keeps_the_guest_from_unplugging(void **state)
{
    struct guest_rig *rig = *state;

    rig->have_pv = true;
    attach(rig, "{'backend': 'null'}");
    guest_rig_settle(rig, 1);
    guest_settle_pv(rig->daemon.guests);
    assert_int_equal(unplug_version(rig), 0xff);
}

static void a_guest_that_ends_meanwhile_answers_all_the_same(void **state)
{
    struct guest_rig *rig = *state;
    struct answer answer = {0}, late = {0};

    attach(rig, "{'backend': 'null'}");
    guest_rig_settle(rig, 1);
    guest_rig_hold_worker(rig);
    guest_nic_link(rig->daemon.guests, 0, false, on_answer, &answer);
    guest_detach(rig->daemon.guests, NULL, NULL);
    guest_nic_link(rig->daemon.guests, 0, false, on_answer, &late);
    assert_true(late.told && late.err == -EINVAL);
    guest_rig_release_worker(rig);
    guest_rig_settle(rig, 0);
    assert_true(answer.told);
    assert_int_equal(answer.err, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_way_out_is_opened_and_nothing_is_left),
        TEST(what_cannot_be_opened_is_named),
        TEST(two_guests_share_a_rom),
        TEST(the_cable_is_pulled_and_plugged_in),
        TEST(a_capture_begins_and_ends),
        TEST(nics_come_and_go_while_statistics_are_read),
        TEST(nics_do_not_hide_what_another_server_has),
        TEST(what_libxl_gives_nics_later_counts_from_the_first_cont),
        TEST(a_nic_without_a_pv_backend_keeps_the_guest_from_unplugging),
        TEST(a_guest_that_ends_meanwhile_answers_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
