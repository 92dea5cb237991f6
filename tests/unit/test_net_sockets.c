/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NICs that are connected by unix sockets, or not at all; and captures of what they say. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/backend/capture.h"
#include "tests/unit/net_rig.h"

static struct net_rig a, b;
static uint8_t frame[NET_FRAME_MAX];

static int setup(void **state)
{
    for (unsigned i = 0; i < sizeof(frame); i++)
        frame[i] = (uint8_t)(i * 3 + i / 256);
    *state = fake_loop_create();
    return 0;
}

static int teardown(void **state)
{
    fake_loop_destroy(*state);
    return 0;
}

static void null_takes_everything(void **state)
{
    struct net_port *port;
    const struct net_offload offload = {.gso = NET_GSO_TCP4, .gso_size = 1000};

    assert_int_equal(net_null_open(fake_loop(*state), &port), 0);
    net_rig_init(&a, *state, port);
    assert_true(net_rig_send(&a, frame, 100, NULL));
    assert_true(net_rig_send(&a, frame, 14, &offload));
    fake_loop_settle(*state, 0, 10);
    net_rig_finish(&a);
}

static int bound(char *path, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(path, sizeof(address.sun_path), "/tmp/test_net_sockets-%d-%s", (int)getpid(), name);
    memcpy(address.sun_path, path, strlen(path) + 1);
    unlink(path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static struct net_port *dgram(struct fake_loop *fake, int fd, const char *peer, int keep_fd)
{
    const struct net_dgram_options options = {.fd = fd, .peer = peer, .keep_fd = keep_fd};
    struct net_port *port;

    assert_int_equal(net_dgram_open(&options, fake_loop(fake), &port), 0);
    return port;
}

static void two_nics_talk_by_datagrams(void **state)
{
    char path[2][108];
    int fd[2] = {bound(path[0], "a"), bound(path[1], "b")};
    struct net_port *port;

    port = dgram(*state, fd[0], path[1], -1);
    net_rig_init(&a, *state, port);
    port = dgram(*state, fd[1], path[0], -1);
    net_rig_init(&b, *state, port);
    for (unsigned i = 0; i < 5; i++)
        assert_true(net_rig_send(&a, frame + i, 60 + i * 300, NULL));
    assert_true(net_rig_wait(&b, 5));
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(b.frame[i].bytes, 60 + i * 300);
        assert_memory_equal(b.frame[i].data, frame + i, 60 + i * 300);
    }
    assert_int_equal(b.batches, 1);
    assert_true(net_rig_send(&b, frame, 1514, NULL));
    assert_true(net_rig_wait(&a, 1));
    net_rig_finish(&b);
    /* A peer that is not there loses packets, one that comes back gets them again. */
    assert_true(net_rig_send(&a, frame, 99, NULL));
    assert_int_equal(net_counters(a.net)->tx_dropped, 1);
    fd[1] = bound(path[1], "b");
    assert_true(net_rig_send(&a, frame, 99, NULL));
    assert_int_equal(recv(fd[1], frame, sizeof(frame), 0), 99);
    fake_loop_settle(*state, 0, 10);
    net_rig_finish(&a);
    close(fd[1]);
    unlink(path[0]);
    unlink(path[1]);
}

static void a_peer_that_does_not_read_makes_the_sender_wait(void **state)
{
    int fd[2];
    struct net_port *port;
    unsigned sent = 0;

    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd), 0);
    port = dgram(*state, fd[0], "", -1);
    net_rig_init(&a, *state, port);
    port = dgram(*state, fd[1], "", -1);
    net_rig_init(&b, *state, port);
    b.room = 0;
    while (sent < 10000) {
        if (net_rig_send(&a, frame, 1000, NULL)) {
            sent++;
            continue;
        }
        unsigned before = a.writables;

        fake_loop_settle(*state, 10, 100);
        if (a.writables == before)
            break;
    }
    assert_true(sent > 1 && sent < 10000);
    /* Nobody spins meanwhile. */
    assert_int_equal(fake_loop_settle(*state, 10, 100), 0);
    b.room = UINT32_MAX;
    net_receive_ready(b.net);
    assert_true(net_rig_wait(&b, sent));
    fake_loop_settle(*state, 10, 100);
    assert_true(net_rig_send(&a, frame, 1000, NULL));
    assert_true(net_rig_wait(&b, sent + 1)); /* none was lost */
    fake_loop_settle(*state, 0, 10);
    net_rig_finish(&a);
    net_rig_finish(&b);
}

/* ---- connected by somebody else ---- */

struct dialler {
    unsigned asked, ended;
    int answer; /* of the next ones */
};

static int on_dial(void *ctx)
{
    struct dialler *dialler = ctx;

    dialler->asked++;
    return dialler->answer;
}

