// SPDX-License-Identifier: GPL-2.0-or-later
/* hv_shm against the peer library: what a well-behaved guest sees. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

#include "ioreq/guestmem.h"
#include "tests/peer/peer_priv.h"
#include "tests/unit/shm_server.h"

static const struct hv_ops *const hv = &hv_shm_ops;

static int setup(void **state)
{
    *state = shm_server_start();
    return 0;
}

static int teardown(void **state)
{
    shm_server_stop(*state);
    return 0;
}

static void ports_read_and_write_in_all_sizes(void **state)
{
    struct peer *peer = shm_server_peer(*state, "guest", 1);

    peer_out(peer, 0, 0x300, 4, 0x44332211);
    assert_int_equal(peer_in(peer, 0, 0x300, 4), 0x44332211);
    assert_int_equal(peer_in(peer, 0, 0x301, 1), 0x22);
    assert_int_equal(peer_in(peer, 0, 0x302, 2), 0x4433);
    peer_out(peer, 0, 0x301, 1, 0xaabb);
    peer_out(peer, 0, 0x302, 2, 0xccdd);
    assert_int_equal(peer_in(peer, 0, 0x300, 4), 0xccddbb11);
    assert_int_equal(peer_error(peer), 0);
    peer_close(peer);
}

static void what_is_not_claimed_reads_as_ones_without_a_request(void **state)
{
    struct shm_server *server = *state;
    struct peer *peer = shm_server_peer(server, "guest", 1);

    assert_int_equal(peer_in(peer, 0, 0x1f7, 1), 0xff);
    assert_int_equal(peer_in(peer, 0, 0x306, 4), 0xffffffff); /* over the end of a claim */
    assert_int_equal(peer_mmio_read(peer, 0, 0xf0001000, 8), UINT64_MAX);
    peer_rep_in(peer, 0, 0x1f0, 2, 0x1000, 4, false);
    assert_memory_equal(peer_ram(peer, 0x1000, 10), "\xff\xff\xff\xff\xff\xff\xff\xff\0\0", 10);
    assert_int_equal(server->guests[0].dispatch.counters.pio_read, 0);
    peer_close(peer);
}

static void strings_go_to_guest_memory_over_pages_and_downwards(void **state)
{
    struct shm_server *server = *state;
    struct peer *peer = shm_server_peer(server, "guest", 1);
    uint8_t *ram = peer_ram(peer, 0, 1 << 20);

    /* 3000 dwords from an odd address: three pages, two elements that straddle. */
    peer_rep_in(peer, 0, 0x310, 4, 0x1ffd, 3000, false);
    for (unsigned i = 0; i < 12000; i++)
        assert_int_equal(ram[0x1ffd + i], (uint8_t)i);
    assert_int_equal(ram[0x1ffc], 0);
    assert_int_equal(ram[0x1ffd + 12000], 0);

    for (unsigned i = 0; i < 9000; i++)
        ram[0x8001 + i] = (uint8_t)(i * 7);
    peer_rep_out(peer, 0, 0x310, 2, 0x8001, 4500, false);
    assert_int_equal(server->guests[0].written_len, 9000);
    assert_memory_equal(server->guests[0].written, ram + 0x8001, 9000);

    /* df: elements downwards, bytes within an element upwards. */
    server->guests[0].written_len = 0;
    peer_rep_out(peer, 0, 0x310, 2, 0x8001 + 8998, 4500, true);
    for (unsigned i = 0; i < 4500; i++)
        assert_memory_equal(server->guests[0].written + 2 * i, ram + 0x8001 + 8998 - 2 * i, 2);
    assert_int_equal(peer_error(peer), 0);
    assert_int_equal(server->guests[0].illegal, 0);
    peer_close(peer);
}

static void mmio_and_pci_configuration_are_routed(void **state)
{
    struct shm_server *server = *state;
    struct peer *peer = shm_server_peer(server, "guest", 1);
    struct dispatch_counters *counters = &server->guests[0].dispatch.counters;

    peer_mmio_write(peer, 0, 0xf0000ff8, 8, 0x1122334455667788);
    assert_int_equal(peer_mmio_read(peer, 0, 0xf0000ffc, 4), 0x11223344);
    assert_int_equal(peer_pci_read(peer, 0, 5 << 3, 0, 4), 0xffffffff);
    assert_int_equal(counters->pci_read, 1);
    peer_pci_read(peer, 0, 6 << 3, 0, 4); /* not claimed */
    assert_int_equal(counters->pci_read, 1);
    peer_pci_write(peer, 0, 5 << 3, 4, 2, 7);
    assert_int_equal(counters->pci_write, 1);
    assert_int_equal(counters->pio_write + counters->pio_read, 0);
    peer_close(peer);
}

