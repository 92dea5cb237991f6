/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/subscribe.h"
#include "tests/unit/fake_loop.h"

#define MS UINT64_C(1000000)

struct fixture {
    struct fake_loop *loop;
    struct rpc_server *server;
    struct subscriptions all;
    char path[64];
    uint64_t now_ns;
    unsigned made;
    size_t size;      /* of a sample */
    uint64_t cost_ns; /* and the time it takes */
};

static json_t *make_sample(void *ctx, const json_t *params)
{
    struct fixture *f = ctx;
    char *text = malloc(f->size + 1);
    json_t *sample;

    f->made++;
    if (f->cost_ns)
        fake_loop_set_clock(f->loop, f->now_ns += f->cost_ns);
    memset(text, 'x', f->size);
    text[f->size] = '\0';
    sample = json_pack("{s:s, s:O*}", "text", text, "of", json_object_get(params, "guest"));
    free(text);
    return sample;
}

static void method_subscribe(void *ctx, struct rpc_call *call, const json_t *params)
{
    subscriptions_add(&((struct fixture *)ctx)->all, call, params);
}

static void method_unsubscribe(void *ctx, struct rpc_call *call, const json_t *params)
{
    subscriptions_remove(&((struct fixture *)ctx)->all, call);
}

static void method_lease(void *ctx, struct rpc_call *call, const json_t *params)
{
    rpc_conn_on_close(rpc_call_conn(call), free, NULL);
    rpc_reply(call, json_object());
}

static const struct rpc_method methods[] = {
    {"subscribe", method_subscribe},
    {"unsubscribe", method_unsubscribe},
    {"lease", method_lease},
    {NULL, NULL},
};

static int setup(void **state)
{
    static struct fixture fixture;
    struct fixture *f = &fixture;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    *f = (struct fixture){.loop = fake_loop_create(), .now_ns = 1000 * MS};
    fake_loop_set_clock(f->loop, f->now_ns);
    snprintf(f->path, sizeof(f->path), "/tmp/test_subscribe.%d", getpid());
    unlink(f->path);
    strcpy(addr.sun_path, f->path);
    subscriptions_init(&f->all, fake_loop(f->loop), make_sample, f);
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 16) ||
        rpc_server_create(fd, fake_loop(f->loop), methods, f, 8, &f->server))
        return -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    subscriptions_finish(&f->all);
    rpc_server_destroy(f->server);
    unlink(f->path);
    fake_loop_destroy(f->loop); /* aborts when a timer is left */
    return 0;
}

static void settle(struct fixture *f)
{
    fake_loop_settle(f->loop, 5, 1000);
}

static int dial(struct fixture *f)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strcpy(addr.sun_path, f->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    settle(f);
    return fd;
}

static void pass(struct fixture *f, uint64_t ms)
{
    fake_loop_set_clock(f->loop, f->now_ns += ms * MS);
    settle(f);
}

/* What came of it, and of the next moment; in a buffer that the next call reuses. */
static const char *hear(struct fixture *f, int fd)
{
    static char text[1 << 20];
    size_t length = 0;
    ssize_t n;

    settle(f);
    while ((n = recv(fd, text + length, sizeof(text) - 1 - length, MSG_DONTWAIT)) > 0) {
        length += (size_t)n;
        settle(f);
    }
    text[length] = '\0';
    return text;
}

static const char *ask(struct fixture *f, int fd, const char *method, const char *params)
{
    char line[256];
    int n = snprintf(line, sizeof(line), "{\"id\":1,\"method\":\"%s\",\"params\":%s}\n", method,
                     params);

    assert_int_equal(send(fd, line, (size_t)n, MSG_NOSIGNAL), n);
    return hear(f, fd);
}

static unsigned count(const char *text, const char *what)
{
    unsigned found = 0;

    for (; (text = strstr(text, what)); text++)
        found++;
    return found;
}

#define SAMPLE "{\"jsonrpc\":\"2.0\",\"method\":\"sample\",\"params\":"

static void samples_come_at_the_interval_the_first_at_once(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);

    assert_string_equal(ask(f, fd, "subscribe", "{\"interval_ms\":200,\"guest\":\"web1\"}"),
                        "{\"jsonrpc\":\"2.0\",\"result\":{\"interval_ms\":200},\"id\":1}\n" SAMPLE
                        "{\"sequence\":0,\"lost\":0,\"stats\":{\"text\":\"\",\"of\":\"web1\"}}}\n");
    pass(f, 199);
    assert_string_equal(hear(f, fd), "");
    pass(f, 1);
    assert_string_equal(hear(f, fd), SAMPLE "{\"sequence\":1,\"lost\":0,\"stats\":{\"text\":\"\","
                                            "\"of\":\"web1\"}}}\n");
    pass(f, 200);
    assert_int_equal(count(hear(f, fd), "\"sequence\":2"), 1);
    close(fd);
}

