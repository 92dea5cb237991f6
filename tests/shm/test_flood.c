/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tap interface that is flooded, in a network namespace of its own: what it costs the daemon. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/backend/net.h"
#include "tests/peer/e1000.h"
#include "tests/shm/rig.h"

#define FLOOD 30000u /* frames of the smallest size */

static const char *why_not; /* NULL: it can be tested */

struct fixture {
    struct rig rig;
    struct e1000_driver nic;
    int wire;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct ifreq ifr = {.ifr_name = "flood0"};
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};

    *state = f;
    if (why_not)
        return 0;
    rig_start(&f->rig, "\"workers\": 1");
    rig_guest_more(&f->rig, "g", "", "\"nics\": [{\"ifname\": \"flood0\"}]");
    f->nic.peer = rig_peer(&f->rig, "g", 1, E1000_RAM);
    f->wire = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    assert_true(f->wire >= 0);
    ifr.ifr_flags = IFF_UP | IFF_NOARP;
    assert_int_equal(ioctl(f->wire, SIOCSIFFLAGS, &ifr), 0);
    address.sll_ifindex = (int)if_nametoindex("flood0");
    assert_int_equal(bind(f->wire, (struct sockaddr *)&address, sizeof(address)), 0);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int status = 0;

    if (!why_not) {
        close(f->wire);
        peer_close(f->nic.peer);
        rig_wait_guests(&f->rig, 0, 5000);
        status = rig_stop(&f->rig);
    }
    free(f);
    assert_int_equal(status, 0);
    return 0;
}

static struct fixture *fixture_or_skip(void **state)
{
    if (why_not) {
        print_message("skipped: %s\n", why_not);
        skip();
    }
    return *state;
}

static void flood(struct fixture *f)
{
    uint8_t frame[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5};

    for (uint32_t i = 0; i < FLOOD; i++) {
        memcpy(frame + 14, &i, sizeof(i));
        (void)!send(f->wire, frame, sizeof(frame), MSG_DONTWAIT); /* a full queue loses it */
    }
}

/* Milliseconds of processor that the daemon has used; proc(5): utime and stime. */
static unsigned long daemon_ms(struct fixture *f)
{
    unsigned long utime, stime;
    char path[64];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)f->rig.pid);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file,
                            "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                            &utime, &stime),
                     2);
    fclose(file);
    return (utime + stime) * 1000 / (unsigned long)sysconf(_SC_CLK_TCK);
}

static json_int_t counter(struct fixture *f, const char *name)
{
    json_t *result = rig_call(&f->rig, "stats", NULL, NULL);
    json_t *guest = json_array_get(json_object_get(result, "guests"), 0);
    json_t *nic = json_array_get(json_object_get(guest, "nics"), 0);
    json_int_t value = json_integer_value(json_object_get(nic, name));

    json_decref(result);
    return value;
}

/* Turns that the worker has made. */
static json_int_t turns(struct fixture *f)
{
    json_t *result = rig_call(&f->rig, "stats", NULL, NULL);
    json_t *workers = json_object_get(json_object_get(result, "daemon"), "workers");
    json_int_t value = json_integer_value(json_object_get(json_array_get(workers, 0), "wakeups"));

    json_decref(result);
    return value;
}

/* The next frame of the flood: its number. */
static uint32_t next(struct fixture *f)
{
    const uint8_t *frame = NULL;
    uint32_t number;

    for (;; e1000_driver_take(&f->nic)) {
        assert_true(e1000_driver_wait(&f->nic, &frame));
        if (frame[12] == 0x88 && frame[13] == 0xb5)
            break; /* not what the kernel itself says there */
    }
    memcpy(&number, frame + 14, sizeof(number));
    e1000_driver_take(&f->nic);
    return number;
}

static void a_nic_whose_guest_never_takes_its_packets_costs_nothing(void **state)
{
    struct fixture *f = fixture_or_skip(state);
    unsigned long before = daemon_ms(f);
    json_int_t turn = turns(f), received;

    /* No driver yet. Not a quarter of what a system call a packet would cost. */
    flood(f);
    assert_true(daemon_ms(f) - before <= 10);
    assert_int_equal(counter(f, "rx_packets"), 0);
    assert_true(turns(f) <= turn + 2); /* its descriptor is not watched */

    /* A driver that never gives a buffer back. */
    e1000_driver_start(&f->nic);
    flood(f);
    for (unsigned i = 0; i < 100 && counter(f, "rx_packets") < E1000_RING - 1; i++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    received = counter(f, "rx_packets");
    flood(f);
    turn = turns(f); /* libev lets go of a descriptor when it hears from it once more */
    before = daemon_ms(f);
    flood(f);
    assert_true(daemon_ms(f) - before <= 10);
    assert_true(turns(f) <= turn + 2);
    assert_int_equal(received, E1000_RING - 1);
    assert_int_equal(counter(f, "rx_packets"), received);
    assert_int_equal(counter(f, "rx_waits"), 1);
}

/* Whoever floods a guest that takes all: others get their turn after every batch of packets. */
static void a_flooded_guest_has_its_share_of_a_turn_and_no_more(void **state)
{
    struct fixture *f = fixture_or_skip(state);
    json_int_t turn, had, got = 0;

    e1000_driver_start(&f->nic);
    turn = turns(f); /* before the packets are counted, and after */
    had = counter(f, "rx_packets");
    for (unsigned i = 0; i < 200 && got < 20000; i++) {
        pid_t pid = fork();

        if (!pid) {
            flood(f);
            _exit(0);
        }
        do
            while (e1000_driver_take_all(&f->nic))
                ;
        while (!waitpid(pid, NULL, WNOHANG));
        got = counter(f, "rx_packets") - had;
    }
    assert_true(got >= 20000);
    assert_true(got <= NET_BUDGET * (turns(f) - turn + 1));
}

static void packets_that_waited_arrive_in_order_and_old_ones_not_at_all(void **state)
{
    struct fixture *f = fixture_or_skip(state);
    uint32_t last, number;

    flood(f); /* before there is a driver: lost */
    e1000_driver_start(&f->nic);
    flood(f);
    last = next(f);
    assert_int_equal(last, 0);
    for (unsigned i = 0; i < 400; i++) { /* of the 500 and more that the interface queues */
        number = next(f);
        assert_int_equal(number, last + 1);
        last = number;
    }
    assert_int_equal(counter(f, "rx_dropped"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_nic_whose_guest_never_takes_its_packets_costs_nothing),
        TEST(a_flooded_guest_has_its_share_of_a_turn_and_no_more),
        TEST(packets_that_waited_arrive_in_order_and_old_ones_not_at_all),
    };
    int fd;

    if (unshare(CLONE_NEWNET))
        why_not = "no network namespace of its own (not root?)";
    else if ((fd = open("/dev/net/tun", O_RDWR)) < 0)
        why_not = "no tap interfaces (/dev/net/tun)";
    else
        close(fd);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