static void buffered_writes_arrive_before_the_next_request(void **state)
{
    struct peer *peer = shm_server_peer(*state, "guest", 1);
    unsigned written = 0;

    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 100; i++) {
            while (!peer_buffered_write(peer, IOREQ_PIO, 0x304, 4, ++written))
                ;
        }
        assert_int_equal(peer_in(peer, 0, 0x304, 4), written);
    }
    peer_close(peer);
}

static void two_peers_do_not_see_each_other(void **state)
{
    struct peer *a = shm_server_peer(*state, "a", 1), *b = shm_server_peer(*state, "b", 1);

    peer_out(a, 0, 0x300, 4, 1);
    peer_out(b, 0, 0x300, 4, 2);
    peer_rep_in(b, 0, 0x310, 1, 0, 16, false);
    assert_int_equal(peer_in(a, 0, 0x300, 4), 1);
    assert_int_equal(peer_in(b, 0, 0x300, 4), 2);
    assert_int_equal(((uint8_t *)peer_ram(a, 0, 16))[15], 0);
    assert_int_equal(((uint8_t *)peer_ram(b, 0, 16))[15], 15);
    peer_close(a);
    assert_int_equal(peer_in(b, 0, 0x300, 4), 2);
    peer_close(b);
}

struct cpu {
    struct peer *peer;
    unsigned vcpu;
    unsigned wrong;
};

static void *cpu_thread(void *arg)
{
    struct cpu *cpu = arg;

    for (unsigned i = 0; i < 2000; i++) {
        uint32_t value = i * 31 + cpu->vcpu;

        peer_mmio_write(cpu->peer, cpu->vcpu, 0xf0000000 + cpu->vcpu * 8, 4, value);
        cpu->wrong += peer_mmio_read(cpu->peer, cpu->vcpu, 0xf0000000 + cpu->vcpu * 8, 4) != value;
    }
    return NULL;
}

static void vcpus_issue_requests_at_once(void **state)
{
    struct peer *peer = shm_server_peer(*state, "smp", HV_SHM_VCPUS_MAX);
    struct cpu cpus[4] = {{peer, 0}, {peer, 1}, {peer, 64}, {peer, HV_SHM_VCPUS_MAX - 1}};
    pthread_t threads[4];

    for (unsigned i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, cpu_thread, &cpus[i]);
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(cpus[i].wrong, 0);
    }
    assert_int_equal(peer_error(peer), 0);
    peer_close(peer);
}

static void raise_lines(struct shm_server *server, void *arg)
{
    struct hv_guest *guest = server->guests[0].guest;

    hv->isa_irq(guest, 14, true);
    hv->isa_irq(guest, 14, true);
    hv->isa_irq(guest, 14, false);
    hv->isa_irq(guest, 15, true);
    hv->isa_irq(guest, 16, true); /* does not exist */
    hv->pci_intx(guest, 31, 3, true);
    hv->pci_intx(guest, 4, 0, true);
    hv->pci_intx(guest, 4, 0, false);
    hv->pci_link_route(guest, 2, 11);
    hv->shutdown(guest, HV_SHUTDOWN_REBOOT);
}

static void interrupts_show_levels_and_count_edges(void **state)
{
    struct shm_server *server = *state;
    struct peer *peer = shm_server_peer(server, "guest", 1);
    uint32_t before = peer_isa_rises(peer, 15);

    shm_server_run(server, raise_lines, NULL);
    assert_int_equal(peer_wait_isa(peer, 15, before), 0);
    assert_int_equal(peer_isa_rises(peer, 14), 1);
    assert_false(peer_isa_level(peer, 14));
    assert_true(peer_isa_level(peer, 15));
    assert_true(peer_intx_level(peer, 31, 3));
    assert_false(peer_intx_level(peer, 4, 0));
    assert_int_equal(peer_status(peer)->intx_rises[4], 1);
    assert_int_equal(peer_link_route(peer, 2), 11);
    assert_int_equal(peer_shutdown(peer), HV_SHM_SHUTDOWN_REBOOT);
    /* One change each: repeated levels and lines that do not exist are none. */
    assert_int_equal(peer_status(peer)->sequence, 8);
    peer_close(peer);
}

