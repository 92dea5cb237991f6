/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A QMP monitor, command by command, as libxl speaks with it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/unit/qmp_rig.h"

static void the_greeting_has_an_integer_version(void **state)
{
    struct qmp_rig *f = *state;
    json_t *json = json_loads(qmp_rig_hear(f, f->client), 0, NULL);
    int major = -1, minor = -1, micro = -1;
    json_t *capabilities;

    assert_int_equal(json_unpack(json, "{s:{s:{s:{s:i, s:i, s:i}}, s:o}}", "QMP", "version", "qemu",
                                 "major", &major, "minor", &minor, "micro", &micro, "capabilities",
                                 &capabilities),
                     0);
    assert_true(major > 2); /* libxl knows new forms of its commands by it */
    assert_true(minor >= 0 && micro >= 0 && json_is_array(capabilities));
    json_decref(json);
}

static void nothing_is_done_before_negotiation(void **state)
{
    struct qmp_rig *f = *state;

    qmp_rig_hear(f, f->client);
    assert_fails(f, "{\"execute\":\"stop\"}\r\n", "CommandNotFound", "qmp_capabilities");
    assert_true(f->running);
    qmp_rig_negotiate(f);
    assert_fails(f, "{\"execute\":\"qmp_capabilities\"}\r\n", "CommandNotFound", "already");
}

static void the_id_comes_back_whatever_it_is(void **state)
{
    struct qmp_rig *f = *state;

    qmp_rig_negotiate(f);
    assert_string_equal(qmp_rig_talk(f, "{\"execute\":\"cont\",\"id\":2020372736}\r\n"),
                        "{\"return\":{},\"id\":2020372736}\r\n");
    assert_string_equal(qmp_rig_talk(f, "{\"execute\":\"cont\",\"id\":{\"a\":[1]}}"),
                        "{\"return\":{},\"id\":{\"a\":[1]}}\r\n");
    assert_non_null(
        strstr(qmp_rig_talk(f, "{\"execute\":\"nonsense\",\"id\":\"x\"}"), "\"id\":\"x\"}\r\n"));
}

static void commands_need_no_line_ends_and_may_come_in_pieces(void **state)
{
    struct qmp_rig *f = *state;

    qmp_rig_negotiate(f);
    assert_string_equal(qmp_rig_talk(f, "{\"execute\":\"query-"), "");
    assert_string_equal(qmp_rig_talk(f, "block\"}{\"execute\":\"query-blockstats\"}"),
                        "{\"return\":[]}\r\n{\"return\":[]}\r\n");
    assert_string_equal(qmp_rig_talk(f, "{\"execute\":\"cont\",\"id\":\"}\\\"{\"} \r\n\n"),
                        "{\"return\":{},\"id\":\"}\\\"{\"}\r\n");
}

static void nonsense_is_an_error_and_not_the_end(void **state)
{
    struct qmp_rig *f = *state;

    qmp_rig_negotiate(f);
    assert_fails(f, "hello\n", "GenericError", "JSON object");
    assert_fails(f, "{\"execute\":}\n", "GenericError", "invalid JSON");
    assert_fails(f, "{\"execute\":1}\n", "GenericError", "execute");
    assert_fails(f, "{\"execute\":\"cont\",\"execute\":\"stop\"}\n", "GenericError", "duplicate");
    assert_fails(f, "{\"execute\":\"cont\",\"arguments\":[]}\n", "GenericError", "arguments");
    assert_fails(f, "{\"execute\":\"\xc3\xa4\"}\n", "CommandNotFound", "\xc3\xa4");
    /* 63 letters and half of one: the quotation is cut inside a UTF-8 sequence */
    assert_fails(f,
                 "{\"execute\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                 "\xc3\xa4\"}\n",
                 "CommandNotFound", "xxx?");
    assert_fails(f, "{\"execute\":\"a\\nb\"}\n", "CommandNotFound", "a\nb");
    assert_null(strchr(f->refused, '\n'));
    assert_string_equal(qmp_rig_talk(f, "{\"execute\":\"cont\"}"), "{\"return\":{}}\r\n");
}

