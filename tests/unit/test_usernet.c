/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ioemud-usernet from its connection: what it is told first, and frames after that. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/usernet.h"
#include "tests/unit/free_port.h"

struct fixture {
    int fd; /* ours */
    int its, status;
    struct log log;
    pthread_t thread;
    char said[USERNET_ANSWER_MAX + 1];
    char logged[LOG_LINE_MAX];
};

static void on_log(void *ctx, int priority, const char *guest, const char *device, const char *text)
{
    struct fixture *f = ctx;

    snprintf(f->logged, sizeof(f->logged), "%s", text);
}

static void *serve(void *arg)
{
    struct fixture *f = arg;

    f->status = usernet_serve(f->its, &f->log);
    return NULL;
}

/* A process of it is a thread here. */
static void start(struct fixture *f, int its)
{
    f->its = its;
    f->status = -1;
    f->logged[0] = '\0';
    log_init(&f->log, LOG_INFO);
    log_divert(&f->log, on_log, f);
    assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
}

static void begin(struct fixture *f)
{
    int fd[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd), 0);
    f->fd = fd[0];
    start(f, fd[1]);
}

/* It ends by itself, and has closed its end. */
static int join(struct fixture *f)
{
    struct timespec limit;

    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 5;
    assert_int_equal(pthread_timedjoin_np(f->thread, NULL, &limit), 0);
    log_finish(&f->log);
    return f->status;
}

static int finish(struct fixture *f)
{
    close(f->fd);
    return join(f);
}

/* The answer. */
static const char *ask(struct fixture *f, const void *first, size_t length)
{
    ssize_t n;

    begin(f);
    assert_int_equal(send(f->fd, first, length, MSG_NOSIGNAL), length);
    n = recv(f->fd, f->said, sizeof(f->said) - 1, 0);
    assert_true(n > 0);
    f->said[n] = '\0';
    return f->said;
}

static const char *refused(struct fixture *f, const char *first)
{
    static char why[USERNET_WHY_SIZE];
    const char *said = ask(f, first, strlen(first));

    assert_int_equal(usernet_read_answer(said, strlen(said), why, sizeof(why)), -ECONNREFUSED);
    assert_int_equal(recv(f->fd, f->said, sizeof(f->said), 0), 0); /* it hangs up */
    assert_int_equal(finish(f), EXIT_SUCCESS);
    assert_non_null(strstr(f->logged, "event=refused"));
    return why;
}

#define ASSERT_HAS(text, part)                                                                     \
    do {                                                                                           \
        const char *has = text;                                                                    \
        if (!strstr(has, part))                                                                    \
            fail_msg("no \"%s\" in: %s", part, has);                                               \
    } while (0)

static void a_hostile_first_message_is_refused_with_a_reason(void **state)
{
    static struct fixture f;
    char many[4096] = "{\"forward\":[";

    ASSERT_HAS(refused(&f, "x"), "this is not JSON");
    ASSERT_HAS(refused(&f, "[]"), "an object");
    ASSERT_HAS(refused(&f, "{} {}"), "(network)");
    ASSERT_HAS(refused(&f, "{\"restricted\":true,\"restricted\":true}"), "restricted");
    ASSERT_HAS(refused(&f, "{\"restrict\":true}"), "did you mean \"restricted\"");
    ASSERT_HAS(refused(&f, "{\"backend\":\"tap\"}"), "/backend");
    ASSERT_HAS(refused(&f, "{\"tftp\":\"etc\"}"), "is relative");
    ASSERT_HAS(refused(&f, "{\"tftp\":\"/no such folder\"}"), "No such file");
    ASSERT_HAS(refused(&f, "{\"bootfile\":\"a\\nb\"}"), "/bootfile");
    ASSERT_HAS(refused(&f, "{\"forward\":[{\"port\":65536,\"guest_port\":1}]}"), "/forward/0/port");
    ASSERT_HAS(refused(&f, "{\"forward\":[{\"port\":1}]}"), "guest_port");
    for (unsigned i = 0; i <= CONFIG_FORWARDS; i++)
        snprintf(many + strlen(many), sizeof(many) - strlen(many),
                 "%s{\"port\":%u,\"guest_port\":1}", i ? "," : "", 40000 + i);
    snprintf(many + strlen(many), sizeof(many) - strlen(many), "]}");
    ASSERT_HAS(refused(&f, many), "17 ports");
}