static void send_msis(struct shm_server *server, void *arg)
{
    for (unsigned i = 0; i < *(unsigned *)arg; i++)
        hv->msi(server->guests[0].guest, 0xfee00000, 0x40 + i);
}

static void msis_queue_and_what_does_not_fit_is_counted(void **state)
{
    struct peer *peer = shm_server_peer(*state, "guest", 1);
    unsigned many = HV_SHM_MSI_SLOTS + 3, one = 1;
    struct hv_shm_msi msi;

    shm_server_run(*state, send_msis, &many);
    assert_int_equal(peer_status(peer)->msi_lost, 3);
    for (unsigned i = 0; i < HV_SHM_MSI_SLOTS; i++) {
        assert_true(peer_msi_take(peer, &msi));
        assert_int_equal(msi.data, 0x40 + i);
    }
    assert_false(peer_msi_take(peer, &msi));
    shm_server_run(*state, send_msis, &one);
    assert_true(peer_msi_take(peer, &msi));
    assert_int_equal(msi.address, 0xfee00000);
    peer_close(peer);
}

struct copy {
    uint64_t gpa;
    size_t len;
    bool write;
    uint8_t data[20480];
};

static void copy(struct shm_server *server, void *arg)
{
    struct copy *c = arg;

    if (c->write)
        assert_int_equal(guestmem_write(hv, server->guests[0].guest, c->gpa, c->data, c->len), 0);
    else
        assert_int_equal(guestmem_read(hv, server->guests[0].guest, c->gpa, c->data, c->len), 0);
}

static void memory_comes_and_goes_and_holes_read_as_ones(void **state)
{
    struct shm_server *server = *state;
    struct peer *peer = shm_server_peer(server, "guest", 1);
    struct copy c = {.gpa = (4ull << 30) - 8192, .len = 20480};

    shm_server_run(server, copy, &c);
    assert_int_equal(c.data[0], 0xff);
    assert_int_equal(peer_memory_add(peer, 4ull << 30, 8192), 0);
    memset(peer_ram(peer, 4ull << 30, 8192), 0x5a, 8192);
    shm_server_run(server, copy, &c);
    assert_int_equal(c.data[8191], 0xff);
    assert_int_equal(c.data[8192], 0x5a);
    assert_int_equal(c.data[16383], 0x5a);
    assert_int_equal(c.data[16384], 0xff);

    c.write = true;
    memset(c.data, 0x77, sizeof(c.data));
    shm_server_run(server, copy, &c);
    assert_int_equal(*(uint8_t *)peer_ram(peer, (4ull << 30) + 8191, 1), 0x77);

    assert_int_equal(peer_memory_add(peer, (4ull << 30) + 4096, 4096), -EEXIST);
    assert_int_equal(peer_memory_remove(peer, 4ull << 30), 0);
    c.write = false;
    shm_server_run(server, copy, &c);
    assert_int_equal(c.data[8192], 0xff);
    assert_true(hv->guest_counters(server->guests[0].guest)->holes > 0);

    /* The very end of what can be named, and around it. */
    c.gpa = UINT64_MAX - 100;
    shm_server_run(server, copy, &c);
    assert_int_equal(c.data[0], 0xff);
    assert_int_equal(c.data[20479], 0xff);
    peer_close(peer);
}

struct pinned {
    struct iovec iov[HV_PIN_IOV];
    size_t len;
    bool pin;
};

static void pin_or_unpin(struct shm_server *server, void *arg)
{
    struct pinned *p = arg;
    struct hv_guest *guest = server->guests[0].guest;

    if (p->pin)
        assert_int_equal(hv->pin(guest, 1ull << 32, 4096, true, p->iov, &p->len), 1);
    else
        hv->unpin(guest, 1ull << 32, 4096);
}

static void *remove_thread(void *arg)
{
    return (void *)(intptr_t)peer_memory_remove(arg, 1ull << 32);
}