static void a_serial_port_is_found_as_xl_console_needs_it(void **state)
{
    struct qmp_rig *f = *state;
    json_t *json;
    const char *label = "", *filename = "";

    qmp_rig_negotiate(f);
    json = qmp_rig_ask(f, "{\"execute\":\"query-chardev\",\"id\":1}\r\n");
    assert_int_equal(json_array_size(json_object_get(json, "return")), 2);
    assert_int_equal(
        json_unpack(json, "{s:[{s:s, s:s}, {}]}", "return", "label", &label, "filename", &filename),
        0);
    assert_string_equal(label, "serial0");
    assert_string_equal(filename, "pty:/dev/pts/7");
    json_decref(json);
}

static void there_is_no_display_and_its_password_does_not_matter(void **state)
{
    struct qmp_rig *f = *state;

    qmp_rig_negotiate(f);
    assert_string_equal(qmp_rig_talk(f, "{\"execute\":\"query-vnc\"}"),
                        "{\"return\":{\"enabled\":false}}\r\n");
    assert_string_equal(
        qmp_rig_talk(f, "{\"execute\":\"change-vnc-password\",\"arguments\":{\"password\":\"x\"}}"),
        "{\"return\":{}}\r\n");
}

static void assert_status(struct qmp_rig *f, const char *want, bool running)
{
    json_t *json = qmp_rig_ask(f, "{\"execute\":\"query-status\"}");
    const char *status = "";
    int got;

    assert_int_equal(
        json_unpack(json, "{s:{s:s, s:b}}", "return", "status", &status, "running", &got), 0);
    assert_string_equal(status, want);
    assert_int_equal(got, running);
    json_decref(json);
}

static void the_status_follows_stop_and_cont(void **state)
{
    struct qmp_rig *f = *state;

    qmp_rig_negotiate(f);
    f->running = false;
    f->prelaunch = true;
    assert_status(f, "prelaunch", false);
    assert_string_equal(qmp_rig_talk(f, "{\"execute\":\"cont\"}"), "{\"return\":{}}\r\n");
    assert_status(f, "running", true);
    assert_string_equal(qmp_rig_talk(f, "{\"execute\":\"stop\"}"), "{\"return\":{}}\r\n");
    assert_status(f, "paused", false);
}

static void vcpus_are_listed_and_plugged_in_as_vcpu_set_does(void **state)
{
    struct qmp_rig *f = *state;
    char command[256];
    const char *driver = "";
    json_t *json;
    int index = -1;

    qmp_rig_negotiate(f);
    json = qmp_rig_ask(f, "{\"execute\":\"query-cpus-fast\",\"id\":1}\r\n");
    assert_int_equal(json_array_size(json_object_get(json, "return")), 1);
    assert_int_equal(json_unpack(json, "{s:[{s:i}]}", "return", "cpu-index", &index), 0);
    assert_int_equal(index, 0);
    json_decref(json);

    json = qmp_rig_ask(f, "{\"execute\":\"query-hotpluggable-cpus\",\"id\":2}\r\n");
    assert_int_equal(json_array_size(json_object_get(json, "return")), QMP_RIG_VCPUS);
    assert_int_equal(
        json_unpack(json_array_get(json_object_get(json, "return"), 0), "{s:s}", "type", &driver),
        0);
    snprintf(command, sizeof(command),
             "{\"execute\":\"device_add\",\"id\":3,\"arguments\":{\"id\":\"cpu-2\",\"driver\":"
             "\"%s\",\"socket-id\":2,\"core-id\":0,\"thread-id\":0}}\r\n",
             driver);
    json_decref(json);
    assert_string_equal(qmp_rig_talk(f, command), "{\"return\":{},\"id\":3}\r\n");
    assert_int_equal(f->online, 5);
    assert_fails(f, command, "GenericError", "already");

    json = qmp_rig_ask(f, "{\"execute\":\"query-cpus-fast\"}");
    assert_int_equal(json_array_size(json_object_get(json, "return")), 2);
    json_decref(json);
}

