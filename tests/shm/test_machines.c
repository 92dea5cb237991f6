// SPDX-License-Identifier: GPL-2.0-or-later
/* What a machine is made of, seen from its processor: a secondary controller, serial ports, PCI. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/shm/rig.h"

#define RAM     (8u << 20)
#define SECTORS 8192u
#define BUF     0x100000u
#define PORTS   0xc100u

struct fixture {
    struct rig rig;
    char image[2][RIG_PATH];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char disks[3 * RIG_PATH];

    rig_start(&f->rig, NULL);
    rig_image(&f->rig, "0.img", SECTORS, f->image[0]);
    rig_image(&f->rig, "1.img", SECTORS, f->image[1]);
    snprintf(disks, sizeof(disks),
             "{\"vdev\": \"hda\", \"path\": \"%s\"}, {\"vdev\": \"hdc\", \"path\": \"%s\"}",
             f->image[0], f->image[1]);
    rig_guest_more(&f->rig, "second", disks, "\"role\": \"secondary\"");
    rig_guest_more(&f->rig, "third", disks, "\"role\": \"secondary\", \"slot\": 9");
    rig_guest_more(&f->rig, "first", disks,
                   "\"serial\": [{\"type\": \"pty\"}], \"unplug\": \"never\"");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int status = rig_stop(&f->rig);

    free(f);
    assert_int_equal(status, 0);
    return 0;
}

static void a_secondary_controller_claims_its_function_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = rig_peer(&f->rig, "second", 1, RAM);

    for (unsigned slot = 0; slot < 32; slot++)
        assert_int_equal(peer_claimed(peer, HV_SHM_RANGE_PCI, slot << 3, slot << 3), slot == 30);
    assert_int_equal(peer_pci_read(peer, 0, 30 << 3, 0, 4), 0x06461095);
    assert_int_equal(peer_pci_read(peer, 0, 1 << 3, 0, 4), 0xffffffff);
    for (unsigned port = 0; port < 0x10000; port++)
        assert_false(peer_claimed(peer, HV_SHM_RANGE_PORT, port, port));
    peer_close(peer);
}

static void it_sits_in_the_slot_that_its_configuration_names(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = rig_peer(&f->rig, "third", 1, RAM);

    for (unsigned slot = 0; slot < 32; slot++)
        assert_int_equal(peer_claimed(peer, HV_SHM_RANGE_PCI, slot << 3, slot << 3), slot == 9);
    assert_int_equal(peer_pci_read(peer, 0, 9 << 3, 0, 4), 0x06461095);
    peer_close(peer);
}

static void its_ports_move_with_its_bars(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = rig_peer(&f->rig, "second", 1, RAM);
    struct ide disk;
    uint16_t words[256];

    assert_int_equal(ide_init_native(&disk, peer, 0, 30, PORTS, 0, 0, 0x1000), 0);
    assert_true(peer_claimed(peer, HV_SHM_RANGE_PORT, PORTS, PORTS + 7));
    assert_int_equal(ide_identify(&disk, words), 0);
    assert_int_equal(ide_capacity(words), SECTORS);
    peer_pci_write(peer, 0, 30 << 3, 0x10, 4, 0xd000);
    assert_false(peer_claimed(peer, HV_SHM_RANGE_PORT, PORTS, PORTS + 7));
    assert_true(peer_claimed(peer, HV_SHM_RANGE_PORT, 0xd000, 0xd007));
    assert_int_equal(peer_in(peer, 0, PORTS + 7, 1), 0xff);
    disk.cmd = 0xd000;
    assert_int_equal(ide_identify(&disk, words), 0);
    peer_pci_write(peer, 0, 30 << 3, 4, 2, 0); /* I/O off */
    assert_false(peer_claimed(peer, HV_SHM_RANGE_PORT, 0xd000, 0xd007));
    assert_int_equal(peer_in(peer, 0, 0xd007, 1), 0xff);
    assert_int_equal(peer_error(peer), 0);
    peer_close(peer);
}

struct native_work {
    struct ide disk;
    uint64_t buf;
    int rc;
    unsigned wrong;
};

static void *native_thread(void *arg)
{
    struct native_work *w = arg;
    uint8_t *ram = peer_ram(w->disk.peer, w->buf, 1 << 20);

    for (unsigned i = 0; i < 30 && w->rc == 0; i++) {
        rig_fill(w->disk.vcpu + 5, i * 200, 128, ram);
        w->rc = ide_dma_write(&w->disk, i * 200, 128, w->buf);
        memset(ram, 0, 128 * 512);
        if (w->rc == 0)
            w->rc = ide_dma_read(&w->disk, i * 200, 128, w->buf);
        w->wrong += rig_mismatches(w->disk.vcpu + 5, i * 200, 128, ram);
        if (w->rc == 0)
            w->rc = ide_pio_read(&w->disk, IDE_PIO_REP32, i * 200 + 128, 3, w->buf);
        w->wrong += rig_mismatches(0, i * 200 + 128, 3, ram);
    }
    return NULL;
}