static void on_ended(void *ctx)
{
    ((struct dialler *)ctx)->ended++;
}

static struct net_port *dialled(struct fake_loop *fake, int fd, struct dialler *dialler)
{
    const struct net_dgram_options options = {
        .fd = fd, .peer = "", .keep_fd = -1, .dial = on_dial, .ended = on_ended, .ctx = dialler};
    struct net_port *port;

    dialler->answer = -EINPROGRESS;
    assert_int_equal(net_dgram_open(&options, fake_loop(fake), &port), 0);
    return port;
}

static bool reach(int fd, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, path, strlen(path) + 1);
    return !connect(fd, (struct sockaddr *)&address, sizeof(address));
}

static void a_packet_waits_while_its_peer_is_dialled(void **state)
{
    struct dialler dialler = {0};
    char path[2][108];
    int own = bound(path[0], "a"), other = bound(path[1], "b"), kept = dup(own);
    struct net_port *port = dialled(*state, own, &dialler);

    net_rig_init(&a, *state, port);
    for (unsigned i = 0; i < 5; i++)
        assert_false(net_rig_send(&a, frame, 99, NULL));
    assert_int_equal(dialler.asked, 1); /* however many wait */
    fake_loop_settle(*state, 0, 10);
    assert_int_equal(fake_loop_settle(*state, 10, 100), 0); /* nobody spins */
    assert_true(reach(kept, path[1]));
    net_dgram_dialled(port, true);
    fake_loop_settle(*state, 0, 10);
    assert_int_equal(a.writables, 1);
    assert_true(net_rig_send(&a, frame, 99, NULL));
    assert_int_equal(recv(other, frame, sizeof(frame), MSG_DONTWAIT), 99);
    net_dgram_dialled(port, false); /* nobody has asked */
    assert_true(net_rig_send(&a, frame, 98, NULL));
    assert_int_equal(recv(other, frame, sizeof(frame), MSG_DONTWAIT), 98);
    assert_int_equal(net_counters(a.net)->tx_dropped, 0);
    assert_int_equal(dialler.asked, 1);
    net_rig_finish(&a);
    close(kept);
    close(other);
    unlink(path[0]);
    unlink(path[1]);
}

static void a_peer_that_comes_later_or_again_is_dialled_anew(void **state)
{
    struct dialler dialler = {0};
    char path[2][108];
    int own = bound(path[0], "a"), other, kept = dup(own);
    struct net_port *port = dialled(*state, own, &dialler);
    uint64_t now = 1000 * NET_DGRAM_AGAIN_NS;

    fake_loop_set_clock(*state, now);
    net_rig_init(&a, *state, port);
    for (unsigned comes = 0; comes < 3; comes++) {
        unsigned asked = dialler.asked;

        /* It is not there: what waits is lost, and what is sent in the time after that. */
        assert_false(net_rig_send(&a, frame, 99, NULL));
        assert_int_equal(dialler.asked, asked + 1);
        net_dgram_dialled(port, false);
        for (unsigned i = 0; i < NET_BUDGET; i++)
            assert_true(net_rig_send(&a, frame, 99, NULL));
        assert_int_equal(dialler.asked, asked + 1);
        assert_int_equal(fake_loop_settle(*state, 10, 100) < 100, 1);
        assert_int_equal(fake_loop_timers(*state), 0);
        fake_loop_set_clock(*state, now += NET_DGRAM_AGAIN_NS);

        snprintf(path[1], sizeof(path[1]), "/tmp/test_net_sockets-%d-b", (int)getpid());
        other = bound(path[1], "b");
        assert_false(net_rig_send(&a, frame, 97, NULL));
        assert_true(reach(kept, path[1]));
        net_dgram_dialled(port, true);
        fake_loop_settle(*state, 0, 10);
        assert_true(net_rig_send(&a, frame, 97, NULL));
        assert_int_equal(recv(other, frame, sizeof(frame), MSG_DONTWAIT), 97);
        close(other);
        fake_loop_settle(*state, 0, 10);
        fake_loop_set_clock(*state, now += NET_DGRAM_AGAIN_NS);
    }
    assert_int_equal(dialler.asked, 6);
    assert_int_equal(dialler.ended, 0);
    fake_loop_set_clock(*state, 0);
    net_rig_finish(&a);
    close(kept);
    unlink(path[0]);
    unlink(path[1]);
}