static void a_first_message_has_a_length_that_it_may_have(void **state)
{
    static struct fixture f;
    static char first[USERNET_FIRST_MAX + 1000];

    memset(first, ' ', sizeof(first));
    first[0] = '{';
    first[USERNET_FIRST_MAX - 1] = '}';
    assert_string_equal(ask(&f, first, USERNET_FIRST_MAX), "{\"ok\":true}");
    assert_int_equal(finish(&f), EXIT_SUCCESS);
    for (unsigned i = 1; i < 1000; i += 998) {
        first[USERNET_FIRST_MAX - 1] = ' ';
        first[USERNET_FIRST_MAX - 1 + i] = '}';
        ASSERT_HAS(ask(&f, first, USERNET_FIRST_MAX + i), "longer than 65536 bytes");
        assert_int_equal(finish(&f), EXIT_SUCCESS);
    }
}

static void who_hangs_up_without_a_word_is_let_go(void **state)
{
    static struct fixture f;

    begin(&f);
    assert_int_equal(finish(&f), EXIT_SUCCESS);
    ASSERT_HAS(f.logged, "no network was asked for");
    assert_string_equal(ask(&f, "{}", 2), "{\"ok\":true}");
    assert_int_equal(finish(&f), EXIT_SUCCESS);
    assert_string_equal(f.logged, "");
}

static void what_is_no_connection_is_not_served(void **state)
{
    static struct fixture f;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd[2], listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    assert_int_equal(pipe(fd), 0);
    start(&f, fd[0]);
    assert_int_equal(join(&f), EXIT_FAILURE);
    close(fd[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    start(&f, fd[0]);
    assert_int_equal(join(&f), EXIT_FAILURE);
    close(fd[1]);
    /* A socket unit without Accept=yes. */
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(listener, 1), 0);
    start(&f, listener);
    assert_int_equal(join(&f), EXIT_FAILURE);
    ASSERT_HAS(f.logged, "Accept=yes");
}

static void a_port_that_is_taken_is_named(void **state)
{
    static struct fixture f, other;
    uint16_t port = free_port(SOCK_STREAM);
    char first[128], words[64];

    snprintf(first, sizeof(first), "{\"forward\":[{\"port\":%u,\"guest_port\":22}]}", port);
    assert_string_equal(ask(&f, first, strlen(first)), "{\"ok\":true}");
    snprintf(words, sizeof(words), "port %u of the host cannot be forwarded", port);
    ASSERT_HAS(refused(&other, first), words);
    assert_int_equal(finish(&f), EXIT_SUCCESS);
    assert_string_equal(ask(&f, first, strlen(first)), "{\"ok\":true}"); /* it is free again */
    assert_int_equal(finish(&f), EXIT_SUCCESS);
}

static void *end_soon(void *arg)
{
    struct fixture *f = arg;

    usleep(300000);
    shutdown(f->fd, SHUT_RDWR);
    return NULL;
}

/* The former network of a guest that is started again. */
static void a_port_that_comes_free_in_a_moment_is_waited_for(void **state)
{
    static struct fixture f, next;
    char first[128];
    pthread_t thread;

    snprintf(first, sizeof(first), "{\"forward\":[{\"port\":%u,\"guest_port\":22}]}",
             free_port(SOCK_STREAM));
    assert_string_equal(ask(&f, first, strlen(first)), "{\"ok\":true}");
    assert_int_equal(pthread_create(&thread, NULL, end_soon, &f), 0);
    assert_string_equal(ask(&next, first, strlen(first)), "{\"ok\":true}");
    pthread_join(thread, NULL);
    assert_int_equal(finish(&f), EXIT_SUCCESS);
    assert_int_equal(finish(&next), EXIT_SUCCESS);
}

/* ---- frames ---- */

#define ASKS 42u /* bytes: RFC 826, who has 10.0.2.2? */

static void arp(uint8_t frame[60])
{
    static const uint8_t request[ASKS] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x16, 0x3e, 1, 2,  3, 8, 6, 0, 1, 8, 0,  6, 4, 0,
        1,    0,    0x16, 0x3e, 1,    2,    3, 10,   0,    2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2};

    memset(frame, 0, 60);
    memcpy(frame, request, sizeof(request));
}

