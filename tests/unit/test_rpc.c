/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/rpc.h"
#include "tests/unit/fake_loop.h"
#include "tests/unit/lingering.h"

struct fixture {
    struct fake_loop *loop;
    struct rpc_server *server;
    char path[64];
    int client;
    struct rpc_call *kept; /* a call that is answered later */
    int fd_seen;
    unsigned closed;
};

static void method_echo(void *ctx, struct rpc_call *call, const json_t *params)
{
    rpc_reply(call, json_deep_copy(params));
}

static void method_fail(void *ctx, struct rpc_call *call, const json_t *params)
{
    rpc_fail(call, RPC_FAILED, "no such thing: %s", "\xff\xfe");
}

static void method_later(void *ctx, struct rpc_call *call, const json_t *params)
{
    struct fixture *f = ctx;

    f->kept = call;
    f->fd_seen = rpc_call_take_fd(call);
}

static void on_closed(void *arg)
{
    ((struct fixture *)arg)->closed++;
}

static void method_lease(void *ctx, struct rpc_call *call, const json_t *params)
{
    rpc_conn_on_close(rpc_call_conn(call), on_closed, ctx);
    rpc_reply(call, json_object());
}

static void method_big(void *ctx, struct rpc_call *call, const json_t *params)
{
    bool too_big = json_is_true(json_object_get(params, "too"));
    size_t size = too_big ? RPC_OUTPUT_MAX : RPC_OUTPUT_MAX / 3;
    char *text = malloc(size + 1);

    memset(text, 'x', size);
    text[size] = '\0';
    rpc_reply(call, json_string(text));
    free(text);
}

/* What could not be made for want of memory. */
static void method_none(void *ctx, struct rpc_call *call, const json_t *params)
{
    rpc_reply(call, NULL);
}

static void *no_memory(size_t size)
{
    return NULL;
}

/* And then there is none for the error either. */
static void method_starved(void *ctx, struct rpc_call *call, const json_t *params)
{
    json_set_alloc_funcs(no_memory, free);
    rpc_reply(call, json_true());
    json_set_alloc_funcs(malloc, free);
}

#define CLIENTS 6u

static const struct rpc_method methods[] = {
    {"echo", method_echo},       {"fail", method_fail}, {"later", method_later},
    {"lease", method_lease},     {"big", method_big},   {"none", method_none},
    {"starved", method_starved}, {NULL, NULL},
};

static int dial(struct fixture *f)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strcpy(addr.sun_path, f->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    fake_loop_turn(f->loop, 1000);
    return fd;
}

static int setup(void **state)
{
    static struct fixture fixture;
    struct fixture *f = &fixture;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    *f = (struct fixture){.fd_seen = -1, .loop = fake_loop_create()};
    snprintf(f->path, sizeof(f->path), "/tmp/test_rpc.%d", getpid());
    unlink(f->path);
    strcpy(addr.sun_path, f->path);
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 16) ||
        rpc_server_create(fd, fake_loop(f->loop), methods, f, CLIENTS, &f->server))
        return -1;
    f->client = dial(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    rpc_server_destroy(f->server);
    if (f->client >= 0)
        close(f->client);
    unlink(f->path);
    fake_loop_destroy(f->loop);
    return 0;
}

static void settle(struct fixture *f)
{
    fake_loop_settle(f->loop, 20, 10000);
}

