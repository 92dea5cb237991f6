/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clients of a monitor: descriptors that they send, what they hoard, how they go. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/qmp_rig.h"

static void who_hangs_up_misses_his_answer(void **state)
{
    struct qmp_rig *f = *state;
    struct qmp_call *first, *second;

    qmp_rig_negotiate(f);
    qmp_rig_talk(f, "{\"execute\":\"eject\",\"arguments\":{\"id\":\"ide-5632\"}}");
    first = f->call;
    for (unsigned i = 0; i < QMP_CLIENTS; i++) /* the one that waits is silent longest */
        close(qmp_rig_dial(f));
    qmp_finish(first, 0, "");
    close(f->client);
    f->client = qmp_rig_dial(f);
    qmp_rig_negotiate(f);
    qmp_rig_talk(f, "{\"execute\":\"eject\",\"arguments\":{\"id\":\"ide-5632\"}}");
    second = f->call;
    qmp_destroy(f->qmp);
    f->qmp = NULL;
    qmp_finish(second, 0, "");
}

/* The other end of the pipe has gone: whoever held `fd` closed it. */
static bool closed_by_peer(int fd)
{
    char c;

    return read(fd, &c, 1) == 0;
}

static void a_descriptor_is_kept_in_its_set_until_removed(void **state)
{
    struct qmp_rig *f = *state;
    int pipes[2];

    qmp_rig_negotiate(f);
    assert_fails(f, "{\"execute\":\"add-fd\"}", "GenericError", "SCM_RIGHTS");
    assert_int_equal(pipe2(pipes, O_NONBLOCK), 0);
    qmp_rig_send_fds(f->client, "{\"execute\":\"add-fd\",\"id\":1}\r\n", &pipes[1], 1);
    close(pipes[1]);
    assert_non_null(strstr(qmp_rig_hear(f, f->client), "{\"return\":{\"fdset-id\":0,\"fd\":"));
    assert_false(closed_by_peer(pipes[0]));
    assert_fails(f, "{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":1}}", "GenericError",
                 "no such descriptor set");
    assert_string_equal(
        qmp_rig_talk(f, "{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":0}}"),
        "{\"return\":{}}\r\n");
    assert_true(closed_by_peer(pipes[0]));
    close(pipes[0]);
}

static void descriptors_go_with_their_client(void **state)
{
    struct qmp_rig *f = *state;
    int pipes[2];

    qmp_rig_negotiate(f);
    assert_int_equal(pipe2(pipes, O_NONBLOCK), 0);
    qmp_rig_send_fds(f->client, "{\"execute\":\"add-fd\"}{\"execute\":\"cont\"}", &pipes[1], 1);
    qmp_rig_send_fds(f->client, " ", &pipes[1], 1);
    close(pipes[1]);
    qmp_rig_hear(f, f->client);
    assert_false(closed_by_peer(pipes[0]));
    close(f->client);
    f->client = -1;
    fake_loop_settle(f->loop, 20, 100);
    assert_true(closed_by_peer(pipes[0]));
    close(pipes[0]);
}

static void a_hoard_of_descriptors_disconnects(void **state)
{
    struct qmp_rig *f = *state;
    int fds[QMP_FDS + 1];

    qmp_rig_negotiate(f);
    for (unsigned i = 0; i <= QMP_FDS; i++)
        fds[i] = 0;
    qmp_rig_send_fds(f->client, " ", fds, QMP_FDS);
    assert_non_null(qmp_rig_hear(f, f->client));
    qmp_rig_send_fds(f->client, " ", fds, 1);
    assert_null(qmp_rig_hear(f, f->client));

    close(f->client);
    f->client = qmp_rig_dial(f);
    qmp_rig_negotiate(f);
    qmp_rig_send_fds(f->client, " ", fds, QMP_FDS + 1); /* more than fits the control buffer */
    assert_null(qmp_rig_hear(f, f->client));
}