/* Answers to `arp` within `ms` of each other, at most `most`. */
static unsigned answers(struct fixture *f, unsigned most, int ms)
{
    struct pollfd readable = {.fd = f->fd, .events = POLLIN};
    unsigned count = 0;

    while (count < most && poll(&readable, 1, ms) == 1) {
        uint8_t frame[2048];
        ssize_t n = recv(f->fd, frame, sizeof(frame), 0);

        assert_in_range(n, NET_FRAME_MIN, 1518);
        count += frame[12] == 8 && frame[13] == 6 && frame[21] == 2;
    }
    return count;
}

static void frames_pass_and_those_that_are_none_do_not(void **state)
{
    static struct fixture f;
    static uint8_t large[100000];
    uint8_t frame[60];

    assert_string_equal(ask(&f, "{}", 2), "{\"ok\":true}");
    arp(frame);
    assert_int_equal(send(f.fd, frame, sizeof(frame), MSG_NOSIGNAL), sizeof(frame));
    assert_int_equal(answers(&f, 1, 5000), 1);
    memset(large, 0xff, sizeof(large));
    for (size_t bytes = 1; bytes <= sizeof(large); bytes = bytes * 3 + 1) {
        arp(large);
        assert_int_equal(send(f.fd, large, bytes, MSG_NOSIGNAL), bytes);
    }
    while (answers(&f, 1, 100))
        ;
    assert_int_equal(send(f.fd, frame, sizeof(frame), MSG_NOSIGNAL), sizeof(frame));
    assert_int_equal(answers(&f, 1, 5000), 1);
    assert_int_equal(finish(&f), EXIT_SUCCESS);
}