/* Sends and returns what came back, in a buffer that the next call reuses. */
static const char *talk(struct fixture *f, const char *text)
{
    static char answer[4096];
    ssize_t n;

    assert_int_equal(send(f->client, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    settle(f);
    n = recv(f->client, answer, sizeof(answer) - 1, MSG_DONTWAIT);
    answer[n > 0 ? n : 0] = '\0';
    return answer;
}

static void a_request_is_answered_with_its_id(void **state)
{
    assert_string_equal(talk(*state,
                             "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":{\"a\":1},"
                             "\"id\":\"x\"}\n"),
                        "{\"jsonrpc\":\"2.0\",\"result\":{\"a\":1},\"id\":\"x\"}\n");
}

static void requests_may_come_in_pieces_and_in_one(void **state)
{
    assert_string_equal(talk(*state, "{\"method\":\"echo\","), "");
    assert_string_equal(talk(*state, "\"id\":1}\n{\"method\":\"echo\",\"id\":2}\n"),
                        "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":1}\n{\"jsonrpc\":\"2.0\","
                        "\"result\":{},\"id\":2}\n");
}

static void a_notification_is_not_answered(void **state)
{
    assert_string_equal(talk(*state, "{\"method\":\"echo\"}\n"), "");
}

static void errors_have_code_and_reason(void **state)
{
    assert_non_null(strstr(talk(*state, "{\"method\":\"fail\",\"id\":1}\n"),
                           "{\"code\":-32000,\"message\":\"no such thing: ??\"}"));
    assert_non_null(strstr(talk(*state, "{\"method\":\"nothing\",\"id\":1}\n"), "-32601"));
    assert_non_null(strstr(talk(*state, "{nonsense\n"), "-32700"));
    assert_non_null(strstr(talk(*state, "[1,2]\n"), "-32600"));
    assert_non_null(
        strstr(talk(*state, "{\"method\":\"echo\",\"params\":[1],\"id\":1}\n"), "-32600"));
    assert_non_null(
        strstr(talk(*state, "{\"method\":\"echo\",\"method\":\"fail\",\"id\":1}\n"), "-32700"));
}

static void an_answer_may_come_later_or_after_the_client_has_gone(void **state)
{
    struct fixture *f = *state;

    talk(f, "{\"method\":\"later\",\"id\":9}\n");
    rpc_reply(f->kept, json_true());
    assert_non_null(strstr(talk(f, ""), "\"result\":true,\"id\":9"));

    talk(f, "{\"method\":\"later\",\"id\":9}\n");
    close(f->client);
    f->client = -1;
    settle(f);
    assert_null(rpc_call_conn(f->kept));
    rpc_reply(f->kept, json_true());
}

static void send_fds(int client, const char *text, const int *fds, unsigned count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(253 * sizeof(int))];
    } control = {0};
    struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(cmsg), fds, count * sizeof(int));
    assert_true(sendmsg(client, &msg, MSG_NOSIGNAL) > 0);
}

static void descriptors_come_with_their_request(void **state)
{
    struct fixture *f = *state;
    struct pollfd writer;
    int pipes[2];

    assert_int_equal(pipe(pipes), 0);
    send_fds(f->client, "{\"method\":\"later\",\"id\":1}\n", pipes, 2);
    close(pipes[1]);
    settle(f);
    assert_true(f->fd_seen >= 0);
    rpc_reply(f->kept, NULL);
    close(f->fd_seen);
    /* The second, which nobody took, is closed: the pipe has no writer left. */
    writer = (struct pollfd){.fd = pipes[0]};
    assert_int_equal(poll(&writer, 1, 5000), 1);
    assert_true(writer.revents & POLLHUP);
    close(pipes[0]);
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void a_descriptor_that_is_slow_to_close_holds_up_nobody(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int other[4], fds[RPC_FDS + 1], clients[CLIENTS], turned_away;
    double start;

    /* with a request that does not want it */
    fds[0] = lingering_socket(&other[0]);
    send_fds(f->client, "{\"method\":\"echo\",\"id\":1}\n", fds, 1);
    close(fds[0]);
    start = seconds();
    assert_non_null(strstr(talk(f, ""), "result"));
    /* too many */
    for (unsigned i = 0; i < RPC_FDS; i++)
        fds[i] = 0;
    fds[RPC_FDS] = lingering_socket(&other[1]);
    send_fds(f->client, "{\"method\":\"echo\",\"id\":1}\n", fds, RPC_FDS + 1);
    close(fds[RPC_FDS]);
    assert_non_null(strstr(talk(f, ""), "error"));
    /* with half a request, at the end of the connection */
    fds[0] = lingering_socket(&other[2]);
    send_fds(f->client, "{", fds, 1);
    close(fds[0]);
    settle(f);
    close(f->client);
    f->client = -1;
    settle(f);
    /* from one who is not let in, before he could know */
    for (unsigned i = 0; i < CLIENTS; i++)
        clients[i] = dial(f);
    strcpy(addr.sun_path, f->path);
    turned_away = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(turned_away, (struct sockaddr *)&addr, sizeof(addr)), 0);
    fds[0] = lingering_socket(&other[3]);
    send_fds(turned_away, "{\"method\":\"echo\",\"id\":1}\n", fds, 1);
    close(fds[0]);
    settle(f);
    assert_true(seconds() - start < 5);
    for (unsigned i = 0; i < 4; i++)
        close(other[i]); /* with data unread: resets, and the close() comes back */
    for (unsigned i = 0; i < CLIENTS; i++)
        close(clients[i]);
    close(turned_away);
    settle(f);
}