static void pinned_memory_is_unmapped_and_answered_when_it_is_unpinned(void **state)
{
    struct shm_server *server = *state;
    struct peer *peer = shm_server_peer(server, "guest", 1);
    struct pinned p = {.pin = true};
    pthread_t thread;
    void *rc;

    assert_int_equal(peer_memory_add(peer, 1ull << 32, 4096), 0);
    shm_server_run(server, pin_or_unpin, &p);
    pthread_create(&thread, NULL, remove_thread, peer);
    usleep(50000);
    assert_int_equal(pthread_tryjoin_np(thread, &rc), EBUSY);
    memset(p.iov[0].iov_base, 1, 4096); /* still there */
    p.pin = false;
    shm_server_run(server, pin_or_unpin, &p);
    pthread_join(thread, &rc);
    assert_int_equal((intptr_t)rc, 0);
    peer_close(peer);
}

static void dirty_pages_are_marked_while_the_log_is_on(void **state)
{
    struct shm_server *server = *state;
    struct peer *peer = shm_server_peer(server, "guest", 1);
    struct copy c = {.gpa = 0x3fff, .len = 4098, .write = true};
    uint64_t *bits;

    assert_int_equal(peer_dirty_start(peer, 0x1000, 0x10000, &bits), 0);
    shm_server_run(server, copy, &c); /* pages 3, 4, 5: bits 2, 3, 4 */
    assert_int_equal(bits[0], 0x1c);
    c.gpa = 0;
    c.len = 0x1001;
    shm_server_run(server, copy, &c); /* begins below the bitmap */
    assert_int_equal(bits[0], 0x1d);
    c.gpa = 0x10fff;
    c.len = 4096;
    shm_server_run(server, copy, &c); /* and ends above it */
    assert_int_equal(bits[0], 0x801d);
    peer_rep_in(peer, 0, 0x310, 2, 0x8000, 2, false);
    assert_int_equal(bits[0], 0x809d);
    assert_int_equal(peer_dirty_stop(peer), 0);
    peer_rep_in(peer, 0, 0x310, 2, 0x9000, 2, false);
    assert_int_equal(peer_error(peer), 0);
    peer_close(peer);
}

static void a_claim_at_run_time_is_known_when_its_request_is_answered(void **state)
{
    struct shm_server *server = *state;
    struct peer *peer = shm_server_peer(server, "guest", 1);

    assert_true(peer_claimed(peer, HV_SHM_RANGE_PORT, 0x300, 0x307));
    assert_false(peer_claimed(peer, HV_SHM_RANGE_PORT, 0x300, 0x308));
    assert_true(peer_claimed(peer, HV_SHM_RANGE_PCI, 0x28, 0x28));
    peer_close(peer);
}

static void stop_guests(struct shm_server *server, void *arg)
{
    hv->guest_stop(server->guests[0].guest);
    hv->guest_stop(server->guests[0].guest); /* twice is fine */
    hv->isa_irq(server->guests[0].guest, 3, true);
}

static void a_stopped_guest_is_told_and_its_ports_answer_nobody(void **state)
{
    struct shm_server *server = *state;
    struct peer *peer = shm_server_peer(server, "guest", 1);

    peer_out(peer, 0, 0x300, 1, 0x12);
    shm_server_run(server, stop_guests, NULL);
    assert_int_equal(peer_in(peer, 0, 0x300, 1), 0xff);
    assert_int_equal(peer_error(peer), 0);
    peer_close(peer);
}

static void the_end_of_a_peer_is_told_once_and_frees_its_place(void **state)
{
    struct shm_server *server = *state;

    for (unsigned i = 1; i <= 3 * SHM_SERVER_GUESTS; i++) {
        struct peer *peer = shm_server_peer(server, "guest", 2);

        peer_out(peer, 1, 0x300, 4, i);
        peer_close(peer);
        assert_true(shm_server_wait(server, &server->gone, i, 5000));
    }
    assert_int_equal(shm_server_guest_count(server), 0);
    assert_int_equal(server->gone, 3 * SHM_SERVER_GUESTS);
}

static void refuse(void **state, int error, const char *words)
{
    struct shm_server *server = *state;
    struct peer_options options = {.socket = server->path, .name = "guest", .timeout_ms = 5000};
    struct peer *peer = NULL;
    char reason[112];

    server->refuse = error;
    assert_int_equal(peer_connect(&options, &peer, reason), error);
    assert_string_equal(reason, words);
    server->refuse = 0;
}