static void a_vcpu_that_cannot_be_is_refused(void **state)
{
    struct qmp_rig *f = *state;
    static const char *const arguments[] = {
        "\"socket-id\":4",          "\"socket-id\":-1",
        "\"socket-id\":\"1\"",      "\"socket-id\":1,\"core-id\":1",
        "\"socket-id\":4294967297", "\"core-id\":0",
    };

    qmp_rig_negotiate(f);
    for (size_t i = 0; i < sizeof(arguments) / sizeof(arguments[0]); i++) {
        char command[256];

        snprintf(command, sizeof(command),
                 "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"ioemud-vcpu\",%s}}",
                 arguments[i]);
        assert_fails(f, command, "GenericError", "no such vCPU");
    }
    assert_fails(f,
                 "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"ioemud-vcpu\","
                 "\"socket-id\":3}}",
                 "GenericError", "going away");
    assert_fails(f, "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"usb-host\"}}",
                 "GenericError", "usb-host");
    assert_int_equal(f->online, 1);
}

/* libxl's order: xen-set-global-dirty-log, stop, add-fd, xen-save-devices-state, and after a
 * failure cont, from libxl_domain_resume(). */
static void a_save_fails_with_a_reason_and_the_guest_goes_on(void **state)
{
    struct qmp_rig *f = *state;

    qmp_rig_negotiate(f);
    assert_string_equal(qmp_rig_talk(f, "{\"execute\":\"stop\"}\r\n"), "{\"return\":{}}\r\n");
    assert_fails(f,
                 "{\"execute\":\"xen-save-devices-state\",\"arguments\":{\"live\":false,"
                 "\"filename\":\"/dev/fdset/0\"}}\r\n",
                 "GenericError", "not supported by ioemud yet; the guest keeps running");
    assert_int_equal(f->refusals, 1);
    assert_string_equal(qmp_rig_talk(f, "{\"execute\":\"cont\"}\r\n"), "{\"return\":{}}\r\n");
    assert_status(f, "running", true);
}

static void a_save_or_migration_fails_at_its_first_step(void **state)
{
    struct qmp_rig *f = *state;

    qmp_rig_negotiate(f);
    assert_fails(f, "{\"execute\":\"xen-set-global-dirty-log\",\"arguments\":{\"enable\":true}}",
                 "GenericError", "saving and migrating a guest are not supported");
    assert_string_equal(
        qmp_rig_talk(f,
                     "{\"execute\":\"xen-set-global-dirty-log\",\"arguments\":{\"enable\":false}}"),
        "{\"return\":{}}\r\n");
}

#define CHANGE(file, format)                                                                       \
    "{\"execute\":\"blockdev-change-medium\",\"arguments\":{\"id\":\"ide-5632\",\"filename\":"     \
    "\"" file "\",\"format\":\"" format "\"}}"

static void the_medium_commands_say_what_is_missing(void **state)
{
    struct qmp_rig *f = *state;

    qmp_rig_negotiate(f);
    assert_fails(f, "{\"execute\":\"eject\"}", "GenericError", "\"id\"");
    assert_fails(f, "{\"execute\":\"blockdev-change-medium\",\"arguments\":{\"id\":\"ide-832\"}}",
                 "GenericError", "filename");
    assert_fails(f, CHANGE("/dev/fdset/7", "raw"), "GenericError", "descriptor set");
    assert_fails(f, CHANGE("iso", "raw"), "GenericError", "absolute");
    assert_fails(f, CHANGE("/iso", "qcow2"), "GenericError", "raw images only");
    assert_int_equal(f->media, 0);
}

#define assert_silent(answer) assert_string_equal(answer, "")

