/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client against daemons that answer, refuse, lie, stall and go away. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/ctl_client.h"

struct fake_daemon {
    char path[64];
    int fd;
    const char *answer; /* NULL: hangs up; "": says nothing until the client leaves */
    char request[512];
    pthread_t thread;
};

static void *serve(void *arg)
{
    struct fake_daemon *daemon = arg;
    int fd = accept(daemon->fd, NULL, NULL);
    size_t length = 0;
    ssize_t got;

    while (length < sizeof(daemon->request) - 1 && !memchr(daemon->request, '\n', length)) {
        got = recv(fd, daemon->request + length, sizeof(daemon->request) - 1 - length, 0);
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    /* A byte at a time: the client must put it together. */
    for (const char *c = daemon->answer; c && *c; c++)
        if (send(fd, c, 1, MSG_NOSIGNAL) != 1)
            break;
    if (daemon->answer && !*daemon->answer)
        while (recv(fd, &got, 1, 0) > 0)
            ;
    close(fd);
    return NULL;
}

static void start(struct fake_daemon *daemon, const char *answer)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memset(daemon, 0, sizeof(*daemon));
    daemon->answer = answer;
    snprintf(daemon->path, sizeof(daemon->path), "/tmp/ioemud-test-%d.sock", getpid());
    strcpy(address.sun_path, daemon->path);
    unlink(daemon->path);
    daemon->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(daemon->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(daemon->fd, 1), 0);
    assert_int_equal(pthread_create(&daemon->thread, NULL, serve, daemon), 0);
}

static int call(struct fake_daemon *daemon, struct ctl_client *client, json_t **ret_result)
{
    assert_int_equal(ctl_client_open(client, daemon->path, 1), 0);

    int error = ctl_client_call(client, "list", json_object(), ret_result);

    ctl_client_close(client);
    pthread_join(daemon->thread, NULL);
    close(daemon->fd);
    unlink(daemon->path);
    return error;
}

static void test_an_answer_comes_back(void **state)
{
    struct fake_daemon daemon;
    struct ctl_client client;
    json_t *result = NULL;

    start(&daemon, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"guests\":[]}}\n");
    assert_int_equal(call(&daemon, &client, &result), 0);
    assert_true(json_is_array(json_object_get(result, "guests")));
    json_decref(result);
    assert_string_equal(daemon.request,
                        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"list\",\"params\":{}}\n");
}

static void test_notifications_follow_an_answer(void **state)
{
    struct fake_daemon daemon;
    struct ctl_client client;
    json_t *result = NULL, *params = NULL;

    start(&daemon, "{\"id\":1,\"result\":{}}\n{\"method\":\"sample\",\"params\":{\"a\":1}}\n"
                   "{\"id\":2,\"result\":{}}\n{\"method\":\"sample\",\"params\":{\"a\":2}}\nhalf");
    assert_int_equal(ctl_client_open(&client, daemon.path, 1), 0);
    assert_int_equal(ctl_client_call(&client, "subscribe", json_object(), &result), 0);
    json_decref(result);
    for (int i = 1; i <= 2; i++) {
        assert_int_equal(ctl_client_next(&client, &params), 0);
        assert_int_equal(json_integer_value(json_object_get(params, "a")), i);
        json_decref(params);
    }
    assert_false(ctl_client_has_line(&client));
    assert_int_equal(ctl_client_next(&client, &params), -ECONNRESET);
    ctl_client_close(&client);
    pthread_join(daemon.thread, NULL);
    close(daemon.fd);
    unlink(daemon.path);
}

static void test_a_refusal_keeps_the_daemons_words(void **state)
{
    struct fake_daemon daemon;
    struct ctl_client client;
    json_t *result;

    start(&daemon, "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":\"no guest x\"},"
                   "\"id\":1}\n");
    assert_int_equal(call(&daemon, &client, &result), -EREMOTEIO);
    assert_string_equal(client.error, "no guest x");
}

static void test_what_is_no_answer_is_an_error(void **state)
{
    static const char *const answers[] = {"hello\n", "{}\n", "[]\n", "\n", "{\"id\":1}\n"};
    struct fake_daemon daemon;
    struct ctl_client client;
    json_t *result;

    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        start(&daemon, answers[i]);
        assert_int_equal(call(&daemon, &client, &result), -EPROTO);
    }
}

static void test_a_daemon_that_hangs_up_is_noticed(void **state)
{
    struct fake_daemon daemon;
    struct ctl_client client;
    json_t *result;

    start(&daemon, NULL);
    assert_int_equal(call(&daemon, &client, &result), -ECONNRESET);
    start(&daemon, "{\"jsonrpc\":\"2.0\",\"res");
    assert_int_equal(call(&daemon, &client, &result), -ECONNRESET);
}

static void test_a_daemon_that_stalls_holds_nobody_up(void **state)
{
    struct fake_daemon daemon;
    struct ctl_client client;
    json_t *result;

    start(&daemon, "");
    assert_int_equal(call(&daemon, &client, &result), -ETIMEDOUT);
}

static void test_no_daemon_gives_a_hint(void **state)
{
    struct ctl_client client;
    char longest[200];

    assert_int_equal(ctl_client_open(&client, "/nonexistent/x.sock", 1), -ENOENT);
    assert_non_null(strstr(client.error, "is the daemon running?"));
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(ctl_client_open(&client, longest, 1), -ENAMETOOLONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_comes_back),
        cmocka_unit_test(test_notifications_follow_an_answer),
        cmocka_unit_test(test_a_refusal_keeps_the_daemons_words),
        cmocka_unit_test(test_what_is_no_answer_is_an_error),
        cmocka_unit_test(test_a_daemon_that_hangs_up_is_noticed),
        cmocka_unit_test(test_a_daemon_that_stalls_holds_nobody_up),
        cmocka_unit_test(test_no_daemon_gives_a_hint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
