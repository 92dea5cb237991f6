/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/http.h"
#include "tests/unit/fake_loop.h"

struct fixture {
    struct fake_loop *loop;
    struct http *http;
    struct sockaddr_in addr;
    unsigned made; /* texts */
    size_t size;   /* of the text; 0: a short one */
    bool none;     /* there is none */
};

static char *make_text(void *ctx, enum metrics_format format)
{
    struct fixture *f = ctx;
    char *text;

    f->made++;
    if (f->none)
        return NULL;
    if (!f->size)
        return strdup(format == METRICS_OPENMETRICS ? "open 1\n" : "plain 1\n");
    text = malloc(f->size + 1);
    memset(text, 'x', f->size);
    text[f->size] = '\0';
    return text;
}

static int setup(void **state)
{
    static struct fixture fixture;
    struct fixture *f = &fixture;
    socklen_t length = sizeof(f->addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    *f = (struct fixture){.loop = fake_loop_create()};
    f->addr.sin_family = AF_INET;
    f->addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&f->addr, length) || listen(fd, 64) ||
        getsockname(fd, (struct sockaddr *)&f->addr, &length) ||
        http_create(fd, fake_loop(f->loop), make_text, f, &f->http))
        return -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    http_destroy(f->http);
    fake_loop_destroy(f->loop);
    return 0;
}

static int dial(struct fixture *f)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&f->addr, sizeof(f->addr)), 0);
    return fd;
}

static void say(struct fixture *f, int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    fake_loop_settle(f->loop, 20, 1000);
}