/* What there is for it is bounded, since answers get lost as on a wire; nothing spins meanwhile. */
static void a_guest_that_floods_and_takes_nothing_is_served_when_it_takes_something(void **state)
{
    static struct fixture f;
    struct pollfd writable = {.events = POLLOUT};
    uint8_t frame[60];
    unsigned sent = 0;
    struct timespec before, after;
    clockid_t clock;

    assert_string_equal(ask(&f, "{}", 2), "{\"ok\":true}");
    arp(frame);
    writable.fd = f.fd;
    while (sent < 20000 && poll(&writable, 1, 5000) == 1)
        if (send(f.fd, frame, sizeof(frame), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
            sent++;
    assert_int_equal(pthread_getcpuclockid(f.thread, &clock), 0);
    assert_int_equal(clock_gettime(clock, &before), 0);
    usleep(300000);
    assert_int_equal(clock_gettime(clock, &after), 0);
    assert_true((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec <
                50000000);
    assert_in_range(answers(&f, UINT32_MAX, 300), 1, 2000);
    assert_int_equal(send(f.fd, frame, sizeof(frame), MSG_NOSIGNAL), sizeof(frame));
    assert_int_equal(answers(&f, 1, 5000), 1);
    assert_int_equal(finish(&f), EXIT_SUCCESS);
}

static void an_idle_network_wakes_nobody(void **state)
{
    static struct fixture f;
    struct timespec before, after;
    uint8_t frame[60];
    clockid_t clock;

    assert_string_equal(ask(&f, "{}", 2), "{\"ok\":true}");
    arp(frame);
    assert_int_equal(send(f.fd, frame, sizeof(frame), MSG_NOSIGNAL), sizeof(frame));
    assert_int_equal(answers(&f, 1, 5000), 1);
    usleep(200000);
    assert_int_equal(pthread_getcpuclockid(f.thread, &clock), 0);
    assert_int_equal(clock_gettime(clock, &before), 0);
    usleep(1200000);
    assert_int_equal(clock_gettime(clock, &after), 0);
    assert_int_equal(before.tv_sec, after.tv_sec);
    assert_int_equal(before.tv_nsec, after.tv_nsec); /* not a single turn */
    assert_int_equal(finish(&f), EXIT_SUCCESS);
}

static void an_empty_message_ends_it_as_the_end_does(void **state)
{
    static struct fixture f;

    assert_string_equal(ask(&f, "{}", 2), "{\"ok\":true}");
    assert_int_equal(send(f.fd, "", 0, MSG_NOSIGNAL), 0);
    assert_int_equal(join(&f), EXIT_SUCCESS);
    close(f.fd);
}

/* ---- the answer ---- */

static int answer_of(const char *text, char why[64])
{
    return usernet_read_answer(text, strlen(text), why, 64);
}

static void an_answer_is_one_or_none(void **state)
{
    static const char *const none[] = {"",
                                       "{}",
                                       "[]",
                                       "true",
                                       "{\"ok\":1}",
                                       "{\"ok\":false}",
                                       "{\"ok\":true,\"error\":\"x\"}",
                                       "{\"ok\":true,\"ok\":true}",
                                       "{\"error\":null}",

                                       "{\"error\":\"x",
                                       "{\"error\":\"\xff\"}"};
    char why[64] = "", text[USERNET_ANSWER_MAX];
    char quotes[2 * USERNET_WHY_SIZE];
    size_t length;

    assert_int_equal(answer_of("{\"ok\": true}", why), 0);
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_int_equal(answer_of(none[i], why), -EPROTO);
    assert_int_equal(answer_of("{\"error\":\"a\\nb\\u00e9\\u0001\"}", why), -ECONNREFUSED);
    assert_string_equal(why, "a?b???");
    /* Whatever there is to be said, it is an answer. */
    memset(quotes, '"', sizeof(quotes));
    for (size_t size = 0; size < sizeof(quotes); size += 31) {
        quotes[size] = '\0';
        length = usernet_write_answer(quotes, text);
        assert_in_range(length, 1, USERNET_ANSWER_MAX);
        assert_int_equal(usernet_read_answer(text, length, why, sizeof(why)), -ECONNREFUSED);
        quotes[size] = '"';
    }
    length = usernet_write_answer(NULL, text);
    assert_int_equal(usernet_read_answer(text, length, why, sizeof(why)), 0);
}

static void a_network_arrives_as_it_was_described(void **state)
{
    static const char first[] =
        "{\"forward\":[{\"protocol\":\"udp\",\"address\":\"0.0.0.0\",\"port\":53,\"guest_port\":54}"
        ","
        "{\"port\":2222,\"guest_port\":22}],\"restricted\":true,\"tftp\":\"/srv\",\"bootfile\":"
        "\"b\"}";
    char why[USERNET_WHY_SIZE], *text;
    struct net_user_options options;
    struct nic_config nic, again;

    assert_int_equal(usernet_read_first(first, strlen(first), &nic, why), 0);
    text = nic_config_user_text(&nic);
    assert_non_null(text);
    assert_int_equal(usernet_read_first(text, strlen(text), &again, why), 0);
    free(text);
    usernet_options(&again, &options);
    assert_true(options.restricted);
    assert_string_equal(options.tftp_root, "/srv");
    assert_string_equal(options.bootfile, "b");
    assert_int_equal(options.n_forwards, 2);
    assert_true(options.forward[0].udp);
    assert_int_equal(options.forward[0].host_address, 0);
    assert_int_equal(options.forward[0].host_port, 53);
    assert_int_equal(options.forward[0].guest_port, 54);
    assert_false(options.forward[1].udp);
    assert_int_equal(options.forward[1].host_address, INADDR_LOOPBACK);
    nic_config_finish(&nic);
    nic_config_finish(&again);
    /* Nothing that there is to say of one is its default. */
    assert_int_equal(usernet_read_first("{}", 2, &nic, why), 0);
    text = nic_config_user_text(&nic);
    assert_string_equal(text, "{\"restricted\":false}");
    free(text);
    nic_config_finish(&nic);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hostile_first_message_is_refused_with_a_reason),
        cmocka_unit_test(a_first_message_has_a_length_that_it_may_have),
        cmocka_unit_test(who_hangs_up_without_a_word_is_let_go),
        cmocka_unit_test(what_is_no_connection_is_not_served),
        cmocka_unit_test(a_port_that_is_taken_is_named),
        cmocka_unit_test(a_port_that_comes_free_in_a_moment_is_waited_for),
        cmocka_unit_test(frames_pass_and_those_that_are_none_do_not),
        cmocka_unit_test(a_guest_that_floods_and_takes_nothing_is_served_when_it_takes_something),
        cmocka_unit_test(an_idle_network_wakes_nobody),
        cmocka_unit_test(an_empty_message_ends_it_as_the_end_does),
        cmocka_unit_test(an_answer_is_one_or_none),
        cmocka_unit_test(a_network_arrives_as_it_was_described),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