static void a_refused_peer_gets_the_reason(void **state)
{
    refuse(state, -ENOENT, "No such file or directory");
    refuse(state, -EBUSY, "Device or resource busy");
    assert_int_equal(shm_server_guest_count(*state), 0);
}

static void *connect_thread(void *arg)
{
    struct shm_server *server = arg;
    struct peer_options options = {.socket = server->path, .name = "late", .timeout_ms = 5000};
    struct peer *peer = NULL;
    char reason[112];
    int rc = peer_connect(&options, &peer, reason);

    if (rc == 0) {
        rc = peer_wait_enabled(peer);
        peer_close(peer);
    } else if (strcmp(reason, "too late")) {
        rc = 1;
    }
    return (void *)(intptr_t)rc;
}

static void refuse_late(struct shm_server *server, void *arg)
{
    hv->peer_refuse(server->host, server->peer, -EAGAIN, "too late");
    hv->peer_refuse(server->host, server->peer, -EAGAIN, "too late"); /* is gone: nothing */
}

static void take_late(struct shm_server *server, void *arg)
{
    struct hv_guest_params params = {.name = "wrong", .peer = server->peer};
    struct hv_guest *guest = NULL;

    assert_int_equal(hv->guest_create(server->host, &params, &guest), -EPIPE);
    params.name = "late";
    assert_int_equal(hv->guest_create(server->host, &params, &guest), 0);
    assert_int_equal(hv->guest_start(guest, server->worker), 0);
    assert_int_equal(hv->guest_enable(guest), 0);
    hv->guest_stop(guest);
    hv->guest_destroy(guest);
}

static void a_peer_can_be_taken_or_refused_after_its_event(void **state)
{
    struct shm_server *server = *state;
    pthread_t thread;
    void *rc;

    server->ignore = true;
    pthread_create(&thread, NULL, connect_thread, server);
    assert_true(shm_server_wait(server, &server->offered, 1, 3000));
    shm_server_run(server, refuse_late, NULL);
    pthread_join(thread, &rc);
    assert_int_equal((intptr_t)rc, -EAGAIN);

    pthread_create(&thread, NULL, connect_thread, server);
    assert_true(shm_server_wait(server, &server->offered, 2, 3000));
    shm_server_run(server, take_late, NULL);
    pthread_join(thread, &rc);
    assert_int_equal((intptr_t)rc, 0);
}

/* An idle guest's descriptors are silent: what was pending is taken in one go. */
static void is_silent(struct shm_server *server, void *arg)
{
    struct pollfd fds[2] = {
        {.fd = hv->guest_fd(server->guests[0].guest), .events = POLLIN},
        {.fd = hv->host_fd(server->host), .events = POLLIN},
    };

    *(int *)arg = poll(fds, 2, 20);
}

static void an_idle_guest_wakes_nobody(void **state)
{
    struct peer *peer = shm_server_peer(*state, "guest", 1);
    int ready = -1;

    for (unsigned i = 0; i < 10; i++)
        peer_out(peer, 0, 0x300, 1, i);
    shm_server_run(*state, is_silent, &ready);
    assert_int_equal(ready, 0);
    peer_close(peer);
}

struct doorbells {
    struct peer *peer;
    int silent, found, silent_again;
    struct hv_pending pending;
    uint32_t watched[2];
    int rings[2];
};

static int readable(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};

    return poll(&pfd, 1, 20);
}

/* Between guest_pending() and guest_rearm() the peer need not kick. */
static void watch_without_kicks(struct shm_server *server, void *arg)
{
    struct doorbells *d = arg;
    struct hv_guest *guest = server->guests[0].guest;

    hv->guest_pending(guest, &d->pending);
    d->watched[0] = peer_status(d->peer)->watched;
    peer_kick(d->peer, 0);
    d->silent = readable(hv->guest_fd(guest));
    hv->guest_rearm(guest);
    d->watched[1] = peer_status(d->peer)->watched;
    d->found = readable(hv->guest_fd(guest));
    hv->guest_pending(guest, &d->pending);
    hv->guest_rearm(guest);
    d->silent_again = readable(hv->guest_fd(guest));
}