static void both_its_channels_share_an_interrupt(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = rig_peer(&f->rig, "second", 2, RAM);
    struct native_work work[2] = {{.buf = BUF}, {.buf = BUF + 0x200000}};
    pthread_t thread[2];

    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(
            ide_init_native(&work[i].disk, peer, i, 30, PORTS, i, 0, 0x1000 + i * 0x1000), 0);
    for (unsigned i = 0; i < 2; i++)
        pthread_create(&thread[i], NULL, native_thread, &work[i]);
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(work[i].rc, 0);
        assert_int_equal(work[i].wrong, 0);
    }
    assert_int_equal(peer_isa_rises(peer, 14) + peer_isa_rises(peer, 15), 0);
    peer_close(peer);
}

static void a_primary_machine_has_what_firmware_looks_for(void **state)
{
    static const struct {
        uint16_t bdf;
        uint32_t id;
    } functions[] = {
        {0, 0x12378086},          {1 << 3, 0x70008086}, {1 << 3 | 1, 0x70108086},
        {1 << 3 | 3, 0x71138086}, {2 << 3, 0x00015853},
    };
    struct fixture *f = *state;
    struct peer *peer = rig_peer(&f->rig, "first", 1, RAM);

    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(peer_pci_read(peer, 0, functions[i].bdf, 0, 4), functions[i].id);
    assert_int_equal(peer_pci_read(peer, 0, 1 << 3 | 2, 0, 4), 0xffffffff);
    peer_out(peer, 0, 0xcf8, 4, 0x80001234); /* Linux probes for mechanism 1 */
    assert_int_equal(peer_in(peer, 0, 0xcf8, 4), 0x80001234);
    /* PIRQ routing is passed on. */
    peer_pci_write(peer, 0, 1 << 3, 0x60, 4, 0x0b0a0b05);
    assert_int_equal(peer_link_route(peer, 0), 5);
    assert_int_equal(peer_link_route(peer, 3), 11);
    assert_int_equal(peer_error(peer), 0);
    peer_close(peer);
}

/* Reads until `text` has come; the other side is a pty. */
static bool comes(int fd, const char *text)
{
    char got[256] = "";
    size_t n = 0;

    for (int i = 0; i < 100 && n + 1 < sizeof(got); i++) {
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        ssize_t r;

        if (poll(&pfd, 1, 50) <= 0)
            continue;
        r = read(fd, got + n, sizeof(got) - 1 - n);
        n += r > 0 ? (size_t)r : 0;
        got[n] = 0;
        if (strstr(got, text))
            return true;
    }
    return false;
}

static void the_serial_port_talks_over_its_pty(void **state)
{
    static const char hello[] = "Hello from the guest";
    struct fixture *f = *state;
    struct peer *peer = rig_peer(&f->rig, "first", 1, RAM);
    json_t *list = rig_call(&f->rig, "list", NULL, NULL);
    json_t *guest = json_array_get(json_object_get(list, "guests"), 0);
    const char *path = json_string_value(
        json_object_get(json_array_get(json_object_get(guest, "serial"), 0), "path"));
    unsigned i;
    int fd;

    assert_non_null(path);
    fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    for (i = 0; hello[i]; i++) {
        while (!(peer_in(peer, 0, 0x3fd, 1) & 0x20) && !peer_error(peer))
            ;
        peer_out(peer, 0, 0x3f8, 1, (uint8_t)hello[i]);
    }
    assert_true(comes(fd, hello));
    peer_out(peer, 0, 0x3fc, 1, 8); /* OUT2: lets interrupts out */
    peer_out(peer, 0, 0x3f9, 1, 1); /* when something comes */
    assert_int_equal(write(fd, "A", 1), 1);
    assert_int_equal(peer_wait_isa_level(peer, 4, true), 0);
    assert_int_equal(peer_in(peer, 0, 0x3fd, 1) & 1, 1);
    assert_int_equal(peer_in(peer, 0, 0x3f8, 1), 'A');
    assert_int_equal(peer_wait_isa_level(peer, 4, false), 0);
    close(fd);
    json_decref(list);
    peer_close(peer);
}

static bool has_shut_down(struct peer *peer, void *arg)
{
    return peer_shutdown(peer) != 0;
}

static void acpi_switches_the_guest_off(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = rig_peer(&f->rig, "first", 1, RAM);

    peer_pci_write(peer, 0, 1 << 3 | 3, 0x40, 4, 0xb001); /* as hvmloader does */
    peer_pci_write(peer, 0, 1 << 3 | 3, 0x80, 1, 1);
    peer_out(peer, 0, 0xb004, 2, 0x2000); /* SLP_EN, type 0: S5 */
    assert_int_equal(peer_wait(peer, has_shut_down, NULL), 0);
    assert_int_equal(peer_shutdown(peer), HV_SHM_SHUTDOWN_POWEROFF);
    peer_close(peer);
}

static void the_daemon_does_not_stop_by_mistake(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = rig_peer(&f->rig, "second", 1, RAM);
    char error[256];

    assert_null(rig_call(&f->rig, "shutdown", NULL, error));
    assert_non_null(strstr(error, "guest"));
    assert_int_equal(peer_pci_read(peer, 0, 30 << 3, 0, 4), 0x06461095);
    peer_close(peer);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_secondary_controller_claims_its_function_and_nothing_else),
        CASE(it_sits_in_the_slot_that_its_configuration_names),
        CASE(its_ports_move_with_its_bars),
        CASE(both_its_channels_share_an_interrupt),
        CASE(a_primary_machine_has_what_firmware_looks_for),
        CASE(the_serial_port_talks_over_its_pty),
        CASE(acpi_switches_the_guest_off),
        CASE(the_daemon_does_not_stop_by_mistake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