/* What has come; in a buffer that the next call reuses. */
static const char *hear(int fd)
{
    static char text[65536];
    ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

static const char *get(struct fixture *f, const char *request)
{
    int fd = dial(f);
    const char *answer;

    say(f, fd, request);
    answer = hear(fd);
    close(fd);
    fake_loop_settle(f->loop, 20, 1000);
    return answer;
}

#define GET "GET /metrics HTTP/1.1\r\nHost: localhost\r\n"

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);

    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static void metrics_are_told_in_the_format_that_is_asked_for(void **state)
{
    struct fixture *f = *state;
    const char *answer = get(f, GET "\r\n");

    assert_memory_equal(answer, "HTTP/1.1 200 OK\r\n", 17);
    assert_non_null(strstr(answer, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert_true(ends_with(answer, "\r\n\r\nplain 1\n"));
    answer = get(f, GET "Accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n\r\n");
    assert_non_null(strstr(answer, "Content-Type: application/openmetrics-text; version=1.0.0"));
    assert_true(ends_with(answer, "\r\n\r\nopen 1\n"));
}

static void a_client_may_ask_again_on_its_connection(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);

    for (unsigned i = 0; i < 3; i++) {
        say(f, fd, GET "\r\n");
        assert_true(ends_with(hear(fd), "\r\n\r\nplain 1\n"));
    }
    close(fd);
}

static void there_is_nothing_else(void **state)
{
    struct fixture *f = *state;

    assert_memory_equal(get(f, "GET / HTTP/1.0\r\n\r\n"), "HTTP/1.1 404 ", 13);
    assert_memory_equal(get(f, "GET /metrics/../x HTTP/1.0\r\n\r\n"), "HTTP/1.1 404 ", 13);
    assert_memory_equal(
        get(f, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc"),
        "HTTP/1.1 405 ", 13);
    assert_non_null(strstr(get(f, "PUT /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), "Allow: GET, HEAD"));
    assert_true(ends_with(get(f, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), "\r\n\r\n"));
    assert_int_equal(f->made, 1); /* for HEAD */
}

static void what_is_no_http_is_hung_up_on(void **state)
{
    struct fixture *f = *state;
    static char noise[65536];
    int fd = dial(f);

    memset(noise, 'A', sizeof(noise) - 1);
    send(fd, noise, sizeof(noise) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    fake_loop_settle(f->loop, 20, 1000);
    assert_null(strstr(hear(fd), "200 OK"));
    assert_int_equal(f->made, 0);
    close(fd);
    assert_true(ends_with(get(f, GET "\r\n"), "plain 1\n"));
}

static void who_asks_often_gets_what_was_made_a_moment_ago(void **state)
{
    struct fixture *f = *state;
    uint64_t now = UINT64_C(5000000000);

    fake_loop_set_clock(f->loop, now);
    for (unsigned i = 0; i < 5; i++)
        get(f, GET "\r\n");
    assert_int_equal(f->made, 1);
    fake_loop_set_clock(f->loop, now + HTTP_FRESH_NS);
    fake_loop_settle(f->loop, 20, 1000);
    get(f, GET "\r\n");
    assert_int_equal(f->made, 2);
}

static void without_memory_for_it_the_client_is_told_so(void **state)
{
    struct fixture *f = *state;

    f->none = true;
    assert_memory_equal(get(f, GET "\r\n"), "HTTP/1.1 503 ", 13);
    f->none = false;
    assert_memory_equal(get(f, GET "\r\n"), "HTTP/1.1 200 ", 13);
}

static void a_slow_reader_gets_all_of_it_and_holds_nobody_up(void **state)
{
    struct fixture *f = *state;
    int slow = dial(f);
    size_t got = 0;

    f->size = 20u << 20;
    say(f, slow, GET "Connection: close\r\n\r\n");
    f->size = 0;
    fake_loop_set_clock(f->loop, UINT64_C(1) << 62); /* another text is made */
    fake_loop_settle(f->loop, 20, 1000);
    fake_loop_set_clock(f->loop, 0);
    for (unsigned i = 0; i < 20000 && got < 20u << 20; i++) {
        got += strlen(hear(slow));
        fake_loop_turn(f->loop, 1);
    }
    assert_true(got >= 20u << 20);
    close(slow);
}

static void no_more_clients_than_there_is_room_for(void **state)
{
    struct fixture *f = *state;
    int fd[HTTP_CLIENTS + 1];
    char byte;

    for (unsigned i = 0; i <= HTTP_CLIENTS; i++) {
        fd[i] = dial(f);
        fake_loop_settle(f->loop, 5, 1000);
    }
    assert_int_equal(recv(fd[HTTP_CLIENTS], &byte, 1, MSG_DONTWAIT), 0);
    say(f, fd[0], GET "\r\n");
    assert_true(ends_with(hear(fd[0]), "plain 1\n"));
    for (unsigned i = 0; i <= HTTP_CLIENTS; i++)
        close(fd[i]);
    fake_loop_settle(f->loop, 20, 1000);
    assert_true(ends_with(get(f, GET "\r\n"), "plain 1\n"));
}

static void without_descriptors_the_loop_does_not_spin(void **state)
{
    struct fixture *f = *state;
    struct rlimit limit, none;
    int fd = dial(f), used[64], n = 0;

    getrlimit(RLIMIT_NOFILE, &limit);
    none = (struct rlimit){64, limit.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    while (n < 64 && (used[n] = dup(0)) >= 0)
        n++;
    assert_true(fake_loop_settle(f->loop, 100, 1000) < 10);
    while (n)
        close(used[--n]);
    setrlimit(RLIMIT_NOFILE, &limit);
    for (unsigned i = 0; i < 30 && !f->made; i++) {
        if (i == 0)
            assert_int_equal(send(fd, GET "\r\n", sizeof(GET) + 1, MSG_NOSIGNAL), sizeof(GET) + 1);
        fake_loop_settle(f->loop, 100, 1000);
    }
    assert_true(ends_with(hear(fd), "plain 1\n"));
    close(fd);
}

static void with_nobody_connected_nothing_is_periodic(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fake_loop_timers(f->loop), 0);
    get(f, GET "\r\n");
    fake_loop_set_clock(f->loop, UINT64_C(1) << 62);
    fake_loop_settle(f->loop, 20, 1000);
    assert_int_equal(fake_loop_timers(f->loop), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(metrics_are_told_in_the_format_that_is_asked_for),
        TEST(a_client_may_ask_again_on_its_connection),
        TEST(there_is_nothing_else),
        TEST(what_is_no_http_is_hung_up_on),
        TEST(who_asks_often_gets_what_was_made_a_moment_ago),
        TEST(without_memory_for_it_the_client_is_told_so),
        TEST(a_slow_reader_gets_all_of_it_and_holds_nobody_up),
        TEST(no_more_clients_than_there_is_room_for),
        TEST(without_descriptors_the_loop_does_not_spin),
        TEST(with_nobody_connected_nothing_is_periodic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