/* Then it does not let anybody in, and does not spin over it, until there are fewer. */
static void while_too_many_are_slow_to_close_nobody_is_served(void **state)
{
    struct fixture *f = *state;
    int other, fd = lingering_socket(&other), devnull = open("/dev/null", O_RDONLY), fds[250];
    char byte;

    send_fds(f->client, "{\"method\":\"echo\",\"id\":1}\n", &fd, 1);
    close(fd);
    settle(f);
    for (unsigned i = 0; i < 250; i++)
        fds[i] = devnull;
    for (unsigned i = 0; i < 3 && f->client >= 0; i++) {
        send_fds(f->client, "{\"method\":\"echo\",\"id\":1}\n", fds, 250);
        settle(f);
    }
    while (recv(f->client, &byte, 1, MSG_DONTWAIT) > 0)
        ;
    assert_int_equal(recv(f->client, &byte, 1, MSG_DONTWAIT), 0); /* hung up on */
    close(f->client);
    f->client = dial(f);
    assert_true(fake_loop_settle(f->loop, 20, 100) < 100);
    close(other);
    for (unsigned i = 0; i < 5000; i++)
        if (*talk(f, i ? "" : "{\"method\":\"echo\",\"id\":1}\n"))
            break;
    assert_non_null(strstr(talk(f, "{\"method\":\"echo\",\"id\":1}\n"), "result"));
    close(devnull);
}

static void a_lease_ends_with_its_connection(void **state)
{
    struct fixture *f = *state;

    talk(f, "{\"method\":\"lease\",\"id\":1}\n");
    assert_int_equal(f->closed, 0);
    close(f->client);
    f->client = -1;
    settle(f);
    assert_int_equal(f->closed, 1);
}

static void an_endless_line_loses_its_connection(void **state)
{
    struct fixture *f = *state;
    char chunk[4096];
    size_t sent = 0;

    memset(chunk, 'x', sizeof(chunk));
    while (sent < 4 * RPC_LINE_MAX) {
        ssize_t n = send(f->client, chunk, sizeof(chunk), MSG_NOSIGNAL | MSG_DONTWAIT);

        settle(f);
        if (n < 0 && errno != EAGAIN)
            break;
        sent += n > 0 ? (size_t)n : 0;
    }
    assert_in_range(sent, RPC_LINE_MAX, 4 * RPC_LINE_MAX - 1);
}