static void without_subscribers_nothing_runs(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);

    assert_int_equal(fake_loop_timers(f->loop), 0);
    ask(f, fd, "subscribe", "{}");
    assert_int_equal(fake_loop_timers(f->loop), 1);
    ask(f, fd, "unsubscribe", "{}");
    assert_int_equal(fake_loop_timers(f->loop), 0);
    ask(f, fd, "subscribe", "{}");
    close(fd);
    settle(f);
    assert_int_equal(fake_loop_timers(f->loop), 0);
    assert_null(f->all.first);
}

static void a_slow_reader_loses_samples_and_is_told_how_many(void **state)
{
    struct fixture *f = *state;
    static const char text[] =
        "{\"id\":1,\"method\":\"subscribe\",\"params\":{\"interval_ms\":100}}\n";
    int slow = dial(f), other = dial(f);
    const char *heard;
    unsigned made;

    f->size = 700000; /* more than the kernel takes */
    ask(f, other, "subscribe", "{\"interval_ms\":100}");
    assert_int_equal(send(slow, text, sizeof(text) - 1, MSG_NOSIGNAL), sizeof(text) - 1);
    settle(f);
    made = f->made;
    for (unsigned i = 0; i < 10; i++) {
        pass(f, 100);
        assert_int_equal(count(hear(f, other), "\"lost\":0"), 1); /* it is not held up */
    }
    assert_int_equal(f->made, made + 10); /* none for the slow one */
    heard = hear(f, slow);
    assert_int_equal(count(heard, "\"sequence\":0,\"lost\":0"), 1);
    assert_int_equal(count(heard, "\"sequence\""), 1);
    f->size = 0;
    pass(f, 100);
    assert_int_equal(count(hear(f, slow), "\"sequence\":11,\"lost\":10"), 1);
    close(slow);
    close(other);
}

static void samples_that_cost_too_much_are_left_out(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);

    f->cost_ns = 60 * MS;
    ask(f, fd, "subscribe", "{\"interval_ms\":100}");
    for (unsigned i = 0; i < 100; i++)
        pass(f, 100);
    /* A quarter of the time at most: 10 s and what the samples themselves took. */
    assert_true(f->made >= 30);
    assert_true(f->made * f->cost_ns * SUBSCRIBE_SHARE <= f->now_ns - 1000 * MS + 4 * f->cost_ns);
    assert_int_equal(count(hear(f, fd), "\"lost\":0}"), 0);
    close(fd);
}

static void a_loop_that_was_held_up_does_not_send_the_samples_it_missed(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);

    ask(f, fd, "subscribe", "{\"interval_ms\":100}");
    pass(f, 1050);
    assert_int_equal(count(hear(f, fd), "\"sequence\":10,\"lost\":9"), 1);
    pass(f, 50);
    assert_int_equal(count(hear(f, fd), "\"sequence\":11,\"lost\":9"), 1);
    close(fd);
}

static void another_subscription_takes_the_place_of_the_first(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);

    ask(f, fd, "subscribe", "{\"interval_ms\":100,\"guest\":\"a\"}");
    ask(f, fd, "subscribe", "{\"interval_ms\":300,\"guest\":\"b\"}");
    pass(f, 200);
    assert_string_equal(hear(f, fd), "");
    pass(f, 100);
    assert_int_equal(count(hear(f, fd), "\"of\":\"b\""), 1);
    assert_int_equal(fake_loop_timers(f->loop), 1);
    close(fd);
}

static void what_makes_no_sense_is_refused(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f), lease = dial(f);

    assert_int_equal(count(ask(f, fd, "subscribe", "{\"interval_ms\":99}"), "-32602"), 1);
    assert_int_equal(count(ask(f, fd, "subscribe", "{\"interval_ms\":\"1s\"}"), "-32602"), 1);
    assert_int_equal(count(ask(f, fd, "unsubscribe", "{}"), "no subscription"), 1);
    ask(f, lease, "lease", "{}");
    assert_int_equal(count(ask(f, lease, "subscribe", "{}"), "lease"), 1);
    assert_int_equal(f->made, 0);
    close(fd);
    close(lease);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(samples_come_at_the_interval_the_first_at_once),
        TEST(without_subscribers_nothing_runs),
        TEST(a_slow_reader_loses_samples_and_is_told_how_many),
        TEST(samples_that_cost_too_much_are_left_out),
        TEST(a_loop_that_was_held_up_does_not_send_the_samples_it_missed),
        TEST(another_subscription_takes_the_place_of_the_first),
        TEST(what_makes_no_sense_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