/* Somebody else has the socket, too, and nobody reads it any more. */
static void who_waits_for_room_at_a_nic_that_goes_waits_no_longer(void **state)
{
    struct dialler dialler = {0};
    char path[2][108];
    int own = bound(path[0], "a"), other = bound(path[1], "b"), kept = dup(own);
    unsigned before;

    net_rig_init(&a, *state, dialled(*state, own, &dialler));
    net_rig_init(&b, *state, dgram(*state, other, path[0], -1));
    a.room = 0;
    do {
        before = b.writables;
        while (net_rig_send(&b, frame, 99, NULL))
            ;
        fake_loop_settle(*state, 10, 100);
    } while (b.writables > before);
    net_rig_finish(&a);
    fake_loop_settle(*state, 10, 100);
    assert_true(b.writables > before);
    assert_true(net_rig_send(&b, frame, 99, NULL));
    assert_int_equal(net_counters(b.net)->tx_dropped, 1);
    net_rig_finish(&b);
    close(kept);
    unlink(path[0]);
    unlink(path[1]);
}

static void a_connection_that_ends_takes_the_carrier_and_says_so_once(void **state)
{
    /* How it is noticed: a guest that receives, one that only sends, and one that receives later.
     */
    for (unsigned way = 0; way < 3; way++) {
        struct dialler dialler = {0};
        struct net_dgram_options options = {
            .peer = "", .keep_fd = -1, .connection = true, .ended = on_ended, .ctx = &dialler};
        struct net_port *port;
        int fd[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd), 0);
        options.fd = fd[0];
        assert_int_equal(net_dgram_open(&options, fake_loop(*state), &port), 0);
        net_rig_init(&a, *state, port);
        assert_int_equal(send(fd[1], frame, 100, 0), 100);
        assert_true(net_rig_wait(&a, 1));
        assert_true(net_rig_send(&a, frame, 200, NULL));
        assert_int_equal(recv(fd[1], frame, sizeof(frame), 0), 200);
        net_receive_enable(a.net, way == 0);
        fake_loop_settle(*state, 0, 10);
        close(fd[1]);
        fake_loop_settle(*state, 10, 100);
        assert_int_equal(dialler.ended, way == 0);
        if (way == 1)
            assert_true(net_rig_send(&a, frame, 100, NULL));
        if (way == 2)
            net_receive_enable(a.net, true);
        fake_loop_settle(*state, 10, 100);
        assert_false(a.link);
        assert_int_equal(dialler.ended, 1);
        net_receive_enable(a.net, false);
        net_receive_enable(a.net, true);
        assert_true(net_rig_send(&a, frame, 100, NULL));
        assert_in_range(fake_loop_settle(*state, 10, 100), 0, 5); /* nobody spins */
        assert_int_equal(dialler.ended, 1);
        net_rig_finish(&a);
    }
}

static void a_switch_that_hangs_up_takes_the_carrier(void **state)
{
    int fd[2], keep[2];
    struct net_port *port;

    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, keep), 0);
    port = dgram(*state, fd[0], "", keep[0]);
    net_rig_init(&a, *state, port);
    assert_true(a.link);
    close(keep[1]);
    fake_loop_settle(*state, 10, 100);
    assert_false(a.link);
    net_rig_finish(&a);
    close(fd[1]);
}

static void two_nics_talk_over_a_stream(void **state)
{
    int fd[2];
    struct net_port *port;
    unsigned sent = 0;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    assert_int_equal(net_stream_open(fd[0], false, fake_loop(*state), &port), 0);
    net_rig_init(&a, *state, port);
    assert_int_equal(net_stream_open(fd[1], false, fake_loop(*state), &port), 0);
    net_rig_init(&b, *state, port);
    b.room = 0; /* until the socket is full in the middle of a frame */
    while (sent < 100000) {
        if (net_rig_send(&a, frame, 1000, NULL)) {
            frame[0]++;
            sent++;
            continue;
        }
        unsigned before = a.writables;

        fake_loop_settle(*state, 10, 100);
        if (a.writables == before)
            break;
    }
    assert_true(sent > 100 && sent < 100000);
    assert_int_equal(fake_loop_settle(*state, 10, 100), 0);
    b.room = UINT32_MAX;
    net_receive_ready(b.net);
    assert_true(net_rig_wait(&b, sent));
    for (unsigned i = 0; i < NET_RIG_FRAMES && i < sent; i++) {
        assert_int_equal(b.frame[(sent - 1 - i) % NET_RIG_FRAMES].bytes, 1000);
        assert_int_equal(b.frame[(sent - 1 - i) % NET_RIG_FRAMES].data[0],
                         (uint8_t)(frame[0] - 1 - i));
    }
    assert_int_equal(b.got, sent);
    fake_loop_settle(*state, 0, 10);
    net_rig_finish(&a);
    fake_loop_settle(*state, 10, 10);
    assert_false(b.link);
    assert_true(net_rig_send(&b, frame, 1000, NULL)); /* into the void */
    fake_loop_settle(*state, 0, 10);
    net_rig_finish(&b);
}