static void who_does_not_read_its_answers_loses_its_connection(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 8; i++) {
        static const char text[] = "{\"method\":\"big\",\"id\":1}\n";

        if (send(f->client, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break;
        settle(f);
    }
    assert_int_equal(fake_loop_watches(f->loop), 2); /* the listener and its pause */
}

static void an_answer_for_which_there_was_no_memory_is_an_error(void **state)
{
    static const char error[] = "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":"
                                "\"out of memory\"},\"id\":7}\n";

    assert_string_equal(talk(*state, "{\"method\":\"none\",\"id\":7}\n"), error);
    assert_string_equal(talk(*state, "{\"method\":\"starved\",\"id\":7}\n"), error);
}

static void who_cannot_be_told_that_there_is_no_memory_is_hung_up_on(void **state)
{
    struct fixture *f = *state;
    char byte;

    talk(f, "{\"method\":\"starved\",\"id\":\"a name\"}\n");
    assert_int_equal(recv(f->client, &byte, 1, MSG_DONTWAIT), 0);
}

static void an_answer_that_no_client_could_take_is_an_error(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(talk(f, "{\"method\":\"big\",\"id\":7,\"params\":{\"too\":true}}\n"),
                        "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":"
                        "\"the answer is longer than a client may have\"},\"id\":7}\n");
    assert_non_null(strstr(talk(f, "{\"method\":\"echo\",\"id\":1}\n"), "result"));
}

/* Each could have as much; the sixth would make it more than all together may. */
static void clients_who_do_not_read_are_not_kept_beyond_what_all_may_hold(void **state)
{
    struct fixture *f = *state;
    static const char text[] = "{\"method\":\"big\",\"id\":1}\n{\"method\":\"big\",\"id\":2}\n";
    int fd[CLIENTS] = {f->client};

    assert_true(RPC_OUTPUT_MAX / 3 * 2 * CLIENTS <= RPC_OUTPUT_TOTAL);
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (i)
            fd[i] = dial(f);
        assert_int_equal(send(fd[i], text, sizeof(text) - 1, MSG_NOSIGNAL), sizeof(text) - 1);
        settle(f);
        assert_int_equal(fake_loop_watches(f->loop), i + 1 < CLIENTS ? i + 3 : i + 2);
    }
    for (unsigned i = 1; i < CLIENTS; i++)
        close(fd[i]);
    settle(f);
    /* What they held is free again. */
    assert_int_equal(fake_loop_watches(f->loop), 3);
    fd[1] = dial(f);
    assert_int_equal(send(fd[1], text, sizeof(text) - 1, MSG_NOSIGNAL), sizeof(text) - 1);
    settle(f);
    assert_int_equal(fake_loop_watches(f->loop), 4);
    close(fd[1]);
}

static void a_client_for_whom_there_is_no_descriptor_is_hung_up_on(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct rlimit limit, none;
    char byte;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), used[64], n = 0;

    strcpy(addr.sun_path, f->path);
    getrlimit(RLIMIT_NOFILE, &limit);
    none = (struct rlimit){64, limit.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    while (n < 64 && (used[n] = dup(0)) >= 0)
        n++;
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    /* Were it left in the queue, the listening socket would keep the loop awake. */
    fake_loop_turn(f->loop, 100);
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
    while (n)
        close(used[--n]);
    setrlimit(RLIMIT_NOFILE, &limit);
    close(fd);
    /* Those who are in go on, and so does the next. */
    assert_non_null(strstr(talk(f, "{\"method\":\"echo\",\"id\":1}\n"), "result"));
    close(f->client);
    f->client = dial(f);
    assert_non_null(strstr(talk(f, "{\"method\":\"echo\",\"id\":1}\n"), "result"));
}

static void one_client_too_many_is_hung_up_on(void **state)
{
    struct fixture *f = *state;
    int fds[CLIENTS];
    char byte;

    for (unsigned i = 0; i < CLIENTS; i++)
        fds[i] = dial(f);
    settle(f);
    assert_int_equal(recv(fds[CLIENTS - 1], &byte, 1, MSG_DONTWAIT), 0);
    assert_int_equal(recv(fds[CLIENTS - 2], &byte, 1, MSG_DONTWAIT), -1);
    for (unsigned i = 0; i < CLIENTS; i++)
        close(fds[i]);
    settle(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_request_is_answered_with_its_id),
        TEST(requests_may_come_in_pieces_and_in_one),
        TEST(a_notification_is_not_answered),
        TEST(errors_have_code_and_reason),
        TEST(a_client_for_whom_there_is_no_descriptor_is_hung_up_on),
        TEST(an_answer_may_come_later_or_after_the_client_has_gone),
        TEST(descriptors_come_with_their_request),
        TEST(a_descriptor_that_is_slow_to_close_holds_up_nobody),
        TEST(while_too_many_are_slow_to_close_nobody_is_served),
        TEST(a_lease_ends_with_its_connection),
        TEST(an_endless_line_loses_its_connection),
        TEST(one_client_too_many_is_hung_up_on),
        TEST(who_does_not_read_its_answers_loses_its_connection),
        TEST(an_answer_that_no_client_could_take_is_an_error),
        TEST(an_answer_for_which_there_was_no_memory_is_an_error),
        TEST(who_cannot_be_told_that_there_is_no_memory_is_hung_up_on),
        TEST(clients_who_do_not_read_are_not_kept_beyond_what_all_may_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