static void an_endless_command_disconnects(void **state)
{
    struct qmp_rig *f = *state;
    char junk[4096];
    unsigned sent = 0;

    qmp_rig_negotiate(f);
    memset(junk, 'x', sizeof(junk));
    junk[0] = '{';
    while (sent <= QMP_LINE_MAX && send(f->client, junk, sizeof(junk), MSG_NOSIGNAL) > 0) {
        sent += sizeof(junk);
        junk[0] = 'x';
        fake_loop_settle(f->loop, 5, 100);
    }
    assert_true(sent >= QMP_LINE_MAX - sizeof(junk) && sent <= QMP_LINE_MAX + 2 * sizeof(junk));
    recv(f->client, junk, sizeof(junk), MSG_DONTWAIT);
    assert_true(recv(f->client, junk, sizeof(junk), MSG_DONTWAIT) <= 0 && errno != EAGAIN);
}

static void a_deeply_nested_command_disconnects(void **state)
{
    struct qmp_rig *f = *state;
    char junk[64];

    qmp_rig_negotiate(f);
    memset(junk, '[', sizeof(junk) - 1);
    junk[0] = '{';
    junk[sizeof(junk) - 1] = '\0';
    assert_null(qmp_rig_talk(f, junk));
}

static void who_does_not_read_is_disconnected(void **state)
{
    struct qmp_rig *f = *state;
    static const char command[] = "{\"execute\":\"query-hotpluggable-cpus\"}";
    unsigned i;

    qmp_rig_negotiate(f);
    for (i = 0;
         i < 100000 && send(f->client, command, strlen(command), MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
         i++)
        if (i % 16 == 0)
            fake_loop_turn(f->loop, 0);
    assert_true(i < 100000);
    assert_int_not_equal(errno, EAGAIN);
}

static void the_client_that_sat_longest_makes_room(void **state)
{
    struct qmp_rig *f = *state;
    int fd[QMP_CLIENTS];

    qmp_rig_negotiate(f);
    fake_loop_set_clock(f->loop, UINT64_C(1000000000000000));
    for (unsigned i = 0; i + 1 < QMP_CLIENTS; i++) {
        fake_loop_set_clock(f->loop, UINT64_C(2000000000000000) + i);
        fd[i] = qmp_rig_dial(f);
    }
    fake_loop_set_clock(f->loop, UINT64_C(3000000000000000));
    assert_string_equal(qmp_rig_talk(f, "{\"execute\":\"cont\"}"), "{\"return\":{}}\r\n");
    fd[QMP_CLIENTS - 1] = qmp_rig_dial(f);
    assert_non_null(strstr(qmp_rig_hear(f, fd[QMP_CLIENTS - 1]), "QMP"));
    assert_null(qmp_rig_hear(f, fd[0]));
    assert_non_null(qmp_rig_hear(f, fd[1]));
    assert_string_equal(qmp_rig_talk(f, "{\"execute\":\"cont\"}"), "{\"return\":{}}\r\n");
    for (unsigned i = 0; i < QMP_CLIENTS; i++)
        close(fd[i]);
}

static void a_client_that_leaves_does_not_make_the_loop_spin(void **state)
{
    struct qmp_rig *f = *state;

    qmp_rig_negotiate(f);
    send(f->client, "{\"execute\":\"co", 14, MSG_NOSIGNAL);
    close(f->client);
    f->client = -1;
    assert_true(fake_loop_settle(f->loop, 20, 100) < 10);
    assert_int_equal(fake_loop_watches(f->loop), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, qmp_rig_setup, qmp_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_hangs_up_misses_his_answer),
        TEST(a_descriptor_is_kept_in_its_set_until_removed),
        TEST(descriptors_go_with_their_client),
        TEST(a_hoard_of_descriptors_disconnects),
        TEST(an_endless_command_disconnects),
        TEST(a_deeply_nested_command_disconnects),
        TEST(who_does_not_read_is_disconnected),
        TEST(the_client_that_sat_longest_makes_room),
        TEST(a_client_that_leaves_does_not_make_the_loop_spin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