static void a_listener_takes_one_peer_after_the_other(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t size = sizeof(sa_family_t);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), peer;
    struct net_port *port;
    uint8_t bytes[104] = {0, 0, 0, 100};

    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0); /* a name is chosen */
    assert_int_equal(listen(listener, 5), 0);
    size = sizeof(address);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(net_stream_open(listener, true, fake_loop(*state), &port), 0);
    net_rig_init(&a, *state, port);
    assert_false(a.link);
    for (unsigned i = 0; i < 3; i++) {
        peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(peer, (struct sockaddr *)&address, size), 0);
        fake_loop_settle(*state, 10, 10);
        assert_true(a.link);
        assert_int_equal(write(peer, bytes, 50), 50); /* in two parts */
        fake_loop_settle(*state, 10, 10);
        assert_int_equal(a.got, i);
        assert_int_equal(write(peer, bytes + 50, 54), 54);
        assert_true(net_rig_wait(&a, i + 1));
        assert_int_equal(a.frame[i].bytes, 100);
        if (i == 1) { /* a length that cannot be */
            assert_int_equal(write(peer, "\x00\x01\x00\x00", 4), 4);
            fake_loop_settle(*state, 10, 10);
            assert_false(a.link);
        }
        close(peer);
        fake_loop_settle(*state, 10, 10);
        assert_false(a.link);
    }
    net_rig_finish(&a);
}

static uint32_t get32(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, 4);
    return value;
}

static void a_capture_has_both_directions_and_a_limit(void **state)
{
    static uint8_t file[10000];
    FILE *stream = tmpfile();
    struct capture *capture;
    struct net_port *port;
    const struct capture_counters *counters;
    size_t bytes;

    assert_int_equal(net_null_open(fake_loop(*state), &port), 0);
    net_rig_init(&a, *state, port);
    assert_int_equal(
        capture_open(dup(fileno(stream)), 24 + 2 * (16 + 100) + 50, fake_loop(*state), &capture),
        0);
    net_set_capture(a.net, capture);
    counters = capture_counters(net_capture(a.net));
    assert_true(net_rig_send(&a, frame, 100, NULL));
    net_port_receive(port, frame + 5, 100, NULL);
    net_port_receive(port, frame, 60, NULL); /* would go beyond */
    net_port_receive(port, frame, 14, NULL); /* no gap: it has ended */
    assert_int_equal(counters->packets, 2);
    assert_int_equal(counters->bytes, 200);
    assert_int_equal(counters->dropped, 2);
    fake_loop_settle(*state, 0, 10);
    rewind(stream);
    bytes = fread(file, 1, sizeof(file), stream);
    assert_int_equal(bytes, 24 + 2 * (16 + 100));
    assert_int_equal(get32(file), 0xa1b23c4d);
    assert_int_equal(get32(file + 20), 1); /* Ethernet */
    assert_int_equal(get32(file + 24 + 8), 100);
    assert_memory_equal(file + 24 + 16, frame, 100);
    assert_memory_equal(file + 24 + 116 + 16, frame + 5, 100);
    net_set_capture(a.net, NULL);
    net_rig_finish(&a);
    fclose(stream);
}

static void a_capture_into_a_full_file_ends_quietly(void **state)
{
    struct capture *capture;
    FILE *full = fopen("/dev/full", "w"), *null = fopen("/dev/null", "w");
    const struct iovec iov = {frame, 1000};

    assert_true(capture_open(fileno(full), 1 << 20, fake_loop(*state), &capture) < 0);
    assert_int_equal(capture_open(dup(fileno(null)), 1 << 20, fake_loop(*state), &capture), 0);
    assert_true(dup2(fileno(full), fileno(null)) >= 0);
    for (unsigned i = 0; i < 500; i++)
        capture_packet(capture, &iov, 1, 1000);
    assert_int_equal(capture_counters(capture)->packets, 500);
    capture_close(capture);
    fclose(full);
    fclose(null);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(null_takes_everything),
        TEST(two_nics_talk_by_datagrams),
        TEST(a_peer_that_does_not_read_makes_the_sender_wait),
        TEST(a_packet_waits_while_its_peer_is_dialled),
        TEST(a_peer_that_comes_later_or_again_is_dialled_anew),
        TEST(who_waits_for_room_at_a_nic_that_goes_waits_no_longer),
        TEST(a_connection_that_ends_takes_the_carrier_and_says_so_once),
        TEST(a_switch_that_hangs_up_takes_the_carrier),
        TEST(two_nics_talk_over_a_stream),
        TEST(a_listener_takes_one_peer_after_the_other),
        TEST(a_capture_has_both_directions_and_a_limit),
        TEST(a_capture_into_a_full_file_ends_quietly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