/* `xl cd-eject` and `cd-insert`, as libxl_cdrom_insert() sends them. */
static void a_medium_is_ejected_and_another_inserted_by_its_descriptor(void **state)
{
    struct qmp_rig *f = *state;
    int fd = open("/dev/null", O_RDONLY);

    qmp_rig_negotiate(f);
    qmp_rig_talk(f, "{\"execute\":\"query-version\",\"id\":1}");
    assert_silent(
        qmp_rig_talk(f, "{\"execute\":\"eject\",\"id\":2,\"arguments\":{\"id\":\"ide-5632\"}}"));
    assert_string_equal(f->medium, "ide-5632 (none) gentle");
    qmp_finish(f->call, 0, ""); /* not before it is done */
    assert_string_equal(qmp_rig_hear(f, f->client), "{\"return\":{},\"id\":2}\r\n");
    qmp_rig_send_fds(f->client,
                     "{\"execute\":\"add-fd\",\"arguments\":{\"opaque\":\"raw:/srv/a.iso\"}}", &fd,
                     1);
    assert_non_null(qmp_rig_hear(f, f->client));
    assert_silent(qmp_rig_talk(f, CHANGE("/dev/fdset/0", "raw")));
    assert_string_equal(f->medium, "ide-5632 /srv/a.iso fd gentle");
    qmp_finish(f->call, 0, "");
    assert_non_null(qmp_rig_hear(f, f->client));
    assert_silent(
        qmp_rig_talk(f, "{\"execute\":\"change\",\"arguments\":{\"device\":\"ide-5632\",\"target\":"
                        "\"/b.iso\",\"arg\":\"raw\",\"force\":true}}"));
    assert_string_equal(f->medium, "ide-5632 /b.iso force");
    qmp_finish(f->call, -EBUSY, "the tray is locked");
    assert_non_null(strstr(qmp_rig_hear(f, f->client), "the tray is locked"));
    assert_int_equal(f->refusals, 1);
    close(fd);
}

static void commands_wait_for_the_answer_of_the_one_before(void **state)
{
    struct qmp_rig *f = *state;
    const char *answers;

    qmp_rig_negotiate(f);
    assert_silent(qmp_rig_talk(f, "{\"execute\":\"eject\",\"arguments\":{\"id\":\"ide-5632\"}}"
                                  "{\"execute\":\"query-status\",\"id\":7}"));
    assert_silent(qmp_rig_talk(f, "{\"execute\":\"query-vnc\",\"id\":8}"));
    qmp_finish(f->call, 0, "");
    answers = qmp_rig_hear(f, f->client);
    assert_non_null(strstr(answers, "{}}"));
    assert_true(strstr(answers, "\"id\":7}") < strstr(answers, "\"id\":8}"));
    f->inline_answer = true; /* and at once is fine, too */
    answers = qmp_rig_talk(f, "{\"execute\":\"eject\",\"id\":9,\"arguments\":{\"id\":\"ide-5632\"}}"
                              "{\"execute\":\"query-vnc\",\"id\":10}");
    assert_true(strstr(answers, "\"id\":9}") < strstr(answers, "\"id\":10}"));
}

static void the_monitor_may_end_inside_a_command(void **state)
{
    struct qmp_rig *f = *state;

    qmp_rig_negotiate(f);
    f->destroy_in_callback = true;
    assert_null(qmp_rig_talk(f, "{\"execute\":\"stop\"}{\"execute\":\"cont\"}"));
    assert_false(f->running);
    assert_int_equal(fake_loop_watches(f->loop), 0);
}

static void only_a_listening_socket_will_do(void **state)
{
    struct qmp_rig *f = *state;
    struct qmp *qmp = NULL;

    assert_int_equal(qmp_create(f->client, fake_loop(f->loop), &qmp_rig_ops, f, &qmp), -EINVAL);
    assert_null(qmp);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, qmp_rig_setup, qmp_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_greeting_has_an_integer_version),
        TEST(nothing_is_done_before_negotiation),
        TEST(the_id_comes_back_whatever_it_is),
        TEST(commands_need_no_line_ends_and_may_come_in_pieces),
        TEST(nonsense_is_an_error_and_not_the_end),
        TEST(a_serial_port_is_found_as_xl_console_needs_it),
        TEST(there_is_no_display_and_its_password_does_not_matter),
        TEST(the_status_follows_stop_and_cont),
        TEST(vcpus_are_listed_and_plugged_in_as_vcpu_set_does),
        TEST(a_vcpu_that_cannot_be_is_refused),
        TEST(a_save_fails_with_a_reason_and_the_guest_goes_on),
        TEST(a_save_or_migration_fails_at_its_first_step),
        TEST(the_medium_commands_say_what_is_missing),
        TEST(a_medium_is_ejected_and_another_inserted_by_its_descriptor),
        TEST(commands_wait_for_the_answer_of_the_one_before),
        TEST(the_monitor_may_end_inside_a_command),
        TEST(only_a_listening_socket_will_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