static void what_comes_while_kicks_are_left_out_is_found(void **state)
{
    struct doorbells d = {.peer = shm_server_peer(*state, "guest", 1)};

    /* The very first request, too. */
    shm_server_run(*state, watch_without_kicks, &d);
    assert_int_equal(d.watched[0], 1);
    assert_int_equal(d.silent, 0);
    assert_int_equal(d.watched[1], 0);
    assert_int_equal(d.found, 1);
    assert_int_equal(d.pending.slots[0], 1);
    assert_int_equal(d.silent_again, 0);
    peer_close(d.peer);
}

static void answer_twice(struct shm_server *server, void *arg)
{
    struct doorbells *d = arg;
    struct epoll_event event;

    for (unsigned i = 0; i < 2; i++) {
        peer_control(d->peer)->watched_slots[0] = !i;
        hv->notify(server->guests[0].guest, 0);
        d->rings[i] = epoll_wait(d->peer->answer_fd[0], &event, 1, 20);
    }
}

static void an_answer_does_not_ring_for_who_looks(void **state)
{
    struct doorbells d = {.peer = shm_server_peer(*state, "guest", 1)};

    shm_server_run(*state, answer_twice, &d);
    assert_int_equal(d.rings[0], 0);
    assert_int_equal(d.rings[1], 1);
    peer_close(d.peer);
}

/* The address in this process, and whether it is the peer's page. */
static void find_bufpio(struct shm_server *server, void *arg)
{
    struct bufpio_page **ret = arg;

    *ret = hv->bufpio(server->guests[0].guest);
    if (*ret)
        (*ret)->rest[7] = 0x5a;
}

static void the_buffered_pio_page_is_there_if_both_sides_want_it(void **state)
{
    struct shm_server *server = *state;
    struct peer_options options = {.socket = server->path, .name = "guest", .timeout_ms = 5000};

    for (unsigned offered = 0; offered < 2; offered++) {
        for (unsigned wanted = 0; wanted < 2; wanted++) {
            struct bufpio_page *page = NULL;
            unsigned gone = server->gone;
            struct peer *peer;

            server->buffered_pio = wanted;
            options.features = offered ? HV_SHM_FEATURE_BUFFERED_PIO : HV_SHM_FEATURE_MSI;
            assert_int_equal(peer_connect(&options, &peer, NULL), 0);
            assert_int_equal(peer_wait_enabled(peer), 0);
            shm_server_run(server, find_bufpio, &page);
            assert_int_equal(page != NULL, offered && wanted);
            assert_int_equal(peer_has_feature(peer, HV_SHM_FEATURE_BUFFERED_PIO),
                             offered && wanted);
            assert_int_equal(peer_bufpio_page(peer)->rest[7], offered && wanted ? 0x5a : 0);
            peer_close(peer);
            assert_true(shm_server_wait(server, &server->gone, gone + 1, 5000));
        }
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(ports_read_and_write_in_all_sizes),
        CASE(what_is_not_claimed_reads_as_ones_without_a_request),
        CASE(strings_go_to_guest_memory_over_pages_and_downwards),
        CASE(mmio_and_pci_configuration_are_routed),
        CASE(buffered_writes_arrive_before_the_next_request),
        CASE(two_peers_do_not_see_each_other),
        CASE(vcpus_issue_requests_at_once),
        CASE(interrupts_show_levels_and_count_edges),
        CASE(msis_queue_and_what_does_not_fit_is_counted),
        CASE(memory_comes_and_goes_and_holes_read_as_ones),
        CASE(pinned_memory_is_unmapped_and_answered_when_it_is_unpinned),
        CASE(dirty_pages_are_marked_while_the_log_is_on),
        CASE(a_claim_at_run_time_is_known_when_its_request_is_answered),
        CASE(a_stopped_guest_is_told_and_its_ports_answer_nobody),
        CASE(the_end_of_a_peer_is_told_once_and_frees_its_place),
        CASE(a_refused_peer_gets_the_reason),
        CASE(a_peer_can_be_taken_or_refused_after_its_event),
        CASE(an_idle_guest_wakes_nobody),
        CASE(what_comes_while_kicks_are_left_out_is_found),
        CASE(an_answer_does_not_ring_for_who_looks),
        CASE(the_buffered_pio_page_is_there_if_both_sides_want_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
